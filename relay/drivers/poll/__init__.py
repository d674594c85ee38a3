"""Jobs at providers, polled."""
