"""Sauti's API as a door: clips, jobs, voices, problems, and its own examples word by word."""

import asyncio
import base64
import io
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import soundfile

from relay.config import DefaultsConfig, DoorConfig, JobsConfig, ProviderConfig, ServerConfig
from relay.errors import ClientError, Code
from relay.protocols.base import Handshake, SpeechCall
from relay.protocols.door import Door
from relay.protocols.sauti import Sauti
from relay.providers.sauti import job as sauti_job
from relay.testing.conformance.job_protocol import check_job_protocol
from relay.testing.conformance.speech_protocol import check_speech_protocol
from relay.testing.fake_provider import FakeProvider
from tests.protocols.spelling import SENTENCES, spelled, speller
from tests.server.harness import client, config, serving

DOOR = Door(
    name="sauti",
    voices={"sauti-swahili-v1": "breeze:voc_1"},
    providers=("breeze", "sauti"),
    adapters={"breeze": "breeze", "sauti": "sauti"},
    default_provider="breeze",
)
VOICE = Handshake(path={"voice_id": "sauti-swahili-v1"})
LONG = " ".join(SENTENCES[:60])
DOORS = {"sauti": DoorConfig(voices={"sauti-swahili-v1": "breeze:voc_1"})}
KEY = {"xi-api-key": "YOUR_KEY"}


def body(**fields: Any) -> bytes:
    return json.dumps({"text": "Hello.", **fields}).encode()


def test_it_keeps_what_every_protocol_of_one_turn_and_with_jobs_has_to() -> None:
    check_job_protocol(Sauti(DOOR), valid={"/sauti/v1/tts/jobs": body(voice_id="v")}, text_field="text")
    settings = {"speaking_rate": 1.5, "noise_scale": 0.667, "noise_scale_duration": None}
    check_speech_protocol(
        Sauti(DOOR), valid=[body(), body(voice_settings=settings)], text_field="text", handshake=VOICE
    )


@pytest.mark.parametrize(
    ("voice", "settings", "options"),
    [
        ("breeze:v", None, {}),
        ("breeze:v", {"speaking_rate": 1.0, "noise_scale": 0.667, "noise_scale_duration": 0.8}, {}),
        ("breeze:v", {"speaking_rate": 1.5, "noise_scale": None}, {"speed": 1.5}),
        ("breeze:v", {"noise_scale": 0.1}, {"voice_settings": {"noise_scale": 0.1}}),
        ("sauti:v", {"speaking_rate": 1.5}, {"voice_settings": {"speaking_rate": 1.5}}),
    ],
)
def test_settings_are_the_providers_where_they_ask_for_something(
    voice: str, settings: dict[str, Any] | None, options: dict[str, Any]
) -> None:
    call = Sauti(DOOR).parse(Handshake(path={"voice_id": voice}), body(voice_settings=settings))
    assert isinstance(call, SpeechCall) and call.request.options == options


@pytest.mark.parametrize(
    ("wrong", "status", "kind"),
    [
        ({"odd": 1}, 400, "invalid_request"),
        ({"text": ""}, 400, "invalid_request"),
        ({"text": "a" * 5001}, 422, "unprocessable_content"),
        ({"voice_settings": {"speaking_rate": 0}}, 400, "invalid_request"),
        ({"voice_settings": {"pitch": 1}}, 400, "invalid_request"),
    ],
)
def test_what_is_wrong_is_a_problem(wrong: dict[str, Any], status: int, kind: str) -> None:
    door = Sauti(DOOR)
    with pytest.raises(ClientError) as caught:
        door.parse(VOICE, body(**wrong))
    answer = door.refusal(caught.value)
    problem = json.loads(answer.body)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert problem["type"] == f"https://sauti.finiflowlabs.com/errors/{kind}"
    assert problem["status"] == status and problem["title"] and problem["detail"]


@asynccontextmanager
async def door(folder: Path, **sections: Any) -> AsyncIterator[str]:
    """The address of a door, whose provider spells."""
    sections = {"doors": DOORS, "server": ServerConfig(port=0, keys=["YOUR_KEY", "other"]), **sections}
    async with (
        FakeProvider(speller()) as fake,
        serving(config(fake.url, jobs=JobsConfig(folder=str(folder)), **sections)) as server,
    ):
        yield f"http://127.0.0.1:{server.port}/sauti"


