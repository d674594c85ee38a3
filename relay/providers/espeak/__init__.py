"""The provider espeak."""
