"""Many listeners in one process: WebSocket clients that do only what a load test needs, and cheaply.

A `Listener` is woken by every arrival and times it; a `Crowd` looks at all its sockets every 20 ms, as a sound card
does, so that a thousand of them do not use up the core that they share with the provider.
"""

import asyncio
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from relay.bench.listeners import Ears, Listener, begin_at, handshake

__all__ = ["Crowd", "Ears", "Listener", "begin_at"]

LOOK_EVERY_S = 0.02
READ_BYTES = 256 * 1024


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
