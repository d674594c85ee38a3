"""Who may use the relay, and for what."""
