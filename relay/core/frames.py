"""A frame, and the 16-byte header that a client may ask for before each."""

import struct
from dataclasses import dataclass
from typing import NamedTuple

HEADER_BYTES = 16
HEADER_VERSION = 1
FLAG_LAST = 1
FLAG_PADDING = 2

# version u8, flags u8, padding samples u16, turn index u32, first sample u64; little-endian.
_HEADER = struct.Struct("<BBHIQ")
assert _HEADER.size == HEADER_BYTES


class Frame(NamedTuple):
    """One block of audio of the turn's frame size.

    `pts` is the index of its first sample since the start of the turn; `samples` counts speech only, per channel;
    `padding` counts the silent samples that fill it. `payload` holds both. A tuple, because thousands are made a second
    and a frozen dataclass takes twice as long to make.
    """

    pts: int
    samples: int
    padding: int
    payload: bytes
    last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeader:
    """The header's fields, as a reader gets them back."""

    turn_index: int
    pts: int
    padding: int
    last: bool


def pack_header(frame: Frame, turn_index: int) -> bytes:
    """The 16 bytes that stand before the payload of `frame`."""
    flags = (FLAG_LAST if frame.last else 0) | (FLAG_PADDING if frame.padding else 0)
    return _HEADER.pack(HEADER_VERSION, flags, frame.padding, turn_index, frame.pts)


def unpack_header(message: bytes) -> FrameHeader:
    """Reads the header of a binary message. Raises ValueError when it is short or of another version."""
    if len(message) < HEADER_BYTES:
        raise ValueError(f"a frame header has {HEADER_BYTES} bytes, this message {len(message)}")
    version, flags, padding, turn_index, pts = _HEADER.unpack_from(message)
    if version != HEADER_VERSION:
        raise ValueError(f"frame header version {version}, expected {HEADER_VERSION}")
    return FrameHeader(turn_index=turn_index, pts=pts, padding=padding, last=bool(flags & FLAG_LAST))
