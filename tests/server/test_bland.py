"""Bland behind a real relay: its audio to the sample, its errors with their codes, its long texts in parts."""

import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from relay.config import Config, HttpConfig, ProviderConfig
from relay.core.formats import AudioFormat, Encoding
from relay.errors import Code
from relay.server.app import Server
from relay.testing.audio import UNKNOWN_SIZE, riff_chunk, speech_like, wav
from relay.testing.fake_provider import Chooser, FakeProvider, FakeRequest, in_turn
from relay.testing.script import Cut, Repeat, Script, Send, Stall, Status, pieces
from tests.server.harness import KEY, Client, client, config, serving

KAREN = "29158307-9893-4149-8a75-bc9ce313d64e"
NATIVE = {"sample_rate": "native", "tail": "short"}
ONCE = HttpConfig(retries=0)


def settings(url: str, http: HttpConfig, **provider: Any) -> Config:
    built = config(
        http=http,
        providers={"bland": ProviderConfig(**({"api_key": KEY, "base_url": url, "voice": KAREN} | provider))},
    )
    return replace(built, defaults=replace(built.defaults, provider="bland"))


@asynccontextmanager
async def relay_to_bland(
    script: Script | Chooser, *, http: HttpConfig = ONCE, **provider: Any
) -> AsyncIterator[tuple[Server, FakeProvider, Client]]:
    """A relay whose default provider is a Bland that plays `script`, and a client of it."""
    async with FakeProvider(script) as fake, serving(settings(fake.url, http, **provider)) as server:
        async with client(server) as caller:
            yield server, fake, caller


def reply(data: bytes, headers: Mapping[str, str] | None = None, *, size: int = 1921) -> Script:
    """A good reply, in pieces that respect no sample."""
    return (Status(200, headers or {}), *(Send(piece) for piece in pieces(data, size)))


def form(rate_hz: int, encoding: Encoding = Encoding.PCM_S16LE) -> AudioFormat:
    return AudioFormat(encoding=encoding, sample_rate_hz=rate_hz)


def refusal(status: int, body: Any, **headers: str) -> Script:
    data = json.dumps(body).encode()
    return (Status(status, {"content-type": "application/json", **headers}, len(data)), Send(data))


# Audio


@pytest.mark.parametrize("size", [1, 44, 45, 1921, 100_000])
async def test_a_streamed_wav_of_v1_is_its_samples(size: int) -> None:
    pcm = speech_like(0.05 if size == 1 else 0.3, rate_hz=44100)
    data = wav(pcm, form(44100), size=UNKNOWN_SIZE)
    headers = {"content-type": "audio/x-wav", "x-latency": "396", "x-cost": "0.001"}
    async with relay_to_bland(reply(data, headers, size=size)) as (_, fake, caller):
        heard = await caller.speak(voice="Karen", audio=NATIVE, options={"api": "v1"})
    assert heard.end["type"] == "turn.done"
    assert heard.audio == pcm
    assert heard.of("turn.started")[0]["audio"]["sample_rate"] == 44100
    assert heard.end["provider_ids"] == {"latency_ms": "396", "cost_usd": "0.001"}
    sent = fake.exchanges[0].request
    assert (sent.path, sent.headers["authorization"]) == ("/v1/speak/stream", KEY)
    assert sent.json() == {"text": "Hello there.", "voice_id": "Karen", "output_format": "pcm_44100"}


async def test_a_whole_wav_of_v1_is_its_samples_and_nothing_around_them() -> None:
    pcm = speech_like(0.2, rate_hz=24000)
    before, after = riff_chunk(b"LIST", b"INFOodd"), riff_chunk(b"id3 ", b"\xff" * 999)
    data = wav(pcm, form(24000), before_data=before, after_data=after)
    async with relay_to_bland(reply(data), options={"api": "v1", "stream": False}) as (_, fake, caller):
        heard = await caller.speak(audio={"tail": "short"})
        assert fake.exchanges[0].request.path == "/v1/speak"
    assert heard.end["type"] == "turn.done"
    assert heard.audio == pcm


