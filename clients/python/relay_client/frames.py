"""Frames of audio, and the reader that takes them out of binary messages. No I/O.

This file does not know turns or sockets: it is given one turn's resolved format and its messages in order.
"""

import struct
from dataclasses import dataclass

from relay_client.errors import ProtocolError

__all__ = ["AudioFormat", "Frame", "FrameReader"]

HEADER_VERSION = 1
FLAG_LAST = 1
# version u8, flags u8, padding samples u16, turn index u32, first sample u64; little-endian.
_HEADER = struct.Struct("<BBHIQ")

_SAMPLE_WIDTHS = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFormat:
    """The audio of one turn, every value resolved by the relay. Counts of samples are per channel."""

    encoding: str
    sample_rate: int
    channels: int
    frame_ms: int
    frame_samples: int
    frame_bytes: int
    tail: str = "pad"

    def __post_init__(self) -> None:
        if self.encoding not in _SAMPLE_WIDTHS:
            raise ProtocolError(f"the relay announced the unknown encoding {self.encoding!r}")
        for name in ("sample_rate", "channels", "frame_ms", "frame_samples"):
            if getattr(self, name) <= 0:
                raise ProtocolError(f"the relay announced audio with {name} {getattr(self, name)}")
        if self.frame_bytes != self.frame_samples * self.block_align:
            raise ProtocolError(
                f"the relay announced frames of {self.frame_bytes} bytes; {self.frame_samples} samples of "
                f"{self.encoding} in {self.channels} channel(s) are {self.frame_samples * self.block_align}"
            )

    @property
    def sample_width(self) -> int:
        """Bytes of one sample of one channel."""
        return _SAMPLE_WIDTHS[self.encoding]

    @property
    def block_align(self) -> int:
        """Bytes of one sample instant; no cut may fall inside it."""
        return self.sample_width * self.channels

    def duration_ms(self, samples: int) -> float:
        """Milliseconds of `samples`."""
        return samples * 1000 / self.sample_rate


@dataclass(frozen=True, slots=True)
class Frame:
    """One block of audio.

    `payload` is what the relay sent: `samples` of speech and, in the last frame only, `padding` samples of silence
    after them. `pts` is the index of its first sample since the start of the turn. All counts are per channel.
    """

    payload: bytes
    pts: int
    samples: int
    padding: int
    last: bool

    @property
    def speech(self) -> bytes:
        """The payload without padding."""
        if not self.padding:
            return self.payload
        return self.payload[: len(self.payload) * self.samples // (self.samples + self.padding)]


class FrameReader:
    """Reads the binary messages of one turn and checks each against the turn's format and the one before it.

    Raises ProtocolError for a message of another turn, a gap, a repetition, a wrong size, audio after the last frame.
    """

    def __init__(self, audio: AudioFormat, turn_index: int) -> None:
        self._audio = audio
        self._turn_index = turn_index
        self._ended = False
        self.frames = 0
        self.samples = 0
        self.padding_samples = 0

    def read(self, message: bytes) -> Frame:
        """The frame in `message`, which holds the 16-byte header and one frame of audio."""
        if len(message) < _HEADER.size:
            raise ProtocolError(f"a binary message of {len(message)} bytes is too short for its frame header")
        version, flags, padding, turn_index, pts = _HEADER.unpack_from(message)
        payload = message[_HEADER.size :]
        self._check(version, turn_index, pts, padding, len(payload))
        last = bool(flags & FLAG_LAST)
        samples = len(payload) // self._audio.block_align - padding
        self.frames += 1
        self.samples += samples
        self.padding_samples += padding
        # Only the last frame may be short or padded, so such a frame is the last even where its flag says nothing.
        self._ended = last or padding > 0 or len(payload) < self._audio.frame_bytes
        return Frame(payload, pts, samples, padding, last)

    def _check(self, version: int, turn_index: int, pts: int, padding: int, size_bytes: int) -> None:
        audio = self._audio
        if version != HEADER_VERSION:
            raise ProtocolError(f"frame header version {version}, expected {HEADER_VERSION}")
        if turn_index != self._turn_index:
            raise ProtocolError(f"a frame of turn index {turn_index} while turn index {self._turn_index} is spoken")
        if self._ended:
            raise ProtocolError("a frame after the last frame of its turn")
        if pts != self.samples:
            raise ProtocolError(f"a frame starts at sample {pts}; the one before it ended at {self.samples}")
        if size_bytes != audio.frame_bytes and not (
            audio.tail == "short" and 0 < size_bytes < audio.frame_bytes and size_bytes % audio.block_align == 0
        ):
            raise ProtocolError(f"a frame of {size_bytes} bytes; {audio.frame_bytes} were announced")
        if padding * audio.block_align > size_bytes:
            raise ProtocolError(f"a frame of {size_bytes} bytes cannot hold {padding} samples of padding")
