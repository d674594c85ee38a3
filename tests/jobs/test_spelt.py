"""Jobs through a whole relay, with a provider that spells: what is whole is kept, and nothing is spoken twice."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import soundfile

from relay.config import JobsConfig
from relay.testing.fake_provider import Chooser, FakeProvider, FakeRequest
from relay.testing.script import Script, Send, Stall, Status
from tests.jobs.spelling import SENTENCES, spelled, speller
from tests.server.harness import config, serving

PATIENCE_S = 30.0
TEXT = " ".join(SENTENCES[:40])
PCM = (Status(200, {"Content-Type": "audio/pcm"}),)


class Api:
    """A client of `/v1/jobs` with one key."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str | None = None) -> None:
        self._http, self._url = http, url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def ask(self, method: str, path: str = "", body: object = None, **headers: str) -> tuple[int, Any]:
        """Status, and the body: JSON decoded."""
        data = None if body is None else json.dumps(body)
        async with self._http.request(
            method, f"{self._url}/v1/jobs{path}", data=data, headers=self._headers | headers
        ) as response:
            content = await response.read()
            is_json = response.headers.get("Content-Type") == "application/json"
            return response.status, json.loads(content) if is_json else content

    async def submit(self, **fields: Any) -> str:
        status, job = await self.ask("POST", "", {"text": TEXT, **fields})
        assert (status, job["status"]) == (202, "queued"), job
        return str(job["id"])

    async def until(self, job_id: str, *statuses: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                _, job = await self.ask("GET", f"/{job_id}")
                if job["status"] in statuses:
                    return dict(job)
                await asyncio.sleep(0.01)

    async def ended(self, job_id: str) -> dict[str, Any]:
        return await self.until(job_id, "succeeded", "failed", "cancelled")

    async def audio(self, job_id: str) -> bytes:
        status, content = await self.ask("GET", f"/{job_id}/audio")
        assert status == 200, content
        return bytes(content)


@asynccontextmanager
async def relay(script: Chooser, folder: Path, **sections: Any) -> AsyncIterator[tuple[FakeProvider, Api]]:
    jobs = {"folder": str(folder), "lease_s": 1.0, **sections.pop("jobs", {})}
    async with (
        FakeProvider(script) as fake,
        serving(config(fake.url, jobs=JobsConfig(**jobs), **sections)) as server,
        aiohttp.ClientSession() as http,
    ):
        yield fake, Api(http, f"http://127.0.0.1:{server.port}")


async def test_other_encodings_keep_every_bit(tmp_path: Path) -> None:
    async with relay(speller([]), tmp_path) as (_, api):
        for encoding, container in (("mulaw", "wav"), ("pcm_f32le", "wav"), ("alaw", "raw"), ("pcm_f32le", "flac")):
            job_id = await api.submit(container=container, audio={"encoding": encoding})
            assert (await api.ended(job_id))["status"] == "succeeded"
            audio = await api.audio(job_id)
            if container == "raw":
                assert len(audio) == len(spelled(TEXT)) // 2
            else:
                samples, _ = soundfile.read(io.BytesIO(audio), dtype="float64")
                said = np.frombuffer(spelled(TEXT), "<i2") / 32768
                assert len(samples) == len(said)
                assert np.abs(samples - said).max() <= (0.02 if encoding == "mulaw" else 1e-6)


async def test_what_was_whole_is_not_spoken_again(tmp_path: Path) -> None:
    """A relay that stops hands its jobs back; the next one goes on behind the last whole segment."""
    asked: list[str] = []

    def stalled(_: FakeRequest) -> Script | None:
        return (*PCM, Send(spelled("half")), Stall()) if len(asked) > 6 else None

    async with relay(speller(asked, stalled), tmp_path) as (_, api):
        job_id = await api.submit(container="raw")
        async with asyncio.timeout(PATIENCE_S):
            while (await api.ask("GET", f"/{job_id}"))[1]["progress"]["segments_done"] < 3:
                await asyncio.sleep(0.01)
    spoken_before, asked[:] = list(asked), []
    async with relay(speller(asked), tmp_path) as (_, api):
        assert (await api.ended(job_id))["status"] == "succeeded"
        assert await api.audio(job_id) == spelled(TEXT)
    assert not set(asked) & set(spoken_before[:3]), "a whole segment was paid for twice"


async def test_a_job_without_text_or_with_silence_alone_is_an_empty_file(tmp_path: Path) -> None:
    async with relay(speller([]), tmp_path) as (fake, api):
        for text in ("", " \n "):
            job = await api.ended(await api.submit(text=text, container="wav"))
            assert (job["status"], job["audio"]["duration_ms"]) == ("succeeded", 0)
            samples, _ = soundfile.read(io.BytesIO(await api.audio(job["id"])))
            assert len(samples) == 0
        assert fake.exchanges == []


async def test_a_failure_that_passes_is_waited_out_and_one_that_stays_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.jobs.jobs.RETRY_AFTER_S", (0.01, 0.01))
    asked: list[str] = []

    def busy(_: FakeRequest) -> Script | None:
        return (Status(503, {}), Send(b"busy")) if len(asked) in (3, 5) else None

    async with relay(speller(asked, busy), tmp_path) as (_, api):
        job_id = await api.submit(container="raw")
        assert (await api.ended(job_id))["status"] == "succeeded"
        assert await api.audio(job_id) == spelled(TEXT)

    def refuse(_: FakeRequest) -> Script:
        return (Status(402, {}), Send(b'{"code": "BILLING_INSUFFICIENT_CREDITS", "detail": "none"}'))

    async with relay(speller([], refuse), tmp_path) as (_, api):
        job = await api.ended(await api.submit())
        assert (job["status"], job["error"]["code"], job["error"]["provider"]) == (
            "failed", "provider_auth", "breeze",
        )  # fmt: skip
        assert (await api.ask("GET", f"/{job['id']}/audio"))[0] == 409
    assert not list(tmp_path.glob("job_*.wav")), "half a file looks like a whole one"


async def test_old_ones_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.jobs.jobs.SWEEP_S", 0.02)
    async with relay(speller([]), tmp_path, jobs={"max_bytes": 1}) as (_, api):
        job_id = await api.submit()
        async with asyncio.timeout(PATIENCE_S):
            while (await api.ask("GET", f"/{job_id}"))[0] != 404:
                await asyncio.sleep(0.01)
    assert not list(tmp_path.glob("job_*"))
