"""Bland AI's APIs as a door."""
