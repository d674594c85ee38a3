"""The provider playai."""
