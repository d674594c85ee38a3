"""Sauti and PlayAI through a whole relay: clips in the answer, jobs that are polled for, files on another host."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from relay.config import Config, HttpConfig, LimitsConfig, ProviderConfig, ServerConfig, load
from relay.core.formats import AudioFormat, Encoding
from relay.engine.segments import OPEN_SEGMENTS
from relay.engine.setup import build_providers
from relay.providers.breeze import jobs as breeze_jobs
from relay.providers.catalog import PROVIDERS
from relay.providers.playai import job as playai_job
from relay.providers.sauti import job as sauti_job
from relay.server.app import Server
from relay.testing.audio import speech_like, wav
from relay.testing.fake_provider import Chooser, FakeProvider, FakeRequest, in_turn
from relay.testing.script import Script, Send, Stall, Status
from tests.server.harness import Client, client, serving

KEY, USER = "sk_secret_key_of_the_tests", "user_of_the_tests"
NATIVE: dict[str, Any] = {"audio": {"sample_rate": "native", "tail": "short"}}
TEXT = "A secret text."
# What the models behind Sauti make; nothing but the header says it.
RATE_HZ = 16000
MP3 = (Path(__file__).parent.parent / "golden" / "mp3" / "bare_24k.mp3").read_bytes()
SAUTI = {"provider": "sauti", "voice": "sauti-swahili-v1"}
BREEZE = {"provider": "breeze", "voice": "voc_1"}
PLAYAI = {"provider": "playai", "voice": "s3://voices/v/manifest.json"}


@pytest.fixture(autouse=True)
def _polls_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sauti_job, "POLL_S", 0.01)
    monkeypatch.setattr(playai_job, "POLL_S", 0.01)
    monkeypatch.setattr(breeze_jobs, "PAUSES_S", (0.01,))


@asynccontextmanager
async def relay_to(
    script: Script | Chooser, names: tuple[str, ...] = ("sauti", "playai")
) -> AsyncIterator[tuple[Server, FakeProvider]]:
    async with FakeProvider(script) as fake:
        # The limit is configured, so that none is asked for.
        settings = ProviderConfig(api_key=KEY, user_id=USER, base_url=fake.url, max_concurrent=100)
        config = Config(
            server=ServerConfig(port=0),
            limits=LimitsConfig(),
            http=HttpConfig(retries=0),
            providers=dict.fromkeys(names, settings),
        )
        async with serving(config) as server:
            yield server, fake


def pcm(number: int) -> bytes:
    """A clip that is like no other."""
    return speech_like(0.05, seed=number, rate_hz=RATE_HZ)


def wav_of(samples: bytes) -> bytes:
    return wav(samples, AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=RATE_HZ))


def body(status: int, content: Any, **headers: str) -> Script:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return (Status(status, {"content-type": "application/json", **told}, len(data)), Send(data))


def clip(samples: bytes) -> Script:
    audio = base64.b64encode(wav_of(samples)).decode()
    return body(200, {"audio_base64": audio, "content_type": "audio/wav"})


class SautiService:
    """Clips by number in the order they were asked for; texts over `at_once_chars` become jobs."""

    def __init__(self, at_once_chars: int = 2000, running_polls: int = 2) -> None:
        self.at_once_chars = at_once_chars
        self.running_polls = running_polls
        self.polls: dict[str, int] = {}
        self.texts: list[str] = []

    def __call__(self, request: FakeRequest) -> Script:
        if request.method == "POST":
            asked = request.json()
            self.texts.append(asked["text"])
            number = len(self.texts) - 1
            if request.path == "/v1/tts/jobs" or len(asked["text"]) > self.at_once_chars:
                return body(202, {"job_id": str(number)})
            return clip(pcm(number))
        name = request.path.removeprefix("/v1/tts/jobs/")
        if name.endswith("/audio"):
            samples = wav_of(pcm(int(name.removesuffix("/audio"))))
            return body(200, samples, content_type="audio/wav")
        self.polls[name] = self.polls.get(name, 0) + 1
        done = self.polls[name] > self.running_polls
        return body(200, {"job_id": name, "status": "succeeded" if done else "running"})


# Sauti


async def test_a_short_text_is_one_request() -> None:
    service = SautiService()
    async with relay_to(service) as (server, fake), client(server) as caller:
        heard = await caller.speak(TEXT, **SAUTI, **NATIVE)
        assert heard.audio == pcm(0)
        assert [started["audio"]["sample_rate"] for started in heard.of("turn.started")] == [RATE_HZ]
        timings = heard.end["timings"]
        assert 0 < timings["request_sent"] <= timings["response_headers"] <= timings["first_byte"]
        assert timings["first_byte"] <= timings["first_sample"] <= timings["first_frame"]
        assert [exchange.request.headers["xi-api-key"] for exchange in fake.exchanges] == [KEY]


@pytest.mark.parametrize("options", [{"delivery": "job"}, {}])
async def test_a_job_is_polled_for(options: dict[str, Any]) -> None:
    service = SautiService(at_once_chars=5)
    async with relay_to(service) as (server, fake), client(server) as caller:
        heard = await caller.speak(TEXT, **SAUTI, **NATIVE, options=options)
        assert heard.audio == pcm(0)
        assert heard.end["provider_ids"] == {"job_id": "0"}
        assert [exchange.request.method for exchange in fake.exchanges] == ["POST", "GET", "GET", "GET", "GET"]
        assert fake.connections_opened == 1
        assert heard.end["timings"]["request_sent"] < heard.end["timings"]["first_byte"]


@pytest.mark.parametrize("at_once_chars", [5000, 60])
async def test_a_text_that_is_typed_is_spoken_in_order(at_once_chars: int) -> None:
    """Clips in the answer and polled jobs, mixed as the lengths of the segments fall: joined without a sample lost."""
    text = " ".join(f"This is sentence number {number}, which is long enough to stand alone." for number in range(24))
    service = SautiService(at_once_chars)
    async with relay_to(service) as (server, _), client(server) as caller:
        await caller.send(type="turn.start", turn_id="t", **SAUTI, **NATIVE)
        for start in range(0, len(text), 11):
            await caller.send(type="text.append", text=text[start : start + 11])
        await caller.send(type="turn.end")
        heard = await caller.turn()
    assert heard.end["type"] == "turn.done", heard.end
    assert "".join(service.texts) == text
    assert len(service.texts) > 2
    assert len(service.texts[0]) < max(len(each) for each in service.texts), "the first one is short"
    assert heard.audio == b"".join(pcm(number) for number in range(len(service.texts)))
    assert bool(service.polls) == (at_once_chars == 60)


async def test_a_long_text_is_spoken_whole() -> None:
    text = "Here is one sentence that is long enough to stand alone. " * 100
    service = SautiService()
    async with relay_to(service) as (server, _), client(server) as caller:
        heard = await caller.speak(text, **SAUTI, **NATIVE)
    assert heard.end["type"] == "turn.done", heard.end
    assert "".join(service.texts) == text
    assert heard.audio == b"".join(pcm(number) for number in range(len(service.texts)))


async def test_a_cancel_while_a_job_is_polled_for_stops_the_polls() -> None:
    service = SautiService(running_polls=10**9)
    async with relay_to(service) as (server, fake), client(server) as caller:
        await caller.send(type="speak", text=TEXT, turn_id="t", **SAUTI, options={"delivery": "job"})
        await fake.exchange(3)
        await caller.send(type="turn.cancel")
        assert (await caller.turn()).end["type"] == "turn.cancelled"
        asked = len(fake.exchanges)
        heard = await caller.speak(TEXT, **SAUTI, **NATIVE)
        assert heard.audio == pcm(1)
        assert [exchange.request.method for exchange in fake.exchanges[asked:]] == ["POST"]


async def test_a_cancel_while_a_clip_is_made_ends_its_request() -> None:
    async with relay_to((Stall(),)) as (server, fake), client(server) as caller:
        await caller.send(type="speak", text=TEXT, turn_id="t", **SAUTI)
        making = await fake.exchange(0)
        await caller.send(type="turn.cancel")
        assert (await caller.turn()).end["type"] == "turn.cancelled"
        await making.left()


async def check_error(caller: Client, expected: tuple[str, bool, float | None], **fields: Any) -> dict[str, Any]:
    heard = await caller.speak(TEXT, **fields)
    error = heard.end
    assert error["type"] == "error", error
    assert (error["code"], error["retryable"], error.get("retry_after_s")) == expected
    assert error["provider"]["name"] == fields["provider"]
    for secret in (KEY, USER, TEXT):
        assert secret not in str(error)
    await caller.send(type="ping")
    assert await caller.event() == {"type": "pong"}, "the session lives"
    return error


@pytest.mark.parametrize(
    ("scripts", "expected"),
    [
        ([body(202, {"job_id": "1"}), body(200, {"status": "failed"})], ("provider_unavailable", True, None)),
        ([body(202, {"job_id": "1"}), body(404, {})], ("provider_unavailable", True, None)),
        ([body(202, {"job_id": "1"}), body(429, {}, retry_after="400")], ("provider_rate_limited", True, 400)),
        (
            [body(200, {"audio_base64": base64.b64encode(b"What is said here is no audio.").decode()})],
            ("bad_audio", False, None),
        ),
        ([body(200, {"audio_base64": base64.b64encode(wav_of(pcm(0))[:99]).decode()})], ("provider_cut", True, None)),
        ([body(200, b"<html>")], ("bad_audio", False, None)),
    ],
)
async def test_what_else_can_go_wrong_with_sauti(
    scripts: list[Script], expected: tuple[str, bool, float | None]
) -> None:
    async with relay_to(in_turn(*scripts)) as (server, _), client(server) as caller:
        await check_error(caller, expected, **SAUTI)


async def test_the_voices_of_sauti_over_http() -> None:
    listed = {
        "voices": [
            {
                "voice_id": "sauti-swahili-v1",
                "name": "Sauti",
                "language_code": "sw",
                "locale": "sw-KE",
                "status": "active",
            },
            {"voice_id": "gone", "name": "Gone", "language_code": "sw", "status": "inactive"},
            {"voice_id": "en", "name": "En", "language_code": "en", "status": "active"},
        ]
    }
    async with relay_to(body(200, listed)) as (server, _), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/v1/voices?provider=sauti"
        for query, expected in (("", ["sauti-swahili-v1", "en"]), ("&language=sw", ["sauti-swahili-v1"])):
            async with session.get(url + query) as response:
                assert [voice["id"] for voice in (await response.json())["voices"]] == expected


# PlayAI


async def test_playai_streams() -> None:
    async with relay_to((Status(200, {"content-type": "audio/mpeg"}), Send(MP3))) as (server, fake):
        async with client(server) as caller:
            heard = await caller.speak(TEXT, **PLAYAI, **NATIVE, options={"speed": 1.5})
        assert heard.end["type"] == "turn.done", heard.end
        assert heard.end["samples"] > 24000 / 4
        sent = fake.exchanges[0].request
        assert (sent.path, sent.json()["speed"]) == ("/api/v1/tts/stream", 1.5)
        assert (sent.headers["authorization"], sent.headers["x-user-id"]) == (f"Bearer {KEY}", USER)


async def test_raw_samples_are_what_the_operator_says_they_are() -> None:
    """Also where the server says audio/mpeg of them, as the API's page does of everything."""
    samples = pcm(0)
    floats = (np.frombuffer(samples, "<i2") / 32768).astype("<f4").tobytes()
    raw = {"outputFormat": "raw", "sampleRate": RATE_HZ}
    for encoding, data in (("pcm_f32le", floats), ("pcm_s16le", samples)):
        async with relay_to((Status(200, {"content-type": "audio/mpeg"}), Send(data))) as (server, _):
            async with client(server) as caller:
                heard = await caller.speak(TEXT, **PLAYAI, **NATIVE, options={**raw, "raw_encoding": encoding})
        assert heard.audio == samples