async def test_a_header_before_unsized_samples_may_hold_more() -> None:
    pcm = speech_like(0.2, rate_hz=16000)
    data = wav(pcm, form(16000), size=UNKNOWN_SIZE, before_data=riff_chunk(b"fact", b"\0\0\0\0"))
    async with relay_to_bland(reply(data, size=7), options={"api": "v1"}) as (_, _fake, caller):
        heard = await caller.speak(audio={"sample_rate": 16000, "tail": "short"})
    assert heard.audio == pcm


# u-law without 0x7F, the second zero, which no encoder gives back.
MULAW = bytes(value for value in range(256) if value != 0x7F) * 8


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"api": "v1", "output_format": "ulaw_8000"}, wav(MULAW, form(8000, Encoding.MULAW), size=UNKNOWN_SIZE)),
        ({"api": "v2", "audio": {"encoding": "mulaw"}}, MULAW),
        ({"api": "v2", "audio": {"encoding": "mulaw", "container": "wav"}}, wav(MULAW, form(8000, Encoding.MULAW))),
    ],
)
async def test_telephony_is_passed_on_bit_for_bit(options: dict[str, Any], data: bytes) -> None:
    async with relay_to_bland(reply(data, size=333)) as (_, _fake, caller):
        heard = await caller.speak(options=options, audio={"encoding": "mulaw", "sample_rate": 8000, "tail": "short"})
    assert heard.end["type"] == "turn.done"
    assert heard.audio == MULAW


@pytest.mark.parametrize("rate_hz", [8000, 16000, 24000, 44100, 48000])
async def test_v2_speaks_at_the_clients_rate_and_nothing_is_resampled(rate_hz: int) -> None:
    pcm = speech_like(0.2, rate_hz=rate_hz)
    headers = {"content-type": "audio/pcm", "x-model": "BTTS_V3", "x-request-id": "r-1"}
    async with relay_to_bland(reply(pcm, headers)) as (_, fake, caller):
        heard = await caller.speak(audio={"sample_rate": rate_hz, "frame_ms": 10, "tail": "short"})
    assert heard.end["type"] == "turn.done"
    assert heard.audio == pcm
    assert heard.end["provider_ids"] == {"model": "BTTS_V3", "request_id": "r-1"}
    sent = fake.exchanges[0].request
    assert (sent.path, sent.headers["authorization"]) == ("/v2/tts", f"Bearer {KEY}")
    assert sent.json() == {
        "text": "Hello there.",
        "voice": KAREN,
        "audio": {"encoding": "pcm_s16le", "sample_rate": rate_hz},
    }


async def test_a_rate_that_bland_has_not_is_made_of_one_that_it_has() -> None:
    pcm = speech_like(0.5, rate_hz=44100)
    async with relay_to_bland(reply(pcm)) as (_, fake, caller):
        heard = await caller.speak(audio={"sample_rate": 22050, "tail": "short"})
        assert fake.exchanges[0].request.json()["audio"]["sample_rate"] == 44100
    assert heard.end["samples"] == len(pcm) // 2 // 2


async def test_a_wav_that_v2_was_not_asked_for_is_read_as_what_it_is() -> None:
    pcm = speech_like(0.2, rate_hz=48000)
    async with relay_to_bland(reply(wav(pcm, form(48000)))) as (_, _fake, caller):
        heard = await caller.speak(audio=NATIVE)
    assert heard.audio == pcm


# Text


