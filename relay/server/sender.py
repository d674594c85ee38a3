"""Outbox -> socket: everything that may leave at an instant in one write, without a task to be woken for it.

This file knows messages and sockets; what a session or a turn's end means is its owner's business.
"""

import asyncio
import time
from collections.abc import Callable

from aiohttp import ClientConnectionResetError, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from relay.core.events import Event
from relay.core.frames import Frame
from relay.engine.outbox import CloseSocket, End, Item, Outbox, WsPong
from relay.engine.ticker import Ticker
from relay.engine.turn import Turn
from relay.errors import untrace
from relay.protocols import native
from relay.server.ws_message import binary_head, ws_message

# What may wait in our side of the socket, where a cancel cannot drop it: a third of a second at 24 kHz.
SOCKET_HIGH_WATER_BYTES = 16 * 1024


class Sender:
    """Sends what `outbox` holds as it may leave. `run` is a task that waits where sending has to: for a socket that is
    full, and in the closing handshake; it returns when the socket is closed, and raises what went wrong.

    `ended` gives the message that ends a turn whose last frame was sent.
    """

    def __init__(self, ticker: Ticker, ended: Callable[[Turn, End], Event]) -> None:
        self.outbox = Outbox(ticker, self._send)
        # Since when the socket has been full; None while it takes what it is given.
        self.full_since_s: float | None = None
        self._ended = ended
        self._socket: web.WebSocketResponse
        self._writer: AbstractStreamWriter
        self._transport: asyncio.Transport | None = None
        self._sending = False
        # Sending goes no further before `run` has looked: the socket is full, gone or to be closed, or there is a bug.
        self._held_up = False
        self._look = asyncio.Event()
        self._farewell: CloseSocket | None = None
        self._bug: Exception | None = None

    def open(self, socket: web.WebSocketResponse, writer: AbstractStreamWriter, transport: asyncio.Transport) -> None:
        """The handshake was answered: what has been put so far may leave."""
        self._socket, self._writer, self._transport = socket, writer, transport
        transport.set_write_buffer_limits(high=SOCKET_HIGH_WATER_BYTES)
        self._send()

    def close(self) -> None:
        """Sends nothing any more, and lets go of its owner; idempotent."""
        self.outbox.close()
        self._transport = None
        self._ended = _nothing_ends

    async def run(self) -> None:
        try:
            while True:
                await self._look.wait()
                if self._bug is not None:
                    raise self._bug
                if self._farewell is not None:
                    await self._socket.close(code=self._farewell.code, message=self._farewell.reason.encode())
                    return
                self.full_since_s = time.monotonic()
                await self._writer.drain()
                self.full_since_s = None
                if self._transport is None or self._transport.is_closing():
                    raise ClientConnectionResetError("the connection is closing")
                self._look.clear()
                self._held_up = False
                self._send()
        except ConnectionError as error:
            untrace(error)  # aiohttp keeps it where sending waited
        # The client is gone; the reader is told so by the socket. Not told within the clause above: the socket keeps
        # what goes wrong in closing, and that would keep the error and this task.
        await self._socket.close()

    def _send(self) -> None:
        """Sends all that may leave now, in as few writes as the socket's bound allows: a write is a system call, and
        most of a frame's cost."""
        transport, outbox = self._transport, self.outbox
        # What comes to be sent because of what is being sent is found by the loop below.
        if self._sending or transport is None or self._held_up:
            return
        self._sending = True
        try:
            while outbox.ready and not self._held_up:
                if pieces := self._messages(outbox.take(SOCKET_HIGH_WATER_BYTES)):
                    if transport.is_closing():
                        self._hold_up()
                        return
                    transport.write(b"".join(pieces))
                    if transport.get_write_buffer_size() > SOCKET_HIGH_WATER_BYTES:
                        self._hold_up()
        except Exception as error:  # in the end it is `run`'s owner who hears of it
            self._bug = error
            self._hold_up()
        finally:
            self._sending = False

    def _hold_up(self) -> None:
        self._held_up = True
        self._look.set()

    def _messages(self, items: list[Item]) -> list[bytes]:
        """Items as WebSocket messages."""
        pieces: list[bytes] = []
        for item in items:
            if isinstance(item, tuple):
                turn, content = item
                assert isinstance(turn, Turn), "a connection's outbox holds its own turns"
                if type(content) is Frame:
                    if content.pts == 0:
                        pieces.append(_text(turn.audio_started()))
                    payload = turn.message(content)
                    pieces += (binary_head(len(payload)), payload)
                elif isinstance(content, End):
                    pieces.append(_text(self._ended(turn, content)))
                else:
                    assert not isinstance(content, Frame)
                    pieces.append(_text(content))
            elif isinstance(item, WsPong):
                pieces.append(ws_message(WSMsgType.PONG, item.payload))
            elif isinstance(item, CloseSocket):
                self._farewell = item
                self._hold_up()
                break
            else:
                pieces.append(_text(item))
        return pieces


def _nothing_ends(turn: Turn, end: End) -> Event:
    raise AssertionError("what was closed sends nothing")


def _text(event: Event) -> bytes:
    return ws_message(WSMsgType.TEXT, native.send(event))