@pytest.mark.parametrize("polls", [0, 3])
async def test_a_job_of_playai_is_fetched_elsewhere_without_the_credentials(polls: int) -> None:
    data = wav_of(pcm(0))
    async with FakeProvider((Status(200, {"content-type": "audio/wav"}, len(data)), Send(data))) as files:
        job: dict[str, Any] = {"id": "8f2c", "createdAt": "", "input": {}, "completedAt": None}
        working = {**job, "output": {"status": "IN_PROGRESS"}}
        done = {**job, "output": {"status": "COMPLETED", "url": f"{files.url}/1.wav?sig=s%2F1"}}
        answers = [working] * polls + [done]
        scripts = [body(201 if index == 0 else 200, answer) for index, answer in enumerate(answers)]
        async with relay_to(in_turn(*scripts)) as (server, fake), client(server) as caller:
            options = {"delivery": "job", "outputFormat": "wav"}
            heard = await caller.speak(TEXT, **PLAYAI, **NATIVE, options=options)
            assert heard.audio == pcm(0)
            assert heard.end["provider_ids"] == {"job_id": "8f2c"}
            assert len(fake.exchanges) == polls + 1
        (fetched,) = files.exchanges
        assert fetched.request.target == "/1.wav?sig=s%2F1"
        assert not {"authorization", "x-user-id"} & set(fetched.request.headers)


