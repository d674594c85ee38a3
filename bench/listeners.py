"""Many listeners in one process: a WebSocket client that does only what a load test needs, and cheaply.

It reads frames as the server sends them (unmasked, unfragmented), keeps when each arrived, and can stop reading.
"""

import asyncio
import base64
import json
import os
import socket
import time
from collections.abc import Callable
from typing import Any, cast

MASK = b"\0\0\0\0"  # a client must mask; with zeros the payload stays as it is


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A masked frame, by the letter of RFC 6455, 5.3."""
    length = len(payload)
    head = bytes([0x80 | opcode, 0x80 | min(126, length)])
    if length >= 126:
        head += length.to_bytes(2, "big")
    return head + MASK + payload


class Listener(asyncio.Protocol):
    """One connection. `on_event` gets every JSON message; binary messages are counted and timed."""

    def __init__(self, port: int, on_event: Callable[["Listener", dict[str, Any]], None]) -> None:
        self._port, self._on_event = port, on_event
        self._held = bytearray()
        self._upgraded = False
        self.arrivals_s: list[float] = []
        self.audio_bytes = 0
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(cls, port: int, on_event: Callable[["Listener", dict[str, Any]], None]) -> "Listener":
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        _, listener = await loop.create_connection(lambda: cls(port, on_event), sock=sock)
        await listener.open
        return listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def send(self, **message: Any) -> None:
        self.transport.write(client_frame(1, json.dumps(message).encode()))

    def data_received(self, data: bytes) -> None:
        now_s = time.monotonic()
        held = self._held
        held += data
        if not self._upgraded:
            head, end, _ = bytes(held).partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head[:20]:
                self.open.set_exception(ConnectionError(head.split(b"\r\n")[0].decode()))
                return
            del held[: len(head) + 4]
            self._upgraded = True
            self.open.set_result(None)
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
            elif opcode == 1:
                self._on_event(self, json.loads(held[start : start + length]))
            at = start + length
        del held[:at]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
