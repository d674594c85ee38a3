"""Speaks turns: text -> provider -> audio -> schedule. Knows no client socket and no wire protocol."""
