"""The signals that a worker handles itself."""

import signal

# They are blocked in a worker from its first instant until it has its handlers: a signal to the whole process group
# would otherwise end a worker that is starting, or leave it half-way.
HANDLED = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)


def unblock_signals() -> None:
    """For a worker that has its handlers now."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
