"""A WebSocket provider on loopback that does what a scene says, and remembers what it was told.

    async def scene(link: Link) -> None:
        await link.say(type="session.ready")
        await link.heard("turn.end")
        await link.audio(pcm)
        await link.say(type="turn.done")

    async with FakeSocket(scene) as fake:
        ...  # connect to fake.url
        link = await fake.link(0)
        assert link.told[0] == {"type": "turn.start"}

A scene is played once per connection, and may misbehave: see the methods of `Link`. When it returns, the connection
stays open and silent until the other side closes it. It does not know whose protocol it speaks.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeAlias

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

# Kernel buffers of each connection: left to itself Linux grows them to megabytes on loopback, and a test of
# backpressure would measure that instead of the client.
KERNEL_BUFFER_BYTES = 16 * 1024
# Longest wait for what a scene or a test says will happen.
PATIENCE_S = 5.0
# Messages remembered of one connection; a load test sends more than it looks at.
MESSAGES_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Answers the handshake with this instead of a WebSocket."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Link:
    """One connection, as its scene plays it. Messages told by the other side are JSON objects (`told`); a binary one is
    kept as `{"type": "binary", "data": its bytes}`.

    What the scene has not waited for by `heard` yet still counts for the next `heard`.
    """

    def __init__(self, connection: ServerConnection, number: int) -> None:
        request = connection.request
        assert request is not None, "the handshake is over"
        self.number = number
        self.path = request.path
        # Lower-case names.
        self.headers = {name.lower(): value for name, value in request.headers.raw_items()}
        self.subprotocol = connection.subprotocol
        self.told: list[dict[str, Any]] = []
        # Bytes of audio that the kernel has taken.
        self.sent_bytes = 0
        self.left = asyncio.Event()
        self.close_code: int | None = None
        self._connection = connection
        self._unheard: list[dict[str, Any]] = []
        self._arrived = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()

    @property
    def kinds(self) -> list[str]:
        """The types of the messages told so far."""
        return [message["type"] for message in self.told]

    async def say(self, **message: Any) -> None:
        await self._connection.send(json.dumps(message))

    async def audio(self, data: bytes) -> None:
        """One binary message; waits while the other side does not read."""
        await self._connection.send(data)
        self.sent_bytes += len(data)

    async def garble(self, text: str = '{"type": "turn.do') -> None:
        """A text message that is whatever it is."""
        await self._connection.send(text)

    async def heard(self, kind: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Waits for a message of that type, skipping others. Raises TimeoutError if none comes."""
        async with asyncio.timeout(timeout_s):
            while True:
                while self._unheard:
                    message = self._unheard.pop(0)
                    if message["type"] == kind:
                        return message
                self._arrived.clear()
                await self._arrived.wait()

    async def next_told(self) -> dict[str, Any]:
        """Waits, for as long as it takes, for the next message that was not heard yet."""
        while not self._unheard:
            self._arrived.clear()
            await self._arrived.wait()
        return self._unheard.pop(0)

    def stop_reading(self) -> None:
        """What the other side sends from here on stays in its socket, but for a few messages."""
        self._reading.clear()

    def read_on(self) -> None:
        """Takes again what is sent."""
        self._reading.set()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._connection.close(code, reason)

    def cut(self) -> None:
        """The connection ends without a word."""
        self._connection.transport.abort()

    async def stall(self) -> None:
        """Nothing, until the other side leaves."""
        await self.left.wait()

    async def read(self) -> None:
        """Takes what is told until the connection ends; the house's task."""
        try:
            while True:
                await self._reading.wait()
                arrived = await self._connection.recv()
                binary = isinstance(arrived, bytes)
                message = {"type": "binary", "data": arrived} if binary else json.loads(arrived)
                if len(self.told) < MESSAGES_KEPT:
                    self.told.append(message)
                self._unheard.append(message)
                self._arrived.set()
        except ConnectionClosed as end:
            self.close_code = end.rcvd.code if end.rcvd else None
        finally:
            self.left.set()


Scene: TypeAlias = Callable[[Link], Awaitable[None]]


class FakeSocket:
    """The server. `answer` is the scene of every connection, or refuses all; or a function of the connection's number
    that gives either.

    Leaving the context closes every connection. What a scene itself did wrong is raised there, as an ExceptionGroup.
    `subprotocol` is selected if it is offered. `nagle`: its sockets collect small writes until the last one was
    acknowledged, as those of a careless server do.
    """

    def __init__(
        self,
        answer: Scene | Refuse,
        *answers: Scene | Refuse,
        subprotocol: str | None = None,
        kernel_buffer_bytes: int = KERNEL_BUFFER_BYTES,
        nagle: bool = False,
    ) -> None:
        # The last one is for all that follow.
        self._answers = (answer, *answers)
        self._subprotocol = subprotocol
        self._kernel_buffer_bytes = kernel_buffer_bytes
        self._nagle = nagle
        self._opened = 0
        self._changed = asyncio.Event()
        self._failures: list[Exception] = []
        self.links: list[Link] = []
        # Paths of all handshakes, refused ones too.
        self.paths: list[str] = []
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0))
        # What is accepted inherits all three.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, not self._nagle)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._kernel_buffer_bytes)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._kernel_buffer_bytes)
        self._server = await serve(
            self._serve,
            sock=listener,
            process_request=self._answer_handshake,
            select_subprotocol=self._select,
            compression=None,
            ping_interval=None,
            max_queue=4,
            max_size=None,
            write_limit=0,
            close_timeout=0.5,
        )
        self.url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        for link in self.links:
            link.left.set()
        self._server.close()
        await self._server.wait_closed()
        if self._failures and error is None:
            raise ExceptionGroup("the fake's scenes failed", self._failures)

    async def link(self, number: int, timeout_s: float = PATIENCE_S) -> Link:
        """The connection of that number, counted from 0. Raises TimeoutError if it is not made."""
        async with asyncio.timeout(timeout_s):
            while len(self.links) <= number:
                self._changed.clear()
                await self._changed.wait()
        return self.links[number]

    def _answer_handshake(self, _connection: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        answer = self._answers[min(len(self.paths), len(self._answers)) - 1]
        if not isinstance(answer, Refuse):
            return None
        headers = Headers(answer.headers)
        headers["Content-Length"] = str(len(answer.body))
        headers["Connection"] = "close"
        return Response(answer.status, HTTPStatus(answer.status).phrase, headers, answer.body)

    def _select(self, _connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        # A fixed list would refuse a client that offers none.
        return next((name for name in offered if name == self._subprotocol), None)

    async def _serve(self, connection: ServerConnection) -> None:
        link = Link(connection, len(self.links))
        scene = self._answers[min(len(self.paths), len(self._answers)) - 1]
        assert not isinstance(scene, Refuse), "a refused handshake opens nothing"
        self.links.append(link)
        self._changed.set()
        reading = asyncio.get_running_loop().create_task(link.read())
        try:
            await self._play(scene, link)
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    async def _play(self, scene: Scene, link: Link) -> None:
        playing = asyncio.ensure_future(scene(link))
        leaving = asyncio.get_running_loop().create_task(link.left.wait())
        try:
            await asyncio.wait([playing, leaving], return_when=asyncio.FIRST_COMPLETED)
            if playing.done() and (error := playing.exception()) and not isinstance(error, ConnectionClosed):
                assert isinstance(error, Exception)
                self._failures.append(error)
            await leaving
        finally:
            for task in (playing, leaving):
                task.cancel()
            await asyncio.wait([playing, leaving])