async def test_a_long_text_is_spoken_in_parts_and_joined_without_a_gap() -> None:
    text = "Here is one sentence that is long enough to stand alone. " * 110
    asked: list[str] = []

    def choose(request: FakeRequest) -> Script:
        asked.append(request.json()["text"])
        return reply(len(asked).to_bytes(2, "little") * 480)

    async with relay_to_bland(choose) as (_, _fake, caller):
        heard = await caller.speak(text, audio={"sample_rate": 24000, "tail": "short"})
    assert heard.end["type"] == "turn.done"
    assert len(text) > 5000
    assert "".join(asked) == "".join(segment["text"] for segment in heard.of("text.segment")) == text
    assert len(asked) > 1
    assert max(map(len, asked)) <= 5000
    assert heard.audio == b"".join((at + 1).to_bytes(2, "little") * 480 for at in range(len(asked)))


async def test_a_text_of_one_letter_is_spoken() -> None:
    async with relay_to_bland(reply(b"\x01\x00")) as (_, fake, caller):
        heard = await caller.speak("A", audio={"tail": "short"})
        assert fake.exchanges[0].request.json()["text"] == "A"
    assert (heard.end["type"], heard.audio) == ("turn.done", b"\x01\x00")


# Faults

V1_INVALID = {"status": "error", "errors": [{"error": "Invalid Input", "message": "Missing text in request body"}]}
V1_FUNDS = {"data": None, "errors": [{"error": "INSUFFICIENT_CREDITS", "message": "Add credits."}]}
REFUSALS: list[tuple[str, int, Any, Code, bool]] = [
    ("v1", 400, V1_INVALID, Code.PROVIDER_REJECTED, False),
    ("v1", 200, V1_INVALID, Code.PROVIDER_REJECTED, False),
    ("v1", 200, V1_FUNDS, Code.PROVIDER_AUTH, False),
    ("v1", 404, V1_INVALID, Code.VOICE_NOT_FOUND, False),
    ("v1", 401, {"message": "Unauthorized"}, Code.PROVIDER_AUTH, False),
    ("v1", 500, None, Code.PROVIDER_UNAVAILABLE, True),
    ("v2", 401, "AUTH_FAILED", Code.PROVIDER_AUTH, False),
    ("v2", 402, "insufficient_credits", Code.PROVIDER_AUTH, False),
    ("v2", 403, "ORG_SUSPENDED", Code.PROVIDER_AUTH, False),
    ("v2", 404, "voice_not_found", Code.VOICE_NOT_FOUND, False),
    ("v2", 400, "unsupported_voice", Code.PROVIDER_REJECTED, False),
    ("v2", 413, "context_overflow", Code.TEXT_TOO_LONG, False),
    ("v2", 429, "busy", Code.PROVIDER_RATE_LIMITED, True),
    ("v2", 503, "synthesis_failed", Code.PROVIDER_UNAVAILABLE, True),
    ("v2", 504, "timeout", Code.PROVIDER_TIMEOUT, True),
    ("v2", 200, "voice_not_found", Code.VOICE_NOT_FOUND, False),
]


@pytest.mark.parametrize(("api", "status", "body", "code", "retryable"), REFUSALS)
async def test_a_refusal_reaches_the_client_with_its_code(
    api: str, status: int, body: Any, code: Code, retryable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if isinstance(body, str):
        body = {"error": {"code": body, "message": f"A secret text. was sent with {KEY}"}}
    with caplog.at_level(logging.DEBUG):
        async with relay_to_bland(refusal(status, body)) as (_, fake, caller):
            heard = await caller.speak("A secret text.", turn_id="t", options={"api": api})
            assert len(fake.exchanges) == 1
            await caller.send(type="ping")
            assert await caller.event() == {"type": "pong"}, "the session lives"
    error = heard.end
    assert (error["type"], error["code"], error["turn_id"]) == ("error", code, "t"), error
    assert error["retryable"] == retryable
    assert (error["provider"]["name"], error["provider"]["status"]) == ("bland", status)
    assert heard.audio == b""
    ours = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("websockets"))
    for told in (str(error), ours):
        assert KEY not in told
        assert "secret text" not in told


