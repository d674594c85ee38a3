"""PlayAI's API as a door: streams in every format, jobs whose files are fetched by their addresses, and its errors."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import av
import numpy as np
import pytest

from relay.config import DefaultsConfig, DoorConfig, JobsConfig, ProviderConfig, ServerConfig
from relay.core.job import Job, JobAudio, JobFailure, JobStatus
from relay.errors import ClientError, Code, LimitError
from relay.protocols.base import Handshake
from relay.protocols.door import Door
from relay.protocols.playai import PlayAI
from relay.providers.playai import job as playai_job
from relay.testing.conformance.job_protocol import check_job_protocol
from relay.testing.conformance.speech_protocol import check_speech_protocol
from relay.testing.fake_provider import FakeProvider
from tests.protocols.spelling import SENTENCES, spelled, speller
from tests.server.harness import client, config, serving

VOICE = "s3://voice-cloning-zero-shot/v/manifest.json"
DOOR = Door(
    name="playai",
    voices={VOICE: "breeze:voc_1", "Atlas-PlayAI": "playai:atlas"},
    providers=("breeze", "playai"),
    adapters={"breeze": "breeze", "playai": "playai"},
    default_provider="breeze",
)
LONG = " ".join(SENTENCES[:10])
BODY: dict[str, Any] = {"model": "PlayDialog", "text": "Hello.", "voice": VOICE}
KEYS = {"Authorization": "Bearer k", "X-USER-ID": "u"}


def body(**fields: Any) -> bytes:
    return json.dumps(BODY | fields).encode()


def test_it_keeps_what_every_protocol_of_one_turn_and_with_jobs_has_to() -> None:
    check_job_protocol(PlayAI(DOOR), valid={"/playai/api/v1/tts": body()}, text_field="text")
    every = {
        "outputFormat": "wav",
        "sampleRate": 8000,
        "speed": 1,
        "seed": None,
        "language": "german",
        "prompt": "Calm.",
    }
    check_speech_protocol(PlayAI(DOOR), valid=[body(), body(**every)], text_field="text")


def test_fields_are_the_providers_where_they_ask_for_something() -> None:
    fields = {"speed": 1.0, "seed": 3, "temperature": None, "voiceConditioningSeconds": 20, "language": "German"}
    foreign = PlayAI(DOOR).parse(Handshake(), body(**fields)).request
    assert (foreign.provider, foreign.voice, foreign.model, foreign.language) == ("breeze", "voc_1", None, "de")
    assert foreign.options == {"seed": 3}
    own = PlayAI(DOOR).parse(Handshake(), body(**fields, voice="Atlas-PlayAI")).request
    assert (own.provider, own.voice, own.model) == ("playai", "atlas", "PlayDialog")
    assert own.options == {"speed": 1.0, "seed": 3, "voiceConditioningSeconds": 20}


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "PlayHT2.0"},
        {"voice": ""},
        {"text": "a" * 50_001},
        {"text": "a" * 20_001, "model": "Play3.0-mini"},
        {"model": "PlayDialog-turbo", "outputFormat": "mp3"},
        {"sampleRate": 44_000},
        {"speed": 0},
        {"language": "klingon"},
        {"output_format": "mp3"},
    ],
    ids=str,
)
def test_what_is_wrong_is_an_invalid_parameter(wrong: dict[str, Any]) -> None:
    door = PlayAI(DOOR)
    for parse in (door.parse, door.submissions["/playai/api/v1/tts"]):
        with pytest.raises(ClientError) as caught:
            parse(Handshake(), body(**wrong))
        answer = door.refusal(caught.value)
        error = json.loads(answer.body)
        assert (answer.status, error["errorId"]) == (400, "INVALID_PARAMETERS") and error["errorMessage"]


def test_errors_have_this_apis_form() -> None:
    door = PlayAI(DOOR)
    with pytest.raises(ClientError) as caught:
        door.credential(Handshake(headers={"authorization": "Bearer k"}))
    answer = door.refusal(caught.value)
    assert (answer.status, json.loads(answer.body)["errorId"]) == (401, "UNAUTHORIZED")
    limited = door.refusal(LimitError(Code.RATE_LIMITED, "too many", retry_after_s=2))
    assert limited.status == 429 and json.loads(limited.body).startswith("Rate limit exceeded. ")
    missing = door.refusal(ClientError(Code.VOICE_NOT_FOUND, "no such voice"))
    assert missing.status == 400 and b"[doors.playai.voices]" in missing.body


def test_a_job_is_told_in_each_of_its_states() -> None:
    door = PlayAI(DOOR)
    submit, address = door.submissions["/playai/api/v1/tts"], "https://example.com/done"
    assert submit(Handshake(), body(webHookUrl=address)).webhook == address
    with pytest.raises(ClientError):
        door.parse(Handshake(), body(webHookUrl=address))
    asked = submit(Handshake(), body(outputFormat="wav", seed=None))
    at = Handshake(headers={"host": "relay.example"}, secure=True)
    job = Job(
        id="job_" + UUID(int=7, version=4).hex,
        owner="o",
        status=JobStatus.QUEUED,
        created_at_s=1.5,
        request=asked,
        chars=6,
    )
    told = json.loads(door.created(at, job).body)
    assert told == {
        "id": str(UUID(int=7, version=4)),
        "createdAt": "1970-01-01T00:00:01.500Z",
        "input": BODY | {"outputFormat": "wav"},
        "completedAt": None,
        "output": {"status": "IN_PROGRESS"},
    }
    state = door.job_states["/playai/api/v1/tts/{job}"]
    done = replace(job, completed_at_s=2.0)
    failed = replace(done, status=JobStatus.FAILED, failure=JobFailure(code=Code.BAD_AUDIO, message="no audio"))
    assert json.loads(state(at, failed).body)["output"] == {"status": "FAILED"}
    assert json.loads(state(at, replace(done, status=JobStatus.CANCELLED)).body)["output"] == {"status": "FAILED"}
    audio = JobAudio(media_type="audio/wav", bytes=44, duration_ms=1250)
    assert json.loads(state(at, replace(done, status=JobStatus.SUCCEEDED, audio=audio)).body)["output"] == {
        "status": "COMPLETED",
        "url": f"https://relay.example/playai/audio/{told['id']}",
        "contentType": "audio/wav",
        "fileSize": 44,
        "duration": 1.25,
    }


@asynccontextmanager
async def door(folder: Path) -> AsyncIterator[str]:
    """The address of a door, whose provider spells."""
    sections: dict[str, Any] = {
        "doors": {"playai": DoorConfig(voices={VOICE: "breeze:voc_1"})},
        "server": ServerConfig(port=0, keys=["k", "other"]),
        "jobs": JobsConfig(folder=str(folder)),
    }
    async with FakeProvider(speller()) as fake, serving(config(fake.url, **sections)) as server:
        yield f"http://127.0.0.1:{server.port}/playai"


async def test_streams_and_jobs_are_the_whole_speech(tmp_path: Path) -> None:
    async with door(tmp_path) as url, aiohttp.ClientSession(headers=KEYS) as http:
        seconds = len(spelled(LONG)) / 48_000
        for form, media_type in {
            "mp3": "audio/mpeg",
            "wav": "audio/wav",
            "ogg": "audio/ogg",
            "flac": "audio/flac",
            "mulaw": "audio/basic",
            "raw": "audio/pcm;rate=24000;channels=1;encoding=pcm_f32le",
        }.items():
            asked = body(text=LONG, outputFormat=form)
            async with http.post(f"{url}/api/v1/tts/stream", data=asked) as response:
                assert (response.status, response.headers["Content-Type"]) == (200, media_type), await response.text()
                streamed = await response.read()
            async with http.post(f"{url}/api/v1/tts", data=asked) as response:
                assert response.status == 201
                job = await finished(http, f"{url}/api/v1/tts/{(await response.json())['id']}")
            assert job["input"] == BODY | {"text": LONG, "outputFormat": form}
            output = job["output"]
            assert (output["contentType"], output["duration"]) == (media_type, round(seconds, 3))
            async with http.get(output["url"], headers={"Authorization": "", "X-USER-ID": ""}) as response:
                filed = await response.read()
            assert (response.status, len(filed)) == (200, output["fileSize"])
            for audio in (streamed, filed):
                if form == "mulaw":
                    assert len(audio) == seconds * 8000
                elif form == "raw":
                    assert np.array_equal(np.frombuffer(audio, "<f4") * 32768, np.frombuffer(spelled(LONG), "<i2"))
                else:
                    with av.open(io.BytesIO(audio), "r") as file:
                        length = sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))
                    assert length == pytest.approx(seconds, abs=0.1)


async def finished(http: aiohttp.ClientSession, address: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            async with http.get(address) as response:
                job = await response.json()
            if job["output"]["status"] != "IN_PROGRESS":
                return dict(job)
            await asyncio.sleep(0.01)


async def test_a_job_is_its_keys_alone_and_outlives_the_relay(tmp_path: Path) -> None:
    async with door(tmp_path) as url, aiohttp.ClientSession(headers=KEYS) as http:
        async with http.post(f"{url}/api/v1/tts", data=body(text=LONG, outputFormat="wav")) as response:
            job_id = (await response.json())["id"]
        UUID(job_id, version=4)
    async with door(tmp_path) as url, aiohttp.ClientSession(headers=KEYS) as http:
        address = f"{url}/api/v1/tts/{job_id}"
        assert (await finished(http, address))["output"]["status"] == "COMPLETED"
        for path, headers, status in (
            (address, {"Authorization": "Bearer other"}, 404),
            (address, {"Authorization": "Bearer none"}, 401),
            (address, {"X-USER-ID": ""}, 401),
            (f"{url}/api/v1/tts/{UUID(int=0)}", {}, 404),
            (f"{url}/api/v1/tts/odd", {}, 404),
            (f"{url}/audio/{UUID(int=0)}", {}, 404),
            (f"{url}/nothing", {}, 404),
        ):
            async with http.get(path, headers=headers) as response:
                assert (response.status, sorted(await response.json())) == (status, ["errorId", "errorMessage"]), path


@pytest.mark.parametrize("delivery", ["stream", "job"])
async def test_the_relays_own_adapter_gets_every_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delivery: str
) -> None:
    monkeypatch.setattr(playai_job, "POLL_S", 0.01)
    async with door(tmp_path) as url:
        settings = ProviderConfig(api_key="k", user_id="u", base_url=url, voice=VOICE, max_concurrent=9)
        outer = config(providers={"playai": settings}, defaults=DefaultsConfig(provider="playai"))
        async with serving(outer) as server, client(server) as session:
            heard = await session.speak(
                LONG, audio={"tail": "short"}, options={"delivery": delivery, "outputFormat": "wav"}
            )
    assert heard.end["type"] == "turn.done", heard.end
    assert heard.audio == spelled(LONG)
