"""Louder or softer by a stated amount, with a limiter that keeps every sample within full scale.

The rule. Each sample is multiplied by the gain and by a reduction, which is 0 dB until a sample would pass full scale.
Such a sample sets the reduction that puts it at full scale, at once; from there the reduction shrinks by 6 dB a second.

- No look-ahead, so no sample waits: the attack is one sample. What that costs is the top of the first wave that grows
  beyond full scale, which comes out flat. A look-ahead would hold back the first frame of every turn by its length.
- 6 dB a second: between two syllables (200 ms) the level moves by 1.2 dB, which is not heard as pumping, and within one
  period of the lowest voice (80 Hz) by 0.075 dB, which keeps a steady sound undistorted.
- Below full scale the output is the input times the gain and nothing else: no knee, no make-up.

The reduction is kept as a whole number, the samples until it has gone. So every way of cutting gives the same bits.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from relay.codecs.base import Block, Samples
from relay.core.formats import GAIN_DB_MAX, GAIN_DB_MIN
from relay.errors import ClientError, Code

__all__ = ["GAIN_DB_MAX", "GAIN_DB_MIN", "LATENCY_SAMPLES", "RELEASE_DB_PER_S", "Gain"]

RELEASE_DB_PER_S = 6.0
# What `feed` holds back.
LATENCY_SAMPLES = 0

# The largest int16 as a float: at 1.0 the conversion to int16 would have to clip.
_FULL_SCALE = np.float32(32767 / 32768)
_INT16 = np.dtype(np.int16)
# The reduction is looked up as the product of two factors, for whole multiples of so many samples and for the rest.
_FINE_BITS = 9
_FINE_STEPS = 1 << _FINE_BITS


class Gain:
    """A transform from blocks of one rate to as many blocks of as many samples. Nothing is held back.

    At 0 dB the same blocks pass through. Otherwise the output is float32 within -32767/32768..32767/32768, the same
    for int16 and float32 input of the same audio. `max_reduction_db` is the largest reduction so far: 0.0 while the
    limiter had nothing to do.

    Raises ClientError (`invalid_config`) unless `gain_db` is a number from GAIN_DB_MIN to GAIN_DB_MAX.
    """

    def __init__(self, gain_db: float, sample_rate_hz: int) -> None:
        is_number = isinstance(gain_db, int | float) and not isinstance(gain_db, bool)
        if not is_number or not GAIN_DB_MIN <= gain_db <= GAIN_DB_MAX:
            raise ClientError(
                Code.INVALID_CONFIG,
                f"gain_db is {gain_db!r}; it must be a number from {GAIN_DB_MIN:g} to {GAIN_DB_MAX:g}",
            )
        self._sample_rate_hz = sample_rate_hz
        self._factor = np.float32(10 ** (gain_db / 20))
        # int16 is scaled to -1..1 by the same multiplication: a power of two, so both give the same bits.
        self._factor_of_int16 = np.float32(self._factor * np.float32(2**-15))
        self._is_identity = gain_db == 0
        self._release = _release(sample_rate_hz)
        # Samples until the reduction has gone, as the last sample left it.
        self._remaining = 0
        self._max_remaining = 0

    @property
    def max_reduction_db(self) -> float:
        return self._max_remaining * RELEASE_DB_PER_S / self._sample_rate_hz

    def feed(self, piece: Block) -> list[Block]:
        assert piece.sample_rate_hz == self._sample_rate_hz, "a gain does not resample"
        if self._is_identity:
            return [piece]
        samples = piece.samples
        factor = self._factor_of_int16 if samples.dtype == _INT16 else self._factor
        scaled: NDArray[np.float32] = np.multiply(samples, factor, dtype=np.float32)
        if scaled.max() > _FULL_SCALE or scaled.min() < -_FULL_SCALE:
            scaled = self._reduced(scaled, self._reductions(scaled))
        elif self._remaining > 1:
            scaled = self._reduced(scaled, np.maximum(self._remaining - 1 - np.arange(len(scaled)), 0))
        else:
            self._remaining = 0
        return [Block(scaled, self._sample_rate_hz)]

    def flush(self) -> list[Block]:
        return []

    def _reductions(self, samples: NDArray[np.float32]) -> NDArray[np.intp]:
        """remaining[n] = max(needed[n], remaining[n - 1] - 1), as the running maximum of needed[n] + n."""
        positions = np.arange(len(samples))
        magnitudes = np.abs(samples)
        loud = (magnitudes > _FULL_SCALE).nonzero()[0]
        ends = positions.copy()
        ends[loud] += self._release.samples_for(magnitudes[loud])
        ends[0] = max(int(ends[0]), self._remaining - 1)
        remaining: NDArray[np.intp] = np.maximum.accumulate(ends) - positions
        self._max_remaining = max(self._max_remaining, int(remaining.max()))
        return remaining

    def _reduced(self, samples: NDArray[np.float32], remaining: NDArray[np.intp]) -> NDArray[np.float32]:
        self._remaining = int(remaining[-1])
        # In float64 and rounded once: at most full scale, which is a float32 itself.
        return (samples * self._release.factors(remaining)).astype(np.float32)


class _Release:
    """Reductions at one rate: samples of release <-> factors. Tables, not `exp` and `log` of whole arrays, whose last
    bit may depend on the place of a number in its array."""

    def __init__(self, sample_rate_hz: int) -> None:
        steps = -int(-GAIN_DB_MAX * sample_rate_hz // RELEASE_DB_PER_S) + _FINE_STEPS
        step_db = RELEASE_DB_PER_S / sample_rate_hz
        coarse = np.arange(steps // _FINE_STEPS + 2) * (_FINE_STEPS * step_db)
        self._coarse = 10 ** (-coarse / 20)
        self._fine = 10 ** (-np.arange(_FINE_STEPS) * step_db / 20)
        # The magnitudes that each factor puts at full scale, rising.
        self._coarse_limits = _FULL_SCALE / self._coarse
        self._fine_limits = 1 / self._fine

    def factors(self, remaining: NDArray[np.intp]) -> NDArray[np.float64]:
        factors: NDArray[np.float64] = self._coarse.take(remaining >> _FINE_BITS)
        factors *= self._fine.take(remaining & (_FINE_STEPS - 1))
        return factors

    def samples_for(self, magnitudes: Samples) -> NDArray[np.intp]:
        """The least number of samples whose factor puts each magnitude at full scale or below."""
        wide = magnitudes.astype(np.float64)
        coarse = np.maximum(np.searchsorted(self._coarse_limits, wide, side="right") - 1, 0)
        rest = wide / self._coarse_limits.take(coarse)
        samples: NDArray[np.intp] = coarse * _FINE_STEPS + np.searchsorted(self._fine_limits, rest, side="left")
        # The factor is a product that was rounded on another way than this quotient.
        samples += wide * self.factors(samples) > _FULL_SCALE
        return samples


@lru_cache(maxsize=16)
def _release(sample_rate_hz: int) -> _Release:
    """Of each rate once. Sixteen: the nine rates of the output, and a few `native` ones."""
    return _Release(sample_rate_hz)
