"""What a client does wrong gets the error that the protocol names, and the session lives where it says so."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from relay.config import LimitsConfig
from relay.errors import Code
from relay.server.app import Server
from relay.testing.scenarios import PCM_CLIP, scenario
from tests.server.harness import Client, client, relay_to

LIMITS = LimitsConfig(max_message_bytes=4096, max_turn_chars=100, max_open_turns=2)


async def check_alive(caller: Client) -> None:
    heard = await caller.speak("Still here.")
    assert heard.end["type"] == "turn.done"
    assert heard.audio[: len(PCM_CLIP.data)] == PCM_CLIP.data


@pytest.mark.parametrize(
    ("message", "code", "says"),
    [
        ("not json", Code.INVALID_MESSAGE, "JSON"),
        ('{"type":"shout"}', Code.INVALID_MESSAGE, "shout"),
        ('{"type":"speak","text":5}', Code.INVALID_MESSAGE, "text"),
        ('{"type":"speak","text":"a","voce":"x"}', Code.INVALID_MESSAGE, "voce"),
        ('{"type":"text.append","text":"a"}', Code.UNKNOWN_TURN, "turn.start"),
        ('{"type":"turn.end","turn_id":"x"}', Code.UNKNOWN_TURN, "'x'"),
        ('{"type":"speak","text":"a","audio":{"sample_rate":44100,"frame_ms":1}}', Code.INVALID_CONFIG, "frame_ms"),
        ('{"type":"speak","text":"a","audio":{"sample_rate":44100,"frame_ms":15}}', Code.INVALID_CONFIG, "10 ms"),
        ('{"type":"speak","text":"a","audio":{"sample_rate":11025}}', Code.INVALID_CONFIG, "40 ms"),
        ('{"type":"speak","text":"a","audio":{"sample_rate":7}}', Code.INVALID_CONFIG, "24000"),
        ('{"type":"speak","text":"a","audio":{"encoding":"opus"}}', Code.INVALID_CONFIG, "pcm_s16le"),
        ('{"type":"speak","text":"a","audio":{"channels":3}}', Code.INVALID_CONFIG, "channels"),
        ('{"type":"speak","text":"a","audio":{"tail":"cut"}}', Code.INVALID_CONFIG, "pad"),
        ('{"type":"speak","text":"a","pacing":{"mode":"slow"}}', Code.INVALID_CONFIG, "realtime"),
        ('{"type":"speak","text":"a","pacing":{"lead_ms":-1}}', Code.INVALID_CONFIG, "lead_ms"),
        ('{"type":"speak","text":"a","flow":{"window_ms":1}}', Code.INVALID_CONFIG, "window_ms"),
        ('{"type":"speak","text":"a","provider":"nobody"}', Code.INVALID_CONFIG, "breeze"),
        ('{"type":"speak","text":"a","turn_id":"no spaces"}', Code.INVALID_CONFIG, "turn_id"),
        ('{"type":"speak","text":"a","options":{"volume":11}}', Code.INVALID_CONFIG, "voice_settings"),
        (json.dumps({"type": "speak", "text": "a" * 101}), Code.TEXT_TOO_LONG, "max_turn_chars"),
        ('{"type":"flow.grant","ms":0}', Code.UNKNOWN_TURN, "turn"),
    ],
)
async def test_a_wrong_message_gets_its_error_and_the_session_lives(message: str, code: Code, says: str) -> None:
    async with relay_to(scenario("ok"), limits=LIMITS) as (server, _), client(server) as caller:
        await caller.websocket.send(message)
        error: Any = await caller.receive()
        assert (error["type"], error["code"], error["retryable"]) == ("error", code, False)
        assert says in error["message"]
        await check_alive(caller)


async def test_too_many_open_turns() -> None:
    async with relay_to(scenario("ok"), limits=LIMITS) as (server, _), client(server) as caller:
        for turn_id in "ab":
            await caller.send(type="turn.start", turn_id=turn_id)
            await caller.event("turn.started")
        await caller.send(type="turn.start", turn_id="c")
        error = await caller.event()
        assert (error["code"], error["turn_id"], error["retryable"]) == (Code.RATE_LIMITED, "c", True)


async def test_text_that_grows_too_long_fails_the_turn() -> None:
    async with relay_to(scenario("ok"), limits=LIMITS) as (server, _), client(server) as caller:
        await caller.send(type="turn.start", turn_id="a")
        await caller.send(type="text.append", text="x" * 90)
        await caller.send(type="text.append", text="x" * 90)
        error = (await caller.turn("a")).end
        assert (error["code"], error["turn_id"]) == (Code.TEXT_TOO_LONG, "a")
        await check_alive(caller)


async def test_an_unknown_voice_of_the_built_in_provider() -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server) as caller:
        heard = await caller.speak("Hello.", provider="espeak", voice="klingon-9")
        assert heard.end["code"] == Code.VOICE_NOT_FOUND
        assert "klingon-9" in heard.end["message"]
        await check_alive(caller)


async def test_a_binary_message_closes_1003() -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server) as caller:
        await caller.websocket.send(b"\0\1")
        error: Any = await caller.receive()
        assert (error["type"], error["code"]) == ("error", Code.INVALID_MESSAGE)
        assert await caller.close_code() == (1003, "invalid_message")


async def test_a_message_too_big_closes_1009() -> None:
    async with relay_to(scenario("ok"), limits=LIMITS) as (server, _), client(server) as caller:
        await caller.websocket.send("x" * 5000)
        error: Any = await caller.receive()
        assert error["code"] == Code.INVALID_MESSAGE
        assert "4096" in error["message"]
        assert await caller.close_code() == (1009, "invalid_message")


async def test_a_message_of_100_megabytes_is_refused_before_it_is_read() -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server) as caller, client(server) as neighbour:
        with pytest.raises(ConnectionClosed):
            await caller.websocket.send("x" * 100_000_000)
            await caller.websocket.recv()
            await caller.websocket.recv()
        await check_alive(neighbour)


async def test_text_that_is_not_utf8_closes_1007() -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server) as caller:
        await caller.websocket.send(b'{"type":"speak","text":"\xff"}', text=True)
        error: Any = await caller.receive()
        assert error["code"] == Code.INVALID_MESSAGE
        assert await caller.close_code() == (1007, "invalid_message")


async def test_a_flood_of_messages_does_not_stop_the_neighbour() -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server) as flooder, client(server) as neighbour:
        for _ in range(500):
            await flooder.send(type="text.append", text="x")
        await check_alive(neighbour)
        flooder.websocket.transport.abort()  # a farewell would stand behind what it has not read


def narrow(server: Server) -> socket.socket:
    """A connection with little room for what nobody reads: the kernel of this machine may give it 30 MB by and by."""
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connected.connect(("127.0.0.1", server.port))
    connected.setblocking(False)
    return connected


async def say_until_cut_off(server: Server, caller: Client, say: Callable[[], Awaitable[None]]) -> None:
    """Reads nothing, and says it again and again; what is not taken at once only shows that somebody is busy."""
    caller.websocket.transport.pause_reading()
    with suppress(ConnectionClosed):
        while server.engine.session_limiter.taken:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await say()
                    await asyncio.sleep(0)  # the relay lives in this loop too
    while server.engine.session_limiter.taken:
        await asyncio.sleep(0.01)
    caller.websocket.transport.abort()


async def test_a_client_that_asks_and_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that nobody reads are bounded."""
    monkeypatch.setattr("relay.server.websocket.CLOSE_TIMEOUT_S", 0.1)
    async with relay_to(scenario("ok")) as (server, _):
        async with client(server, max_queue=1, sock=narrow(server)) as flooder:
            await say_until_cut_off(server, flooder, lambda: flooder.websocket.send("x" * 60_000))
        async with client(server) as neighbour:
            await check_alive(neighbour)


