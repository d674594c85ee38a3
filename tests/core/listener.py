"""A listener to judge a schedule by, which shares no code with it."""

from collections import deque

from relay.core.listener_clock import RAN_DRY_S

# Two instants that differ by less are the same: far above what floats lose, far below what anybody hears.
TINY_S = 1e-5


class Listener:
    """Plays paced audio without gaps, from the first frame of a turn on.

    Audio that comes late by no more than a jitter buffer hides is played as if it had been there in time; after more
    than that, and between turns, the listener begins again with what comes.
    """

    def __init__(self) -> None:
        self._now_s = 0.0
        self._queue: deque[tuple[str, float]] = deque()
        # How long it has had nothing to play.
        self._owed_s = float("inf")

    def lead_s(self, now_s: float, *, first: bool = False) -> float:
        """How much it has still to play; below 0: by how much the next frame is late. `first`: of a turn."""
        self._play(now_s)
        if self._owed_s > RAN_DRY_S or first:
            return sum(rest_s for _, rest_s in self._queue)
        return sum(rest_s for _, rest_s in self._queue) - self._owed_s

    def take(self, turn_id: str, duration_s: float, now_s: float, *, first: bool = False) -> None:
        self._play(now_s)
        if self._owed_s > RAN_DRY_S or first:
            self._owed_s = 0.0
        late_s = min(self._owed_s, duration_s)
        self._owed_s -= late_s
        if duration_s > late_s:
            self._queue.append((turn_id, duration_s - late_s))

    def drop(self, turn_ids: set[str], now_s: float) -> None:
        """Throws away what it holds of these turns."""
        self._play(now_s)
        self._queue = deque(held for held in self._queue if held[0] not in turn_ids)

    def drop_all(self, now_s: float) -> None:
        self._play(now_s)
        self._queue.clear()
        self._owed_s = float("inf")

    def hearing(self, now_s: float) -> set[str]:
        """The turn whose audio it hears; both, at the instant between two."""
        self._play(now_s)
        heard = set()
        for turn_id, rest_s in self._queue:
            heard.add(turn_id)
            if rest_s > TINY_S:
                break
        return heard

    def _play(self, now_s: float) -> None:
        left_s = now_s - self._now_s
        self._now_s = now_s
        while self._queue and left_s > 0:
            turn_id, rest_s = self._queue[0]
            if rest_s > left_s:
                self._queue[0] = (turn_id, rest_s - left_s)
                return
            left_s -= rest_s
            self._queue.popleft()
        self._owed_s += max(0.0, left_s)