async def test_a_text_that_is_typed_is_streamed_by_playai_in_order() -> None:
    text = " ".join(f"This is sentence number {number}, which is long enough to stand alone." for number in range(12))
    texts: list[str] = []

    def choose(request: FakeRequest) -> Script:
        texts.append(request.json()["text"])
        return (Status(200, {"content-type": "audio/wav"}), Send(wav_of(pcm(len(texts) - 1))))

    async with relay_to(choose) as (server, _), client(server) as caller:
        await caller.send(type="turn.start", turn_id="t", **PLAYAI, **NATIVE, options={"outputFormat": "wav"})
        for start in range(0, len(text), 13):
            await caller.send(type="text.append", text=text[start : start + 13])
        await caller.send(type="turn.end")
        heard = await caller.turn()
    assert heard.end["type"] == "turn.done", heard.end
    assert "".join(texts) == text
    assert len(texts) > 2
    assert heard.audio == b"".join(pcm(number) for number in range(len(texts)))


async def test_a_failed_job_of_playai() -> None:
    failed = {"id": "8f2c", "output": {"status": "FAILED"}}
    async with relay_to(body(201, failed)) as (server, _), client(server) as caller:
        await check_error(caller, ("provider_unavailable", True, None), **PLAYAI, options={"delivery": "job"})


