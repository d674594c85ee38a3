"""Turns that queue, and what interrupts them, on a real relay: ends in order, no frame after a cancel, one lead."""

import asyncio
import time
from typing import Any

import pytest

from relay.config import LimitsConfig
from relay.engine.speaker import Speaker
from relay.errors import Code
from relay.testing.audio import speech_like
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.script import Script, Send, Status
from tests.server.harness import ENDS, Client, client, config, relay_to, serving

FRAME_MS, LEAD_MS = 20, 200
MANY_TURNS = LimitsConfig(max_open_turns=16)
# Text -> seconds of audio: the text says how long it is.
CLIPS = {seconds: speech_like(seconds) for seconds in (0.1, 0.6, 3.0)}


def clip_of(request: FakeRequest) -> Script:
    seconds = float(request.json()["text"].split()[1])
    data = CLIPS[seconds] if seconds in CLIPS else bytes(int(seconds * 48_000))
    return (Status(200, {"content-type": "audio/pcm"}, len(data)), Send(data))


async def speak(caller: Client, turn_id: str, seconds: float, mode: str = "realtime", **fields: Any) -> None:
    pacing = {"mode": mode, **({"lead_ms": LEAD_MS} if mode == "realtime" else {})}
    await caller.send(type="speak", turn_id=turn_id, text=f"For {seconds} seconds.", pacing=pacing, **fields)


async def until_frames(caller: Client, count: int) -> None:
    while count:
        count -= isinstance(await caller.receive(), bytes)


class Applied:
    """Notes what was written for a session's turns after each command."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fed: list[str] = []
        feed = Speaker.feed

        def noted(speaker: Speaker, turn_id: str, *rest: Any) -> None:
            self.fed.append(turn_id)
            feed(speaker, turn_id, *rest)

        monkeypatch.setattr(Speaker, "feed", noted)


@pytest.mark.parametrize("turns", [2, 3, 10])
@pytest.mark.parametrize("mode", ["realtime", "fast"])
@pytest.mark.parametrize("later_s", [0.1, 3.0], ids=["short", "long"])
async def test_a_cancel_of_all_ends_each_in_order_and_no_frame_follows(turns: int, mode: str, later_s: float) -> None:
    ids = [f"t{number}" for number in range(turns)]
    async with relay_to(clip_of, limits=MANY_TURNS) as (server, _), client(server) as caller:
        # Credit holds the first turn, so that in either mode all are live when the cancel comes.
        await speak(caller, ids[0], 3.0, mode, flow={"window_ms": 200})
        for turn_id in ids[1:]:
            await speak(caller, turn_id, later_s, mode)
        await until_frames(caller, 10)
        await caller.send(type="turn.cancel")
        await caller.send(type="ping", id=1)
        said: list[Any] = []
        while not (said and isinstance(said[-1], dict) and said[-1]["type"] == "pong"):
            said.append(await caller.receive())
        ended = [event["turn_id"] for event in said if isinstance(event, dict) and event["type"] == "turn.cancelled"]
        assert ended == ids
        first = next(at for at, event in enumerate(said) if isinstance(event, dict) and event["type"] in ENDS)
        assert not [event for event in said[first:] if isinstance(event, bytes)], "no frame after the first end"
        assert [event["samples_sent"] for event in said if isinstance(event, dict) and event["type"] in ENDS][1:] == [
            0
        ] * (turns - 1)
        await speak(caller, "next", 0.1)
        heard = await caller.turn("next")
        assert heard.end["type"] == "turn.done"
        assert heard.audio == CLIPS[0.1]


async def test_the_end_of_a_cancelled_turn_comes_before_the_next_ones_frames() -> None:
    async with relay_to(clip_of) as (server, _), client(server) as caller:
        await speak(caller, "a", 3.0)
        await speak(caller, "b", 0.1)
        await until_frames(caller, 10)
        await caller.send(type="turn.cancel", turn_id="a")
        heard = await caller.turn("b")
        kinds = [item["type"] if isinstance(item, dict) else "frame" for item in heard.said]
        at = kinds.index("turn.cancelled")
        assert set(kinds[:at]) <= {"frame"}
        assert kinds[at + 1 :] == ["text.segment", "audio.started", *["frame"] * 5, "turn.done"]


async def test_a_cancelled_turn_brings_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even into the schedule: its task is gone, and its provider's work."""
    applied = Applied(monkeypatch)
    async with relay_to(clip_of) as (server, fake), client(server) as caller:
        await speak(caller, "a", 30.0)
        await until_frames(caller, 10)
        await caller.send(type="turn.cancel", turn_id="a")
        await caller.event("turn.cancelled")
        await fake.exchanges[0].left()
        fed = len(applied.fed)
        await speak(caller, "b", 0.1)
        await caller.turn("b")
        assert set(applied.fed[fed:]) == {"b"}


