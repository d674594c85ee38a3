"""The drivers: they do the I/O of upstreams, once for all providers. None of them knows a provider."""
