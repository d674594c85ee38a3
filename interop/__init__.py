"""Published, unmodified client libraries against a running relay: `python -m interop`."""
