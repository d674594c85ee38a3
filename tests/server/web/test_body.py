"""The body of a request, on a real server."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.errors import RelayError
from relay.server.web.body import read_body

MAX_BYTES = 1000
PLENTY_S = 60.0
PATIENCE_S = 20.0


@dataclass
class Site:
    """A server whose one handler reads a body, then takes a place. `states` are how far requests came, in order."""

    timeout_s: float = PLENTY_S
    port: int = 0
    places: int = 0
    states: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.Response:
        await self._note("entered")
        try:
            body = await read_body(request, self.timeout_s, MAX_BYTES)
        except RelayError as error:
            await self._note(f"{error.code}: {error.message}")
            return web.Response(status=error.code.http_status, text=error.code)
        except asyncio.CancelledError:
            self.states.append("cancelled")
            raise
        self.places += 1
        await self._note("read")
        return web.Response(body=body)

    async def _note(self, state: str) -> None:
        async with self.changed:
            self.states.append(state)
            self.changed.notify_all()

    async def until(self, state: str, count: int = 1) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: self.states.count(state) == count)

    async def send(self, *pieces: bytes, head: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        for piece in pieces:
            await writer.drain()
            writer.write(piece)
            await asyncio.sleep(0)
        return reader, writer

    async def ask(self, *pieces: bytes, head: bytes) -> tuple[int, bytes]:
        """Status and body of the response; the request is sent in these pieces."""
        reader, writer = await self.send(*pieces, head=head + b"\r\nConnection: close")
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        writer.close()
        start, _, body = answer.partition(b"\r\n\r\n")
        return int(start.split()[1]), body


@asynccontextmanager
async def site(timeout_s: float = PLENTY_S) -> AsyncIterator[Site]:
    served = Site(timeout_s)
    app = web.Application()
    app.router.add_post("/", served.handle)
    runner = web.AppRunner(
        app,
        auto_decompress=False,
        handle_signals=False,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=0.1,
    )
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    served.port = runner.addresses[0][1]
    try:
        yield served
    finally:
        await runner.cleanup()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(body=st.binary(max_size=MAX_BYTES), cuts=st.lists(st.integers(0, MAX_BYTES), max_size=6), chunked=st.booleans())
async def test_a_body_is_whole_however_it_was_cut(body: bytes, cuts: list[int], chunked: bool) -> None:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(edges)]
    head = b"Content-Length: %d" % len(body)
    if chunked:
        pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece] + [b"0\r\n\r\n"]
        head = b"Transfer-Encoding: chunked"
    async with site() as served:
        assert await served.ask(*pieces, head=head) == (200, body)


async def test_a_body_of_exactly_the_size_is_read_and_one_byte_more_is_refused() -> None:
    async with site() as served:
        exact, more = bytes(MAX_BYTES), bytes(MAX_BYTES + 1)
        assert await served.ask(exact, head=b"Content-Length: %d" % len(exact)) == (200, exact)
        status, _ = await served.ask(head=b"Content-Length: %d" % len(more))
        assert status == 413, "before anything was sent"
        chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(more), more)
        assert (await served.ask(chunk, head=b"Transfer-Encoding: chunked"))[0] == 413
        assert served.places == 1


async def test_many_half_sent_bodies_of_one_client_end_in_408_and_take_no_place() -> None:
    async with site(timeout_s=0.3) as served:
        halves = [await served.send(b"half", head=b"Content-Length: 8") for _ in range(50)]
        await served.until("entered", 50)
        assert await served.ask(b"whole", head=b"Content-Length: 5") == (200, b"whole"), "others go on meanwhile"
        for reader, writer in halves:
            async with asyncio.timeout(PATIENCE_S):
                assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
            writer.close()
        assert (
            served.states.count("slow_client: the request's body was not complete after 0.3 s; 4 bytes had come") == 50
        )
        assert served.places == 1


async def test_bytes_that_trickle_in_do_not_postpone_the_end() -> None:
    async with site(timeout_s=0.2) as served:
        reader, writer = await served.send(head=b"Content-Length: 900")
        answer = asyncio.create_task(reader.readline())
        async with asyncio.timeout(PATIENCE_S):
            while not answer.done():
                writer.write(b".")
                await asyncio.wait([answer], timeout=0.01)
        assert answer.result().startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_client_that_hangs_up_in_its_body_ends_the_request() -> None:
    async with site() as served:
        _, writer = await served.send(b"half", head=b"Content-Length: 8")
        await served.until("entered")
        writer.transport.abort()
        assert await served.ask(b"whole", head=b"Content-Length: 5") == (200, b"whole")
        assert served.places == 1


DEFLATED = zlib.compress(b"text" * 20)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Transfer-Encoding: chunked", b"zz\r\nhalf\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked", b"2\r\nhalf\r\n0\r\n\r\n"),
        (b"Content-Encoding: gzip\r\nContent-Length: 8", b"not gzip"),
        (b"Content-Encoding: deflate\r\nContent-Length: %d" % len(DEFLATED), DEFLATED[:9] + bytes(len(DEFLATED) - 9)),
    ],
)
async def test_a_body_that_breaks_its_encoding_is_the_clients_fault(head: bytes, body: bytes) -> None:
    async with site() as served:
        status, _ = await served.ask(body, head=head)
        assert status == 400
        assert served.places == 0
        assert await served.ask(b"whole", head=b"Content-Length: 5") == (200, b"whole")


async def test_what_a_compressed_body_becomes_is_bounded() -> None:
    bomb = gzip.compress(bytes(1_000_000))
    assert len(bomb) < 2000
    async with site() as served:
        small = gzip.compress(b"text")
        head = b"Content-Encoding: gzip\r\nContent-Length: %d"
        assert await served.ask(small, head=head % len(small)) == (200, b"text")
        for sent in (bomb[:900], bomb):
            status, _ = await served.ask(sent, head=b"Content-Encoding: gzip\r\nContent-Length: %d" % len(sent))
            assert status == 413
