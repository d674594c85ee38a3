"""Bland's WebSocket behind a real relay: text word by word, exact audio, cancels, and every way for it to go wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from relay.config import HttpConfig, ProviderConfig
from relay.errors import Code
from relay.server.app import Server
from relay.testing.audio import speech_like
from relay.testing.fake_socket import FakeSocket, Link, Refuse, Scene
from tests.server.harness import KEY, PATIENCE_S, Client, client, config, serving

KAREN = "29158307-9893-4149-8a75-bc9ce313d64e"
PCM = speech_like(0.3, rate_hz=16000)
AUDIO = {"sample_rate": 16000, "tail": "short"}


@asynccontextmanager
async def relay_to_bland(answer: Scene | Refuse) -> AsyncIterator[tuple[Server, FakeSocket, Client]]:
    """A relay whose default provider is Bland over a socket that plays `answer`, and a client of it."""
    async with FakeSocket(answer) as fake:
        bland = ProviderConfig(
            api_key=KEY, base_url=fake.url.replace("ws", "http", 1), voice=KAREN, options={"api": "socket"}
        )
        settings = config(http=HttpConfig(retries=0), providers={"bland": bland})
        async with serving(replace(settings, defaults=replace(settings.defaults, provider="bland"))) as server:
            async with client(server) as caller:
                yield server, fake, caller


async def greet(link: Link, **ready: Any) -> None:
    audio = (await link.heard("init"))["audio"]
    await link.say(**{"type": "ready", "session_id": "ses_1", **audio, **ready})


async def speak(link: Link, data: bytes) -> None:
    """One turn, said after its text has ended."""
    context = (await link.heard("end_of_turn"))["context_id"]
    await link.say(type="utterance_start", context_id=context)
    for start in range(0, len(data), 1921):
        await link.audio(data[start : start + 1921])
    await link.say(type="utterance_end", context_id=context, reason="complete", frames=3, duration_ms=300)


async def test_turns_of_a_session_share_a_socket_and_each_is_its_own() -> None:
    second = speech_like(0.2, seed=1, rate_hz=16000)

    async def scene(link: Link) -> None:
        await greet(link)
        await speak(link, PCM)
        await speak(link, second)

    async with relay_to_bland(scene) as (_, fake, caller):
        await caller.send(type="turn.start", turn_id="a", audio=AUDIO)
        for piece in ("Hel", "lo, ", "wor", "ld."):
            await caller.send(type="text.append", text=piece)
        await caller.send(type="turn.end")
        first = await caller.turn("a")
        again = await caller.speak("And again.", turn_id="b", audio=AUDIO)
        (link,) = fake.links
    assert (first.end["type"], again.end["type"]) == ("turn.done", "turn.done")
    assert (first.audio, again.audio) == (PCM, second)
    assert (first.end["timings"]["connection_reused"], again.end["timings"]["connection_reused"]) == (False, True)
    assert (link.path, link.headers["authorization"]) == ("/v2/tts/ws", f"Bearer {KEY}")
    init, *rest = link.told
    assert init == {"type": "init", "voice": KAREN, "audio": {"encoding": "pcm_s16le", "sample_rate": 16000}}
    spoken = {"a": "", "b": ""}
    contexts = [message["context_id"] for message in rest if message["type"] == "end_of_turn"]
    for message in rest:
        if message["type"] == "speak":
            spoken["ab"[contexts.index(message["context_id"])]] += message["text"]
    assert spoken == {"a": "Hello, world.", "b": "And again."}
    assert len(set(contexts)) == 2
    assert first.end["provider_ids"] == {"session_id": "ses_1", "context_id": contexts[0]}


async def test_speech_begins_before_its_text_has_ended() -> None:
    async def scene(link: Link) -> None:
        await greet(link)
        context = (await link.heard("speak"))["context_id"]
        await link.say(type="utterance_start", context_id=context)
        await link.audio(PCM[:6401])
        await link.heard("end_of_turn")
        await link.audio(PCM[6401:])
        await link.say(type="utterance_end", context_id=context, reason="complete")

    async with relay_to_bland(scene) as (_, _fake, caller):
        await caller.send(type="turn.start", turn_id="t", audio=AUDIO)
        await caller.send(type="text.append", text="Well")
        started = await caller.event("audio.started", "error")
        assert started["type"] == "audio.started"
        await caller.send(type="turn.end")
        heard = await caller.turn()
    assert heard.end["type"] == "turn.done"
    assert heard.audio == PCM


async def test_after_a_cancel_the_same_socket_speaks_the_next_turn_and_only_that() -> None:
    async def scene(link: Link) -> None:
        await greet(link)
        context = (await link.heard("speak"))["context_id"]
        await link.say(type="utterance_start", context_id=context)
        await link.audio(b"\x11\x11" * 3200)
        assert (await link.heard("cancel"))["context_id"] == context
        await link.audio(b"\x22\x22" * 3200)
        await link.say(type="utterance_end", context_id=context, reason="cancelled")
        await speak(link, PCM)

    async with relay_to_bland(scene) as (server, fake, caller):
        await caller.send(type="turn.start", turn_id="a", audio=AUDIO)
        await caller.send(type="text.append", text="Too much to say")
        await caller.event("audio.started")
        await caller.send(type="turn.cancel", turn_id="a")
        assert (await caller.event("turn.cancelled"))["turn_id"] == "a"
        async with asyncio.timeout(PATIENCE_S):
            while not server.engine.drivers.ws.idle_sockets:
                await asyncio.sleep(0)  # until the cancel is confirmed
        heard = await caller.speak("Sorry.", turn_id="b", audio=AUDIO)
        assert len(fake.links) == 1
    assert heard.end["type"] == "turn.done"
    assert heard.audio == PCM


async def test_audio_is_what_the_greeting_says_it_is() -> None:
    async def scene(link: Link) -> None:
        await greet(link, sample_rate=48000)
        await speak(link, speech_like(0.3, rate_hz=48000))

    async with relay_to_bland(scene) as (_, _fake, caller):
        heard = await caller.speak(audio=AUDIO)
    assert heard.end["type"] == "turn.done"
    assert heard.end["samples"] == 0.3 * 16000


async def failing(link: Link, *last: dict[str, Any]) -> None:
    """Half a turn, and then those messages."""
    await greet(link)
    context = (await link.heard("end_of_turn"))["context_id"]
    await link.say(type="utterance_start", context_id=context)
    await link.audio(PCM[:6401])
    for message in last:
        await link.say(context_id=context, **message)


@pytest.mark.parametrize(
    ("last", "code", "retryable"),
    [
        ({"type": "error", "code": "context_overflow", "message": "A secret text."}, Code.TEXT_TOO_LONG, False),
        ({"type": "error", "code": "INSUFFICIENT_CREDITS", "message": KEY}, Code.PROVIDER_AUTH, False),
        ({"type": "error", "code": "synthesis_failed", "message": "Oh."}, Code.PROVIDER_UNAVAILABLE, True),
        ({"type": "error", "code": "idle_timeout", "message": "Oh."}, Code.PROVIDER_CUT, True),
        ({"type": "utterance_end", "reason": "failed"}, Code.PROVIDER_UNAVAILABLE, True),
        ({"type": "utterance_end", "reason": "preempted"}, Code.PROVIDER_CUT, True),
        ({"type": "done", "session_id": "ses_1"}, Code.PROVIDER_CUT, True),
    ],
)
async def test_a_failure_comes_after_the_good_audio(last: dict[str, Any], code: Code, retryable: bool) -> None:
    async def scene(link: Link) -> None:
        await failing(link, last)

    async with relay_to_bland(scene) as (_, _fake, caller):
        heard = await caller.speak("A secret text.", audio=AUDIO)
        await caller.send(type="ping")
        assert await caller.event() == {"type": "pong"}, "the session lives"
    assert (heard.end["type"], heard.end["code"], heard.end["retryable"]) == ("error", code, retryable)
    assert heard.end["provider"]["name"] == "bland"
    assert heard.audio
    assert PCM[:6400].startswith(heard.audio)
    for secret in (KEY, "secret text"):
        assert secret not in str(heard.end)


@pytest.mark.parametrize("closing", [True, False])
async def test_a_lost_socket_is_a_cut(closing: bool) -> None:
    async def scene(link: Link) -> None:
        await failing(link)
        if closing:
            await link.close(1000)
        else:
            link.cut()

    async with relay_to_bland(scene) as (_, _fake, caller):
        heard = await caller.speak(audio=AUDIO)
    assert heard.end["code"] == Code.PROVIDER_CUT
    assert PCM[:6400].startswith(heard.audio)


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refuse(status=401), Code.PROVIDER_AUTH),
        (Refuse(status=402, body=b'{"error":{"code":"insufficient_credits","message":"Pay."}}'), Code.PROVIDER_AUTH),
        (Refuse(status=429), Code.PROVIDER_RATE_LIMITED),
        (Refuse(status=500), Code.PROVIDER_UNAVAILABLE),
    ],
)
async def test_a_handshake_that_is_refused(refusal: Refuse, code: Code) -> None:
    async with relay_to_bland(refusal) as (_, _fake, caller):
        heard = await caller.speak(audio=AUDIO)
    assert (heard.end["code"], heard.end["provider"]["status"]) == (code, refusal.status)


async def test_a_session_that_is_not_admitted() -> None:
    async def scene(link: Link) -> None:
        await link.heard("init")
        await link.say(type="error", code="voice_not_found", message="No voice has this id.")

    async with relay_to_bland(scene) as (_, _fake, caller):
        heard = await caller.speak(audio=AUDIO)
    assert heard.end["code"] == Code.VOICE_NOT_FOUND
    assert heard.end["provider"]["code"] == "voice_not_found"


async def test_a_turn_without_text_opens_nothing() -> None:
    async def scene(link: Link) -> None:
        await greet(link)

    async with relay_to_bland(scene) as (_, fake, caller):
        heard = await caller.speak("", audio=AUDIO)
        assert fake.paths == []
    assert (heard.end["type"], heard.end["frames"]) == ("turn.done", 0)
