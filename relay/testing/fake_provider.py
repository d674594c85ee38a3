"""A provider on loopback that answers by script, byte for byte, and remembers what it saw.

    async with FakeProvider(scenario("cut_chunked_rst")) as fake:
        ...  # speak to fake.url
        exchange = await fake.exchange(0)
        assert exchange.request.path == "/v1/text-to-speech/voc_1/stream"
        await exchange.left()

It speaks HTTP/1.1 on a bare socket, because a fault is made of exact bytes. It does not know what speech is.
"""

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeAlias, cast
from urllib.parse import parse_qsl, urlsplit

from relay.testing.script import (
    Cut,
    Drip,
    Framing,
    Pause,
    Raw,
    Repeat,
    Script,
    Send,
    Stall,
    Status,
    end_of_body,
    framed,
    head,
    pieces,
)

# Kernel send buffer of each connection. Left to itself Linux grows it to megabytes on loopback, and a test of
# backpressure would measure that instead of the client.
SEND_BUFFER_BYTES = 16 * 1024
# Largest request taken; a real one has a few kilobytes.
REQUEST_BYTES = 1024 * 1024
# Exchanges remembered; a load test makes more than it looks at.
EXCHANGES_KEPT = 1000
# Longest wait for what a test says will happen.
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeRequest:
    """A request as it came: `target` is the raw request target, header names are lower-case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path, still escaped."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def json(self) -> Any:
        return json.loads(self.body)


Chooser: TypeAlias = Callable[[FakeRequest], Script]


def in_turn(*scripts: Script) -> Chooser:
    """The first request gets the first script, and so on; the last one is for all that follow."""
    waiting = deque(scripts)
    return lambda _request: waiting.popleft() if len(waiting) > 1 else waiting[0]


class _Changes:
    """Wakes whoever waits for something to have become true."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def tell(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    async def until(self, is_true: Callable[[], bool], timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while not is_true():
                await self._next.wait()


@dataclass(slots=True, kw_only=True, eq=False)
class Exchange:
    """One request, and how far its answer got.

    `connection` counts connections from 0, so that a reused one shows. `finished`: the script has run out.
    `client_left`: the client closed before that.
    """

    request: FakeRequest
    connection: int
    changes: _Changes
    finished: bool = False
    client_left: bool = False
    # Bytes of this answer, head and framing included, that the kernel has taken; a write under way counts when done.
    sent_bytes: int = 0

    async def left(self, timeout_s: float = PATIENCE_S) -> None:
        """Waits until the client has left. Raises TimeoutError if it stays."""
        await self.changes.until(lambda: self.client_left, timeout_s)

    async def done(self, timeout_s: float = PATIENCE_S) -> None:
        """Waits until the script has run out. Raises TimeoutError if it does not."""
        await self.changes.until(lambda: self.finished, timeout_s)


@dataclass(slots=True, kw_only=True, eq=False)
class _House:
    """What the connections of one fake share."""

    choose: Chooser
    changes: _Changes = field(default_factory=_Changes)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    exchanges: deque[Exchange] = field(default_factory=lambda: deque(maxlen=EXCHANGES_KEPT))
    links: set["_Link"] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    # What went wrong on our side: a chooser that raised, a request that is no HTTP.
    failures: list[Exception] = field(default_factory=list)
    opened: int = 0
    closing: bool = False


