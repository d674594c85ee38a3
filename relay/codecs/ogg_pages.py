"""Ogg pages (RFC 3533): the header of one, its checksum, and the packets that its table cuts it into.

This file does not know what a packet holds, nor where the bytes come from.
"""

import struct
import zlib
from dataclasses import dataclass

HEADER_BYTES = 27
MAGIC = b"OggS"
# 255 segments of 255 bytes behind the longest header.
PAGE_BYTES_MAX = HEADER_BYTES + 255 + 255 * 255

_HEADER = struct.Struct("<4sBBqIIIB")
_CHECKSUM = slice(22, 26)
_CONTINUED, _FIRST, _LAST = 1, 2, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PageHeader:
    """`granule` is the position after the last packet that ends in the page, None if none does."""

    continued: bool
    first: bool
    last: bool
    granule: int | None
    serial: int
    sequence: int
    segments: int


def read_header(data: bytes) -> PageHeader | None:
    """What the first 27 bytes of a page say; None if they begin none."""
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        return None
    _, version, flags, granule, serial, sequence, _, segments = _HEADER.unpack_from(data)
    if version or flags > _CONTINUED | _FIRST | _LAST:
        return None
    return PageHeader(
        continued=bool(flags & _CONTINUED),
        first=bool(flags & _FIRST),
        last=bool(flags & _LAST),
        granule=None if granule < 0 else granule,
        serial=serial,
        sequence=sequence,
        segments=segments,
    )


def packet_sizes(table: bytes) -> list[tuple[int, bool]]:
    """The bytes of each packet within the page, and whether it ends there: only the last one may go on."""
    sizes: list[tuple[int, bool]] = []
    size = 0
    for segment in table:
        size += segment
        if segment < 255:
            sizes.append((size, True))
            size = 0
    if table and table[-1] == 255:
        sizes.append((size, False))
    return sizes


def is_intact(page: bytes | bytearray) -> bool:
    """Whether the checksum fits."""
    stated = int.from_bytes(page[_CHECKSUM], "little")
    return checksum(page) == stated


def checksum(page: bytes | bytearray) -> int:
    """The CRC of a page, whatever stands in its field: polynomial 0x04C11DB7, nothing inverted or reflected.

    zlib's has the same polynomial with all bits reflected, and inverts at both ends. Turning the bits of every byte
    and of the result round, and undoing the inversions, is the same and runs at the speed of C.
    """
    turned = (page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]).translate(_TURNED)
    reflected = zlib.crc32(turned, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(reflected.to_bytes(4, "little").translate(_TURNED), "big")


_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
