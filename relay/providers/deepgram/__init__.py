"""The provider deepgram."""
