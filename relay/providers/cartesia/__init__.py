"""The provider cartesia."""
