"""The provider hibari."""