async def test_clips_jobs_voices_and_what_is_refused(tmp_path: Path) -> None:
    async with door(tmp_path) as url, aiohttp.ClientSession(headers=KEY) as http:
        clip = f"{url}/v1/text-to-speech/sauti-swahili-v1"
        text = LONG[:2000]
        async with http.post(clip, data=body(text=text)) as response:
            answer = await response.json()
            assert response.status == 200 and "Content-Length" in response.headers
        assert {**answer, "audio_base64": ""} == {
            "audio_base64": "",
            "content_type": "audio/wav",
            "duration_seconds": round(len(spelled(text)) / 48_000, 3),
            "characters_synthesized": 2000,
            "voice_id": "sauti-swahili-v1",
        }
        assert samples(base64.b64decode(answer["audio_base64"], validate=True)) == spelled(text)

        async with http.post(clip, data=body(text=LONG[:2001])) as response:
            job = await response.json()
            assert (response.status, job["status"]) == (202, "queued")
        address = f"{url}/v1/tts/jobs/{job['job_id']}"
        async with http.get(address, headers={"xi-api-key": "other"}) as response:
            assert (response.status, (await response.json())["type"].rpartition("/")[2]) == (404, "not_found")
        async with http.get(address.replace("/sauti/", "/playai/api/")) as response:
            assert response.status == 404
        async with http.get(address + "/audio", headers={"xi-api-key": "other"}) as response:
            assert response.status == 404
        async with http.get(address, headers={"xi-api-key": ""}) as response:
            assert (response.status, (await response.json())["type"].rpartition("/")[2]) == (401, "unauthorized")
        assert samples(await finished(http, address)) == spelled(LONG[:2001])

        async with http.get(f"{url}/v1/voices", params={"language": "en"}) as response:
            voices = (await response.json())["voices"]
        assert all(voice["language_code"] == "en" for voice in voices) and voices
        async with http.get(f"{url}/v1/voices") as response:
            assert (await response.json())["voices"][0]["voice_id"] == "sauti-swahili-v1"
        async with http.get(f"{url}/v1/voices/{voices[0]['voice_id'].replace('/', '%2F')}") as response:
            assert await response.json() == voices[0]
        for missing in ("/v1/voices/nobody", "/v1/nothing"):
            async with http.get(url + missing) as response:
                assert (response.status, response.content_type) == (404, "application/problem+json")


async def finished(http: aiohttp.ClientSession, address: str) -> bytes:
    """The audio of a job; before its time it is a conflict."""
    async with asyncio.timeout(30):
        while True:
            async with http.get(address) as response:
                job = await response.json()
            async with http.get(address + "/audio") as response:
                content = await response.read()
            if response.status == 200:
                return content
            assert job["status"] in ("queued", "running"), job
            assert (response.status, json.loads(content)["type"].rpartition("/")[2]) == (409, "job_not_complete")
            await asyncio.sleep(0.01)


def samples(wav: bytes) -> bytes:
    """Read by another library."""
    read, rate_hz = soundfile.read(io.BytesIO(wav), dtype="int16")
    assert rate_hz == 24_000
    return bytes(read.astype("<i2").tobytes())