PCM = speech_like(0.3)
WAV = wav(PCM, form(24000), size=UNKNOWN_SIZE)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("api", ["v1", "v2"])
async def test_a_cut_is_an_error_after_the_good_audio(api: str, reset: bool) -> None:
    data = WAV if api == "v1" else PCM
    cut = (Status(200), Send(data[:7001]), Cut(reset=reset))
    async with relay_to_bland(cut) as (_, _fake, caller):
        heard = await caller.speak(options={"api": api}, audio={"tail": "short"})
    assert (heard.end["type"], heard.end["code"]) == ("error", Code.PROVIDER_CUT)
    assert not heard.of("turn.done")
    good = data[:7001].removeprefix(WAV[:44])
    assert len(heard.audio) >= len(good) // 960 * 960
    assert PCM.startswith(heard.audio)


async def test_a_cut_inside_the_header_of_v1_is_no_audio() -> None:
    async with relay_to_bland((Status(200), Send(WAV[:30]))) as (_, _fake, caller):
        heard = await caller.speak(options={"api": "v1"})
    assert (heard.end["code"], heard.audio) == (Code.PROVIDER_CUT, b"")


async def test_a_stall_is_a_timeout() -> None:
    impatient = HttpConfig(retries=0, stall_timeout_s=0.2)
    async with relay_to_bland((Status(200), Send(PCM[:4801]), Stall()), http=impatient) as (_, _fake, caller):
        heard = await caller.speak()
    assert heard.end["code"] == Code.PROVIDER_TIMEOUT


@pytest.mark.parametrize("api", ["v1", "v2"])
async def test_a_reply_without_audio_is_an_error(api: str) -> None:
    data = WAV[:44] if api == "v1" else b""
    async with relay_to_bland((Status(200, {}, len(data)), *([Send(data)] if data else []))) as (_, _fake, caller):
        heard = await caller.speak(options={"api": api})
    assert (heard.end["type"], heard.end["code"]) == ("error", Code.BAD_AUDIO)


async def test_a_full_pool_is_tried_again_before_any_audio() -> None:
    busy = refusal(429, {"error": {"code": "busy", "message": "Later."}}, **{"retry-after": "0"})
    async with relay_to_bland(in_turn(busy, reply(PCM)), http=HttpConfig(retries=1)) as (_, fake, caller):
        heard = await caller.speak(audio={"tail": "short"})
        assert len(fake.exchanges) == 2
    assert heard.audio == PCM


async def test_a_cancel_ends_the_request() -> None:
    async with relay_to_bland((Status(200), Repeat(PCM))) as (_, fake, caller):
        await caller.send(type="speak", text="Hello.", turn_id="t")
        await caller.event("audio.started")
        await caller.send(type="turn.cancel", turn_id="t")
        assert (await caller.event("turn.cancelled"))["turn_id"] == "t"
        await (await fake.exchange(0)).left()


async def test_a_voice_by_name_is_refused_before_anything_is_sent() -> None:
    async with relay_to_bland(reply(PCM)) as (_, fake, caller):
        heard = await caller.speak(voice="Karen")
        assert not fake.exchanges
        assert heard.end["code"] == Code.INVALID_CONFIG
        assert "UUID" in heard.end["message"]
        assert (await caller.speak()).end["type"] == "turn.done"


# The rest


async def test_voices_are_listed() -> None:
    listed = {"voices": [{"id": KAREN, "name": "Karen", "tags": ["female"]}]}
    async with relay_to_bland(refusal(200, listed)) as (server, _fake, _caller), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/v1/voices?provider=bland"
        async with session.get(url) as answer:
            assert answer.status == 200
            told = await answer.text()
    assert KAREN in told
    assert "Karen" in told


async def test_http_speech_reports_blands_refusal_as_a_status() -> None:
    body = {"error": {"code": "voice_not_found", "message": "No such voice."}}
    async with relay_to_bland(refusal(404, body)) as (server, _fake, _caller), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/v1/speech"
        async with session.post(url, json={"text": "Hello."}) as answer:
            assert answer.status == 404
            assert (await answer.json())["error"]["provider"]["code"] == "voice_not_found"
