"""Providers that run in worker processes on this machine."""
