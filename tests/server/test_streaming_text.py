"""Text that goes to the provider as it is typed, end to end: a client, the relay, and Breeze's realtime socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from relay.config import LimitsConfig, WebSocketConfig
from relay.server.app import Server
from relay.testing.fake_breeze import FakeBreeze, clip, greet, session, speak_turn
from relay.testing.fake_socket import Link, Refuse, Scene
from relay.testing.scenarios import PCM_CLIP, scenario
from tests.server.harness import Client, Heard, breeze, client, config, serving

SHORT = {"audio": {"tail": "short"}}


@asynccontextmanager
async def relay_to(*scenes: Scene | Refuse, **sections: Any) -> AsyncIterator[tuple[Server, FakeBreeze]]:
    async with FakeBreeze(*scenes) as fake:
        own = breeze(fake.url, options={"transport": "realtime"})
        async with serving(config(fake.url, providers={"breeze": own}, **sections)) as server:
            yield server, fake


def texts(heard: Heard) -> list[str]:
    return [segment["text"] for segment in heard.of("text.segment")]


async def test_a_turn_from_the_first_message_to_the_last() -> None:
    async with relay_to() as (server, fake), client(server) as caller:
        heard = await caller.speak("  Hello there, you. ", turn_id="t1", **SHORT)
        assert [event["type"] for event in heard.events] == [
            "turn.started",
            "text.segment",
            "audio.started",
            "turn.done",
        ]
        assert heard.audio == clip("  Hello there, you. ")
        assert texts(heard) == ["  Hello there, you. "]
        ids = heard.end["provider_ids"]
        assert ids["session_id"] == "sess_0"
        assert ids["history_item_id"].startswith("hist_")
        timings = heard.end["timings"]
        assert timings["connection_reused"] is False
        assert timings["request_sent"] < timings["first_byte"] <= min(timings["first_frame"], timings["last_byte"])
        again = await caller.speak("And again.", **SHORT)
        assert again.audio == clip("And again.")
        assert again.end["timings"]["connection_reused"] is True
    assert len(fake.minted) == 1
    assert fake.sockets.links[0].kinds == ["turn.start", "text.append", "turn.end"] * 2


async def test_text_is_passed_on_at_once_and_spoken_at_the_flush() -> None:
    """Half a sentence has been heard by the provider, and spoken, before the rest of it exists."""
    async with relay_to() as (server, fake), client(server) as caller:
        await caller.send(type="turn.start", turn_id="t1", **SHORT)
        await caller.send(type="text.append", text=" ")
        await caller.send(type="text.flush")
        await caller.send(type="ping")
        assert (await caller.event())["type"] == "turn.started"
        assert (await caller.event())["type"] == "pong"
        assert fake.minted == [], "nothing is opened for what cannot be spoken"
        await caller.send(type="text.append", text="Hel")
        link = await fake.sockets.link(0)
        while "text.append" not in link.kinds:
            await asyncio.sleep(0.001)
        await caller.send(type="text.append", text="lo wor")
        await caller.send(type="text.flush")
        segment = await caller.event("text.segment")
        assert (segment["index"], segment["text"], segment["start_sample"]) == (0, " Hello wor", 0)
        heard = Heard([segment])
        expected = clip(" Hello wor")
        while len(heard.audio) < len(expected) // 960 * 960:
            heard.said.append(await caller.receive())
        await caller.send(type="text.append", text="ld of ")
        await caller.send(type="text.append", text="mine.")
        await caller.send(type="turn.end")
        heard.said += (await caller.turn()).said
        assert heard.end["type"] == "turn.done", heard.end
        expected += clip("ld of mine.")
        assert heard.audio == expected
        assert "".join(texts(heard)) == " Hello world of mine."
        assert {s["start_sample"] for s in heard.of("text.segment")[1:]} == {len(clip(" Hello wor")) // 2}
        assert heard.end["text_chars"] == len(" Hello world of mine.")
    given = [message for message in fake.sockets.links[0].told if message["type"] == "text.append"]
    assert "".join(message["text"] for message in given) == " Hello world of mine."
    assert given[0]["text"] == " Hel"
    assert "text.flush" in fake.sockets.links[0].kinds


async def test_a_turn_without_anything_to_say_opens_nothing() -> None:
    async with relay_to() as (server, fake), client(server) as caller:
        heard = await caller.speak(" \n ")
        assert (heard.end["type"], heard.end["frames"], texts(heard)) == ("turn.done", 0, [" \n "])
        await caller.send(type="turn.start")
        await caller.send(type="turn.end")
        heard = await caller.turn()
        assert (heard.end["type"], heard.end["frames"], texts(heard)) == ("turn.done", 0, [])
    assert fake.minted == []


async def test_after_a_cancel_the_next_turn_has_none_of_the_old_audio() -> None:
    stale = b"\x55\x55" * 24000

    async def scene(link: Link) -> None:
        await greet(link)
        turn_id = (await link.heard("turn.start"))["turn_id"]
        await link.say(type="turn.started", turn_id=turn_id)
        await link.audio(stale[:9600])
        await link.heard("turn.cancel")
        await link.audio(stale)
        await link.say(type="turn.cancelled", turn_id=turn_id)
        await link.audio(stale)
        while True:
            await speak_turn(link)

    async with relay_to(scene, session) as (server, fake), client(server) as caller:
        await caller.send(type="speak", text="A very long story.", turn_id="old")
        await caller.event("audio.started")
        await caller.send(type="turn.cancel")
        await caller.send(type="speak", text="Something new.", turn_id="new", **SHORT)
        heard = await caller.turn("new")
        cancelled = heard.of("turn.cancelled")[0]
        after = heard.said[heard.said.index(cancelled) :]
        assert b"".join(item for item in after if isinstance(item, bytes)) == clip("Something new.")
        assert cancelled["text_sent"] in ("", "A very long story.")
        # Both sockets are whole, or one was waiting for its confirmation while the new turn opened another.
        assert 1 <= len(fake.sockets.links) <= 2


async def test_the_next_turn_is_opened_while_the_one_before_is_spoken() -> None:
    """And not heard before it: the first speaks only after the second has all its text."""
    go_on = asyncio.Event()

    async def slow(link: Link) -> None:
        await greet(link)
        turn_id = (await link.heard("turn.start"))["turn_id"]
        await link.say(type="turn.started", turn_id=turn_id)
        await link.heard("turn.end")
        await go_on.wait()
        await link.audio(clip("first"))
        await link.say(type="turn.done", turn_id=turn_id)

    async with relay_to(slow, session) as (server, fake), client(server) as caller:
        await caller.send(type="speak", text="One.", turn_id="a", **SHORT)
        await fake.sockets.link(0)
        await caller.send(type="speak", text="Two.", turn_id="b", **SHORT)
        second = await fake.sockets.link(1)
        while "turn.end" not in second.kinds:
            await asyncio.sleep(0.001)
        go_on.set()
        first = await caller.turn("a")
        assert first.audio == clip("first")
        heard = await caller.turn("b")
        assert heard.audio == clip("Two.")


async def test_good_audio_is_delivered_before_the_error() -> None:
    async def scene(link: Link) -> None:
        await greet(link)
        turn_id = (await link.heard("turn.start"))["turn_id"]
        await link.say(type="turn.started", turn_id=turn_id)
        await link.heard("turn.end")
        await link.audio(clip("good")[:1921])
        link._connection.transport.close()

    async with relay_to(scene, session) as (server, _), client(server) as caller:
        heard = await caller.speak("Good, then gone.", **SHORT)
        assert heard.audio == clip("good")[:1920], "whole samples only"
        assert (heard.end["code"], heard.end["retryable"]) == ("provider_cut", True)
        assert (await caller.speak("Again.")).end["type"] == "turn.done"


@pytest.mark.parametrize(
    ("code", "ours", "wait_s"),
    [("GENERATION_CAPACITY_EXCEEDED", "provider_unavailable", 2.0), ("VALIDATION_ERROR", "provider_rejected", None)],
)
async def test_an_error_of_the_provider_is_told_without_the_text(code: str, ours: str, wait_s: float | None) -> None:
    async def scene(link: Link) -> None:
        await greet(link)
        await link.heard("turn.end")
        meta = {"retry_after_seconds": 2} if wait_s else {}
        await link.say(type="error", code=code, message="Not this: My secret diary.", meta=meta)

    async with relay_to(scene) as (server, _), client(server) as caller:
        heard = await caller.speak("My secret diary.")
        assert (heard.end["code"], heard.end.get("retry_after_s")) == (ours, wait_s)
        assert heard.end["provider"]["code"] == code
        assert "diary" not in str(heard.end)


async def test_a_handshake_refused_is_the_turns_error() -> None:
    body = b'{"ok": false, "code": "GENERATION_CONCURRENCY_EXCEEDED", "detail": "Too many."}'
    async with relay_to(Refuse(status=429, headers={"retry-after": "60"}, body=body)) as (server, _):
        async with client(server) as caller:
            heard = await caller.speak("Hello.")
    assert (heard.end["code"], heard.end["retry_after_s"]) == ("provider_rate_limited", 60.0)
    assert heard.end["provider"]["status"] == 429
    assert heard.frames == []


async def test_a_provider_that_stays_silent_is_waited_for_as_long_as_is_configured() -> None:
    async def scene(link: Link) -> None:
        await greet(link)
        await link.heard("turn.end")
        await link.stall()

    async with relay_to(scene, websocket=WebSocketConfig(first_audio_timeout_s=0.1)) as (server, _):
        async with client(server) as caller:
            heard = await caller.speak("Hello.")
    assert heard.end["code"] == "provider_timeout"
    assert "0.1 s" in heard.end["message"]


async def test_text_that_the_provider_does_not_read_pauses_the_client() -> None:
    """Until it reads again. What is under way (our socket and both kernels) holds less than 300,000 characters."""

    async def scene(link: Link) -> None:
        await link.say(type="session.ready")
        turn_id = (await link.heard("turn.start"))["turn_id"]
        link.stop_reading()
        await link.say(type="turn.started", turn_id=turn_id)
        await link.stall()

    limits = LimitsConfig(max_turn_chars=900_000, text_high_water_chars=200_000, text_low_water_chars=100_000)
    async with relay_to(scene, limits=limits) as (server, fake), client(server) as caller:
        await caller.send(type="turn.start", turn_id="t1")
        await caller.send(type="text.append", text="word ")
        link = await fake.sockets.link(0)
        while "turn.start" not in link.kinds:
            await asyncio.sleep(0.001)
        for _ in range(50):
            await caller.send(type="text.append", text="word " * 2000)
        paused = await caller.event("text.paused", "error")
        assert paused["type"] == "text.paused"
        assert paused["pending_chars"] > 200_000
        link.read_on()
        resumed = await caller.event("text.resumed", "error")
        assert resumed["type"] == "text.resumed"
        assert resumed["pending_chars"] <= 100_000
        await caller.send(type="turn.cancel")
        assert (await caller.event("turn.cancelled", "error"))["type"] == "turn.cancelled"


async def test_text_beyond_what_the_provider_takes_is_said_to_be_too_long() -> None:
    async with relay_to() as (server, _), client(server) as caller:
        heard = await caller.speak("word " * 2001)
        assert heard.end["code"] == "text_too_long"
        assert "10000 characters a turn" in heard.end["message"]
        assert (await caller.speak("Short.")).end["type"] == "turn.done"


async def test_a_listener_that_vanishes_cancels_at_the_provider() -> None:
    async def scene(link: Link) -> None:
        await greet(link)
        turn_id = (await link.heard("turn.start"))["turn_id"]
        await link.say(type="turn.started", turn_id=turn_id)
        await link.audio(clip("something"))
        await link.heard("turn.cancel")
        await link.say(type="turn.cancelled", turn_id=turn_id)

    async with relay_to(scene) as (server, fake):
        async with client(server) as caller:
            await caller.send(type="speak", text="Something.")
            await caller.event("audio.started")
        link = fake.sockets.links[0]
        while "turn.cancel" not in link.kinds:
            await asyncio.sleep(0.001)


async def test_the_transport_is_each_turns_choice() -> None:
    """The operator's is `realtime`; a turn may have another, and is cut into segments then."""
    async with FakeBreeze(http=lambda _: scenario("ok")) as fake:
        async with serving(config(fake.url)) as server, client(server) as caller:
            plain = await caller.speak("One. Two.", **SHORT)
            typed = await caller.speak("One. Two.", options={"transport": "realtime"}, **SHORT)
    assert plain.audio == PCM_CLIP.data
    assert typed.audio == clip("One. Two.")


async def speak_at_random(caller: Client, pieces: list[str]) -> Heard:
    await caller.send(type="turn.start", **SHORT)
    for piece in pieces:
        await caller.send(type="text.append", text=piece)
    await caller.send(type="turn.end")
    return await caller.turn()


@pytest.mark.parametrize("size", [1, 2, 5, 17, 1000])
async def test_text_cut_anywhere_is_the_same_text_and_the_same_audio(size: int) -> None:
    text = "Grüße, 世界! It costs 3.14 euros – or 🙂 nothing at all."
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    async with relay_to() as (server, _), client(server) as caller:
        heard = await speak_at_random(caller, pieces)
    assert heard.audio == clip(text)
    assert "".join(texts(heard)) == text
