"""How long the audio of a text can be: more of it is no speech of that text.

A provider that never stops sending would hold a slot and a listener for ever, and be paid for it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from relay.errors import Code, ProviderError, ProviderFault

# Digits, units and signs that are read as words last longest: a second a character, at the slowest speed that voices
# have. Ten times what is usual, 0.07 s.
S_PER_CHAR = 1.0
# Pauses that are asked for in markup, breath, silence at both ends.
BASE_S = 60.0
# Formats that a reply may change to. Each needs a filter of its own, which takes milliseconds to design.
MOST_CHANGES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioBound:
    """The longest audio of a text, in seconds: `base_s`, and `s_per_char` for each character."""

    base_s: float = BASE_S
    s_per_char: float = S_PER_CHAR

    def longest_s(self, chars: int) -> float:
        return self.base_s + self.s_per_char * chars


DEFAULT_BOUND = AudioBound()


class ReplyLength:
    """Measures one reply. `chars` says how much text the provider has been given."""

    def __init__(self, provider: str, bound: AudioBound, chars: Callable[[], int]) -> None:
        self._provider = provider
        self._bound = bound
        self._chars = chars
        self._s = 0.0
        self._rate_hz = 0
        self._changes = -1
        self._allowed_s = 0.0

    def add(self, samples: int, rate_hz: int) -> None:
        """Raises ProviderError `bad_audio` for audio that is too long, or that changes its rate too often."""
        self._s += samples / rate_hz
        if rate_hz != self._rate_hz:
            self._rate_hz = rate_hz
            self._changes += 1
            if self._changes > MOST_CHANGES:
                raise self._bad(f"audio that changes its sample rate more than {MOST_CHANGES} times")
        if self._s > self._allowed_s:
            # Text that has come meanwhile allows more.
            self._allowed_s = self._bound.longest_s(self._chars())
            if self._s > self._allowed_s:
                raise self._bad(f"more than {self._allowed_s:.0f} s of audio for {self._chars()} characters")

    def _bad(self, what: str) -> ProviderError:
        fault = ProviderFault(name=self._provider)
        return ProviderError(Code.BAD_AUDIO, f"{self._provider} sent {what}", retryable=False, provider=fault)
