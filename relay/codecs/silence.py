"""Trims the silence before a turn's first sound to a stated length.

What is silence, and where it ends, is for `onset` to say: the figure that a turn reports as its leading silence is then
never more than what was asked for. This file does not know levels.
"""

import numpy as np

from relay.codecs.base import Block, Samples
from relay.codecs.onset import OnsetDetector
from relay.core.formats import MAX_LEADING_SILENCE_MS_MAX
from relay.errors import ClientError, Code

__all__ = ["MAX_LEADING_SILENCE_MS_MAX", "LeadingSilenceTrimmer"]

# Of `onset`: hops of 1 ms, at least two samples; a sound is recognised at most 19 hops after the one it began with.
_HOPS_PER_S, _HOPS_TO_RECOGNISE = 1000, 19
# Blocks are joined while they are shorter than this, so that tiny ones do not cost more for their objects than their
# samples take.
_JOINED_SAMPLES = 1024


class LeadingSilenceTrimmer:
    """A transform from blocks of one rate to blocks of it, without the silence beyond `max_leading_silence_ms`.

    Until the first sound was recognised (5 to 20 ms of it, as in `onset`) everything is held that may have to come out:
    at most `max_leading_silence_ms` of silence and 20 ms in which a sound may have begun; what is older is trimmed.
    Then all that is held comes out, and from there on the same blocks pass through: nothing is trimmed after the first
    sound. A click of less than 5 ms is no sound, and may be trimmed with the silence around it.

    Audio without any sound ends, at `flush`, as its last `max_leading_silence_ms`, or as nothing if that is 0.

    `trimmed_samples` counts what was trimmed, always at the start of the turn, in whole milliseconds as far as the rate
    has them (never more silence is left than asked for, at most 1 ms less). It is final once `is_settled`: every
    sample, and so every word's time, is then that much earlier than in the input. Samples in are samples out plus
    `trimmed_samples`.

    Raises ClientError (`invalid_config`) unless `max_leading_silence_ms` is from 0 to MAX_LEADING_SILENCE_MS_MAX.
    """

    def __init__(self, max_leading_silence_ms: float, sample_rate_hz: int) -> None:
        kept_ms = max_leading_silence_ms
        is_number = isinstance(kept_ms, int | float) and not isinstance(kept_ms, bool)
        if not is_number or not 0 <= kept_ms <= MAX_LEADING_SILENCE_MS_MAX:
            raise ClientError(
                Code.INVALID_CONFIG,
                f"max_leading_silence_ms is {kept_ms!r}; it must be a number from 0 to {MAX_LEADING_SILENCE_MS_MAX}",
            )
        self.trimmed_samples = 0
        self.is_settled = False
        self._sample_rate_hz = sample_rate_hz
        self._kept_samples = int(kept_ms * sample_rate_hz) // 1000
        self._hop_samples = max(2, sample_rate_hz // _HOPS_PER_S)
        self._onset = OnsetDetector()
        self._taken_samples = 0
        # Without gaps, from `trimmed_samples` to `_taken_samples`.
        self._held: list[Block] = []

    @property
    def held_samples(self) -> int:
        return sum(len(block.samples) for block in self._held)

    @property
    def leading_silence_ms(self) -> float | None:
        """What is left of it; None while there was no sound."""
        onset_ms = self._onset.leading_silence_ms
        return None if onset_ms is None else onset_ms - self.trimmed_samples * 1000 / self._sample_rate_hz

    def feed(self, piece: Block) -> list[Block]:
        assert piece.sample_rate_hz == self._sample_rate_hz, "a trimmer does not resample"
        if self.is_settled:
            return [piece]
        self._onset.feed(piece)
        self._taken_samples += len(piece.samples)
        self._hold(piece)
        onset_ms = self._onset.leading_silence_ms
        if onset_ms is None:
            recognised = self._taken_samples // self._hop_samples - _HOPS_TO_RECOGNISE
            self._trim_before(recognised * self._hop_samples)
            return []
        self._trim_before(round(onset_ms * self._sample_rate_hz / 1000))
        return self._settle()

    def flush(self) -> list[Block]:
        if not self.is_settled:
            self._drop(self._taken_samples - self._kept_samples)
        return self._settle()

    def _trim_before(self, sound: int) -> None:
        """Trims what is not to be kept before a sound at this sample. Whole hops, so that `onset` finds the same ones
        in what is left."""
        excess = sound - self._kept_samples
        self._drop(-(-excess // self._hop_samples) * self._hop_samples)

    def _drop(self, until: int) -> None:
        excess = until - self.trimmed_samples
        if excess <= 0:
            return
        self.trimmed_samples = until
        dropped = 0
        while dropped < len(self._held) and excess >= len(self._held[dropped].samples):
            excess -= len(self._held[dropped].samples)
            dropped += 1
        del self._held[:dropped]
        if excess:
            # A copy, lest a view of a little keep a large piece alive.
            self._held[0] = Block(self._held[0].samples[excess:].copy(), self._sample_rate_hz)

    def _hold(self, piece: Block) -> None:
        if self._held:
            last, samples = self._held[-1].samples, piece.samples
            if last.dtype == samples.dtype and len(last) < _JOINED_SAMPLES:
                joined: Samples = np.concatenate((last, samples))  # type: ignore[assignment] # of one dtype
                self._held[-1] = Block(joined, self._sample_rate_hz)
                return
        self._held.append(piece)

    def _settle(self) -> list[Block]:
        self.is_settled = True
        held, self._held = self._held, []
        return held
