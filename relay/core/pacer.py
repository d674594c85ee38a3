"""Sample count <-> instant: when a frame may leave. Absolute deadlines on the caller's monotonic clock, in seconds."""

from bisect import bisect_left

from relay.core.events import Pacing
from relay.core.formats import FrameFormat

# How much later than its playout instant a frame may leave before the listener is taken to have run dry, so that the
# schedule starts anew. Listeners hide about this much jitter; below it, catching up at once is right.
RAN_DRY_S = 0.1

# What is counted of paced frames: how many left later than these seconds after they might have.
LATE_BY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)

NEVER_S = float("inf")
AT_ONCE_S = float("-inf")


class Pacer:
    """The schedule of one turn.

    In `realtime` the frame whose first sample is `pts` leaves no earlier than `start + pts / rate - lead`, `start`
    being the instant the first frame left. Lateness never adds up, and after a stall the frames that are overdue leave
    at once, which rebuilds the lead. Only when the listener must have run dry does `start` move: by what it went
    without, so that no more than the lead is ever sent ahead.

    `not_before_s` is when the listener will have heard what an earlier turn sent: a second turn does not add its lead
    on top of the first one's.

    Credit (`window_ms` and `grant`) bounds the audio sent altogether, in either mode; None means no bound.
    """

    def __init__(
        self,
        pacing: Pacing,
        form: FrameFormat,
        *,
        window_ms: int | None = None,
        not_before_s: float = AT_ONCE_S,
    ) -> None:
        self._rate_hz = form.audio.sample_rate_hz
        self._frame_samples = form.frame_samples
        self._lead_s = pacing.lead_ms / 1000 if pacing.mode == "realtime" else None
        self._not_before_s = not_before_s
        self._start_s: float | None = None
        self._credit_samples = None if window_ms is None else form.samples_in(window_ms)
        self._form = form
        self._sent_samples = 0
        # Frames that waited for their instant, by lateness: up to each of LATE_BY_S, then beyond the last.
        self.lateness = [0] * (len(LATE_BY_S) + 1)
        self._next_waits = False
        self.ran_dry = 0
        self.ran_dry_s = 0.0

    @property
    def playout_end_s(self) -> float:
        """When a listener that plays at once will have heard all that was sent."""
        return self._not_before_s if self._start_s is None else self._start_s + self._sent_samples / self._rate_hz

    def grant(self, ms: int) -> None:
        """More credit. Without a window there is nothing to add to."""
        if self._credit_samples is not None:
            self._credit_samples += self._form.samples_in(ms)

    def ready_s(self, pts: int) -> float:
        """The instant from which the frame at `pts` may leave; NEVER_S while there is no credit for it."""
        if self._credit_samples is not None and pts + self._frame_samples > self._credit_samples:
            return NEVER_S
        if self._lead_s is None:
            return AT_ONCE_S
        if self._start_s is None:
            return self._not_before_s - self._lead_s
        return self._start_s + pts / self._rate_hz - self._lead_s

    def leave(self, pts: int, now_s: float) -> float:
        """Lets the frame at `pts` leave if it may: returns AT_ONCE_S, and it counts as sent. Else when it may.

        Call for the frames in order, for each until it has left. A frame that was refused once is there before its
        instant, so that how late it leaves is nobody's doing but the caller's.
        """
        ready_s = self.ready_s(pts)
        if ready_s > now_s:
            self._next_waits = True
            return ready_s
        self._sent(pts, now_s)
        return AT_ONCE_S

    def _sent(self, pts: int, now_s: float) -> None:
        self._sent_samples = pts + self._frame_samples
        if self._start_s is None:
            self._start_s = max(now_s, self._not_before_s)
            return
        if self._lead_s is None:
            return
        late_s = now_s - (self._start_s + pts / self._rate_hz)
        if self._next_waits:
            self._next_waits = False
            self.lateness[bisect_left(LATE_BY_S, late_s + self._lead_s)] += 1
        if late_s > RAN_DRY_S:
            self._start_s += late_s
            self.ran_dry += 1
            self.ran_dry_s += late_s
