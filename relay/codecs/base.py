"""What passes between a decoder, the resampler and an encoder, and what every codec of plain samples shares."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from relay.core.formats import AudioFormat
from relay.core.transform import Transform

# int16 as decoded (so that s16 in, s16 out is the same bytes), or float32 within -1..1. Never NaN, maybe read-only.
Samples: TypeAlias = NDArray[np.int16] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Block:
    """Mono audio at one rate, of any length > 0."""

    samples: Samples
    sample_rate_hz: int


# Pieces of a provider's bytes, cut anywhere, -> mono blocks. Raises CorruptAudioError for what does not decode;
# all blocks returned before that are good.
Decoder: TypeAlias = Transform[bytes, Block]

# Blocks of one rate -> bytes of an output encoding.
Encoder: TypeAlias = Transform[Block, bytes]


class CorruptAudioError(ValueError):
    """The bytes are not the audio that they claim to be. The message says what was found instead."""


class TruncatedAudioError(ValueError):
    """The input ended inside a unit that says how long it is (raised by `flush` only; earlier blocks are good)."""


class SampleDecoder:
    """A decoder of headerless audio. A sample that was cut in two waits for its other half (at most 7 bytes).

    `decode` turns whole samples, channels interleaved, into numbers. A partial sample at the very end is not audio:
    `flush` counts it in `stray_bytes`.
    """

    def __init__(self, form: AudioFormat, decode: Callable[[bytes], Samples]) -> None:
        assert form.channels in (1, 2), "mono or stereo"
        self._decode = decode
        self._align = form.block_align
        self._stereo = form.channels == 2
        self._sample_rate_hz = form.sample_rate_hz
        self._carry = b""
        self.stray_bytes = 0

    def feed(self, piece: bytes) -> list[Block]:
        data = self._carry + piece if self._carry else piece
        odd = len(data) % self._align
        self._carry = data[-odd:] if odd else b""
        if odd:
            data = data[:-odd]
        if not data:
            return []
        samples = self._decode(data)
        return [Block(to_mono(samples) if self._stereo else samples, self._sample_rate_hz)]

    def flush(self) -> list[Block]:
        self.stray_bytes, self._carry = len(self._carry), b""
        return []


class SampleEncoder:
    """An encoder to headerless audio: each block at once, nothing held back. Stereo is the mono sample twice."""

    def __init__(self, form: AudioFormat, encode: Callable[[Samples], NDArray[Any]]) -> None:
        self._encode = encode
        self._channels = form.channels
        self._sample_rate_hz = form.sample_rate_hz

    def feed(self, block: Block) -> list[bytes]:
        assert block.sample_rate_hz == self._sample_rate_hz, "an encoder does not resample"
        encoded = self._encode(block.samples)
        return [encoded.tobytes() if self._channels == 1 else encoded.repeat(self._channels).tobytes()]

    def flush(self) -> list[bytes]:
        return []


def to_mono(samples: Samples) -> Samples:
    """The mean of left and right. For int16 exact, a half rounded to the even neighbour: as `rint`, without a bias."""
    left, right = samples[0::2], samples[1::2]
    if samples.dtype == _INT16:
        total = np.add(left, right, dtype=np.int32)
        total += total >> 1 & 1
        return (total >> 1).astype(np.int16)
    return (left + right) * _HALF


def to_int16(samples: Samples) -> NDArray[np.int16]:
    """int16 unchanged; float32 times 32768, rounded half to even, clipped. Undoes `to_float32` exactly."""
    if samples.dtype == _INT16:
        return samples  # type: ignore[return-value]
    scaled = samples * _FULL_SCALE
    np.rint(scaled, out=scaled)
    np.minimum(scaled, _INT16_MAX, out=scaled)
    np.maximum(scaled, _INT16_MIN, out=scaled)
    return scaled.astype(_INT16)


def to_float32(samples: Samples) -> NDArray[np.float32]:
    """float32 unchanged; int16 divided by 32768, which loses nothing."""
    if samples.dtype == _FLOAT32:
        return samples  # type: ignore[return-value]
    return np.multiply(samples, _ONE_STEP, dtype=np.float32)


# Made once, the numbers as arrays of one: making them at every call would cost as much as the work on a frame.
_INT16, _FLOAT32 = np.dtype(np.int16), np.dtype(np.float32)
_HALF, _FULL_SCALE, _ONE_STEP = (np.array(number, np.float32) for number in (0.5, 32768, 1 / 32768))
_INT16_MIN, _INT16_MAX = (np.array(number, np.float32) for number in (-32768, 32767))