class _Link(asyncio.Protocol):
    """One connection. Its task plays the scripts and is cancelled when the client leaves."""

    def __init__(self, house: _House) -> None:
        self._house = house
        self._number = house.opened
        self._inbox = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended_by_us = False
        self._task: asyncio.Task[None] | None = None
        self._exchange: Exchange | None = None
        self._framing: Framing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Nothing waits in user space, so that what has been written is what the kernel has taken.
        self._transport.set_write_buffer_limits(high=0)
        if self._house.closing:
            self._transport.abort()
            return
        self._house.opened += 1
        self._house.links.add(self)
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._house.tasks.add(self._task)
        self._task.add_done_callback(self._house.tasks.discard)
        self._house.changes.tell()

    def data_received(self, data: bytes) -> None:
        self._inbox += data
        if len(self._inbox) > REQUEST_BYTES:
            self._transport.abort()
        self._arrived.set()

    def eof_received(self) -> None:
        # A client that has closed its half reads no more either: stop at once, do not flush to nobody.
        self._transport.abort()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._house.links.discard(self)
        if self._exchange and not self._exchange.finished and not self._ended_by_us:
            self._exchange.client_left = True
        if self._task:
            self._task.cancel()
        self._house.changes.tell()

    def end(self, *, reset: bool) -> None:
        """Closes by FIN once all is written, or by RST now."""
        self._ended_by_us = True
        if reset:
            # Linger on, for 0 seconds: close() then sends RST.
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self._transport.abort()
        else:
            self._transport.close()

    async def _run(self) -> None:
        try:
            await self._serve()
        except Exception as error:
            self._house.failures.append(error)
            self._transport.abort()

    async def _serve(self) -> None:
        while not self._transport.is_closing():
            request = await self._request()
            exchange = Exchange(request=request, connection=self._number, changes=self._house.changes)
            self._exchange = exchange
            self._house.exchanges.append(exchange)
            self._house.changes.tell()
            await self._play(exchange, self._house.choose(request))
            exchange.finished = True
            self._house.changes.tell()
            if self._framing == "close":
                self.end(reset=False)

    async def _request(self) -> FakeRequest:
        start_line, *lines = (await self._take(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _version = start_line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self._take(int(headers.get("content-length", 0)))
        return FakeRequest(method=method, target=target, headers=headers, body=body)

    async def _take(self, until: bytes | int) -> bytes:
        """What came before the mark `until` (which is dropped), or that many bytes."""
        while True:
            end = self._inbox.find(until) if isinstance(until, bytes) else until
            if 0 <= end <= len(self._inbox):
                taken = bytes(self._inbox[:end])
                del self._inbox[: end + (len(until) if isinstance(until, bytes) else 0)]
                return taken
            self._arrived.clear()
            await self._arrived.wait()

    async def _play(self, exchange: Exchange, script: Script) -> None:
        assert script, "a script answers, stalls or cuts: it has at least one step"
        for step in script:
            match step:
                case Status():
                    self._framing = step.framing
                    await self._write(exchange, head(step))
                case Send(data):
                    await self._write(exchange, framed(data, self._framing))
                case Raw(data):
                    await self._write(exchange, data)
                case Drip(data, size, every_s):
                    for piece in pieces(data, size):
                        await self._write(exchange, framed(piece, self._framing))
                        await asyncio.sleep(every_s)
                case Repeat(data):
                    while True:
                        await self._write(exchange, framed(data, self._framing))
                        await asyncio.sleep(0)
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Stall():
                    await self._house.released.wait()
                case Cut(reset):
                    self.end(reset=reset)
                    return
        await self._write(exchange, end_of_body(self._framing))

    async def _write(self, exchange: Exchange, data: bytes) -> None:
        self._transport.write(data)
        await self._writable.wait()
        exchange.sent_bytes += len(data)


class FakeProvider:
    """The server. `script` is one for all requests, or a function of the request (see `in_turn`).

    Leaving the context ends every connection and waits for its task. What went wrong on the fake's own side (a chooser
    that raised, a request that is no HTTP) is raised there, as an ExceptionGroup.

    `port` 0 takes a free one, which `url` says. `nagle`: its sockets collect small writes until the last one was
    acknowledged, as those of a careless server do.
    """

    def __init__(
        self,
        script: Script | Chooser,
        *,
        port: int = 0,
        send_buffer_bytes: int = SEND_BUFFER_BYTES,
        nagle: bool = False,
    ) -> None:
        self._choose: Chooser = script if callable(script) else lambda _request: script
        self._port = port
        self._send_buffer_bytes = send_buffer_bytes
        self._nagle = nagle

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", self._port))
        # What is accepted inherits both.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, not self._nagle)
        self._house = _House(choose=self._choose)
        self._server = await asyncio.get_running_loop().create_server(lambda: _Link(self._house), sock=listener)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        house = self._house
        house.closing = True
        self._server.close()
        self.drop_connections(reset=True)
        await asyncio.gather(*house.tasks, return_exceptions=True)
        await self._server.wait_closed()
        if house.failures and error is None:
            raise ExceptionGroup("the fake provider failed", house.failures)

    @property
    def exchanges(self) -> list[Exchange]:
        """The latest exchanges, oldest first."""
        return list(self._house.exchanges)

    @property
    def connections_opened(self) -> int:
        return self._house.opened

    @property
    def connections_open(self) -> int:
        return len(self._house.links)

    def release(self) -> None:
        """Lets every `Stall`, present and future, go on."""
        self._house.released.set()

    def drop_connections(self, *, reset: bool = False) -> None:
        """Ends every connection now, as a provider does with idle ones."""
        for link in list(self._house.links):
            link.end(reset=reset)

    async def exchange(self, index: int, timeout_s: float = PATIENCE_S) -> Exchange:
        """The exchange of that number, waiting until its request has come. Raises TimeoutError if none does."""
        await self._house.changes.until(lambda: len(self._house.exchanges) > index, timeout_s)
        return self._house.exchanges[index]

    async def idle(self, timeout_s: float = PATIENCE_S) -> None:
        """Waits until no answer is under way: each was given whole, or its client has left. Raises TimeoutError."""

        def over() -> bool:
            return all(exchange.finished or exchange.client_left for exchange in self._house.exchanges)

        await self._house.changes.until(over, timeout_s)

    async def connected(self, count: int, timeout_s: float = PATIENCE_S) -> None:
        """Waits until exactly `count` connections are open. Raises TimeoutError if that does not happen."""
        await self._house.changes.until(lambda: len(self._house.links) == count, timeout_s)
