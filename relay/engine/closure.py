"""When a provider that answered "too many requests" is asked again. Pure: time is an argument.

::

    open --refused--> closed --time is over--> reopening --enough answers, or time--> open
                        └--a probe is answered--┘   (from any state a new refusal closes again)

One answer speaks for everybody, so what it can do is bounded: it closes the provider for `longest_s` at most, and half
way through one request goes ahead as a probe. Whoever waited comes back a few at a time.
"""

import math

# One answer closes a provider for no longer than this, whatever it asks for. An hour is the answer to one request too
# many; the next one may be let in at once.
LONGEST_CLOSURE_S = 30.0
# The first refusal is believed for so long at most, each that follows it for twice as long, up to the above: one answer
# alone, which may be a mistake, must not outlast the patience of the next caller.
FIRST_BELIEVED_S = 10.0
# Where refusals follow each other without saying until when: this long, then twice as long with each of them.
FIRST_BACKOFF_S = 0.5
# Requests that may be without an answer while the provider reopens: 1 when the time is over (the provider has not said
# that it takes requests), PROVEN when it has answered a probe. Doubles with each answer and every STEP_S, so that a
# provider that is slow to answer holds nobody back for long; from FREE on nothing is counted.
PROVEN = 16
FREE = 64
STEP_S = 0.25


class Trial:
    """A request sent while the provider is not simply open. `era` tells which of its answers are old news."""

    __slots__ = ("counted", "era")

    def __init__(self, era: int, *, counted: bool) -> None:
        self.era = era
        self.counted = counted


class Closure:
    """Whether a provider takes requests. Every request that is let in is `given`, then `answered` or `refused` if there
    is an answer, and `left` in any case."""

    def __init__(self, longest_s: float = LONGEST_CLOSURE_S) -> None:
        if not 0 < longest_s < math.inf:
            raise ValueError(f"longest_closure_s is {longest_s}; it must be above 0")
        self._longest_s = longest_s
        # While closed or reopening; -inf while open.
        self._reopens_s = -math.inf
        self._closed = False
        self._probe_s = -math.inf
        self._allowed = 1
        self._step_s = 0.0
        self._unanswered = 0
        self._refusals = 0
        self._era = 0

    def reopens_s(self, now_s: float) -> float:
        """When requests are let in again; `now_s` if they are now."""
        return max(now_s, self._reopens_s) if self._closed else now_s

    def admits(self, now_s: float) -> bool:
        """Whether one more request may be sent now."""
        if not self._closed:
            return True
        if now_s < self._reopens_s:
            return now_s >= self._probe_s and not self._unanswered
        self._widen(now_s)
        return not self._closed or self._unanswered < self._allowed

    def next_look_s(self, now_s: float) -> float:
        """When `admits` may change by time alone."""
        if not self._closed:
            return math.inf
        if now_s < self._reopens_s:
            return self._probe_s if now_s < self._probe_s else self._reopens_s
        self._widen(now_s)
        return self._step_s + STEP_S if self._closed else math.inf

    def given(self) -> Trial:
        """A request is let in."""
        self._unanswered += self._closed
        return Trial(self._era, counted=self._closed)

    def answered(self, trial: Trial, now_s: float) -> None:
        """The provider has taken the request."""
        self.left(trial)
        if trial.era < self._era:
            return  # sent before the provider closed: its answer says nothing about now
        self._refusals = 0
        if not self._closed:
            return
        if now_s < self._reopens_s:
            self._reopens_s = self._step_s = now_s
            self._allowed = PROVEN
        else:
            self._widen(now_s)
            self._allowed *= 2

    def refused(self, trial: Trial, now_s: float, asked_s: float) -> None:
        """The provider has turned the request away, and asked for `asked_s` seconds (0: it does not say) of pause."""
        self.left(trial)
        if trial.era < self._era:
            # Of a burst that was sent together, one refusal counts. The others may still say for how long.
            if self._refusals and asked_s > 0:
                self._close(now_s, max(min(asked_s, self._believed_s()), self._reopens_s - now_s))
            return
        self._era += 1
        self._refusals += 1
        backoff_s = FIRST_BACKOFF_S * 2.0 ** min(self._refusals - 2, 32) if self._refusals > 1 else 0.0
        if pause_s := min(max(asked_s, backoff_s), self._believed_s()):
            self._close(now_s, pause_s)

    def left(self, trial: Trial) -> None:
        """The request is over; without an answer it proves nothing, and the next one may be the probe. Idempotent."""
        self._unanswered -= trial.counted
        trial.counted = False

    def _believed_s(self) -> float:
        return min(self._longest_s, FIRST_BELIEVED_S * 2.0 ** min(self._refusals - 1, 32))

    def _close(self, now_s: float, pause_s: float) -> None:
        if self._closed and now_s + pause_s <= self._reopens_s:
            return
        self._closed = True
        self._reopens_s = self._step_s = now_s + pause_s
        self._probe_s = now_s + pause_s / 2
        self._allowed = 1

    def _widen(self, now_s: float) -> None:
        steps = int((now_s - self._step_s) / STEP_S)
        self._step_s += steps * STEP_S
        self._allowed <<= min(steps, FREE.bit_length())
        if self._allowed >= FREE:
            self._closed = False
