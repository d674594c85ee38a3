"""The fake provider, watched through a bare socket: what a script says is what is on the wire."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from relay.testing.fake_provider import FakeProvider, FakeRequest, in_turn
from relay.testing.scenarios import ERRORS, PCM_CLIP, SCENARIOS, Clip, error_reply, scenario, whole
from relay.testing.script import Cut, Drip, Pause, Raw, Repeat, Send, Stall, Status

GET = b"GET /v1/a%2Fb/stream?x=1&y= HTTP/1.1\r\nHost: fake\r\nX-Key: k\r\n\r\n"
POST = b"POST /speak HTTP/1.1\r\nContent-Length: 5\r\n\r\nHello"
CLIP = Clip(bytes(range(100)), "audio/pcm")


@asynccontextmanager
async def connected(fake: FakeProvider) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = fake.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def on_the_wire(fake: FakeProvider, request: bytes = GET) -> bytes:
    """All that comes until the fake closes."""
    async with connected(fake) as (reader, writer):
        writer.write(request)
        async with asyncio.timeout(5):
            return await reader.read()


async def test_a_chunked_reply() -> None:
    script = (Status(200, {"a": "b"}), Send(b"x" * 17), Drip(b"12345", 2), Send(b""), Cut())
    async with FakeProvider(script) as fake:
        assert await on_the_wire(fake) == (
            b"HTTP/1.1 200 OK\r\na: b\r\ntransfer-encoding: chunked\r\n\r\n"
            b"11\r\n" + b"x" * 17 + b"\r\n2\r\n12\r\n2\r\n34\r\n1\r\n5\r\n"
        )


async def test_a_reply_of_stated_length_and_raw_bytes() -> None:
    async with FakeProvider((Status(404, {}, 3), Send(b"12"), Raw(b"\xff"), Cut())) as fake:
        assert await on_the_wire(fake) == b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\n12\xff"


async def test_a_reply_until_the_connection_ends() -> None:
    async with FakeProvider((Status(200, {}, "close"), Send(b"12"))) as fake:
        assert await on_the_wire(fake) == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n12"


async def test_a_script_that_runs_out_ends_its_reply_and_the_connection_lives_on() -> None:
    async with FakeProvider(in_turn(whole(CLIP), (Status(204, {}, 0),))) as fake, connected(fake) as (reader, writer):
        writer.write(GET + POST)
        await reader.readuntil(b"\r\n0\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"
        first, second = await fake.exchange(0), await fake.exchange(1)
        await second.done()
        assert (first.connection, second.connection) == (0, 0)
        assert (first.finished, first.client_left) == (True, False)


async def test_an_unknown_status() -> None:
    async with FakeProvider((Status(599, {}, 0), Cut())) as fake:
        assert (await on_the_wire(fake)).startswith(b"HTTP/1.1 599 Unknown\r\n")


async def test_a_cut_by_reset() -> None:
    async with FakeProvider((Raw(b"12"), Cut(reset=True))) as fake, connected(fake) as (reader, writer):
        writer.write(GET)
        with pytest.raises(ConnectionResetError):
            while await reader.read(10):
                pass


async def test_what_was_asked_is_remembered() -> None:
    async with FakeProvider((Status(200, {}, 0), Cut())) as fake:
        await on_the_wire(fake, GET)
        await on_the_wire(fake, POST.replace(b"Hello", b'{"a":').replace(b": 5", b": 8") + b"1} ")
        asked, told = (exchange.request for exchange in fake.exchanges)
        assert (asked.method, asked.path, asked.query) == ("GET", "/v1/a%2Fb/stream", {"x": "1", "y": ""})
        assert (asked.headers, asked.body) == ({"host": "fake", "x-key": "k"}, b"")
        assert told.json() == {"a": 1}
        assert [exchange.connection for exchange in fake.exchanges] == [0, 1]


async def test_a_request_may_come_byte_by_byte() -> None:
    async with FakeProvider((Status(200, {}, 0), Cut())) as fake, connected(fake) as (reader, writer):
        for byte in POST:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        assert fake.exchanges[0].request.body == b"Hello"


async def test_the_script_may_depend_on_the_request() -> None:
    def choose(request: FakeRequest) -> tuple[Status, Cut]:
        return (Status(int(request.path[1:]), {}, 0), Cut())

    async with FakeProvider(choose) as fake:
        for status in (b"402", b"503"):
            reply = await on_the_wire(fake, GET.replace(b"/v1/a%2Fb/stream", b"/" + status))
            assert reply.startswith(b"HTTP/1.1 " + status)


async def test_a_stall_lasts_until_it_is_released() -> None:
    async with (
        FakeProvider((Status(200, {}, 2), Send(b"1"), Stall(), Send(b"2"), Cut())) as fake,
        connected(fake) as (reader, writer),
    ):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n1")
        exchange = await fake.exchange(0)
        with pytest.raises(TimeoutError):
            await exchange.done(0.02)
        fake.release()
        assert await reader.read() == b"2"


@pytest.mark.parametrize("step", [Stall(), Pause(60.0), Repeat(b"x" * 5000), Drip(b"xxx", 1, 60.0)])
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_a_client_that_leaves_is_noticed(step: Stall | Pause | Repeat | Drip, reset: bool) -> None:
    async with FakeProvider((Status(200), step)) as fake:
        async with connected(fake) as (reader, writer):
            writer.write(GET)
            await reader.read(10)
            exchange = await fake.exchange(0)
            with pytest.raises(TimeoutError):
                await exchange.left(0.01)
            if reset:
                writer.transport.abort()
            else:
                writer.close()
            await exchange.left()
        assert (exchange.client_left, exchange.finished) == (True, False)
        await fake.connected(0)


async def test_a_client_that_does_not_read_stops_it() -> None:
    async with FakeProvider((Status(200), Repeat(b"x" * 1000)), send_buffer_bytes=4096) as fake:
        host, port = fake.url.removeprefix("http://").split(":")
        # The reader's own buffer is bounded too (asyncio stops at twice its limit, and the kernel at its own).
        _, writer = await asyncio.open_connection(host, int(port), limit=1024)
        try:
            writer.write(GET)
            exchange = await fake.exchange(0)
            sent = -1
            async with asyncio.timeout(5):
                while sent != exchange.sent_bytes:
                    sent = exchange.sent_bytes
                    await asyncio.sleep(0.05)
            assert 1000 < sent < 16 * 1024 * 1024
        finally:
            writer.transport.abort()
        await exchange.left()


async def test_dropped_connections() -> None:
    async with FakeProvider(whole(CLIP)) as fake, connected(fake) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"\r\n0\r\n\r\n")
        assert (fake.connections_open, fake.connections_opened) == (1, 1)
        fake.drop_connections()
        assert await reader.read() == b""
        await fake.connected(0)
        assert not fake.exchanges[0].client_left


async def test_leaving_ends_what_is_under_way() -> None:
    async with FakeProvider((Stall(),)) as fake:
        host, port = fake.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(GET)
        await fake.exchange(0)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))


async def test_a_mistake_on_the_fakes_side_is_raised_on_leaving() -> None:
    def choose(_request: FakeRequest) -> tuple[Stall]:
        raise KeyError("no such script")

    with pytest.raises(ExceptionGroup) as caught:
        async with FakeProvider(choose) as fake:
            with contextlib.suppress(ConnectionError):
                await on_the_wire(fake)
    assert caught.group_contains(KeyError, match="no such script")


async def test_a_failing_test_is_not_hidden_by_it() -> None:
    with pytest.raises(ZeroDivisionError):
        async with FakeProvider(()) as fake:
            with contextlib.suppress(ConnectionError):
                await on_the_wire(fake)
            raise ZeroDivisionError


# The table of scenarios


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios_are_scripts(name: str) -> None:
    script = scenario(name)
    assert script
    assert script == scenario(name), "the same name gives the same bytes"
    assert script == scenario(name, PCM_CLIP)


def test_an_unknown_scenario_says_which_there_are() -> None:
    with pytest.raises(KeyError, match="cut_chunked_fin, cut_chunked_rst"):
        scenario("cut")


@pytest.mark.parametrize("status", ERRORS)
async def test_refusals_are_whole_http(status: int) -> None:
    async with FakeProvider((*error_reply(status, retry_after="7"), Cut())) as fake:
        head, _, body = (await on_the_wire(fake)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nretry-after: 7" in head
    assert b"\r\ncontent-length: %d" % len(body) in head
    assert ERRORS[status][0].encode() in body


async def test_cut_scenarios_hold_half_and_cut_inside_a_sample() -> None:
    for name in ("cut_chunked_fin", "cut_length_fin"):
        script = scenario(name, CLIP)
        sent = b"".join(step.data for step in script if isinstance(step, Send))
        assert CLIP.data.startswith(sent)
        assert len(sent) == 51
        assert script[-1] == Cut()


async def test_idle_when_the_answer_is_whole_or_nobody_listens() -> None:
    async with FakeProvider(in_turn(scenario("ok"), scenario("stall_mid_stream"))) as fake:
        await fake.idle()
        async with connected(fake) as (_, writer):
            writer.write(GET)
            await (await fake.exchange(0)).done()
            await fake.idle()
            writer.write(GET)
            await fake.exchange(1)
            with pytest.raises(TimeoutError):
                await fake.idle(timeout_s=0.01)
        await fake.idle()


async def test_a_port_of_its_own() -> None:
    async with FakeProvider(scenario("ok")) as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with FakeProvider(scenario("ok"), port=port):
                pass
    async with FakeProvider(scenario("ok"), port=port) as second:
        assert second.url == first.url
