"""The provider breeze."""
