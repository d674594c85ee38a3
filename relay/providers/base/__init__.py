"""The seam of providers, and what adapters share."""
