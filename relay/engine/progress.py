"""Which states of a provider's job are worth a message to the client.

This file does not know who is told, nor how.
"""

from relay.core.events import Progress

# The same state is told again so often: who waits sees that it is still true, and a provider that is asked often floods
# nobody.
REPEAT_S = 1.0


class Reports:
    """Every change is told at once, what has not changed at most every REPEAT_S."""

    def __init__(self) -> None:
        self._told: Progress | None = None
        self._told_s = 0.0

    def due(self, progress: Progress, now_s: float) -> bool:
        """Whether to tell it now; counts as told if so."""
        if progress is self._told and now_s < self._told_s + REPEAT_S:
            return False
        self._told, self._told_s = progress, now_s
        return True
