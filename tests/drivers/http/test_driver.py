"""The HTTP driver against a provider that fails in every way there is a script for."""

import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from aiohttp import ClientPayloadError, StreamReader
from aiohttp.base_protocol import BaseProtocol

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.core.timings import Stage, Timings
from relay.core.transform import Transform
from relay.drivers.http import attempt as http_attempt
from relay.drivers.http import driver as http
from relay.drivers.http.bounded_reads import MOST_BYTES
from relay.drivers.http.driver import HttpDriver, HttpSettings
from relay.drivers.http.errors import Peer
from relay.drivers.http.reply import READ_BYTES, _Watch
from relay.errors import Code, ProviderError
from relay.providers.base import faults
from relay.providers.base.http import AttemptFacts, HttpRequest, Piece, Refusal, ReplyFacts, WordTime
from relay.testing.audio import noise
from relay.testing.fake_provider import Chooser, FakeProvider, in_turn
from relay.testing.scenarios import SCENARIOS, Clip, error_reply, scenario, whole
from relay.testing.script import Cut, Framing, Pause, Script, Send, Stall, Status
from tests.covering import each
from tests.server.cycles import left_in_cycles

KEY = "brz_5f0c9f5e7a"
CLIP = Clip(noise(0.05), "audio/pcm")
HALF = CLIP.data[: len(CLIP.data) // 2 | 1]
SOURCE = SourceFormat(container=Container.RAW, pcm=AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000))
# Short enough to wait for, long enough not to be met by a busy machine while bytes are flowing on loopback.
QUICK = HttpSettings(first_byte_timeout_s=0.15, stall_timeout_s=0.15, open_timeout_s=2.0, retries=0, backoff_s=0.1)


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """What was not closed warns when it is collected, and a warning fails the test."""
    yield
    gc.collect()


def request(address: str, unwrap: Callable[[], Transform[bytes, Piece]] | None = None, **changes: Any) -> HttpRequest:
    fields: dict[str, Any] = {
        "provider": "fake",
        "method": "POST",
        "url": f"{address}/v1/speech?token={KEY}",
        "headers": {"content-type": "application/json"},
        "secret_headers": {"xi-api-key": KEY},
        "body": b'{"text":"Hello"}',
        "accept": lambda headers: ReplyFacts(source=SOURCE, ids={"id": headers.get("x-id", "")}),
        "refuse": lambda refusal: faults.refused("fake", refusal),
        "unwrap": unwrap,
    }
    return HttpRequest(**(fields | changes))


