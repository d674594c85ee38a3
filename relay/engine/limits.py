"""How many may be served at a time, and for how long a client may be silent or slow."""

from collections import Counter
from dataclasses import dataclass, field

from relay.core.events import SessionLimits
from relay.errors import Code, LimitError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of the process and, in `session`, those of one session."""

    max_sessions: int
    max_sessions_per_client: int
    slow_client_timeout_s: float
    session: SessionLimits = field(default_factory=SessionLimits)


class SessionLimiter:
    """Counts who is being served. A client is a key's fingerprint, or an address where no keys are configured."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_client: Counter[str] = Counter()
        self.taken = 0

    def take(self, client: str) -> None:
        """Raises LimitError when there is no place. Every `take` is followed by one `give_back`."""
        if self.taken >= self._limits.max_sessions:
            raise LimitError(
                Code.OVER_CAPACITY, f"all {self._limits.max_sessions} places are taken; try again", retry_after_s=1
            )
        if self._by_client[client] >= self._limits.max_sessions_per_client:
            raise LimitError(
                Code.RATE_LIMITED,
                f"this client has {self._limits.max_sessions_per_client} sessions open, which is the most it may have",
                retry_after_s=1,
            )
        self.taken += 1
        self._by_client[client] += 1

    def give_back(self, client: str) -> None:
        self.taken -= 1
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]
