"""Many listeners in one process: WebSocket clients that do only what a load test needs, and cheaply.

Frames are read as the server sends them (unmasked, unfragmented). A `Listener` is woken by every arrival and times it;
a `Crowd` looks at all its sockets every 100 ms, as a player with a small buffer does, so that a thousand of them do not
use up the core that they share with the provider.
"""

import asyncio
import base64
import json
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any, cast

MASK = b"\0\0\0\0"  # a client must mask; with zeros the payload stays as it is
LOOK_EVERY_S = 0.1
READ_BYTES = 256 * 1024


class Ears:
    """What one listener has heard. `on_event` gets every JSON message; binary messages are counted and timed, and given
    to `on_audio` where somebody wants them."""

    def __init__(
        self,
        on_event: Callable[[Any, dict[str, Any]], None],
        on_audio: Callable[[Any, bytes], None] | None = None,
    ) -> None:
        self._on_event = on_event
        self._on_audio = on_audio
        self._held = bytearray()
        self.upgraded = False
        self.arrivals_s: list[float] = []
        self.audio_bytes = 0
        self.write: Callable[[bytes], object]

    def send(self, **message: Any) -> None:
        self.write(client_frame(1, json.dumps(message).encode()))

    def hear(self, data: bytes, now_s: float) -> None:
        held = self._held
        held += data
        if not self.upgraded:
            head, end, _ = bytes(held).partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head[:20]:
                raise ConnectionError(head.split(b"\r\n")[0].decode())
            del held[: len(head) + 4]
            self.upgraded = True
        at = 0
        while len(held) - at >= 2:
            opcode, length, start = held[at] & 0x0F, held[at + 1], at + 2
            if length == 126:
                if len(held) - at < 4:
                    break
                length, start = held[at + 2] << 8 | held[at + 3], at + 4
            if len(held) < start + length:
                break
            if opcode == 2:
                self.arrivals_s.append(now_s)
                self.audio_bytes += length
                if self._on_audio is not None:
                    self._on_audio(self, bytes(held[start : start + length]))
            elif opcode == 1:
                self._on_event(self, json.loads(held[start : start + length]))
            at = start + length
        del held[:at]


class Listener(asyncio.Protocol):
    """One connection that is woken by every arrival."""

    def __init__(self, port: int, ears: Ears) -> None:
        self._port, self.ears = port, ears
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(
        cls,
        port: int,
        on_event: Callable[[Any, dict[str, Any]], None],
        on_audio: Callable[[Any, bytes], None] | None = None,
    ) -> "Listener":
        _, listener = await asyncio.get_running_loop().create_connection(
            lambda: cls(port, Ears(on_event, on_audio)), "127.0.0.1", port
        )
        await listener.open
        return listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self.ears.write = self.transport.write
        self.transport.write(handshake(self._port))

    def data_received(self, data: bytes) -> None:
        self.ears.hear(data, time.monotonic())
        if self.ears.upgraded and not self.open.done():
            self.open.set_result(None)


class Crowd:
    """Many connections that are looked at together. Run `listen` as a task."""

    def __init__(self, port: int, on_event: Callable[[Any, dict[str, Any]], None]) -> None:
        self._port, self._on_event = port, on_event
        self._epoll = select.epoll()
        self._sockets: dict[int, tuple[socket.socket, Ears]] = {}

    @property
    def all(self) -> list[Ears]:
        return [ears for _, ears in self._sockets.values()]

    async def join(self, count: int) -> None:
        """Opens `count` connections, and returns when all have been upgraded."""
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", self._port))
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ears = Ears(self._on_event)
            ears.write = sock.send
            sock.send(handshake(self._port))
            self._sockets[sock.fileno()] = (sock, ears)
            self._epoll.register(sock, select.EPOLLIN)
            await asyncio.sleep(0)
        while not all(ears.upgraded for ears in self.all):  # noqa: ASYNC110 - `listen` looks no more often either
            await asyncio.sleep(LOOK_EVERY_S)

    async def listen(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for fd, _ in self._epoll.poll(0, 65536):
                sock, ears = self._sockets[fd]
                if data := sock.recv(READ_BYTES):
                    ears.hear(data, time.monotonic())
                else:
                    self._epoll.unregister(fd)

    def leave(self) -> None:
        for sock, _ in self._sockets.values():
            sock.close()
        self._epoll.close()


def handshake(port: int) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A masked frame, by the letter of RFC 6455, 5.3."""
    length = len(payload)
    head = bytes([0x80 | opcode, 0x80 | min(126, length)])
    if length >= 126:
        head += length.to_bytes(2, "big")
    return head + MASK + payload
