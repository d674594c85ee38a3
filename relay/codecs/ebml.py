"""EBML (RFC 8794): identifiers, sizes and the elements inside a piece of bytes that is all there.

This file does not know what an element means.
"""

from collections.abc import Iterator
from typing import NamedTuple

from relay.codecs.base import CorruptAudioError

# "As long as it is", for what is written while it grows.
UNKNOWN_SIZE = -1


class Number(NamedTuple):
    """A number of variable size, and the byte behind it."""

    value: int
    end: int


def length_of(first: int, longest: int) -> int:
    """The bytes of an identifier (at most 4) or a size (at most 8) by its first one; 0 if none begins so."""
    length = 9 - first.bit_length()
    return length if length <= longest else 0


def read_size(data: bytes, at: int = 0) -> Number:
    """A size, UNKNOWN_SIZE if all its bits are set. Raises CorruptAudioError for none."""
    length = length_of(data[at], 8) if at < len(data) else 0
    if not length or at + length > len(data):
        raise CorruptAudioError("a WebM element cut short")
    value = int.from_bytes(data[at : at + length], "big") & (1 << 7 * length) - 1
    return Number(UNKNOWN_SIZE if value == (1 << 7 * length) - 1 else value, at + length)


def children(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements one behind the other in `data`: identifier, payload. Raises CorruptAudioError beyond its end."""
    at = 0
    while at < len(data):
        length = length_of(data[at], 4)
        size, start = read_size(data, at + length) if length else Number(UNKNOWN_SIZE, at)
        if size == UNKNOWN_SIZE or start + size > len(data):
            raise CorruptAudioError("a WebM element that is longer than the one around it")
        yield int.from_bytes(data[at : at + length], "big"), data[start : start + size]
        at = start + size