async def test_a_client_that_opens_turns_and_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it says when the last answer does not fit any more, the others notice nothing."""
    monkeypatch.setattr("relay.server.websocket.CLOSE_TIMEOUT_S", 0.1)
    monkeypatch.setattr("relay.core.playout.MAX_URGENT", 3)
    async with relay_to(scenario("ok")) as (server, _):
        async with client(server, max_queue=1, sock=narrow(server)) as flooder:

            async def begin_and_cancel() -> None:
                await flooder.send(type="speak", text="Hello.")
                await flooder.send(type="turn.cancel")

            await say_until_cut_off(server, flooder, begin_and_cancel)
        async with client(server) as neighbour:
            await check_alive(neighbour)
        assert b"relay_turns 0.0" in server.engine.metrics.render()


async def test_a_client_that_vanishes_ends_the_providers_work() -> None:
    async with relay_to(scenario("endless_body")) as (server, fake):
        async with client(server) as caller:
            await caller.send(type="speak", text="Hello.")
            exchange = await fake.exchange(0)
            await caller.event("audio.started")
            caller.websocket.transport.abort()
            await exchange.left()


async def test_session_close_cancels_and_closes_1000() -> None:
    async with relay_to(scenario("stall_before_headers")) as (server, fake), client(server) as caller:
        await caller.send(type="speak", text="Hello.", turn_id="a")
        exchange = await fake.exchange(0)
        await caller.send(type="session.close")
        assert (await caller.turn("a")).end["type"] == "turn.cancelled"
        assert (await caller.close_code())[0] == 1000
        await exchange.left()


async def test_an_idle_session_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.server.app.SWEEP_S", 0.02)
    async with (
        relay_to(scenario("ok"), limits=LimitsConfig(idle_timeout_s=0.1)) as (server, _),
        client(server) as caller,
    ):
        assert await caller.event("session.closing") == {
            "type": "session.closing",
            "reason": "idle_timeout",
            "retryable": True,
        }
        assert await caller.close_code() == (1008, "idle_timeout")


async def test_a_client_that_stops_reading_for_too_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.server.app.SWEEP_S", 0.02)
    limits = LimitsConfig(slow_client_timeout_s=0.2)
    async with relay_to(scenario("endless_body"), limits=limits) as (server, fake), client(server, max_queue=1) as slow:
        await slow.send(type="speak", text="Hello.")
        exchange = await fake.exchange(0)
        await exchange.left(20)
        with pytest.raises(ConnectionClosed):
            while True:
                await slow.websocket.recv()
