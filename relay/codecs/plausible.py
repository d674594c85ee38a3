"""Whether headerless audio sounds like audio in the encoding in which it is read, or would in another one.

The measure. Roughness is the mean step from one sample to the next over the spread (RMS about the mean): white noise
has 1.1, a tone at an eighth of the rate 0.7, speech 0.1 to 0.6. Samples are implausible when, as they are read, they
are as rough as noise (MIN_ROUGHNESS) and no tone, while read in another encoding they are smooth (MAX_SMOOTH) and
within the range, or would be speech as G.722 or VOX ADPCM (MAX_SMOOTH_ADPCM, MAX_SPREAD_ADPCM). Noise is rough in
every encoding and silence has no spread, so that neither is ever suspected: one encoding must be wrong and another
right. 16 bits in the wrong byte order, 24 bits and floats read as 16 bits are found in four of five pieces of speech,
G.722 in all of twelve, VOX in eight; 8 bits read as 16 are not.

This is a warning and never a refusal: audio is played as it was asked for.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relay.codecs import adpcm
from relay.codecs.base import Samples
from relay.core.formats import Encoding

# A third of a second of 16 bits at 48 kHz, after leading silence: some syllables.
WATCHED_BYTES = 32 * 1024
MIN_ROUGHNESS = 0.8
MAX_SMOOTH = 0.35
# Speech in G.722 has 0.2 to 0.45, in VOX ADPCM 0.25 to 0.6, at a spread of 2,000 to 4,000 of 32,768. What is no ADPCM
# drives its decoder to full scale: 13,000 and more.
MAX_SMOOTH_ADPCM, MAX_SPREAD_ADPCM = 0.6, 8000
# Fewer samples, or fewer values, say too little.
_LEAST_SAMPLES, _LEAST_VALUES = 1024, 48
# Of floats read from anything else some are out of range or smaller than any sound (-140 dB).
_FLOATS_IN_RANGE = 0.98
_SOFTEST, _LOUDEST = 1e-7, 1.01


class Watch:
    """Listens to the beginning of a stream. It keeps WATCHED_BYTES, no longer than until it has judged them."""

    def __init__(
        self, encoding: Encoding, channels: int, decode: Mapping[Encoding, Callable[[bytes], Samples]]
    ) -> None:
        self._encoding = encoding
        self._channels = channels
        self._decode = decode
        self._kept: list[bytes] = []
        self._bytes = 0
        self._found: str | None = None
        self.is_full = False

    def feed(self, piece: bytes) -> None:
        if not self._bytes:
            # Digital silence says nothing; it is whole samples, so that what follows is too.
            silent = len(piece) - len(piece.lstrip(piece[:1]))
            unit = self._encoding.sample_width * self._channels
            piece = piece[silent - silent % unit :] if silent > WATCHED_BYTES // 64 else piece
        self._kept.append(piece[: WATCHED_BYTES - self._bytes])
        self._bytes += len(self._kept[-1])
        if self._bytes >= WATCHED_BYTES:
            self._found = self._judge()
            self._kept.clear()
            self.is_full = True

    def likelier(self) -> str | None:
        """The encoding in which it would sound like audio, if as it was read it does not; None if all is well. Costs a
        millisecond where the stream was shorter than what is watched: to be asked once, at its end."""
        return self._found if self.is_full else self._judge()

    def _judge(self) -> str | None:
        return likelier_encoding(b"".join(self._kept), self._encoding, self._channels, self._decode)


def likelier_encoding(
    data: bytes, read_as: Encoding, channels: int, decode: Mapping[Encoding, Callable[[bytes], Samples]]
) -> str | None:
    """See the measure above. An Encoding, or the name of a codec that is not one."""
    samples = _samples(data, read_as, channels, decode)
    as_read = _roughness(samples)
    if as_read is None or as_read < MIN_ROUGHNESS or _is_tone(samples):
        return None
    # Of several that sound alike one of the same width: of 16 bits the upper 8 alone are smooth too.
    best: tuple[bool, float, Encoding] | None = None
    for encoding in decode:
        if encoding is read_as or not _may_be(data, encoding):
            continue
        roughness = _roughness(_samples(data, encoding, channels, decode))
        if roughness is not None and roughness <= MAX_SMOOTH:
            found = encoding.sample_width != read_as.sample_width, roughness, encoding
            best = found if best is None else min(best, found)
    return _adpcm(data) if best is None else best[2]


def _adpcm(data: bytes) -> str | None:
    for name, samples in adpcm.decoded(data):
        roughness = _roughness(samples)
        if roughness is not None and roughness <= MAX_SMOOTH_ADPCM and samples.std() <= MAX_SPREAD_ADPCM:
            return name
    return None


def _samples(
    data: bytes, encoding: Encoding, channels: int, decode: Mapping[Encoding, Callable[[bytes], Samples]]
) -> NDArray[np.float64]:
    """Of two channels the first."""
    unit = encoding.sample_width * channels
    with np.errstate(all="ignore"):
        return decode[encoding](data[: len(data) - len(data) % unit])[::channels].astype(np.float64)


def _is_tone(samples: NDArray[np.float64]) -> bool:
    """Whether every second, third or fourth sample makes something smooth: a tone close to a simple part of the rate is
    rough, and no noise."""
    for step in (2, 3, 4):
        parts = [_steps_over_spread(samples[start::step]) for start in range(step)]
        if max(parts) < MIN_ROUGHNESS:
            return True
    return False


def _steps_over_spread(samples: NDArray[np.float64]) -> float:
    spread = float(samples.std())
    return float(np.abs(np.diff(samples)).mean()) / spread if spread > 0 else 0.0


def _roughness(samples: NDArray[np.float64]) -> float | None:
    """None where there is too little to tell."""
    if len(samples) < _LEAST_SAMPLES or len(np.unique(samples)) < _LEAST_VALUES:
        return None
    return _steps_over_spread(samples)


def _may_be(data: bytes, encoding: Encoding) -> bool:
    """Whether numbers of a kind that can be out of range are within it."""
    dtype = _FLOATS.get(encoding)
    if dtype is None:
        return True
    with np.errstate(all="ignore"):
        size = np.abs(np.frombuffer(data[: len(data) - len(data) % dtype.itemsize], dtype))
        fine = (size == 0) | ((size > _SOFTEST) & (size < _LOUDEST))
    return bool(fine.mean() >= _FLOATS_IN_RANGE) if fine.size else False


_FLOATS: Mapping[Encoding, np.dtype[Any]] = {
    Encoding.PCM_F32LE: np.dtype("<f4"),
    Encoding.PCM_F32BE: np.dtype(">f4"),
    Encoding.PCM_F64LE: np.dtype("<f8"),
    Encoding.PCM_F64BE: np.dtype(">f8"),
}
