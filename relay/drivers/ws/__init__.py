"""WebSockets towards providers."""
