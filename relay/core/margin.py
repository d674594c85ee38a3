"""How far synthesis ran ahead of a listener: the risk of an underrun, told without asking the listener.

The rule. A listener begins to play when the turn's first frame leaves, and plays on without ever stopping. Each time
more audio comes, what is left of the audio before it is how far ahead synthesis was. The smallest of these is the
turn's margin: above zero nobody heard a gap; below, a listener would have needed that much prebuffer to hear none.

- What waits in the outbox counts as left: a listener that takes its audio late is not the synthesis' doing.
- Neither is text that comes late: a segment whose text was not there when the audio before it ended moves the clock on.
"""


class Margin:
    """Instants in seconds of the caller's monotonic clock, audio in seconds from the start of the turn.

    `least_s` is None while no audio has come after the first frame: nothing was at risk.
    """

    __slots__ = ("_made_s", "_start_s", "least_s")

    def __init__(self) -> None:
        self.least_s: float | None = None
        self._start_s: float | None = None
        self._made_s = 0.0

    def began(self, start_s: float) -> None:
        """The listener begins to play."""
        self._start_s = start_s

    def text_came(self, now_s: float) -> None:
        """What comes next speaks text that was there only now."""
        if self._start_s is not None:
            self._start_s = max(self._start_s, now_s - self._made_s)

    def audio_came(self, made_s: float, held_s: float, now_s: float) -> None:
        """There is audio up to `made_s` now; `held_s` of what was there before had not been sent yet."""
        if self._start_s is not None:
            ahead_s = self._start_s + self._made_s - now_s
            if held_s > 0:
                ahead_s = max(ahead_s, held_s)
            if self.least_s is None or ahead_s < self.least_s:
                self.least_s = ahead_s
        self._made_s = made_s
