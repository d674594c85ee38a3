"""What SIGTERM and SIGINT ask for when they come more than once. Pure."""

# A terminal, a service manager and a container runtime signal the whole process group, and a wrapper passes its own
# signal on: the same request arrives two or three times within milliseconds. A person who presses Ctrl-C twice to stop
# at once takes longer than this.
ONE_REQUEST_S = 1.0


class StopSignals:
    """The first signal asks for a drain; one that comes later than ONE_REQUEST_S after it asks to stop at once."""

    def __init__(self) -> None:
        self._first_s: float | None = None

    def at_once(self, now_s: float) -> bool:
        """A signal came. False: drain."""
        if self._first_s is None:
            self._first_s = now_s
        return now_s - self._first_s > ONE_REQUEST_S
