"""Queues that serve callers in turn: one with a thousand requests delays another with one by one request.

Who asks is known by the context that a task runs in, so that no request has to carry it.
"""

from contextvars import ContextVar
from itertools import count
from typing import TypeAlias

# The caller whose work this task does: a key's name or an address; empty for the relay's own.
CALLER: ContextVar[str] = ContextVar("caller", default="")

# The round in which one is served, and the order of arrival within it.
Turn: TypeAlias = tuple[int, int]

# Callers are remembered while they may be ahead of the others; from so many on, those that are not are looked for.
_MANY = 1024


class FairOrder:
    """Gives each request its turn; who has the least one is served next, and `served` is told."""

    def __init__(self) -> None:
        self._round = 0
        self._last: dict[str, int] = {}
        self._arrivals = count()

    def turn(self, caller: str) -> Turn:
        """The next round in which this caller has none waiting yet."""
        number = max(self._round, self._last.get(caller, 0)) + 1
        if len(self._last) >= _MANY:
            self._last = {each: last for each, last in self._last.items() if last > self._round}
        self._last[caller] = number
        return number, next(self._arrivals)

    def served(self, turn: Turn) -> None:
        self._round = max(self._round, turn[0] - 1)
