"""What of a turn has left for its listener: when each frame may, and how much has.

Whoever sends says what time it is, in seconds of one monotonic clock.
"""

from collections.abc import Callable

from relay.core.events import Pacing
from relay.core.formats import FrameFormat
from relay.core.frames import Frame
from relay.core.pacer import AT_ONCE_S, NEVER_S, Pacer
from relay.core.timings import TurnTimings


class SentAudio:
    """The sample clock of one turn. Nothing leaves before `begin` has said what its frames are.

    `playing_until_s` tells until when the listener hears the turn before this one.
    """

    def __init__(
        self,
        pacing: Pacing,
        timings: TurnTimings,
        *,
        window_ms: int | None = None,
        playing_until_s: Callable[[], float] = lambda: AT_ONCE_S,
    ) -> None:
        # The schedule, from `begin` on.
        self.pacer: Pacer | None = None
        self._pacing = pacing
        self._timings = timings
        self._window_ms = window_ms
        self._playing_until_s = playing_until_s
        self._granted_ms = 0
        self._form: FrameFormat | None = None
        self._last: Frame | None = None

    def begin(self, form: FrameFormat) -> None:
        self._form = form
        self.pacer = Pacer(self._pacing, form, window_ms=self._window_ms, not_before_s=self._playing_until_s())
        self.pacer.grant(self._granted_ms)

    def grant(self, ms: int) -> None:
        """More credit."""
        if self.pacer is None:
            self._granted_ms += ms
        else:
            self.pacer.grant(ms)

    def leave(self, frame: Frame, now_s: float) -> float:
        """AT_ONCE_S: the frame leaves now, and counts as sent. Else the instant from which it may (`Pacer.leave`)."""
        assert self.pacer is not None, "a frame exists, so its format does"
        ready_s = self.pacer.leave(frame.pts, now_s)
        if ready_s == AT_ONCE_S:
            if self._last is None:
                self._timings.audio_began(now_s, self._playing_until_s())
            self._last = frame
            self._timings.last_frame_s = now_s
        elif self._last is None:  # held by the client's own wish
            self._timings.held_until_s = now_s if ready_s == NEVER_S else ready_s
        return ready_s

    @property
    def frames(self) -> int:
        return -(-self.samples // self._form.frame_samples) if self._form else 0

    @property
    def samples(self) -> int:
        """Samples of speech, padding not counted."""
        return self._last.pts + self._last.samples if self._last else 0

    @property
    def padding_samples(self) -> int:
        return self._last.padding if self._last else 0

    @property
    def ms(self) -> float:
        """Milliseconds of speech."""
        return self._form.duration_ms(self.samples) if self._form else 0.0

    @property
    def playout_end_s(self) -> float:
        """When a listener that plays at once will have heard all that was sent."""
        return self.pacer.playout_end_s if self.pacer else AT_ONCE_S
