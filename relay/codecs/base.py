"""What passes between a decoder, the resampler and an encoder, and what every codec of plain samples shares."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from relay.core.formats import AudioFormat
from relay.core.transform import Transform

# int16 as decoded (so that s16 in, s16 out is the same bytes), or float32 within -1..1. Never NaN, maybe read-only.
Samples: TypeAlias = NDArray[np.int16] | NDArray[np.float32]


class Block(NamedTuple):
    """Mono audio at one rate, of any length > 0. A tuple, because a frame has one and a dataclass costs half as much
    again; to be read by its names."""

    samples: Samples
    sample_rate_hz: int


# Pieces of a provider's bytes, cut anywhere, -> mono blocks. Raises CorruptAudioError for what does not decode;
# all blocks returned before that are good. May have `damage: Damage`, which is right after every call.
Decoder: TypeAlias = Transform[bytes, Block]

# Blocks of one rate -> bytes of an output encoding.
Encoder: TypeAlias = Transform[Block, bytes]


class CorruptAudioError(ValueError):
    """The bytes are not the audio that they claim to be. The message says what was found instead."""


class TruncatedAudioError(ValueError):
    """The input ended inside a unit that says how long it is (raised by `flush` only; earlier blocks are good)."""


# Of a text that came instead of audio: any provider's error message; the rest of a longer one is dropped.
HEAD_BYTES_MAX = 4096


class NotAudioError(CorruptAudioError):
    """Text came instead of audio, or after it. `head` is how it begins, at most HEAD_BYTES_MAX bytes, so that the
    provider's own message can be read; the message quotes none of it."""

    def __init__(self, kind: str, head: bytes, *, after_audio: bool = False) -> None:
        super().__init__(f"{kind} {'in the middle of the' if after_audio else 'instead of'} audio")
        self.head = head[:HEAD_BYTES_MAX]
        self.after_audio = after_audio


# With a tenth of it lost and nothing put in its place, speech is no longer worth listening to: by ITU-T G.107 with the
# figures of G.113 for G.711 (impairment 66 of 95) it is rated 27 of 100, below "not recommended".
DAMAGED_SHARE_MAX = 0.1
# Less than this is a click, or "Yes." would fail for one lost MP3 frame of 24 to 72 ms; unless it is a third of all.
DAMAGED_MS_ALLOWED = 100.0


@dataclass(frozen=True, slots=True)
class Damage:
    """Audio that could not be decoded, in milliseconds.

    `ms` was left out or is silence in what was given; `audio_ms` is all that there should be, `ms` included.
    """

    ms: float = 0.0
    audio_ms: float = 0.0

    @property
    def is_too_much(self) -> bool:
        """More than DAMAGED_SHARE_MAX of it, and than DAMAGED_MS_ALLOWED or a third of it; at least a millisecond."""
        allowed_ms = min(DAMAGED_MS_ALLOWED, self.audio_ms / 3)
        return self.ms >= 1 and self.ms > max(allowed_ms, DAMAGED_SHARE_MAX * self.audio_ms)


class SampleDecoder:
    """A decoder of headerless audio. A sample that was cut in two waits for its other half (at most 15 bytes).

    `decode` turns whole samples, channels interleaved, into numbers. A partial sample at the very end is not audio:
    `flush` counts it in `stray_bytes`, and it is damage.
    """

    def __init__(self, form: AudioFormat, decode: Callable[[bytes], Samples]) -> None:
        assert form.channels in (1, 2), "mono or stereo"
        self._decode = decode
        self._align = form.block_align
        self._stereo = form.channels == 2
        self._sample_rate_hz = form.sample_rate_hz
        self._carry = b""
        self._bytes = 0
        self.stray_bytes = 0

    @property
    def damage(self) -> Damage:
        bytes_per_ms = self._align * self._sample_rate_hz / 1000
        return Damage(self.stray_bytes / bytes_per_ms, (self._bytes + self.stray_bytes) / bytes_per_ms)

    def feed(self, piece: bytes) -> list[Block]:
        data = self._carry + piece if self._carry else piece
        odd = len(data) % self._align
        self._carry = data[-odd:] if odd else b""
        if odd:
            data = data[:-odd]
        if not data:
            return []
        self._bytes += len(data)
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