async def test_a_fast_turn_does_not_hold_the_realtime_turn_behind_it() -> None:
    async with relay_to(clip_of) as (server, _), client(server) as caller:
        await speak(caller, "long", 600.0, "fast")
        await speak(caller, "next", 0.1)
        assert (await caller.turn("long")).end["type"] == "turn.done"
        async with asyncio.timeout(5):
            heard = await caller.turn("next")
    assert heard.end["type"] == "turn.done"
    assert heard.end["timings"]["last_frame"] is not None


async def test_a_cancel_of_a_turn_that_is_still_heard_lets_the_next_begin_at_once() -> None:
    """The turn is done; its lead is with the listener, which drops it."""
    lead = {"mode": "realtime", "lead_ms": 60_000}
    async with relay_to(clip_of) as (server, _), client(server) as caller:
        for first, second, cancel in (("a", "b", {"turn_id": "a"}), ("c", "d", {})):
            await caller.send(type="speak", turn_id=first, text="For 30 seconds.", pacing=lead)
            assert (await caller.turn(first)).end["type"] == "turn.done"
            await caller.send(type="turn.cancel", **cancel)
            await caller.send(type="speak", turn_id=second, text="For 0.1 seconds.", pacing={"mode": "realtime"})
            async with asyncio.timeout(5):
                assert (await caller.turn(second)).end["type"] == "turn.done"


async def test_session_close_cancels_all_in_order() -> None:
    async with relay_to(clip_of) as (server, _), client(server) as caller:
        await speak(caller, "a", 3.0)
        await speak(caller, "b", 0.1)
        await speak(caller, "c", 3.0)
        await until_frames(caller, 10)
        await caller.send(type="session.close")
        heard = await caller.turn("c")
        assert [event["turn_id"] for event in heard.of("turn.cancelled")] == ["a", "b", "c"]
        assert await caller.close_code() == (1000, "")


async def test_session_close_with_finish_speaks_what_was_given() -> None:
    async with relay_to(clip_of) as (server, _), client(server) as caller:
        await speak(caller, "a", 0.6, "fast")
        await caller.send(type="turn.start", turn_id="b")
        await caller.send(type="text.append", turn_id="b", text="For 0.1 seconds")
        await caller.send(type="session.close", finish=True)
        await speak(caller, "c", 0.1)
        heard = await caller.turn("b")
        [refused] = heard.of("error")
        assert (refused["turn_id"], refused["code"]) == ("c", Code.INVALID_MESSAGE)
        assert [event["turn_id"] for event in heard.of("turn.done")] == ["a", "b"]
        assert heard.audio == CLIPS[0.6] + CLIPS[0.1]
        assert await caller.close_code() == (1000, "")


async def test_a_drain_that_runs_out_of_time_ends_every_turn_with_its_reason() -> None:
    async with FakeProvider(clip_of) as fake:
        settings = config(fake.url, server=type(config().server)(port=0, drain_timeout_s=0.1))
        async with serving(settings) as server, client(server) as caller:
            await speak(caller, "a", 3.0)
            await speak(caller, "b", 0.1)
            await speak(caller, "c", 3.0)
            await until_frames(caller, 10)
            draining = asyncio.create_task(server.drain())
            heard = await caller.turn("c")
            ends = [(event["turn_id"], event["code"]) for event in heard.of("error")]
            assert ends == [(turn_id, Code.SHUTTING_DOWN) for turn_id in "abc"]
            assert await caller.close_code() == (1001, Code.SHUTTING_DOWN)
            assert await draining is False


