"""The provider openai: the vendor's own service, and the servers that copy its API."""