class Waits(list[float]):
    """A `sleep` that writes down instead of waiting."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@asynccontextmanager
async def speaking(
    script: Script | Chooser, settings: HttpSettings = QUICK, **replaced: Any
) -> AsyncIterator[tuple[FakeProvider, HttpDriver]]:
    driver = HttpDriver(settings, **({"draw": lambda: 1.0} | replaced))
    async with FakeProvider(script) as fake:
        await driver.start()
        try:
            yield fake, driver
        finally:
            await driver.close()


async def read(driver: HttpDriver, wanted: HttpRequest, timings: Timings | None = None) -> bytes:
    async with driver.open(wanted, timings or Timings()) as reply:
        return b"".join([piece async for piece in reply if isinstance(piece, bytes)])


async def outcome(driver: HttpDriver, wanted: HttpRequest) -> tuple[bytes, ProviderError | None]:
    """The bytes that came, and how it ended."""
    received = bytearray()
    try:
        async with driver.open(wanted, Timings()) as reply:
            async for piece in reply:
                assert isinstance(piece, bytes)
                received += piece
    except ProviderError as error:
        return bytes(received), error
    return bytes(received), None


# What a client of the driver gets from each scenario: how many bytes of what was sent, and the error after them.
Ending = tuple[int, Code | None, bool]
WHOLE, PART = len(CLIP.data), len(HALF)
GOOD: Ending = (WHOLE, None, False)
REFUSED: Ending = (0, Code.PROVIDER_REJECTED, False)
AUTH: Ending = (0, Code.PROVIDER_AUTH, False)
BROKEN: Ending = (0, Code.PROVIDER_UNAVAILABLE, False)
DOWN: Ending = (0, Code.PROVIDER_UNAVAILABLE, True)
LATE: Ending = (0, Code.PROVIDER_TIMEOUT, True)
EMPTY: Ending = (0, Code.BAD_AUDIO, False)
CUT: Ending = (PART, Code.PROVIDER_CUT, True)
ENDINGS: dict[str, Ending] = {
    "ok": GOOD,
    "ok_length": GOOD,
    "ok_until_close": GOOD,
    "one_byte_chunks": GOOD,
    "odd_bytes": (WHOLE - 1, None, False),
    "slow_drip": GOOD,
    "wrong_content_type": GOOD,
    # 44 bytes of header, 20 of a chunk behind the audio.
    "wav_wrong_rate": (WHOLE + 64, None, False),
    # Bytes decide whether they are audio; the driver hands them on with their content type.
    "html_200": (98, None, False),
    "json_200": (125, None, False),
    "cut_chunked_fin": CUT,
    "cut_chunked_rst": CUT,
    "cut_length_fin": CUT,
    "cut_length_rst": CUT,
    "cut_until_close_rst": CUT,
    "cut_inside_chunk": (PART + len(b"short"), Code.PROVIDER_CUT, True),
    "broken_chunk_size": CUT,
    "cut_after_headers": (0, Code.PROVIDER_CUT, True),
    "early_close": DOWN,
    "early_reset": DOWN,
    "early_close_with_error": DOWN,
    "stall_before_headers": LATE,
    "stall_before_first_byte": LATE,
    "stall_mid_stream": (PART, Code.PROVIDER_TIMEOUT, True),
    "stall_in_error": DOWN,
    "empty_200": EMPTY,
    "empty_200_length": EMPTY,
    "no_content_204": EMPTY,
    "gzip_200": EMPTY,
    "status_400": REFUSED,
    "status_401": AUTH,
    "status_402": AUTH,
    "status_403": AUTH,
    "status_404": REFUSED,
    "status_422": REFUSED,
    "status_425": DOWN,
    "status_429": (0, Code.PROVIDER_RATE_LIMITED, True),
    "status_429_retry_after": (0, Code.PROVIDER_RATE_LIMITED, True),
    "status_500": DOWN,
    "status_502": DOWN,
    "status_503": DOWN,
    "status_503_retry_after": DOWN,
    "status_504": LATE,
    "html_502": DOWN,
    "endless_error": DOWN,
    "redirect": BROKEN,
    "huge_headers": BROKEN,
    "many_headers": BROKEN,
    "not_http": BROKEN,
}
WITHOUT_END = {"endless_body"}


def test_every_scenario_has_its_ending() -> None:
    assert set(ENDINGS) | WITHOUT_END == set(SCENARIOS)


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("name", ENDINGS)
def test_scenario(name: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_attempt, "REFUSAL_TIMEOUT_S", 0.1)

    async def play() -> None:
        async with speaking(scenario(name, CLIP)) as (fake, driver):
            received, error = await outcome(driver, request(fake.url))
            size, code, retryable = ENDINGS[name]
            assert (len(received), error and error.code) == (size, code)
            if code in (Code.PROVIDER_CUT, Code.PROVIDER_TIMEOUT) or (code is None and size == WHOLE):
                assert received.startswith(CLIP.data[: min(size, PART)])
            if error:
                assert error.retryable is retryable
                assert error.provider.name == "fake"
                said = f"{error} {error.message} {error.provider}"
                assert "fake" in error.message
                assert KEY not in said
                assert "Hello" not in said
            assert len(fake.exchanges) == 1

    run(play())


async def test_what_the_provider_is_sent() -> None:
    async with speaking(scenario("ok", CLIP)) as (fake, driver):
        # Escaped slashes and dots in segments must arrive as they are written.
        url = f"{fake.url}/v1/a%2Fb%3Fc/%2E%2E/stream?output_format=pcm&q=a%20b"
        assert await read(driver, request(fake.url, url=url)) == CLIP.data
        sent = fake.exchanges[0].request
    assert (sent.method, sent.target) == ("POST", "/v1/a%2Fb%3Fc/%2E%2E/stream?output_format=pcm&q=a%20b")
    assert sent.body == b'{"text":"Hello"}'
    assert sent.headers["xi-api-key"] == KEY
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["accept-encoding"] == "identity"
    assert sent.headers["user-agent"].startswith("speech-relay/")
    assert "cookie" not in sent.headers


async def test_the_reply_tells_facts_and_content_type_and_joins_repeated_headers() -> None:
    script = (Status(200, {"content-type": "audio/pcm;rate=8000", "X-Id": "a", "x-iD": "b"}), Send(b"12"))
    async with (
        speaking(script) as (fake, driver),
        driver.open(request(fake.url), Timings()) as reply,
    ):
        assert reply.content_type == "audio/pcm;rate=8000"
        assert reply.facts == ReplyFacts(source=SOURCE, ids={"id": "a, b"})


async def test_a_cookie_is_not_sent_back() -> None:
    script = (Status(200, {"set-cookie": "session=1; Path=/"}, 2), Send(b"12"))
    async with speaking(script) as (fake, driver):
        # By name: no jar takes cookies from a bare address.
        url = fake.url.replace("127.0.0.1", "localhost")
        await read(driver, request(url))
        await read(driver, request(url))
        assert "cookie" not in fake.exchanges[1].request.headers


async def test_a_redirect_carries_the_key_nowhere() -> None:
    async with FakeProvider(scenario("ok", CLIP)) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            async with speaking((Status(status, {"location": f"{elsewhere.url}/x"}, 0),)) as (fake, driver):
                with pytest.raises(ProviderError, match=f"{status}, a redirect"):
                    await read(driver, request(fake.url))
        assert elsewhere.connections_opened == 0


async def test_proxy_variables_are_ignored_unless_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with speaking(scenario("ok", CLIP)) as (fake, driver):
        assert await read(driver, request(fake.url)) == CLIP.data
    async with speaking(scenario("ok", CLIP), HttpSettings(retries=0, trust_env=True)) as (fake, driver):
        with pytest.raises(ProviderError, match="proxy"):
            await read(driver, request(fake.url))


# Connections


async def test_a_reply_read_to_its_end_leaves_its_connection_for_the_next() -> None:
    async with speaking(scenario("ok", CLIP)) as (fake, driver):
        first, second = Timings(), Timings()
        await read(driver, request(fake.url), first)
        await read(driver, request(fake.url), second)
        assert (first.connection_reused, second.connection_reused) == (False, True)
        assert fake.connections_opened == 1


async def test_idle_connections_are_closed_before_the_provider_does_it() -> None:
    async with speaking(scenario("ok", CLIP), HttpSettings(keepalive_s=0.0)) as (fake, driver):
        await read(driver, request(fake.url))
        timings = Timings()
        await read(driver, request(fake.url), timings)
        assert timings.connection_reused is False


async def test_a_warm_connection_is_used_and_nothing_was_sent_on_it() -> None:
    async with speaking(scenario("ok", CLIP)) as (fake, driver):
        assert await driver.warm({"fake": f"{fake.url}/v1"}) == {}
        assert await driver.warm({"fake": fake.url}) == {}
        await fake.connected(1)
        assert (fake.connections_opened, len(fake.exchanges)) == (1, 0)
        timings = Timings()
        assert await read(driver, request(fake.url), timings) == CLIP.data
        assert timings.connection_reused is True
        assert fake.connections_opened == 1


async def test_warming_reports_who_cannot_be_reached() -> None:
    async with speaking(scenario("ok", CLIP)) as (fake, driver):
        failures = await driver.warm({"dead": "http://127.0.0.1:9", "fake": fake.url, "lost": "http://no.invalid"})
    assert set(failures) == {"dead", "lost"}
    assert failures["dead"].message == "dead (127.0.0.1:9) cannot be reached: Connection refused"
    assert failures["lost"].message == "lost (no.invalid) has a name that does not resolve"


async def test_warming_ends_in_time() -> None:
    async with speaking(scenario("ok", CLIP), HttpSettings(connect_timeout_s=0.1)) as (fake, driver):
        # TLS to one who does not speak it, and who keeps silent.
        failures = await driver.warm({"mute": fake.url.replace("http:", "https:")})
        await fake.connected(0)
    assert failures["mute"].code is Code.PROVIDER_UNAVAILABLE
    assert "did not take a connection within 0.1 s" in failures["mute"].message


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_stale_connection_costs_no_retry(method: str, reset: bool) -> None:
    # The provider closes the idle connection just as the second request comes: it never reads that.
    script = in_turn(whole(CLIP), (Cut(reset=reset),), whole(CLIP))
    waits = Waits()
    async with speaking(script, sleep=waits) as (fake, driver):
        await read(driver, request(fake.url))
        timings = Timings()
        assert await read(driver, request(fake.url, method=method), timings) == CLIP.data
        assert fake.connections_opened == 2
        assert timings.connection_reused is False
        assert waits == []


async def test_connections_that_all_went_stale_together() -> None:
    three = [scenario("stall_mid_stream", CLIP)] * 3
    async with speaking(in_turn(*three, *[(Cut(),)] * 3, whole(CLIP)), HttpSettings(retries=0)) as (fake, driver):
        reading = [asyncio.create_task(read(driver, request(fake.url))) for _ in three]
        await fake.exchange(2)
        fake.release()
        assert await asyncio.gather(*reading) == [CLIP.data] * 3
        assert fake.connections_opened == 3
        assert await read(driver, request(fake.url)) == CLIP.data
        assert fake.connections_opened == 4


async def test_a_fresh_connection_that_fails_is_no_stale_one() -> None:
    async with speaking(in_turn((Cut(),), whole(CLIP))) as (fake, driver):
        with pytest.raises(ProviderError, match="closed the connection before it answered"):
            await read(driver, request(fake.url))
        assert len(fake.exchanges) == 1


async def test_the_receive_buffer_is_bounded() -> None:
    async with (
        speaking(scenario("stall_mid_stream", CLIP)) as (fake, driver),
        driver.open(request(fake.url), Timings()) as reply,
    ):
        connection = reply._response.connection
        assert connection is not None
        assert connection.transport is not None
        sock = connection.transport.get_extra_info("socket")
        # Linux reports the double of what was asked for.
        size = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert http.RECEIVE_BUFFER_BYTES <= size <= 2 * http.RECEIVE_BUFFER_BYTES
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


# Backpressure and leaving


async def at_rest(exchange: Any) -> int:
    """The bytes sent, once no more are taken for 50 ms."""
    async with asyncio.timeout(5):
        while True:
            before = exchange.sent_bytes
            await asyncio.sleep(0.05)
            if exchange.sent_bytes == before > 0:
                return int(before)


async def test_a_reader_that_stops_stops_the_provider_and_is_no_stall() -> None:
    settings = HttpSettings(stall_timeout_s=0.04)
    async with (
        speaking(scenario("endless_body", Clip(noise(0.1), "audio/pcm")), settings) as (fake, driver),
        driver.open(request(fake.url), Timings()) as reply,
    ):
        exchange = await fake.exchange(0)
        received = len(await anext(reply))  # type: ignore[arg-type]
        held = await at_rest(exchange) - received
        # Ours, one read of the socket, the two kernel buffers (doubled by Linux), one write of the fake's.
        bound = 2 * READ_BYTES + MOST_BYTES + 2 * http.RECEIVE_BUFFER_BYTES + 2 * (2 * 16384) + 4800
        assert held <= bound
        async with asyncio.timeout(5):
            while exchange.sent_bytes <= 2 * bound:
                received += len(await anext(reply))  # type: ignore[arg-type]
        assert not exchange.client_left
    assert received > bound


async def test_what_has_come_is_taken_in_reads_of_a_bound() -> None:
    async with (
        speaking((Status(200, {"content-type": "audio/pcm"}), Send(noise(2.0)))) as (fake, driver),
        driver.open(request(fake.url), Timings()) as reply,
    ):
        await at_rest(await fake.exchange(0))
        pieces = [piece async for piece in reply if isinstance(piece, bytes)]
    assert b"".join(pieces) == noise(2.0)
    assert max(map(len, pieces)) == READ_BYTES


async def test_the_last_byte_is_there_when_it_has_come_and_not_when_it_is_taken() -> None:
    timings = Timings()
    async with (
        speaking((Status(200, {"content-type": "audio/pcm"}), Send(noise(0.45)))) as (fake, driver),
        driver.open(request(fake.url), timings) as reply,
    ):
        await at_rest(await fake.exchange(0))
        for _ in range(2):
            assert len(await anext(reply)) == READ_BYTES  # type: ignore[arg-type]
        then_s = time.monotonic()
        assert [piece async for piece in reply]
    assert timings.instants_s[Stage.FIRST_BYTE] <= timings.instants_s[Stage.LAST_BYTE] < then_s


@pytest.mark.parametrize("name", ["endless_body", "stall_mid_stream"])
async def test_leaving_a_reply_stops_the_provider(name: str) -> None:
    async with speaking(scenario(name, CLIP)) as (fake, driver):
        async with driver.open(request(fake.url), Timings()) as reply:
            assert await anext(reply)
        await fake.exchanges[0].left()
        assert fake.connections_open == 0


async def test_an_error_in_the_reader_stops_the_provider() -> None:
    async with speaking(scenario("endless_body", CLIP)) as (fake, driver):
        with pytest.raises(ZeroDivisionError):
            async with driver.open(request(fake.url), Timings()) as reply:
                async for _ in reply:
                    raise ZeroDivisionError
        await fake.exchanges[0].left()


# Cancellation. The pool has one place: a connection that is not given back would make the last request wait for ever.

ONE_PLACE = HttpSettings(connections=1, connect_timeout_s=1.0, retries=0)


@pytest.mark.parametrize(
    "waiting_for",
    ["stall_before_headers", "stall_before_first_byte", "stall_mid_stream", "stall_in_error"],
)
async def test_cancelled_while_waiting(waiting_for: str) -> None:
    async with speaking(in_turn(scenario(waiting_for, CLIP), whole(CLIP)), ONE_PLACE) as (fake, driver):
        task = asyncio.create_task(read(driver, request(fake.url)))
        exchange = await fake.exchange(0)
        # Turns of the loop, so that what the script sends before its stall is in.
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await exchange.left()
        assert await read(driver, request(fake.url)) == CLIP.data


async def test_cancelled_while_connecting() -> None:
    async with speaking(whole(CLIP), ONE_PLACE) as (fake, driver):
        task = asyncio.create_task(read(driver, request(fake.url.replace("http:", "https:"))))
        await fake.connected(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await fake.connected(0)
        assert await read(driver, request(fake.url)) == CLIP.data


async def test_cancelled_while_waiting_for_the_next_attempt() -> None:
    waiting = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    settings = HttpSettings(connections=1)
    async with speaking(in_turn(error_reply(503), whole(CLIP)), settings, sleep=sleep) as (fake, driver):
        task = asyncio.create_task(read(driver, request(fake.url)))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await read(driver, request(fake.url)) == CLIP.data


@pytest.mark.parametrize("name", ["ok", "cut_chunked_rst", "status_422", "empty_200", "early_close"])
async def test_cancelled_at_every_turn_of_the_loop(name: str) -> None:
    async with speaking(scenario(name, CLIP), ONE_PLACE) as (fake, driver):
        finished = 0
        for turns in range(60):
            task = asyncio.create_task(outcome(driver, request(fake.url)))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
                finished += 1
            except asyncio.CancelledError:
                pass
        received, error = await outcome(driver, request(fake.url))
        assert (len(received), error and error.code) == ENDINGS[name][:2]
        # The sweep has gone past the end.
        assert finished > 0


# Waiting


async def test_no_connection_in_time() -> None:
    # A listener whose queue is full lets SYNs lie.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with socket.create_connection(address), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(address)
            async with speaking(whole(CLIP), HttpSettings(connect_timeout_s=0.1, retries=0)) as (_fake, driver):
                with pytest.raises(ProviderError, match=r"did not take a connection within 0\.1 s") as caught:
                    await read(driver, request(f"http://127.0.0.1:{address[1]}"))
    assert caught.value.code is Code.PROVIDER_UNAVAILABLE
    assert caught.value.retryable


async def test_a_pool_without_a_free_place_is_waited_for_no_longer_than_a_connection() -> None:
    settings = HttpSettings(connections=1, connect_timeout_s=0.1, retries=0)
    async with (
        speaking(scenario("stall_mid_stream", CLIP), settings) as (fake, driver),
        driver.open(request(fake.url), Timings()),
    ):
        with pytest.raises(ProviderError, match="did not take a connection within"):
            await read(driver, request(fake.url))


async def test_tls_that_is_none() -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, speaking(whole(CLIP)) as (_fake, driver):
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ProviderError, match=r"does not speak TLS as this machine does$") as caught:
            await read(driver, request(f"https://127.0.0.1:{port}"))
    assert not caught.value.retryable


async def test_a_slow_first_byte_is_waited_for_if_the_request_says_so() -> None:
    script = (Pause(0.3), *whole(CLIP))
    settings = HttpSettings(first_byte_timeout_s=0.1, open_timeout_s=0.2, retries=0)
    async with speaking(script, settings) as (fake, driver):
        with pytest.raises(ProviderError, match=r"did not send a first byte within 0\.1 s"):
            await read(driver, request(fake.url))
        assert await read(driver, request(fake.url, first_byte_timeout_s=3.0)) == CLIP.data


async def test_all_attempts_together_keep_the_deadline() -> None:
    settings = HttpSettings(first_byte_timeout_s=0.15, connect_timeout_s=0.1, open_timeout_s=0.2, backoff_s=0.0)
    async with speaking((Stall(),), settings) as (fake, driver):
        started_s = asyncio.get_running_loop().time()
        with pytest.raises(ProviderError) as caught:
            await read(driver, request(fake.url))
        assert asyncio.get_running_loop().time() - started_s < 0.35
        assert caught.value.code is Code.PROVIDER_TIMEOUT
        assert len(fake.exchanges) == 2


async def test_a_wait_that_would_pass_the_deadline_is_not_begun() -> None:
    waits = Waits()
    settings = HttpSettings(open_timeout_s=0.5, connect_timeout_s=0.5, longest_retry_wait_s=9.0)
    script = in_turn(error_reply(429, retry_after="1"), whole(CLIP))
    async with speaking(script, settings, sleep=waits) as (fake, driver):
        with pytest.raises(ProviderError) as caught:
            await read(driver, request(fake.url))
        assert caught.value.retry_after_s == 1
        assert (waits, len(fake.exchanges)) == ([], 1)


# Retries

PATIENT = HttpSettings(backoff_s=0.1, retries=2, longest_retry_wait_s=2.0)


@pytest.mark.parametrize(
    "failures",
    [
        [error_reply(503)],
        [error_reply(429), error_reply(502)],
        [scenario("cut_after_headers", CLIP)],
        [scenario("early_close", CLIP), scenario("early_reset", CLIP)],
    ],
)
async def test_what_may_pass_is_tried_again(failures: Sequence[Script]) -> None:
    waits = Waits()
    async with speaking(in_turn(*failures, whole(CLIP)), PATIENT, sleep=waits) as (fake, driver):
        assert await read(driver, request(fake.url)) == CLIP.data
        assert waits == [0.1, 0.2][: len(failures)]
        assert len({exchange.request.body for exchange in fake.exchanges}) == 1


async def test_three_attempts_and_no_more() -> None:
    waits = Waits()
    async with speaking(error_reply(503), PATIENT, sleep=waits) as (fake, driver):
        with pytest.raises(ProviderError) as caught:
            await read(driver, request(fake.url))
        assert caught.value.provider.status == 503
        assert (len(fake.exchanges), waits) == (3, [0.1, 0.2])


async def test_the_backoff_is_drawn() -> None:
    waits, draws = Waits(), iter([0.0, 0.25])
    async with speaking(error_reply(503), PATIENT, sleep=waits, draw=lambda: next(draws)) as (fake, driver):
        with pytest.raises(ProviderError):
            await read(driver, request(fake.url))
    assert waits == [0.0, 0.05]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
async def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    async with speaking(error_reply(status), PATIENT) as (fake, driver):
        with pytest.raises(ProviderError):
            await read(driver, request(fake.url))
        assert len(fake.exchanges) == 1


async def test_an_empty_reply_is_not_tried_again() -> None:
    async with speaking(scenario("empty_200", CLIP), PATIENT) as (fake, driver):
        with pytest.raises(ProviderError, match="sent no audio"):
            await read(driver, request(fake.url))
        assert len(fake.exchanges) == 1


async def test_nothing_is_tried_again_after_the_first_piece() -> None:
    async with speaking(in_turn(scenario("cut_chunked_fin", CLIP), whole(CLIP)), PATIENT) as (fake, driver):
        received, error = await outcome(driver, request(fake.url))
        assert received == HALF
        assert error is not None
        assert error.code is Code.PROVIDER_CUT
        assert len(fake.exchanges) == 1


@pytest.mark.parametrize(
    ("reply", "wait_s"),
    [
        (error_reply(429, retry_after="1"), 1.1),
        (error_reply(503, retry_after="2"), 2.1),
        (
            error_reply(429, retry_after="Fri, 20 Nov 2026 10:00:02 GMT", date="Fri, 20 Nov 2026 10:00:01 GMT"),
            1.1,
        ),
    ],
)
async def test_retry_after_is_kept(reply: Script, wait_s: float) -> None:
    waits = Waits()
    async with speaking(in_turn(reply, whole(CLIP)), PATIENT, sleep=waits) as (fake, driver):
        assert await read(driver, request(fake.url)) == CLIP.data
    assert waits == [wait_s]


async def test_a_long_retry_after_is_the_clients_to_wait() -> None:
    waits = Waits()
    settings = HttpSettings(longest_retry_wait_s=2.0, open_timeout_s=600.0)
    async with speaking(scenario("status_503_retry_after"), settings, sleep=waits) as (fake, driver):
        with pytest.raises(ProviderError) as caught:
            await read(driver, request(fake.url))
        assert caught.value.retry_after_s == 120
        assert (len(fake.exchanges), waits) == (1, [])


# Refusals


async def test_a_refusal_is_shown_to_the_adapter_whole_up_to_its_bound() -> None:
    seen: list[Refusal] = []

    def refuse(refusal: Refusal) -> ProviderError:
        seen.append(refusal)
        return faults.refused("fake", refusal)

    async with speaking(in_turn(error_reply(422), scenario("endless_error"))) as (fake, driver):
        for _ in range(2):
            with pytest.raises(ProviderError):
                await read(driver, request(fake.url, refuse=refuse))
        await fake.exchanges[1].left()
        # The connection of the short refusal was used again.
        assert fake.connections_opened == 1
    short, endless = seen
    assert (short.status, short.headers["content-type"]) == (422, "application/json")
    assert b"VALIDATION_ERROR" in short.body
    assert (endless.status, len(endless.body)) == (500, 64 * 1024)


async def test_a_refusal_that_is_cut_keeps_what_had_come() -> None:
    seen: list[Refusal] = []

    def refuse(refusal: Refusal) -> ProviderError:
        seen.append(refusal)
        return faults.refused("fake", refusal)

    async with speaking(scenario("early_close_with_error")) as (fake, driver):
        with pytest.raises(ProviderError):
            await read(driver, request(fake.url, refuse=refuse))
    assert seen[0].body == b'{"ok": false, "code": "INTERNAL_ERROR", "detail'


async def test_a_refusal_whose_cut_was_noticed_before_its_bytes_were_read() -> None:
    loop = asyncio.get_running_loop()
    content = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    content.feed_data(b"why")
    content.set_exception(ClientPayloadError())
    response: Any = SimpleNamespace(content=content)
    assert await http_attempt.refusal_body(response) == b"why"


async def test_a_body_that_is_no_audio_can_be_refused() -> None:
    async with (
        speaking(scenario("json_200", CLIP)) as (fake, driver),
        driver.open(request(fake.url), Timings()) as reply,
    ):
        body = b"".join([piece async for piece in reply])  # type: ignore[misc]
        error = reply.refuse(body * 1000)
    assert error.provider.status == 200
    assert error.code is Code.BAD_AUDIO


async def test_an_adapter_may_not_like_the_headers() -> None:
    def accept(_headers: object) -> ReplyFacts:
        raise faults.refused("fake", Refusal(status=200, headers={}, body=b"no such rate"))

    async with speaking(whole(CLIP), ONE_PLACE) as (fake, driver):
        with pytest.raises(ProviderError, match="no such rate"):
            await read(driver, request(fake.url, accept=accept))
        assert await read(driver, request(fake.url)) == CLIP.data


# Pieces


class Pairs:
    """Two bytes make a piece; an odd one at the end is given by the flush. Begins with a word time."""

    def __init__(self) -> None:
        self.held = b""
        self.begun = False

    def feed(self, piece: bytes) -> list[Piece]:
        data = self.held + piece
        whole = len(data) // 2 * 2
        self.held = data[whole:]
        pieces: list[Piece] = [data[at : at + 2] for at in range(0, whole, 2)]
        if pieces and not self.begun:
            self.begun = True
            pieces.insert(0, WordTime(text="w", start_s=0.0, end_s=1.0))
        return pieces

    def flush(self) -> list[Piece]:
        return [self.held] if self.held else []


async def test_a_body_is_unwrapped_and_flushed_at_its_end() -> None:
    script = (Status(200), Send(b"1"), Pause(0.02), Send(b"234"), Pause(0.02), Send(b"5"))
    async with (
        speaking(script) as (fake, driver),
        driver.open(request(fake.url, unwrap=Pairs), Timings()) as reply,
    ):
        pieces = [piece async for piece in reply]
    assert pieces == [WordTime(text="w", start_s=0.0, end_s=1.0), b"12", b"34", b"5"]


async def test_a_body_whose_only_piece_is_in_the_flush() -> None:
    async with speaking((Status(200), Send(b"1"))) as (fake, driver):
        assert await read(driver, request(fake.url, unwrap=Pairs)) == b"1"


async def test_a_body_that_unwraps_to_nothing_is_no_audio() -> None:
    class Nothing(Pairs):
        def feed(self, piece: bytes) -> list[Piece]:
            return []

    async with speaking(whole(CLIP)) as (fake, driver):
        with pytest.raises(ProviderError, match="sent no audio"):
            await read(driver, request(fake.url, unwrap=Nothing))


async def test_a_cut_body_is_not_flushed() -> None:
    async with speaking((Status(200), Send(b"12345"), Pause(0.02), Cut())) as (fake, driver):
        pieces: list[Piece] = []
        with pytest.raises(ProviderError) as caught:
            async with driver.open(request(fake.url, unwrap=Pairs), Timings()) as reply:
                async for piece in reply:
                    pieces.append(piece)  # noqa: PERF401 - what came before the error counts
        assert pieces[1:] == [b"12", b"34"]
        assert caught.value.code is Code.PROVIDER_CUT


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("framing", ["chunked", WHOLE])
async def test_bytes_that_came_before_a_cut_are_delivered_before_it(framing: Framing, reset: bool) -> None:
    script = (Status(200, {}, framing), Send(b"first"), Stall(), Send(HALF), Cut(reset=reset))
    async with speaking(script) as (fake, driver), driver.open(request(fake.url), Timings()) as reply:
        assert await anext(reply) == b"first"
        fake.release()
        await fake.connected(0)
        # Until the driver's side has seen it too, while nobody reads.
        async with asyncio.timeout(5):
            while reply._response.content.exception() is None:
                await asyncio.sleep(0)
        assert await anext(reply) == HALF
        for _ in range(2):
            with pytest.raises(ProviderError) as caught:
                await anext(reply)
            assert caught.value.code is Code.PROVIDER_CUT


async def test_a_reply_that_is_left_before_its_cut_was_told_does_not_wait_for_the_garbage_collector() -> None:
    async with speaking((Status(200), Send(b"first"), Stall(), Send(HALF), Cut())) as (fake, driver):
        with left_in_cycles() as left:
            async with driver.open(request(fake.url), Timings()) as reply:
                assert await anext(reply) == b"first"
                fake.release()
                async with asyncio.timeout(5):
                    while reply._response.content.exception() is None:
                        await asyncio.sleep(0)
                assert await anext(reply) == HALF
            del reply
        assert not left


@pytest.mark.parametrize("name", ["empty_200", "cut_after_headers", "stall_before_first_byte", "ok", "cut_length_fin"])
async def test_no_timer_outlives_its_reply(name: str) -> None:
    async with speaking(scenario(name, CLIP)) as (fake, driver):
        await outcome(driver, request(fake.url))
        # Those there are belong to errors still remembered by aiohttp.
        watches = [thing for thing in gc.get_objects() if isinstance(thing, _Watch)]
        assert [watch for watch in watches if not watch._timer.cancelled()] == []


async def test_bytes_that_the_read_was_not_told_of_yet_are_no_stall() -> None:
    # As after a stop of the whole loop: bytes and timer are due in the same turn, and the read comes after both.
    loop = asyncio.get_running_loop()
    content = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    watch = _Watch(content, None, Peer("fake", "host"))
    watch.allow(5.0)
    watch.waiting_since_s = loop.time() - 6.0
    content.feed_data(b"here")
    watch._look()
    assert content.exception() is None
    watch._look()
    assert "sent nothing for 5 s" in str(content.exception())
    watch.stop()


async def test_unwrapping_that_takes_too_long_ends_with_the_deadline() -> None:
    class Nothing(Pairs):
        def feed(self, piece: bytes) -> list[Piece]:
            return []

    settings = HttpSettings(open_timeout_s=0.2, connect_timeout_s=0.2, retries=0)
    async with speaking(scenario("endless_body", CLIP), settings) as (fake, driver):
        with pytest.raises(ProviderError, match=r"sent no audio within 0\.\d+ s") as caught:
            await read(driver, request(fake.url, unwrap=Nothing))
        assert caught.value.code is Code.PROVIDER_TIMEOUT
        await fake.exchanges[0].left()


# Timings


async def test_marks_are_in_order_and_of_the_attempt_that_succeeded() -> None:
    script = in_turn(error_reply(503), (Status(200, {}, 2), Pause(0.05), Send(b"12")))
    async with speaking(script, HttpSettings(backoff_s=0.0)) as (fake, driver):
        timings = Timings()
        await read(driver, request(fake.url), timings)
    sent, headers, first = (
        timings.instants_s[stage] for stage in (Stage.REQUEST_SENT, Stage.RESPONSE_HEADERS, Stage.FIRST_BYTE)
    )
    assert sent < headers < first
    assert first - headers >= 0.045
    # The refused attempt's connection was good for the second.
    assert timings.connection_reused is True


async def test_a_failed_request_marks_no_headers() -> None:
    async with speaking(error_reply(422)) as (fake, driver):
        timings = Timings()
        with pytest.raises(ProviderError):
            await read(driver, request(fake.url), timings)
    assert set(timings.instants_s) == {Stage.REQUEST_SENT}
    assert timings.connection_reused is None


# Fetching, settings, life


async def test_fetch_gives_the_whole_body_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FETCH_BYTES", 10_000)
    async with speaking(in_turn(whole(CLIP), scenario("endless_body", CLIP))) as (fake, driver):
        assert await driver.fetch(request(fake.url)) == CLIP.data
        with pytest.raises(ProviderError, match="sent more than 10000 bytes"):
            await driver.fetch(request(fake.url))
        await fake.exchanges[1].left()


@each(
    "wrong",
    [
        {"connect_timeout_s": 0},
        {"first_byte_timeout_s": float("inf")},
        {"stall_timeout_s": -1},
        {"open_timeout_s": float("nan")},
        {"retries": -1},
        {"backoff_s": -0.1},
        {"longest_retry_wait_s": float("nan")},
        {"keepalive_s": -1},
        {"connections": 0},
    ],
)
def test_impossible_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HttpSettings(**wrong)


async def test_many_at_once() -> None:
    async with speaking(scenario("ok", CLIP), HttpSettings()) as (fake, driver):
        replies = await asyncio.gather(*(read(driver, request(fake.url)) for _ in range(100)))
        assert set(replies) == {CLIP.data}
        assert {exchange.finished for exchange in fake.exchanges} == {True}


async def test_close_is_idempotent_and_closes_idle_connections() -> None:
    async with speaking(scenario("ok", CLIP)) as (fake, driver):
        await read(driver, request(fake.url))
        await driver.close()
        await fake.connected(0)
        await driver.close()


# Signing, dropping, telling when pieces came


async def test_each_attempt_is_signed_right_before_it_is_sent() -> None:
    signed: list[AttemptFacts] = []

    def sign(facts: AttemptFacts) -> dict[str, str]:
        signed.append(facts)
        return {"x-nonce": facts.nonce, "xi-api-key": "signed"}

    before_s = time.time()
    async with speaking(in_turn(error_reply(503), whole(CLIP)), HttpSettings(backoff_s=0.0)) as (fake, driver):
        assert await read(driver, request(fake.url, sign=sign)) == CLIP.data
        sent = [exchange.request.headers for exchange in fake.exchanges]
    assert [headers["x-nonce"] for headers in sent] == [facts.nonce for facts in signed]
    assert {headers["xi-api-key"] for headers in sent} == {"signed"}
    assert len({facts.nonce for facts in signed}) == 2
    assert all(len(facts.nonce) == 32 and before_s <= facts.now_s <= time.time() for facts in signed)


@each("run", [asyncio.run, uvloop.run])
@each("method", ["GET", "POST", "PUT", "DELETE"])
@each("body", [None, b"", b"x", b"y" * 300_000])
def test_a_body_arrives_whole_behind_its_head(run: Run, method: str, body: bytes | None) -> None:
    async def main() -> None:
        async with speaking(whole(CLIP), HttpSettings(retries=0)) as (fake, driver):
            for _ in range(2):
                assert await read(driver, request(fake.url, method=method, body=body)) == CLIP.data
            assert fake.connections_opened == 1
            for exchange in fake.exchanges:
                assert exchange.request.body == (body or b"")
                assert exchange.request.method == method
                assert "transfer-encoding" not in exchange.request.headers

    run(main())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_an_abort_stops_the_provider_before_the_reply_is_left(run: Run) -> None:
    async def main() -> None:
        async with speaking(in_turn(scenario("endless_body", CLIP), whole(CLIP))) as (fake, driver):
            async with driver.open(request(fake.url), Timings()) as reply:
                assert await anext(reply)
                reply.abort()
                reply.abort()
                await fake.exchanges[0].left()
            assert await read(driver, request(fake.url)) == CLIP.data
            assert fake.connections_opened == 2

    run(main())


async def test_a_read_that_waits_ends_when_the_reply_is_aborted() -> None:
    async with speaking(scenario("stall_mid_stream", CLIP), HttpSettings()) as (fake, driver):
        async with driver.open(request(fake.url), Timings()) as reply:
            received = len(await anext(reply))  # type: ignore[arg-type]
            while received < PART:
                received += len(await anext(reply))  # type: ignore[arg-type]
            waiting = asyncio.ensure_future(anext(reply))
            await asyncio.sleep(0)
            reply.abort()
            with pytest.raises(ProviderError):
                await waiting
            await fake.exchanges[0].left()


async def test_an_abort_of_a_complete_reply_keeps_its_connection() -> None:
    async with speaking(whole(CLIP)) as (fake, driver):
        async with driver.open(request(fake.url), Timings()) as reply:
            async with asyncio.timeout(5):
                while not reply.complete:
                    await asyncio.sleep(0)
            assert not reply.ended
            reply.abort()
        assert await read(driver, request(fake.url)) == CLIP.data
        assert fake.connections_opened == 1


async def test_a_piece_says_when_it_came() -> None:
    timings = Timings()
    script = (Status(200), Send(b"12"), Stall(), Send(b"34"))
    async with (
        speaking(script, HttpSettings()) as (fake, driver),
        driver.open(request(fake.url, unwrap=Pairs), timings) as reply,
    ):
        assert isinstance(await anext(reply), WordTime)
        assert await anext(reply) == b"12"
        first_s = reply.piece_came_s
        assert first_s == timings.instants_s[Stage.FIRST_BYTE]
        released_s = time.monotonic()
        fake.release()
        assert await anext(reply) == b"34"
        assert reply.piece_came_s is not None
        assert first_s < released_s < reply.piece_came_s


async def test_what_came_while_nobody_read_came_no_later_than_the_next_read() -> None:
    async with (
        speaking((Status(200), Send(b"12"), Stall(), Send(noise(0.1)))) as (fake, driver),
        driver.open(request(fake.url), Timings()) as reply,
    ):
        assert await anext(reply) == b"12"
        fake.release()
        await fake.exchanges[0].done()
        async with asyncio.timeout(5):
            while not reply.complete:
                await asyncio.sleep(0)
        there_s = time.monotonic()
        rest = [piece async for piece in reply]
        assert b"".join(rest) == noise(0.1)  # type: ignore[arg-type]
        assert reply.piece_came_s is not None
        assert there_s <= reply.piece_came_s <= time.monotonic()


async def test_a_body_waits_for_what_was_written_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseProtocol, "writing_paused", property(lambda _protocol: True))
    async with speaking(whole(CLIP), HttpSettings(retries=0)) as (fake, driver):
        assert await read(driver, request(fake.url)) == CLIP.data
        assert fake.exchanges[0].request.body == b'{"text":"Hello"}'
        assert fake.exchanges[0].request.headers["content-length"] == "16"
