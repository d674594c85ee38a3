"""How long a turn is silent before it speaks: what a listener waits on top of the first frame.

The rule. Audio is looked at in hops of 1 ms. A hop is loud when its samples spread (RMS about their own mean) by more
than -50 dBFS. Speech begins with the first loud hop that has four more within 20 ms.

- -50 dBFS is well above the noise of dither, of MP3 and of a quiet room, and just below the softest sound that begins
  a word of eSpeak NG, the [h] of "Hello" at -46 dBFS.
- About its own mean: a hop of DC offset is silent, hum at 50 Hz counts 18 dB less, and a step of DC is one loud hop.
- Five hops in 20: a click, even one smeared by a codec, lasts 1 to 3 ms; a low voice (80 Hz) is loud for some
  milliseconds of each period of 12.5, a plosive's burst and the breath after it for more than 20.
"""

import numpy as np
from numpy.typing import NDArray

from relay.codecs.base import Block, Samples

__all__ = ["OnsetDetector"]

_HOPS_PER_S = 1000
_SPREAD = 2**15 * 10 ** (-50 / 20)  # in s16 steps
_LOUD_HOPS, _WITHIN_HOPS = 5, 20
_NO_SAMPLES, _NO_HOPS = np.zeros(0), np.zeros(0, np.intp)


class OnsetDetector:
    """Watches a turn's blocks until they speak; after that, `feed` does nothing.

    `leading_silence_ms` is the time from the turn's first sample to its first audible millisecond; None until 5 to
    20 ms of speech were seen, and for ever if there are none. It is the same for every way of cutting the blocks.
    """

    def __init__(self) -> None:
        self.leading_silence_ms: float | None = None
        self._sample_rate_hz = 0
        self._before_ms = 0.0  # of audio at other rates, before the rate of now
        self._samples = 0
        self._carry: NDArray[np.float64] = _NO_SAMPLES
        self._loud: NDArray[np.intp] = _NO_HOPS

    def feed(self, block: Block) -> None:
        if self.leading_silence_ms is not None:
            return
        if block.sample_rate_hz != self._sample_rate_hz:
            self._change_rate(block.sample_rate_hz)
        # At 2 kHz, the lowest rate that is decoded, a hop still has the two samples that a spread takes.
        hop_samples = max(2, self._sample_rate_hz // _HOPS_PER_S)
        first_hop = self._samples // hop_samples
        self._samples += len(block.samples)
        samples = np.concatenate((self._carry, _in_s16_steps(block.samples)), dtype=np.float64)
        whole = len(samples) - len(samples) % hop_samples
        self._carry = samples[whole:].copy()
        if not whole or _is_quiet(samples):
            return
        # At most four from before; no sum of whole numbers here is rounded, so no cut shows.
        loud = np.concatenate((self._loud, first_hop + _loud_hops(samples[:whole], hop_samples)))
        self._loud = loud[1 - _LOUD_HOPS :]
        onsets = (loud[_LOUD_HOPS - 1 :] - loud[: 1 - _LOUD_HOPS] < _WITHIN_HOPS).nonzero()[0]
        if len(onsets):
            onset_samples = int(loud[onsets[0]]) * hop_samples
            self.leading_silence_ms = self._before_ms + onset_samples * 1000 / self._sample_rate_hz

    def _change_rate(self, sample_rate_hz: int) -> None:
        if self._samples:
            self._before_ms += self._samples * 1000 / self._sample_rate_hz
        self._sample_rate_hz, self._samples = sample_rate_hz, 0
        self._carry, self._loud = self._carry[:0], self._loud[:0]


def _is_quiet(samples: NDArray[np.float64]) -> bool:
    """Whether no hop can be loud, at a third of the cost of looking: a spread is at most half of the range."""
    return bool(samples.max() - samples.min() <= 2 * _SPREAD)


def _loud_hops(samples: NDArray[np.float64], hop_samples: int) -> NDArray[np.intp]:
    """Indices of the loud ones among whole hops."""
    hops = samples.reshape(-1, hop_samples)
    squares, sums = np.einsum("ij,ij->i", hops, hops), hops.sum(axis=1)
    loud: NDArray[np.bool_] = squares * hop_samples - sums * sums > (_SPREAD * hop_samples) ** 2
    return loud.nonzero()[0]


def _in_s16_steps(samples: Samples) -> Samples | NDArray[np.float64]:
    return samples if samples.dtype == np.int16 else np.rint(np.multiply(samples, 2.0**15, dtype=np.float64))
