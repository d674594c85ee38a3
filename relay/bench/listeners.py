"""A listener that does only what a load test needs, and cheaply: a WebSocket client that times every frame.

Frames are read as the server sends them (unmasked, unfragmented). A usual client costs more for each frame than the
relay does, so that it would be the client that is measured.
"""

import asyncio
import base64
import json
import os
import random
import ssl
import time
from collections.abc import Callable
from typing import Any, cast

__all__ = ["Ears", "Listener", "begin_at", "client_frame", "handshake"]

MASK = b"\0\0\0\0"  # a client must mask; with zeros the payload stays as it is


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
        """What has just been received, cut anywhere. Raises ConnectionError where the session is refused, with the
        status line."""
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
                length, start = int.from_bytes(held[at + 2 : at + 4]), at + 4
            elif length == 127:
                if len(held) - at < 10:
                    break
                length, start = int.from_bytes(held[at + 2 : at + 10]), at + 10
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

    def __init__(self, request: bytes, ears: Ears) -> None:
        self._request, self.ears = request, ears
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(
        cls,
        port: int,
        on_event: Callable[[Any, dict[str, Any]], None],
        on_audio: Callable[[Any, bytes], None] | None = None,
        *,
        host: str = "127.0.0.1",
        path: str = "/v1/stream",
        key: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> "Listener":
        """Raises OSError where there is no connection or no session."""
        request = handshake(port, host=host, path=path, key=key)
        _, listener = await asyncio.get_running_loop().create_connection(
            lambda: cls(request, Ears(on_event, on_audio)), host, port, ssl=tls
        )
        await listener.open
        return listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self.ears.write = self.transport.write
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self.ears.hear(data, time.monotonic())
        except ConnectionError as refused:
            if self.open.done():
                raise
            self.open.set_exception(refused)
            self.transport.close()
        if self.ears.upgraded and not self.open.done():
            self.open.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.open.done():
            self.open.set_exception(error or ConnectionError("closed before the session began"))


def handshake(port: int, *, host: str = "127.0.0.1", path: str = "/v1/stream", key: str | None = None) -> bytes:
    """The request that opens a session; `key` is the relay's."""
    bearer = f"Authorization: Bearer {key}\r\n" if key else ""
    nonce = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n{bearer}\r\n"
    ).encode()


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A masked frame, by the letter of RFC 6455, 5.3."""
    length = len(payload)
    head = bytes([0x80 | opcode, 0x80 | min(126, length)])
    if length >= 126:
        head += length.to_bytes(2, "big")
    return head + MASK + payload


def begin_at(index: int, turns: int) -> float:
    """When the turn `index` of `turns` begins, from 0 to 1 of the time in which all do: in its own one of so many equal
    parts, at an instant that is drawn, and the same in every run.

    Calls do not keep step. Turns that begin 20 ms apart have all their frames due at once, and are late by how many
    they are.
    """
    return (index + random.Random(index).random()) / turns
