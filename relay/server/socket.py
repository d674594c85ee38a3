"""A WebSocket as an outlet: what leaves becomes messages of a protocol, as many as there are in one write.

This file does not know turns or sessions.
"""

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from aiohttp import ClientConnectionResetError, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from relay.core.events import Failed, SessionEnded
from relay.errors import ClientError, Code, InternalError, RelayError, untrace
from relay.protocols.base import Frames, SessionProtocol, Text

log = logging.getLogger(__name__)

# What may wait in our side of the socket, where a cancel cannot drop it: a third of a second at 24 kHz.
HIGH_WATER_BYTES = 16 * 1024
# Linux only: the kernel takes no more of unsent bytes than our side of the socket holds, for the same reason.
TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)
# A peer that vanished without a word is noticed after 20 + 3 * 10 s, whether audio flows or not; a peer that is there
# and does not read answers the kernel's probes, and is the slow-client timeout's business.
KEEPALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
# How long a closing handshake may take.
CLOSE_TIMEOUT_S = 5.0

_CLOSE_REASONS = {1007: Code.INVALID_MESSAGE, 1009: Code.INVALID_MESSAGE}
_MEDIUM, _LARGE = struct.Struct("!BBH"), struct.Struct("!BBQ")
_FINAL = 0x80


class WebSocket(web.WebSocketResponse):
    """aiohttp's WebSocket, which names the error code in every close frame."""

    def __init__(self, protocol: SessionProtocol, *, subprotocols: Sequence[str], max_message_bytes: int) -> None:
        super().__init__(
            timeout=CLOSE_TIMEOUT_S,
            autoping=False,  # the answer must not make the reader wait
            compress=False,  # PCM hardly shrinks, and deflate costs 44 KiB a connection
            max_msg_size=max_message_bytes,
            protocols=subprotocols,
        )
        self._messages = protocol
        self._max_message_bytes = max_message_bytes

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:
        if not message and code in _CLOSE_REASONS and not self.closed:
            # The reader of aiohttp closes by itself.
            too_big = f"the message is longer than limits.max_message_bytes, {self._max_message_bytes}"
            error = ClientError(_CLOSE_REASONS[code], "the message is not UTF-8" if code == 1007 else too_big)
            for told in self._messages.send(Failed(error=error)):
                await self.send_frame(told.payload, WSMsgType.TEXT if type(told) is Text else WSMsgType.BINARY)
            message = error.code.encode()
        closed = await super().close(code=code, message=message, drain=drain)
        if (failure := self.exception()) is not None:
            untrace(failure)  # it is kept, and so would be what it came through: this socket
        return closed


class SocketOutlet:
    """The `Outlet` of one WebSocket. Takes what it is given at once; `changed` is set when its owner has to look: the
    socket is full, gone or to be closed, or a bug has stopped the session."""

    def __init__(self, protocol: SessionProtocol) -> None:
        self._protocol = protocol
        self._transport: asyncio.Transport | None = None
        self._writer: AbstractStreamWriter
        self.changed = asyncio.Event()
        # Since when the socket has been full; None while it takes what it is given.
        self.full_since_s: float | None = None
        # How the session has ended.
        self.ended: SessionEnded | None = None
        self.bug: Exception | None = None

    def open(self, writer: AbstractStreamWriter, transport: asyncio.Transport) -> None:
        """The handshake was answered: there is room."""
        self._writer, self._transport = writer, transport
        _tune(transport)

    def close(self) -> None:
        """Takes nothing any more. Idempotent."""
        self._transport = None

    @property
    def room_bytes(self) -> int:
        if self._transport is None or self.changed.is_set():
            return 0
        return HIGH_WATER_BYTES - self._transport.get_write_buffer_size()

    def write(self, items: Sequence[Any]) -> None:
        transport = self._transport
        assert transport is not None, "it has room"
        pieces: list[bytes] = []
        for item in items:
            if type(item) is SessionEnded:
                self.ended = item
                self.changed.set()
            elif type(item) is Pong:
                pieces.append(ws_message(WSMsgType.PONG, item.payload))
                continue
            for message in self._protocol.send(item):
                if isinstance(message, Frames):
                    pieces.append(_frames(message))
                else:
                    kind = WSMsgType.TEXT if isinstance(message, Text) else WSMsgType.BINARY
                    pieces.append(ws_message(kind, message.payload))
        if transport.is_closing():
            self.changed.set()
            return
        if pieces:
            transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            if transport.get_write_buffer_size() > HIGH_WATER_BYTES:
                self.full_since_s = time.monotonic()
                self.changed.set()

    def fail(self, error: Exception) -> None:
        self.bug = error
        self.changed.set()

    def ping(self) -> None:
        """Sends a WebSocket ping, unless what was sent before has not left: it keeps proxies from counting silence."""
        transport = self._transport
        if transport is not None and not transport.is_closing() and not transport.get_write_buffer_size():
            transport.write(ws_message(WSMsgType.PING, b""))

    async def has_room(self) -> bool:
        """Waits until something is to be done, then until the socket takes more. False: the session is over, for
        `ended`, `bug`, or because the peer is gone."""
        await self.changed.wait()
        if self.bug is not None or self.ended is not None:
            return False
        try:
            await self._writer.drain()
            if self._transport is None or self._transport.is_closing():
                raise ClientConnectionResetError("the connection is closing")
        except ConnectionError as error:
            untrace(error)  # aiohttp keeps it where sending waited
            return False
        self.full_since_s = None
        self.changed.clear()
        return True

    def close_code(self) -> tuple[int, RelayError | None]:
        """The code to close with, and the error that is its reason."""
        error = InternalError() if self.bug is not None else self.ended.error if self.ended else None
        return self._protocol.close_code(error), error


class Pong:
    """The answer to a WebSocket ping, past the audio."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


def _frames(frames: Frames) -> bytes:
    """Binary messages of one size; each has its head."""
    payload, size = frames
    whole = len(payload) - len(payload) % size
    head = _head(WSMsgType.BINARY, size)
    if whole == size == len(payload):
        return head + payload
    pieces = [payload[at : at + size] for at in range(0, whole, size)]
    cut = head + head.join(pieces) if pieces else b""
    return cut + ws_message(WSMsgType.BINARY, payload[whole:]) if whole < len(payload) else cut


def ws_message(kind: WSMsgType, payload: bytes) -> bytes:
    """A whole message in one WebSocket frame, from a server."""
    return _head(kind, len(payload)) + payload


@lru_cache(maxsize=256)  # the frames of a turn are of one length
def _head(kind: WSMsgType, length: int) -> bytes:
    """What stands before a payload in one frame, not masked and not compressed (RFC 6455, 5.2)."""
    if length < 126:
        return bytes((_FINAL | kind, length))
    if length < 1 << 16:
        return _MEDIUM.pack(_FINAL | kind, 126, length)
    return _LARGE.pack(_FINAL | kind, 127, length)


def _tune(transport: asyncio.Transport) -> None:
    """Little in the socket, where it cannot be dropped; and a vanished peer is noticed."""
    transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if TCP_NOTSENT_LOWAT is not None:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, HIGH_WATER_BYTES)
