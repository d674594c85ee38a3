"""Tools for testing what speaks to speech providers: a fake provider with scripted faults, and test signals.

Public: an adapter or a bot of your own may use them. Nothing here is imported by the relay itself.
"""
