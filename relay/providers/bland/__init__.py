"""The provider bland."""
