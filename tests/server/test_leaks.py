"""Whatever a provider or a client does, afterwards the relay holds no task, socket or request more than before, and
what it had made is gone without the garbage collector.

Every case runs beside a neighbour, whose turn has to be exact.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from relay.config import HttpConfig, LimitsConfig
from relay.server.app import Server
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.scenarios import PCM_CLIP, SCENARIOS, scenario
from relay.testing.script import Script
from tests.server.harness import Client, client, relay_to
from tests.server.held import nothing_left

# Longer than a loaded machine takes to answer at once, and short enough to wait for a dozen times.
HTTP = HttpConfig(retries=0, first_byte_timeout_s=0.3, stall_timeout_s=0.3, connect_timeout_s=1)
# Where nobody waits for the provider to fail, its neighbour need not be quick on a busy machine.
PATIENT = HttpConfig(retries=0)
# How long turns wait for a provider that says it is busy for a second: twice what a neighbour has to.
BUSY_S = 2.0
NEIGHBOUR = "A neighbour speaks."

# Scenarios that are good audio after all, and those that end only when the listener says so; all others are errors.
GOOD = {
    *("ok", "ok_length", "ok_until_close", "one_byte_chunks", "odd_bytes", "slow_drip"),
    *("wrong_content_type", "wav_wrong_rate"),
}
ENDLESS = {"endless_body"}


def end_of(name: str) -> str:
    return "done" if name in GOOD else "cancelled" if name in ENDLESS else "error"


@asynccontextmanager
async def unharmed(
    name: str, monkeypatch: pytest.MonkeyPatch, **sections: Any
) -> AsyncIterator[tuple[Server, FakeProvider]]:
    """A relay whose provider plays a scenario to all but the neighbour. Left when all is as it was before."""

    async def nothing(*_: object) -> None:
        """What is opened ahead of need comes when it likes, and would be counted."""

    def choose(request: FakeRequest) -> Script:
        return scenario("ok" if request.body and request.json().get("text") == NEIGHBOUR else name)

    monkeypatch.setattr("relay.engine.engine.keep_warm", nothing)
    monkeypatch.setattr("relay.server.app.SWEEP_S", 0.05)
    async with relay_to(choose, **{"http": HTTP, **sections}) as (server, fake):
        for budget in server.engine.limiters.values():
            budget.timeout_s = BUSY_S
        async with nothing_left():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(neighbour(server))
                yield server, fake
            await fake.idle()
            # Connections that wait for the next request are meant to stay; these are not counted.
            fake.drop_connections()
            await fake.connected(0)
        assert not server.engine.session_limiter.taken
        await neighbour(server)


async def neighbour(server: Server) -> None:
    async with client(server) as caller:
        heard = await caller.speak(NEIGHBOUR, audio={"tail": "short"})
        assert heard.end["type"] == "turn.done", heard.end
        assert heard.audio == PCM_CLIP.data


async def over_websocket(server: Server, name: str) -> str:
    """How the turn ends."""
    async with client(server) as caller:
        await caller.send(type="speak", text="Hello there.", turn_id="t")
        if name in ENDLESS:
            await caller.event("audio.started")
            await caller.send(type="turn.cancel", turn_id="t")
        end = (await caller.turn("t")).end
        await caller.send(type="ping")
        assert await caller.event() == {"type": "pong"}, "the session lives"
    return str(end["type"]).removeprefix("turn.")


async def over_http(server: Server, name: str) -> str:
    """The same; leaving early is this listener's way to cancel."""
    url = f"http://127.0.0.1:{server.port}/v1/speech"
    async with aiohttp.ClientSession() as session, session.post(url, json={"text": "Hello there."}) as response:
        if response.status != 200:
            assert (await response.json())["error"]["code"]
            return "error"
        if name in ENDLESS:
            assert await response.content.readexactly(100_000)
            return "cancelled"
        try:
            assert await response.read()
        except aiohttp.ClientPayloadError:
            return "error"
    return "done"


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_provider(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with unharmed(name, monkeypatch) as (server, _):
        websocket, http = await asyncio.gather(over_websocket(server, name), over_http(server, name))
    assert (websocket, http) == (end_of(name), end_of(name))


def test_every_scenario_that_is_no_error_exists() -> None:
    assert set(SCENARIOS) > GOOD | ENDLESS


# Clients.


async def vanishes(caller: Client, fake: FakeProvider) -> None:
    """Without a word, while it is being spoken to."""
    await caller.send(type="speak", text="Hello there.")
    with suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await caller.event("audio.started")
    caller.websocket.transport.abort()


async def stops_reading(caller: Client, fake: FakeProvider) -> None:
    caller.websocket.transport.pause_reading()
    await caller.send(type="speak", text="Hello there.")
    await fake.exchange(0)
    await fake.idle()
    caller.websocket.transport.abort()


async def floods_text(caller: Client, fake: FakeProvider) -> None:
    """More than a turn may have, and more than it may wait for."""
    await caller.send(type="turn.start", turn_id="t")
    with suppress(ConnectionClosed):
        for number in range(500):
            await caller.send(type="text.append", turn_id="t", text=f"Sentence {number} is a sentence. ")
    caller.websocket.transport.abort()


async def opens_and_cancels(caller: Client, fake: FakeProvider) -> None:
    """500 turns, the cancel at once, or after what the loop does in between."""
    for number in range(500):
        await caller.send(type="speak", text="Hello there.", turn_id=f"t{number}")
        for _ in range(number % 7):
            await asyncio.sleep(0)
        await caller.send(type="turn.cancel", turn_id=f"t{number}")
        assert (await caller.turn(f"t{number}")).end["type"] == "turn.cancelled"


async def sends_garbage(caller: Client, fake: FakeProvider) -> None:
    for message in ("", "{", "[]", '{"type":"shout"}', '{"type":"speak","text":5}', '{"type":"speak","text":"a"}'):
        await caller.websocket.send(message)
    await caller.websocket.send(b'{"type":"speak","text":"\xff"}', text=True)
    assert (await caller.close_code())[0] == 1007


CLIENTS = [vanishes, stops_reading, floods_text, opens_and_cancels, sends_garbage]


@pytest.mark.parametrize("name", ["endless_body", "stall_before_headers"])
@pytest.mark.parametrize("behave", CLIENTS, ids=lambda behave: behave.__name__)
async def test_a_client(
    behave: Callable[[Client, FakeProvider], Awaitable[None]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = LimitsConfig(slow_client_timeout_s=0.2, max_turn_chars=5000)
    async with unharmed(name, monkeypatch, limits=limits) as (server, fake):
        async with client(server, max_queue=1 if behave is stops_reading else 16) as caller:
            await behave(caller, fake)


@pytest.mark.parametrize("name", ["endless_body", "stall_before_headers"])
async def test_twenty_that_vanish_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def come_and_go(server: Server, fake: FakeProvider) -> None:
        async with client(server) as caller:
            await vanishes(caller, fake)

    async with unharmed(name, monkeypatch, http=PATIENT) as (server, fake):
        await asyncio.gather(*(come_and_go(server, fake) for _ in range(20)))


@pytest.mark.parametrize("name", ["endless_body", "stall_before_headers"])
async def test_a_caller_over_http_that_resets_its_connection(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"text":"Hello there."}'
    head = b"POST /v1/speech HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    async with unharmed(name, monkeypatch) as (server, fake):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head % len(body) + body)
        await fake.exchange(0)
        reset(writer)


async def test_connections_that_speak_no_http(monkeypatch: pytest.MonkeyPatch) -> None:
    async with unharmed("ok", monkeypatch) as (server, _):
        for said in (
            b"",
            b"\x16\x03\x01\x02\x00",
            b"GET / HTTP/1.1\r\n\xff\xff: \r\n\r\n",
            b"POST /v1/speech HTTP/1.1\r\n",
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(said)
            reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection as a machine that fails does."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
