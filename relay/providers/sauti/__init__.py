"""The provider sauti."""