# The vendor's page, with the address and the text put in.
POLLING = """
import time
import requests

API_BASE = "https://sauti.finiflowlabs.com"
HEADERS = {"xi-api-key": "YOUR_KEY"}

# 1. Create the job
job = requests.post(
    f"{API_BASE}/v1/tts/jobs",
    headers=HEADERS,
    json={
        "text": "A long Swahili text...",
        "voice_id": "sauti-swahili-v1",
    },
).json()

job_id = job["job_id"]
print(f"Job created: {job_id}")

# 2. Poll until complete
while True:
    status = requests.get(
        f"{API_BASE}/v1/tts/jobs/{job_id}",
        headers=HEADERS,
    ).json()

    if status["status"] in ("succeeded", "failed"):
        break
    print(f"Status: {status['status']}, waiting...")
    time.sleep(2)

# 3. Download audio
if status["status"] == "succeeded":
    audio = requests.get(
        f"{API_BASE}/v1/tts/jobs/{job_id}/audio",
        headers=HEADERS,
    )
    with open("output.wav", "wb") as f:
        f.write(audio.content)
    print("Audio saved.")
else:
    print(f"Job failed: {status}")
"""
CURL = """
curl -X POST https://sauti.finiflowlabs.com/v1/tts/jobs \\
  -H "xi-api-key: YOUR_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "text": "A long Swahili text exceeding 2000 characters...",
    "voice_id": "sauti-swahili-v1",
    "voice_settings": {
      "speaking_rate": 1.0,
      "noise_scale": 0.667,
      "noise_scale_duration": 0.8
    }
  }'
curl https://sauti.finiflowlabs.com/v1/tts/jobs/job_abc123 \\
  -H "xi-api-key: YOUR_KEY"
curl https://sauti.finiflowlabs.com/v1/tts/jobs/job_abc123/audio \\
  -H "xi-api-key: YOUR_KEY" \\
  --output long_speech.wav
"""
VENDOR = "https://sauti.finiflowlabs.com"


async def test_the_vendors_examples_run_with_another_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pause = time.sleep
    monkeypatch.setattr(time, "sleep", lambda _: pause(0.01))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with door(tmp_path / "jobs") as url:
        for text in ("A long Swahili text...", LONG):
            program = POLLING.replace(VENDOR, url).replace("A long Swahili text...", text)
            await asyncio.to_thread(exec, compile(program, "example", "exec"), {"__name__": "example"})
            assert capsys.readouterr().out.endswith("Audio saved.\n")
            assert samples((tmp_path / "output.wav").read_bytes()) == spelled(text)
        make, ask, fetch = re.findall(r"^curl .*?(?=^curl |\Z)", CURL.replace(VENDOR, url), re.DOTALL | re.MULTILINE)
        job = json.loads(await run(make))
        assert sorted(job) == ["created_at", "job_id", "status"]
        while (told := json.loads(await run(ask.replace("job_abc123", job["job_id"]))))["status"] != "succeeded":
            pass
        assert sorted(told) == ["completed_at", "created_at", "job_id", "status"]
        await run(fetch.replace("job_abc123", job["job_id"]))
    written = samples((tmp_path / "long_speech.wav").read_bytes())
    assert written == spelled("A long Swahili text exceeding 2000 characters...")


async def run(command: str) -> bytes:
    process = await asyncio.create_subprocess_shell(
        command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out


@pytest.mark.parametrize("delivery", ["sync", "job"])
async def test_the_relays_own_adapter_gets_every_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delivery: str
) -> None:
    monkeypatch.setattr(sauti_job, "POLL_S", 0.01)
    async with door(tmp_path) as url:
        sauti = ProviderConfig(api_key="YOUR_KEY", base_url=url, voice="sauti-swahili-v1", max_concurrent=9)
        async with (
            serving(config(providers={"sauti": sauti}, defaults=DefaultsConfig(provider="sauti"))) as outer,
            client(outer) as session,
        ):
            heard = await session.speak(LONG, provider="sauti", audio={"tail": "short"}, options={"delivery": delivery})
    assert heard.end["type"] == "turn.done", heard.end
    assert heard.audio == spelled(LONG)


async def test_a_job_outlives_the_relay(tmp_path: Path) -> None:
    async with door(tmp_path) as url, aiohttp.ClientSession(headers=KEY) as http:
        async with http.post(f"{url}/v1/tts/jobs", data=body(text=LONG, voice_id="sauti-swahili-v1")) as response:
            job_id = (await response.json())["job_id"]
    async with door(tmp_path) as url, aiohttp.ClientSession(headers=KEY) as http:
        assert samples(await finished(http, f"{url}/v1/tts/jobs/{job_id}")) == spelled(LONG)


def test_a_voice_that_is_not_there_says_how_to_give_it_a_meaning() -> None:
    answer = Sauti(DOOR).refusal(ClientError(Code.VOICE_NOT_FOUND, "no such voice"))
    assert answer.status == 422 and b"[doors.sauti.voices]" in answer.body
