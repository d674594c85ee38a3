"""Breeze Blue's API as a door: its words, its errors, its realtime sessions, and our own adapter as its client."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from relay.config import DoorConfig, JobsConfig, ServerConfig
from relay.core import events
from relay.core.events import Word, WordsTimed
from relay.core.record import TurnRecord
from relay.errors import ClientError, Code, LimitError
from relay.protocols.base import Handshake, SpeechCall
from relay.protocols.breeze.api import SPEECH, Manner
from relay.protocols.breeze.protocol import Breeze
from relay.protocols.breeze.realtime import BreezeSession
from relay.protocols.breeze.speech import FORMATS, TimedReply
from relay.protocols.door import Door
from relay.providers.breeze import jobs as breeze_jobs
from relay.testing.conformance.protocol import check_protocol
from relay.testing.conformance.speech_protocol import check_speech_protocol
from relay.testing.scenarios import PCM_CLIP, scenario
from tests.server.harness import PATIENCE_S, breeze, client, config, relay_to, serving

DOOR = Door(
    name="breeze",
    voices={"voc_9": "espeak:de"},
    providers=("breeze", "espeak"),
    adapters={"breeze": "breeze", "espeak": "espeak"},
    default_provider="espeak",
)
KEY = {"xi-api-key": "k"}
BODY: dict[str, Any] = {"text": "Hello there."}
ROUTES = ("", "/with-timestamps", "/stream", "/stream/with-timestamps")


def asked(route: str = "", voice: str = "voc_1", **headers: str) -> Handshake:
    return Handshake(route=SPEECH + route, path={"voice": voice}, headers=headers)


def body(**fields: Any) -> bytes:
    return json.dumps(BODY | fields).encode()


def parsed(handshake: Handshake, said: bytes) -> SpeechCall:
    call = Breeze(DOOR).parse(handshake, said)
    assert isinstance(call, SpeechCall)
    return call


def test_it_keeps_what_every_protocol_has_to() -> None:
    settings = {"guidance_scale": 1.2, "use_speaker_boost": True, "speed": 1.5, "volume": 0.5}
    valid = [body(), body(model_id="m", language_code="sw", instructions="Calm.", voice_settings=settings)]
    for route in ROUTES:
        check_speech_protocol(Breeze(DOOR), valid=valid, text_field="text", handshake=asked(route))
    messages = ["turn.start", "turn.cancel", "ping", "session.close"]
    check_protocol(
        lambda: BreezeSession(DOOR, "voc_1", Manner(), "s"),
        valid=[
            *(json.dumps({"type": kind}) for kind in messages),
            '{"type":"turn.start","turn_id":"a"}',
            '{"type":"session.update","instructions":"Calm."}',
        ],
    )


@pytest.mark.parametrize(
    ("voice", "provider", "options", "gain_db"),
    [
        ("breeze:voc_1", "breeze", {"voice_settings": {"speed": 2.0, "volume": 0.5}}, None),
        ("voc_9", "espeak", {"speed": 2.0}, -6.021),
        ("other", None, {"speed": 2.0}, -6.021),
    ],
)
def test_settings_of_a_voice_are_the_apis_own_or_ours(
    voice: str, provider: str | None, options: dict[str, Any], gain_db: float | None
) -> None:
    said = body(voice_settings={"speed": 2, "volume": 0.5})
    request = parsed(asked(voice=voice), said).request
    assert (request.provider, request.options, request.audio.get("gain_db")) == (provider, options, gain_db)


@pytest.mark.parametrize(
    ("sdk", "media_type"),
    [
        (None, "audio/mpeg"),
        ("breeze-blue-python/0.3.0", "audio/mpeg"),
        ("@breeze.blue/sdk/0.3.1", "audio/mpeg"),
        ("breeze-blue-python/0.5.0", "audio/pcm"),
        ("breeze-blue-python/0.21.1", "audio/pcm"),
        ("breeze-blue-python/1.0.0", "audio/pcm"),
    ],
)
def test_a_stream_without_a_format_has_that_of_the_clients_vintage(sdk: str | None, media_type: str) -> None:
    headers = {"x-breeze-sdk": sdk} if sdk else {}
    assert parsed(asked("/stream", **headers), body()).own.media_type == media_type
    assert parsed(asked("", **headers), body()).own.media_type == "audio/mpeg"


def test_errors_have_this_apis_names_and_statuses() -> None:
    door = Breeze(DOOR)
    limited = door.refusal(LimitError(Code.RATE_LIMITED, "too many", retry_after_s=2.4))
    assert (limited.status, limited.headers["Retry-After"]) == (429, "2")
    assert json.loads(limited.body) == {
        "ok": False,
        "code": "GENERATION_CONCURRENCY_EXCEEDED",
        "detail": "too many",
        "error": "too many",
    }
    missing = door.refusal(ClientError(Code.INVALID_MESSAGE, "GET /x: Not Found"), 404)
    assert (missing.status, json.loads(missing.body)["code"]) == (404, "RESOURCE_NOT_FOUND")


@given(st.lists(st.binary(max_size=20)))
def test_timed_audio_is_one_base64_whatever_the_cut(pieces: list[bytes]) -> None:
    reply = Breeze(DOOR).reply(parsed(asked("/with-timestamps"), body()))
    assert isinstance(reply, TimedReply)
    told = [reply.audio(piece) for piece in pieces]
    told.append(reply.event(WordsTimed(turn_id="t", words=(Word("Hello", 0, 12_000),))))
    told.append(reply.event(TurnRecord(turn_id="t", index=0).done()))
    found = json.loads(b"".join(told))
    assert base64.b64decode(found["audio_base64"], validate=True) == b"".join(pieces)
    assert found["word_timestamps"] == [{"index": 0, "word": "Hello", "start": 0.0, "end": 0.5}]


def test_what_is_meant_for_a_refused_turn_is_not_spoken_by_another() -> None:
    session = BreezeSession(DOOR, "voc_1", Manner(), "s")
    [first] = session.receive('{"type":"turn.start","turn_id":"a"}')
    assert isinstance(first, events.StartTurn)
    assert first.request.turn_id == "s_0"
    [error] = session.send(events.Failed(error=ClientError(Code.INVALID_CONFIG, "no"), turn_id="s_0"))
    assert json.loads(error.payload)["turn_id"] == "a"
    assert session.receive('{"type":"text.append","text":"x"}') == []
    assert session.receive('{"type":"turn.end"}') == []
    [wrong] = session.receive('{"type":"text.append","text":"x"}')
    assert isinstance(wrong, events.Unreadable)
    [second] = session.receive('{"type":"turn.start","turn_id":"a"}')
    assert isinstance(second, events.StartTurn)
    assert isinstance(session.receive('{"type":"turn.start"}')[0], events.Unreadable), "the turn takes text still"


@asynccontextmanager
async def door_to(name: str = "ok", **sections: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    sections = {"server": ServerConfig(port=0, keys=["k"]), **sections}
    async with relay_to(scenario(name), **sections) as (server, _), aiohttp.ClientSession(headers=KEY) as http:
        yield http, f"http://127.0.0.1:{server.port}/breeze"


async def test_every_route_has_the_whole_speech_in_every_format() -> None:
    async with door_to() as (http, url):
        url += "/v1/text-to-speech/voc_1"
        for form, (_, media_type) in FORMATS.items():
            async with http.post(f"{url}?output_format={form}", data=body()) as response:
                audio = await response.read()
            assert (response.status, response.headers["Content-Type"]) == (200, media_type)
            assert int(response.headers["Content-Length"]) == len(audio)
            assert response.headers["history-item-id"].startswith("hist_")
            assert response.headers["x-breeze-api-key-id"]
            if form == "pcm":
                assert audio == PCM_CLIP.data
                continue
            with av.open(io.BytesIO(audio), "r") as file:
                assert sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0)) > 0.2
        async with http.post(f"{url}?output_format=wav", data=body()) as response:
            audio = await response.read()
        # A whole file knows its sizes.
        assert int.from_bytes(audio[4:8], "little") == len(audio) - 8
        assert audio[44:] == PCM_CLIP.data
        async with http.post(f"{url}?output_format=wav_48000", data=body()) as response:
            assert int.from_bytes((await response.read())[24:28], "little") == 48_000
        async with http.post(f"{url}/stream?output_format=pcm", data=body()) as response:
            assert (response.headers["x-breeze-sample-rate"], await response.read()) == ("24000", PCM_CLIP.data)
        async with http.post(f"{url}/with-timestamps?output_format=pcm", data=body()) as response:
            timed = await response.json()
        assert (timed["content_type"], timed["word_timestamps"]) == ("audio/pcm", [])
        assert base64.b64decode(timed["audio_base64"], validate=True) == PCM_CLIP.data
        async with http.post(f"{url}/stream/with-timestamps?output_format=pcm", data=body()) as response:
            lines = [json.loads(line) for line in (await response.text()).splitlines()]
        assert b"".join(base64.b64decode(line["audio_base64"]) for line in lines) == PCM_CLIP.data


async def test_a_failure_is_a_status_where_the_reply_is_whole() -> None:
    async with door_to("cut_chunked_fin") as (http, url):
        async with http.post(f"{url}/v1/text-to-speech/voc_1", data=body()) as response:
            error = await response.json()
        assert (response.status, error["code"]) == (502, "UPSTREAM_GENERATION_ERROR")
        with pytest.raises(aiohttp.ClientPayloadError):
            async with http.post(f"{url}/v1/text-to-speech/voc_1/stream", data=body()) as response:
                await response.read()


async def test_refusals_and_lists_in_this_apis_form() -> None:
    doors = {"breeze": DoorConfig(voices={"voc_9": "espeak:gmw/en-US"}, models={"breeze-tts-2": "m"})}
    speech = "/v1/text-to-speech/voc_1"
    async with door_to(doors=doors) as (http, url):
        for path, said, status, code in (
            (speech, body(text=""), 422, "VALIDATION_ERROR"),
            (speech, body(odd=1), 422, "VALIDATION_ERROR"),
            (speech, body(timestamp_mode="chunk"), 422, "VALIDATION_ERROR"),
            (f"{speech}?output_format=ogg", body(), 400, "BAD_REQUEST"),
            (f"{speech}?output_format=wav_47999", body(), 400, "BAD_REQUEST"),
            (f"{speech}/stream?output_format=flac", body(), 400, "BAD_REQUEST"),
            (f"{speech}?delivery=later", body(), 400, "BAD_REQUEST"),
            (f"{speech}/stream?delivery=async", body(), 400, "BAD_REQUEST"),
            (f"{speech}/with-timestamps?delivery=async", body(), 400, "BAD_REQUEST"),
            ("/v1/text-to-speech/espeak:nobody", body(), 404, "RESOURCE_NOT_FOUND"),
            ("/v1/nothing", b"", 404, "RESOURCE_NOT_FOUND"),
        ):
            async with http.post(url + path, data=said) as response:
                error = await response.json()
            assert (response.status, error["ok"], error["code"]) == (status, False, code), path
        async with http.get(f"{url}/v1/models", headers={"xi-api-key": "wrong"}) as response:
            assert (response.status, (await response.json())["code"]) == (401, "AUTH_REQUIRED")
        async with http.get(f"{url}/v1/models") as response:
            assert (await response.json())[0]["model_id"] == "breeze-tts-2"
        async with http.get(f"{url}/v1/voices?search=gmw/en-&page=2&page_size=2") as response:
            page = await response.json()
        assert (page["page"], len(page["voices"]), page["has_more"]) == (2, 2, True)
        assert page["voices"][0]["language_code"] == "en"
        async with http.get(f"{url}/v1/voices/voc_9") as response:
            assert (await response.json())["voice_id"] == "voc_9"
        for path in ("/v1/voices/nobody", "/v1/history/hist_1", "/v1/generation-jobs/job_1"):
            async with http.get(url + path) as response:
                assert (response.status, (await response.json())["code"]) == (404, "RESOURCE_NOT_FOUND")


@asynccontextmanager
async def realtime(http: aiohttp.ClientSession, url: str, *, direct: bool) -> AsyncIterator[ClientConnection]:
    path = f"{url}/v1/text-to-speech/voc_1/realtime-sessions"
    async with http.post(path, json={"voice_settings": {"guidance_scale": 2}}) as response:
        session = await response.json()
    secret = session["client_secret"]
    protocols: Any = ["breeze-realtime-v1", f"breeze-realtime-token.{secret}"] if direct else None
    target = session["direct_websocket_url" if direct else "websocket_url"]
    async with asyncio.timeout(PATIENCE_S), connect(target, subprotocols=protocols) as socket:
        assert socket.subprotocol == ("breeze-realtime-v1" if direct else None)
        yield socket


async def until(socket: ClientConnection, kind: str) -> tuple[dict[str, Any], bytes]:
    audio = b""
    while True:
        message = await socket.recv()
        if isinstance(message, bytes):
            audio += message
        elif (fields := json.loads(message))["type"] == kind:
            return fields, audio


async def test_a_secret_opens_one_session_of_turns_and_cancels() -> None:
    async with door_to() as (http, url):
        async with realtime(http, url, direct=True) as socket:
            await until(socket, "session.ready")
            for name in ("one", "two"):
                for message in (
                    {"type": "turn.start", "turn_id": name},
                    {"type": "text.append", "text": "Hello "},
                    {"type": "text.append", "text": "there."},
                    {"type": "turn.end"},
                ):
                    await socket.send(json.dumps(message))
                done, audio = await until(socket, "turn.done")
                assert (done["turn_id"], done["audio_bytes"], audio) == (name, len(audio), PCM_CLIP.data)
            await socket.send('{"type":"session.close"}')
            closed, _ = await until(socket, "session.closed")
            assert (closed["code"], closed["reconnect"]) == (1000, False)
        spent = socket.request.headers["Sec-WebSocket-Protocol"] if socket.request else ""
        with pytest.raises(InvalidStatus) as caught:
            await connect(
                f"{url.replace('http', 'ws')}/v1/text-to-speech/voc_1/stream-input",
                additional_headers={"Sec-WebSocket-Protocol": spent},
            )
        assert json.loads(caught.value.response.body or b"")["code"] == "AUTH_REQUIRED"
    async with door_to("endless_body") as (http, url), realtime(http, url, direct=False) as socket:
        await socket.send('{"type":"turn.start"}')
        await socket.send('{"type":"text.append","text":"On and on."}')
        await socket.send('{"type":"text.flush"}')
        while not isinstance(await socket.recv(), bytes):
            pass
        await socket.send('{"type":"turn.cancel"}')
        cancelled, _ = await until(socket, "turn.cancelled")
        assert cancelled["status"] == "cancelled"
        await socket.send('{"type":"ping"}')
        assert (await until(socket, "pong"))[1] == b"", "no audio follows a cancel"


@pytest.mark.parametrize(
    "options",
    [
        {"transport": "stream"},
        {"transport": "stream", "output_format": "wav"},
        {"transport": "sync"},
        {"transport": "timestamps"},
        {"transport": "realtime"},
        {"transport": "job"},
        {"transport": "job", "output_format": "wav"},
    ],
    ids=lambda options: "-".join(options.values()),
)
async def test_our_own_adapter_gets_every_sample_through_the_door(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breeze_jobs, "PAUSES_S", (0.02,))
    async with door_to(jobs=JobsConfig(folder=str(tmp_path))) as (_, url):
        outer = config(url, providers={"breeze": breeze(url, api_key="k", options=options)})
        async with serving(outer) as server, client(server) as caller:
            for _ in range(2):
                heard = await caller.speak("Hello there.", audio={"tail": "short"})
                assert heard.end["type"] == "turn.done", heard.end
                assert heard.audio == PCM_CLIP.data
                assert options["transport"] == "job" or heard.end["provider_ids"]["history_item_id"]


async def test_a_job_is_active_then_ready_or_failed_and_its_submitters_alone(tmp_path: Path) -> None:
    keys = ServerConfig(port=0, keys=["k", "other"])
    sections: dict[str, Any] = {"server": keys, "jobs": JobsConfig(folder=str(tmp_path))}
    async with door_to("stall_before_first_byte", **sections) as (http, url):
        path = f"{url}/v1/text-to-speech/voc_1?delivery=async&output_format=pcm"
        async with http.post(path, data=body(model_id="m")) as response:
            job = await response.json()
        assert (response.status, set(job)) == (202, {"generation_job_id", "history_item_id", "status"})
        assert job["status"] == "active"
        job_url = f"{url}/v1/generation-jobs/{job['generation_job_id']}"
        async with http.get(f"{job_url}/audio") as response:
            error = await response.json()
        assert (response.status, error["code"]) == (425, "GENERATION_NOT_READY")
        assert int(response.headers["Retry-After"]) >= 1
        async with http.get(job_url) as response:
            told = await response.json()
        assert told | {"created_at": 0, "date_unix": 0, "state": ""} == {
            **job,
            "state": "",
            "source": "text_to_speech",
            "voice_id": "voc_1",
            "voice_name": "voc_1",
            "model_id": "m",
            "voice_category": "default",
            "origin": "default",
            "text": "Hello there.",
            "content_type": "audio/pcm",
            "download_url": None,
            "created_at": 0,
            "completed_at": None,
            "date_unix": 0,
            "error": None,
        }
        for end in ("", "/audio"):
            async with http.get(job_url + end, headers={"xi-api-key": "other"}) as response:
                assert (response.status, (await response.json())["code"]) == (404, "RESOURCE_NOT_FOUND")
    # The job goes on where another relay finds it, and has ended as this one's provider lets it.
    async with door_to(**sections) as (http, url):
        job_url = f"{url}/v1/generation-jobs/{job['generation_job_id']}"
        told = await ended(http, job_url)
        assert told["status"] == "ready", told
        for audio in (told["download_url"], f"{url}/v1/history/{job['history_item_id']}/audio"):
            async with http.get(audio) as response:
                assert await response.read() == PCM_CLIP.data
        async with http.get(f"{url}/v1/history/{job['history_item_id']}") as response:
            assert (await response.json())["text"] == "Hello there."
    async with door_to("status_402", **sections) as (http, url):
        async with http.post(f"{url}/v1/text-to-speech/voc_1?delivery=async", data=body()) as response:
            job = await response.json()
        job_url = f"{url}/v1/generation-jobs/{job['generation_job_id']}"
        told = await ended(http, job_url)
        assert (told["status"], told["error"]["code"]) == ("failed", "UPSTREAM_GENERATION_ERROR")
        async with http.get(f"{job_url}/audio") as response:
            assert (response.status, (await response.json())["code"]) == (502, "GENERATION_FAILED")


async def ended(http: aiohttp.ClientSession, job_url: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with http.get(job_url) as response:
                told = dict(await response.json())
            if told["status"] != "active":
                return told
            await asyncio.sleep(0.02)
