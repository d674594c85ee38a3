"""The 16-byte header that a client may ask for before each frame."""

import struct
from dataclasses import dataclass

HEADER_BYTES = 16
HEADER_VERSION = 1
FLAG_LAST = 1
FLAG_PADDING = 2

# version u8, flags u8, padding samples u16, turn index u32, first sample u64; little-endian.
_HEADER = struct.Struct("<BBHIQ")
assert _HEADER.size == HEADER_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeader:
    """The header's fields, as a reader gets them back."""

    turn_index: int
    pts: int
    padding: int
    last: bool


def pack_header(*, turn_index: int, pts: int, padding: int, last: bool) -> bytes:
    """The 16 bytes that stand before a frame's payload. `pts` is the index of its first sample since the start of the
    turn; `last`: it is known to be the turn's last one."""
    flags = (FLAG_LAST if last else 0) | (FLAG_PADDING if padding else 0)
    return _HEADER.pack(HEADER_VERSION, flags, padding, turn_index, pts)


def unpack_header(message: bytes) -> FrameHeader:
    """Reads the header of a binary message. Raises ValueError when it is short or of another version."""
    if len(message) < HEADER_BYTES:
        raise ValueError(f"a frame header has {HEADER_BYTES} bytes, this message {len(message)}")
    version, flags, padding, turn_index, pts = _HEADER.unpack_from(message)
    if version != HEADER_VERSION:
        raise ValueError(f"frame header version {version}, expected {HEADER_VERSION}")
    return FrameHeader(turn_index=turn_index, pts=pts, padding=padding, last=bool(flags & FLAG_LAST))
