"""Turns that are kept after they ended, where the operator wants it: text, settings, latency and audio."""