async def test_a_client_that_vanishes_leaves_nothing() -> None:
    async with relay_to(clip_of) as (server, fake):
        async with client(server) as caller:
            for turn_id in "abc":
                await speak(caller, turn_id, 30.0)
            await until_frames(caller, 10)
            caller.websocket.transport.abort()
        async with asyncio.timeout(10):
            while server._routes.sessions:
                await asyncio.sleep(0.01)
        assert b"relay_turns 0.0" in server.engine.metrics.render()
        for exchange in fake.exchanges:
            await exchange.left()


async def test_what_was_played_is_said_of_the_turn_that_is_heard() -> None:
    async with relay_to(clip_of) as (server, _), client(server) as caller:
        for turn_id in "abc":
            await speak(caller, turn_id, 3.0)
        await until_frames(caller, 10)
        await caller.send(type="turn.cancel", played_samples=10**15)
        heard = await caller.turn("c")
        first, *others = heard.of("turn.cancelled")
        assert first["samples_played"] == first["samples_sent"] > 0
        assert first["text_played"] == first["text_sent"] == "For 3.0 seconds."
        assert all("samples_played" not in event for event in others)


async def test_an_error_about_a_used_id_names_it() -> None:
    async with relay_to(clip_of) as (server, _), client(server) as caller:
        await speak(caller, "a", 0.1, "fast")
        await caller.turn("a")
        await caller.send(type="turn.start", turn_id="a")
        error = await caller.event("error")
        assert (error["code"], error["turn_id"]) == (Code.INVALID_CONFIG, "a")


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_an_idle_session_ends_each_turn_with_its_reason(turns: int) -> None:
    async with relay_to(clip_of) as (server, _), client(server) as caller:
        ids = [f"t{number}" for number in range(turns)]
        for turn_id in ids:
            await caller.send(type="turn.start", turn_id=turn_id)
            await caller.event("turn.started")
        [session] = server._routes.sessions
        session.check(time.monotonic() + 299)
        await caller.send(type="ping")
        await caller.event("pong")
        session.check(time.monotonic() + 1e6)
        errors = [await caller.event("error", "turn.cancelled") for _ in range(max(1, turns))]
        assert [(error["code"], error.get("turn_id")) for error in errors] == [
            (Code.IDLE_TIMEOUT, turn_id) for turn_id in [*ids, *([] if ids else [None])]
        ]
        assert await caller.close_code() == (1008, Code.IDLE_TIMEOUT)


async def test_a_ping_of_the_websocket_keeps_a_session() -> None:
    async with relay_to(clip_of) as (server, _), client(server) as caller:
        [session] = server._routes.sessions
        session._heard_s = session._busy_s = time.monotonic() - 1e6
        await (await caller.websocket.ping())
        session.check(time.monotonic() + 1)
        await caller.send(type="ping")
        assert (await caller.event())["type"] == "pong"


@pytest.mark.parametrize("depth", [1_000, 50_000])
async def test_a_deeply_nested_message_ends_nothing(depth: int) -> None:
    async with relay_to(clip_of) as (server, _), client(server) as caller:
        await speak(caller, "a", 0.6)
        await caller.websocket.send('{"type":"speak","text":5,"options":' + "[" * depth + "]" * depth + "}")
        heard = await caller.turn("a")
        assert [event["code"] for event in heard.of("error")] == [Code.INVALID_MESSAGE]
        assert heard.end["type"] == "turn.done"
        assert heard.audio == CLIPS[0.6]


async def test_a_bug_in_a_session_closes_it_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a close frame: no HTTP answer may follow an upgrade."""
    async with relay_to(clip_of) as (server, _), client(server) as caller, client(server) as neighbour:
        await speak(caller, "a", 3.0)
        await speak(neighbour, "n", 0.6)
        await until_frames(caller, 5)
        session = next(each for each in server._routes.sessions if "a" in each._live._turns or each._live._tasks)
        monkeypatch.setattr(session._live.session, "receive", lambda *_: 1 / 0)
        target = caller if session._live.session.turn_state("a") else neighbour
        await target.send(type="ping")
        assert await target.close_code() == (1011, Code.INTERNAL)
        other, turn_id = (neighbour, "n") if target is caller else (caller, "a")
        assert (await other.turn(turn_id)).end["type"] == "turn.done"
