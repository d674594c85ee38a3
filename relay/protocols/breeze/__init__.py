"""Breeze Blue's API as a door."""
