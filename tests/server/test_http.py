"""The HTTP routes, keys, origins, and the same turn over HTTP."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import av
import pytest
import soundfile
from websockets.exceptions import InvalidStatus

from relay.config import LimitsConfig, ServerConfig
from relay.errors import Code
from relay.server.app import Server
from relay.testing.scenarios import PCM_CLIP, scenario
from relay.testing.script import Send, Status
from tests.server.harness import KEY, client, config, relay_to, serving

CALLER_KEY = "a key of the relay"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.port}{path}"


async def error_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    body: dict[str, Any] = await response.json()
    assert set(body) == {"error"}
    return dict(body["error"])


@pytest.mark.parametrize(
    ("audio", "content_type"),
    [
        ({"sample_rate": "native"}, "audio/pcm;rate=24000;channels=1"),
        ({"channels": 2}, "audio/pcm;rate=24000;channels=2"),
        ({"encoding": "pcm_f32le"}, "audio/pcm;rate=24000;channels=1;encoding=pcm_f32le"),
        ({"encoding": "mulaw", "sample_rate": 8000}, "audio/basic"),
        ({"encoding": "alaw", "sample_rate": 8000}, "audio/pcm;rate=8000;channels=1;encoding=alaw"),
    ],
)
async def test_speech_says_what_it_is(http: aiohttp.ClientSession, audio: dict[str, Any], content_type: str) -> None:
    async with relay_to(scenario("ok")) as (server, _):
        async with http.post(url(server, "/v1/speech"), json={"text": "Hello.", "audio": audio}) as response:
            body = await response.read()
    assert (response.status, response.headers["Content-Type"]) == (200, content_type)
    assert response.headers["X-Relay-Provider"] == "breeze"
    if audio == {"sample_rate": "native"}:
        assert body == PCM_CLIP.data, "over HTTP the last frame is short"


async def test_speech_names_who_has_spoken_it(http: aiohttp.ClientSession) -> None:
    async with relay_to(scenario("status_503")) as (server, _):
        spoken = {"text": "Hello.", "providers": ["breeze", "espeak"]}
        async with http.post(url(server, "/v1/speech"), json=spoken) as response:
            await response.read()
    assert (response.status, response.headers["X-Relay-Provider"]) == (200, "espeak")
    assert response.headers["X-Relay-Voice"] == "en-us"


async def test_speech_as_wav(http: aiohttp.ClientSession) -> None:
    async with relay_to(scenario("ok")) as (server, _):
        async with http.post(url(server, "/v1/speech"), json={"text": "Hello.", "container": "wav"}) as response:
            body = await response.read()
    assert response.headers["Content-Type"] == "audio/wav"
    samples, rate = soundfile.read(io.BytesIO(body), dtype="int16")
    assert (rate, samples.tobytes()) == (24000, PCM_CLIP.data)


@pytest.mark.parametrize("container", ["mp3", "ogg", "flac", "aac"])
async def test_speech_as_a_compressed_file(http: aiohttp.ClientSession, container: str) -> None:
    async with relay_to(scenario("ok")) as (server, _):
        async with http.post(url(server, "/v1/speech"), json={"text": "Hello.", "container": container}) as response:
            body = await response.read()
    media = {"mp3": "audio/mpeg", "ogg": "audio/ogg", "flac": "audio/flac", "aac": "audio/aac"}[container]
    assert response.headers["Content-Type"] == media
    with av.open(io.BytesIO(body), "r") as file:
        seconds = sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))
    spoken_s = len(PCM_CLIP.data) / 2 / 24000
    assert spoken_s - 0.001 <= seconds <= spoken_s + 0.2


async def test_the_status_line_waits_for_the_first_audio(http: aiohttp.ClientSession) -> None:
    async with relay_to(scenario("status_402")) as (server, _):
        async with http.post(url(server, "/v1/speech"), json={"text": "Hello."}) as response:
            error = await error_of(response)
    assert (response.status, error["code"]) == (502, Code.PROVIDER_AUTH)
    assert KEY not in str(error)


async def test_a_failure_after_the_first_audio_cuts_the_connection(http: aiohttp.ClientSession) -> None:
    async with relay_to(scenario("cut_chunked_fin")) as (server, _):
        got = b""
        with pytest.raises(aiohttp.ClientPayloadError):
            async with http.post(url(server, "/v1/speech"), json={"text": "Hello."}) as response:
                assert response.status == 200
                async for data in response.content.iter_any():
                    got += data
    assert PCM_CLIP.data.startswith(got)


async def test_nothing_to_say_is_an_empty_body(http: aiohttp.ClientSession) -> None:
    async with relay_to(scenario("ok")) as (server, _):
        async with http.post(url(server, "/v1/speech"), json={"text": " "}) as response:
            assert (response.status, await response.read()) == (200, b"")
        async with http.post(url(server, "/v1/speech"), json={"text": " ", "container": "wav"}) as response:
            assert soundfile.info(io.BytesIO(await response.read())).frames == 0
    short = PCM_CLIP.data[:300]  # less than a frame: all of it is there when the header leaves
    async with relay_to((Status(200, {"content-type": "audio/pcm"}), Send(short))) as (server, _):
        async with http.post(url(server, "/v1/speech"), json={"text": "A.", "container": "wav"}) as response:
            body = await response.read()
    assert (int.from_bytes(body[4:8], "little"), body[44:]) == (len(body) - 8, short)


async def test_a_client_that_hangs_up_ends_the_providers_work(http: aiohttp.ClientSession) -> None:
    async with relay_to(scenario("endless_body")) as (server, fake):
        async with http.post(url(server, "/v1/speech"), json={"text": "Hello."}) as response:
            await response.content.readany()
            response.close()
        await (await fake.exchange(0)).left()
        while b"relay_turns 0.0" not in server.engine.metrics.render():
            await asyncio.sleep(0.01)


async def test_a_client_that_hangs_up_before_the_first_audio_does_too(http: aiohttp.ClientSession) -> None:
    async with relay_to(scenario("stall_before_headers")) as (server, fake):
        request = asyncio.create_task(http.post(url(server, "/v1/speech"), json={"text": "Hello."}))
        exchange = await fake.exchange(0)
        request.cancel()
        await exchange.left()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, Code.INVALID_MESSAGE),
        (b"[]", 400, Code.INVALID_MESSAGE),
        (b'{"text":"a","container":"opus"}', 400, Code.INVALID_MESSAGE),
        (b'{"text":"a","audio":{"frame_ms":1}}', 400, Code.INVALID_CONFIG),
        (b'{"text":"a","audio":{"header":true}}', 400, Code.INVALID_CONFIG),
        (b'{"text":"' + b"a" * 200 + b'"}', 413, Code.TEXT_TOO_LONG),
        (b'{"text":"' + b"a" * 5000 + b'"}', 413, Code.INVALID_MESSAGE),
    ],
)
async def test_bad_bodies(http: aiohttp.ClientSession, body: bytes, status: int, code: Code) -> None:
    limits = LimitsConfig(max_turn_chars=100, max_message_bytes=4096)
    async with relay_to(scenario("ok"), limits=limits) as (server, _):
        async with http.post(url(server, "/v1/speech"), data=body) as response:
            error = await error_of(response)
    assert (response.status, error["code"]) == (status, code)


async def test_health_readiness_and_metrics(http: aiohttp.ClientSession) -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server) as caller:
        await caller.speak()
        for path in ("/healthz", "/readyz"):
            async with http.get(url(server, path)) as response:
                assert response.status == 200
        async with http.get(url(server, "/metrics")) as response:
            text = await response.text()
    assert 'relay_turns_ended_total{end="done",provider="breeze"} 1.0' in text
    assert "relay_sessions 1.0" in text
    assert 'relay_ttfa_seconds_count{format="pcm_s16le_24000",model="default",provider="breeze"} 1.0' in text
    assert 'relay_provider_places_limit{provider="breeze"} 1000.0' in text
    assert "voc_1" not in text, "labels are bounded: nothing a client sends"


async def test_providers_and_voices(http: aiohttp.ClientSession) -> None:
    async with serving(config()) as server:
        async with http.get(url(server, "/v1/providers")) as response:
            listed = {provider["name"]: provider for provider in (await response.json())["providers"]}
        async with http.get(url(server, "/v1/voices?provider=espeak&language=en")) as response:
            voices = (await response.json())["voices"]
        async with http.get(url(server, "/v1/voices?provider=nobody")) as response:
            assert (response.status, (await error_of(response))["code"]) == (400, Code.INVALID_CONFIG)
        async with http.get(url(server, "/v1/voices?provider=breeze")) as response:
            assert (response.status, (await error_of(response))["code"]) == (503, Code.PROVIDER_UNAVAILABLE)
    assert listed["espeak"]["usable"]
    assert listed["breeze"]["default"]
    assert "voice_settings" in listed["breeze"]["capabilities"]["options"]
    assert voices
    assert all(any(tag.startswith("en") for tag in voice["languages"]) for voice in voices)


async def test_a_provider_without_a_key_is_listed_with_what_is_missing(http: aiohttp.ClientSession) -> None:
    from relay.config import Config

    async with serving(Config(server=ServerConfig(port=0))) as server:
        async with http.get(url(server, "/v1/providers")) as response:
            listed = {provider["name"]: provider for provider in (await response.json())["providers"]}
    assert not listed["breeze"]["usable"]
    assert "BREEZE_API_KEY" in listed["breeze"]["reason"]


async def test_unknown_paths_and_methods_are_json_errors(http: aiohttp.ClientSession) -> None:
    async with serving(config()) as server:
        async with http.get(url(server, "/v2/nothing")) as response:
            assert (response.status, (await error_of(response))["code"]) == (404, Code.INVALID_MESSAGE)
        async with http.get(url(server, "/v1/speech")) as response:
            assert response.status == 405
        async with http.get(url(server, "/v1/stream")) as response:
            assert (response.status, (await error_of(response))["code"]) == (400, Code.INVALID_MESSAGE)


async def test_with_keys_every_route_but_health_asks_for_one(http: aiohttp.ClientSession) -> None:
    keys = ServerConfig(port=0, keys=[CALLER_KEY])
    bearer = {"Authorization": f"Bearer {CALLER_KEY}"}
    async with relay_to(scenario("ok"), server=keys) as (server, _):
        for path in ("/v1/providers", "/v1/voices", "/v1/stream"):
            async with http.get(url(server, path)) as response:
                assert (response.status, (await error_of(response))["code"]) == (401, Code.UNAUTHORIZED)
                assert response.headers["WWW-Authenticate"] == "Bearer"
        async with http.post(url(server, "/v1/speech"), json={"text": "a"}) as response:
            assert response.status == 401
        async with http.get(url(server, "/healthz")) as response:
            assert response.status == 200
        async with http.get(url(server, "/v1/providers"), headers=bearer) as response:
            assert response.status == 200
        with pytest.raises(InvalidStatus) as refused:
            async with client(server):
                pass
        assert refused.value.response.status_code == 401
        async with client(server, additional_headers=bearer) as caller:
            assert (await caller.speak()).end["type"] == "turn.done"


async def test_pages_of_strangers_may_not_connect() -> None:
    async with relay_to(scenario("ok")) as (server, _):
        with pytest.raises(InvalidStatus) as refused:
            async with client(server, origin="https://evil.example"):
                pass
        assert refused.value.response.status_code == 403
        async with client(server, origin=f"http://127.0.0.1:{server.port}") as caller:
            assert (await caller.speak()).end["type"] == "turn.done"


async def test_the_subprotocol_is_selected_when_offered() -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server, subprotocols=["relay.v1"]) as caller:
        assert caller.websocket.subprotocol == "relay.v1"


async def test_sessions_are_bounded_and_a_place_comes_back() -> None:
    limits = LimitsConfig(max_sessions=2, max_sessions_per_client=1)
    async with relay_to(scenario("ok"), limits=limits) as (server, _):
        async with client(server):
            with pytest.raises(InvalidStatus) as refused:
                async with client(server):
                    pass
            assert refused.value.response.status_code == 429
            assert refused.value.response.headers["Retry-After"]
        while server.engine.session_limiter.taken:
            await asyncio.sleep(0.01)
        async with client(server) as caller:
            assert (await caller.speak()).end["type"] == "turn.done"


async def test_bodies_that_do_not_come_hold_no_place(http: aiohttp.ClientSession) -> None:
    limits = LimitsConfig(max_sessions_per_client=1, body_timeout_s=0.3)
    async with relay_to(scenario("ok"), limits=limits) as (server, _):
        halves = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        for _, writer in halves:
            writer.write(b'POST /v1/speech HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{"text": "half')
        async with http.post(url(server, "/v1/speech"), json={"text": "Hello."}) as response:
            assert (response.status, bool(await response.read())) == (200, True)
        for reader, writer in halves:
            async with asyncio.timeout(10):
                answer = await reader.readuntil(b"}}")
            writer.close()
            assert answer.startswith(b"HTTP/1.1 408"), answer[:40]
            assert b'"code":"slow_client"' in answer
        assert server.engine.session_limiter.taken == 0
