"""The processes of a relay, and what they share."""
