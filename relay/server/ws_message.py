"""A WebSocket message as bytes, so that many can be handed to the socket in one write."""

import struct
from functools import lru_cache

from aiohttp import WSMsgType

_MEDIUM, _LARGE = struct.Struct("!BBH"), struct.Struct("!BBQ")
_FINAL = 0x80


@lru_cache(maxsize=64)  # the frames of a turn are of one length
def binary_head(length: int) -> bytes:
    """What stands before a binary payload of `length` bytes."""
    return _head(WSMsgType.BINARY, length)


def ws_message(kind: WSMsgType, payload: bytes) -> bytes:
    """A whole message in one frame, from a server."""
    return _head(kind, len(payload)) + payload


def _head(kind: WSMsgType, length: int) -> bytes:
    """Of a message in one frame, not masked and not compressed (RFC 6455, 5.2)."""
    if length < 126:
        return bytes((_FINAL | kind, length))
    if length < 1 << 16:
        return _MEDIUM.pack(_FINAL | kind, 126, length)
    return _LARGE.pack(_FINAL | kind, 127, length)
