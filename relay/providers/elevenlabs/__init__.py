"""The provider elevenlabs."""
