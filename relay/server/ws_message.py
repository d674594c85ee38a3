"""A WebSocket message as bytes, so that many can be handed to the socket in one write."""

import struct

from aiohttp import WSMsgType

_MEDIUM, _LARGE = struct.Struct("!BBH"), struct.Struct("!BBQ")
_FINAL = 0x80


def ws_message(kind: WSMsgType, payload: bytes) -> bytes:
    """A whole message in one frame, from a server: not masked, not compressed (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        return bytes((_FINAL | kind, length)) + payload
    if length < 1 << 16:
        return _MEDIUM.pack(_FINAL | kind, 126, length) + payload
    return _LARGE.pack(_FINAL | kind, 127, length) + payload