# Configuration


def test_the_credentials_come_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("[providers.playai]\nuser_id = 'file'\n", "utf-8")
    environ = {
        "PLAYAI_API_KEY": KEY,
        "PLAYAI_USER_ID": USER,
        "PLAYAI_BASE_URL": "http://127.0.0.1:9",
        "SAUTI_API_KEY": KEY,
    }
    config = load(str(file), environ=environ, providers=tuple(PROVIDERS))
    assert config.providers["playai"] == ProviderConfig(api_key=KEY, user_id=USER, base_url="http://127.0.0.1:9")
    assert {"playai", "sauti"}.isdisjoint(build_providers(config)[1])
    assert USER not in repr(config.providers["playai"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"api_key": KEY, "base_url": "http://127.0.0.1:9"},
            "no user id: set PLAYAI_USER_ID, or providers.playai.user_id in the configuration",
        ),
        (
            {"user_id": USER, "base_url": "http://127.0.0.1:9"},
            "no key: set PLAYAI_API_KEY, or providers.playai.api_key in the configuration",
        ),
        (
            {"api_key": KEY},
            (
                "no user id: set PLAYAI_USER_ID, or providers.playai.user_id in the configuration; "
                "no address of a server: set PLAYAI_BASE_URL, or providers.playai.base_url in the configuration"
            ),
        ),
    ],
)
async def test_what_is_missing_is_said(given: dict[str, Any], says: str) -> None:
    config = Config(server=ServerConfig(port=0), providers={"playai": ProviderConfig(**given)})
    assert build_providers(config)[1]["playai"] == says
    async with serving(config) as server, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{server.port}/v1/providers") as response:
            listed = {each["name"]: each for each in (await response.json())["providers"]}
    assert (listed["playai"]["usable"], listed["playai"]["reason"]) == (False, says)
    assert listed["sauti"]["reason"] == "no key: set SAUTI_API_KEY, or providers.sauti.api_key in the configuration"


