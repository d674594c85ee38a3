"""What a listener of paced audio has still to hear, if it plays without gaps. Time is an argument."""

from collections import deque

# How long after its playout instant a frame may leave before its listener counts as having run dry, so that the clock
# starts anew. Listeners hide about this much jitter; below it, catching up at once is right.
RAN_DRY_S = 0.1

_HOLDS_NOTHING_S = float("-inf")


class ListenerClock:
    """One clock for all paced turns of a listener, in the order in which they are heard."""

    def __init__(self) -> None:
        # Until when the listener has something to play; whose it is, oldest first: as many as turns that are not heard.
        self.playing_until_s = _HOLDS_NOTHING_S
        self._unheard: deque[tuple[str, float]] = deque()

    def lead_s(self, now_s: float, *, first: bool) -> float:
        """How far the listener is behind what was sent to it; below 0 where the next frame is late. `first`: of its
        turn, which may begin at any instant."""
        lead_s = self.playing_until_s - now_s
        return 0.0 if lead_s < 0 and (lead_s < -RAN_DRY_S or first) else lead_s

    def play(self, turn_id: str, duration_s: float, now_s: float, *, first: bool) -> float:
        """The listener gets so much more audio of the turn. Returns for how long it had run dry within the turn."""
        late_s = now_s - self.playing_until_s
        ran_dry_s = 0.0
        if late_s > RAN_DRY_S or (first and late_s > 0):
            if not first and self.playing_until_s != _HOLDS_NOTHING_S:
                ran_dry_s = late_s
            self.playing_until_s = now_s
        self.playing_until_s += duration_s
        unheard = self._unheard
        while unheard and unheard[0][1] <= now_s:
            unheard.popleft()
        if unheard and unheard[-1][0] == turn_id:
            unheard.pop()
        unheard.append((turn_id, self.playing_until_s))
        return ran_dry_s

    def forget(self, turn_ids: set[str], now_s: float) -> None:
        """The listener drops what it holds of these turns; what it holds of others moves up."""
        kept: deque[tuple[str, float]] = deque()
        begin_s = until_s = now_s
        dropped = False
        for turn_id, end_s in self._unheard:
            if end_s > now_s:
                if turn_id in turn_ids:
                    dropped = True
                else:
                    until_s += end_s - max(begin_s, now_s)
                    kept.append((turn_id, until_s))
            begin_s = end_s
        # Otherwise the clock stays, even where it is late: a turn that goes on catches up.
        if dropped:
            self._unheard = kept
            self.playing_until_s = until_s if kept else _HOLDS_NOTHING_S

    def forget_all(self) -> None:
        """The listener drops all that it holds."""
        self._unheard.clear()
        self.playing_until_s = _HOLDS_NOTHING_S

    def heard(self, now_s: float) -> float:
        """Seconds of audio that were sent and that the listener has still to hear."""
        return max(0.0, self.playing_until_s - now_s)

    def hearing(self, now_s: float) -> str | None:
        """The turn that the listener hears now."""
        for turn_id, end_s in self._unheard:
            if end_s > now_s:
                return turn_id
        return None
