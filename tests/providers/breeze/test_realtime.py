"""Breeze's realtime dialogue, message by message: goldens with their invalid twins. Then over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver, HttpSettings
from relay.drivers.ws.driver import WsDriver, WsSettings
from relay.errors import ClientError, Code, ProviderError
from relay.providers.base.dialogue import DialogueRequest, Heard, Ready, TurnOver
from relay.providers.base.http import Refusal, WordTime
from relay.providers.base.provider import Speech, SpeechRequest
from relay.providers.breeze.provider import Breeze
from relay.providers.breeze.realtime import BreezeDialogue, _cut
from relay.testing.fake_breeze import FakeBreeze, clip, greet, speak_turn
from relay.testing.fake_socket import Link, Refuse
from tests.providers.breeze.goldens import KEY, Golden, breeze, case, cases, check_error

REALTIME = {"transport": "realtime"}


def request(provider: Breeze | None = None, **wanted: Any) -> DialogueRequest:
    provider = provider or breeze()
    return provider.converse(provider.resolve(SpeechRequest(**({"voice": "voc_1", "options": REALTIME} | wanted))))


def dialogue(**wanted: Any) -> BreezeDialogue:
    made = request(**wanted).dialogue()
    assert isinstance(made, BreezeDialogue)
    return made


def received(what: Any) -> str | bytes:
    if isinstance(what, str):
        return bytes.fromhex(what.removeprefix("hex:")) if what.startswith("hex:") else what
    return json.dumps(what)


def shown(heard: Heard) -> Golden:
    match heard:
        case Ready(facts=facts):
            assert facts is not None
            assert facts.source.pcm is not None
            return {"ready": {"rate_hz": facts.source.pcm.sample_rate_hz, "ids": facts.ids}}
        case TurnOver():
            return {"over": {"ids": heard.ids, "reusable": heard.reusable}}
        case WordTime():
            raise AssertionError("the realtime socket has no word times")
    assert isinstance(heard, bytes)
    return {"audio": heard.hex()}


@pytest.mark.parametrize(("name", "twin"), cases("realtime"))
def test_golden_conversations(name: str, twin: str) -> None:
    golden = case("realtime", name, twin)
    talk = dialogue()

    def play(step: Golden) -> None:
        if "they" in step:
            assert [shown(heard) for heard in talk.receive(received(step["they"]))] == step.get("hear", [])
        else:
            method, *arguments = step["we"]
            assert [json.loads(said) for said in getattr(talk, method)(*arguments)] == step.get("say", [])

    *before, last = golden["exchange"]
    for step in before:
        play(step)
    if expected := golden.get("error"):
        with pytest.raises(ProviderError) as caught:
            play(last)
        check_error(caught.value, expected)
    else:
        play(last)


@pytest.mark.parametrize(("name", "twin"), cases("realtime_sessions"))
def test_golden_sessions(name: str, twin: str) -> None:
    golden = case("realtime_sessions", name, twin)
    wanted = request(**golden["wanted"])
    mint = wanted.mint
    assert mint is not None
    assert (mint.method, mint.url) == ("POST", "https://api.breeze.blue" + golden["url"])
    assert json.loads(mint.body or b"") == golden["body"]
    assert mint.secret_headers == {"xi-api-key": KEY}
    minted = golden["minted"]
    body = minted.encode() if isinstance(minted, str) else json.dumps(minted).encode()
    if expected := golden.get("error"):
        with pytest.raises(ProviderError) as caught:
            wanted.connect(body)
        check_error(caught.value, expected)
        return
    address = wanted.connect(body)
    assert (address.url, list(address.subprotocols)) == (golden["address"], golden["subprotocols"])
    assert address.secret_headers == {}, "the key goes to the API alone"


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"options": {**REALTIME, "voice_settings": {"speed": 1.5}}}, "options.voice_settings.speed is 1.5; transport"),
        ({"options": {**REALTIME, "voice_settings": {"volume": 1}}}, "options.voice_settings.volume is 1; transport"),
        ({"options": {**REALTIME, "output_format": "mp3"}}, "options.output_format is 'mp3'; transport realtime sends"),
        ({"options": {"transport": "websocket"}}, "it must be one of stream, realtime, timestamps, job, sync"),
    ],
)
def test_what_realtime_does_not_have_is_refused(wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError) as caught:
        request(**wanted)
    assert caught.value.code is Code.INVALID_CONFIG
    assert says in caught.value.message
    with pytest.raises(ClientError, match="transport"):
        breeze(options=wanted["options"])


def test_which_turns_stream_their_text() -> None:
    def resolved(**options: Any) -> Speech:
        return breeze(options=REALTIME).resolve(SpeechRequest(voice="voc_1", options=options))

    assert resolved().streaming_text
    for transport in ("stream", "timestamps", "job", "sync"):
        assert not resolved(transport=transport).streaming_text
    assert not breeze().resolve(SpeechRequest(voice="voc_1")).streaming_text


def test_sockets_are_shared_by_turns_that_sound_alike_and_by_no_other() -> None:
    one = request(instructions="as in a church", model="m")
    assert one.key == request(instructions="as in a church", model="m").key
    others = [
        request(instructions="as in a church"),
        request(instructions="as in a bar", model="m"),
        request(voice="voc_2", instructions="as in a church", model="m"),
        request(language="sw", instructions="as in a church", model="m"),
        request(breeze("http://127.0.0.1:1"), instructions="as in a church", model="m"),
        request(instructions="as in a church", model="m", options={**REALTIME, "enable_logging": False}),
    ]
    assert len({one.key, *(other.key for other in others)}) == 7
    assert "church" not in one.key
    assert KEY not in repr(replace(one, mint=None))


@pytest.mark.parametrize("max_bytes", [None, 1, 4, 7, 1000])
def test_text_is_cut_between_characters(max_bytes: int | None) -> None:
    text = "Grüße, 世界 🙂\ud800!"
    pieces = _cut(text, max_bytes)
    assert "".join(pieces) == text
    sizes = [len(piece.encode("utf-8", "surrogatepass")) for piece in pieces]
    assert max_bytes is None or all(size <= max(max_bytes, 4) for size in sizes)
    assert max_bytes is None or len(pieces) == 1 or all(sizes)


def test_refusals_at_either_door_are_the_vendors() -> None:
    body = b'{"ok": false, "code": "BILLING_INSUFFICIENT_CREDITS", "detail": "Not for: whisper it."}'
    wanted = request(instructions="whisper it")
    assert wanted.mint is not None
    for refuse in (wanted.refuse, wanted.mint.refuse):
        error = refuse(Refusal(status=402, headers={}, body=body))
        assert (error.code, error.provider.status) == (Code.PROVIDER_AUTH, 402)
        assert "whisper it" not in error.message
        assert refuse(Refusal(status=404, headers={}, body=b'{"code": "RESOURCE_NOT_FOUND"}')).code == "voice_not_found"


# Over real sockets.


@asynccontextmanager
async def driving(**settings: Any) -> AsyncIterator[WsDriver]:
    http = HttpDriver(HttpSettings(retries=0))
    driver = WsDriver(http, WsSettings(**settings))
    await http.start()
    await driver.start()
    try:
        yield driver
    finally:
        await driver.close()
        await http.close()


async def spoken(driver: WsDriver, wanted: DialogueRequest, *texts: str) -> bytes:
    async with driver.converse(wanted, Timings()) as conversation:
        for text in texts:
            await conversation.give(text)
        await conversation.end_text()
        return b"".join([piece async for piece in conversation if isinstance(piece, bytes)])


@pytest.mark.parametrize("direct", [True, False])
async def test_turns_over_one_session(direct: bool) -> None:
    async with FakeBreeze(direct=direct) as fake, driving() as driver:
        wanted = request(breeze(fake.url), instructions="calm")
        for text in ("First turn.", "Second."):
            assert await spoken(driver, wanted, *text.split(" ", 1)) == clip("".join(text.split(" ", 1)))
        assert fake.minted == [{"instructions": "calm", "inactivity_timeout_seconds": 60}]
        [link] = fake.sockets.links
        assert "xi-api-key" not in link.headers
        assert link.subprotocol == ("breeze-realtime-v1" if direct else None)
        assert ("client_secret" in link.path) is not direct
        assert "sec-websocket-extensions" not in link.headers, "no compression"


async def test_other_instructions_are_another_session() -> None:
    async with FakeBreeze() as fake, driving() as driver:
        for instructions in ("calm", "loud", "calm"):
            await spoken(driver, request(breeze(fake.url), instructions=instructions), "Hello.")
        assert [minted["instructions"] for minted in fake.minted] == ["calm", "loud"]


async def test_a_session_that_expires_is_replaced_for_the_next_turn() -> None:
    async def expiring(link: Link) -> None:
        await greet(link)
        await link.say(type="session.expiring", expires_in_seconds=60, max_session_seconds=1800)
        await speak_turn(link)

    async with FakeBreeze(expiring) as fake, driving() as driver:
        wanted = request(breeze(fake.url))
        for _ in range(2):
            assert await spoken(driver, wanted, "Hello.") == clip("Hello.")
        assert len(fake.minted) == len(fake.sockets.links) == 2


async def test_an_error_between_turns_costs_the_session_and_no_turn() -> None:
    async def idle(link: Link) -> None:
        await greet(link)
        await speak_turn(link)
        await link.say(type="error", code="IDLE_TIMEOUT", message="Bye.")

    async with FakeBreeze(idle) as fake, driving() as driver:
        wanted = request(breeze(fake.url))
        assert await spoken(driver, wanted, "Hello.") == clip("Hello.")
        async with asyncio.timeout(5):
            await fake.sockets.links[0].left.wait()
        assert await spoken(driver, wanted, "Again.") == clip("Again.")


@pytest.mark.parametrize(("status", "code"), [(401, Code.PROVIDER_AUTH), (503, Code.PROVIDER_UNAVAILABLE)])
async def test_a_refused_socket_shows_no_credentials(status: int, code: Code) -> None:
    async with FakeBreeze(Refuse(status=status, body=b"no"), direct=False) as fake, driving() as driver:
        with pytest.raises(ProviderError) as caught:
            await spoken(driver, request(breeze(fake.url)), "Hello.")
    error = caught.value
    assert (error.code, error.provider.status) == (code, status)
    assert "s" * 43 not in f"{error.message} {error.provider} {error.__cause__!r} {error.__context__!r}"
