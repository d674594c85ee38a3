"""The I/O shell: sockets, tasks and the process. All that can be decided without them is decided in `core`."""