# Jobs feel like streams


class HeldService:
    """Jobs of all three APIs by number, of which only the first is ever finished while `held`."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.held = True

    def __call__(self, request: FakeRequest) -> Script:
        if request.path.endswith((".wav", "/audio")):
            number = int(request.path.split("/")[-2])
            return body(200, wav_of(pcm(number)), content_type="audio/wav")
        if request.method == "POST":
            self.texts.append(request.json()["text"])
            return self.job(len(self.texts) - 1, False, request)
        number = int(request.path.rpartition("/")[2])
        return self.job(number, number == 0 or not self.held, request)

    def job(self, number: int, done: bool, request: FakeRequest) -> Script:
        if request.path.startswith("/v1/tts/jobs"):
            return body(200, {"job_id": str(number), "status": "succeeded" if done else "running"})
        if "/api/" not in request.path:
            return body(200, {"generation_job_id": str(number), "status": "ready" if done else "active"})
        url = f"http://{request.headers['host']}/{number}/clip.wav"
        return body(200, {"id": str(number), "output": {"status": "COMPLETED" if done else "IN_PROGRESS", "url": url}})


@pytest.mark.parametrize(
    ("provider", "options"),
    [
        (SAUTI, {"delivery": "job"}),
        (PLAYAI, {"delivery": "job", "outputFormat": "wav"}),
        (BREEZE, {"transport": "job", "output_format": "wav"}),
    ],
    ids=["sauti", "playai", "breeze"],
)
async def test_a_long_text_is_heard_from_its_first_part_while_the_rest_is_being_made(
    provider: dict[str, str], options: dict[str, str]
) -> None:
    """No job of the whole text is waited for: the first one is short, and nothing but it has to be finished."""
    text = "Here is one sentence that is long enough to stand alone. " * 20
    service = HeldService()
    async with relay_to(service, (provider["provider"],)) as (server, fake), client(server) as caller:
        await caller.send(type="speak", text=text, **provider, **NATIVE, options=options)
        heard = b""
        while len(heard) < len(pcm(0)) // 2:
            message = await caller.receive()
            heard += message if isinstance(message, bytes) else b""
        assert len(service.texts[0]) < 100 < len(text) / 2
        while len(service.texts) < 2:
            await fake.exchange(len(fake.exchanges))
        assert len(service.texts) <= 1 + OPEN_SEGMENTS, "the next part is being made meanwhile, and not all of them"
        service.held = False
        rest = await caller.turn()
    assert rest.end["type"] == "turn.done", rest.end
    assert "".join(service.texts) == text
    assert heard + rest.audio == b"".join(pcm(number) for number in range(len(service.texts)))
