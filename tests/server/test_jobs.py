"""Jobs through a whole relay: submitted, polled, downloaded, listed, cancelled, each by its own client alone."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import soundfile

from relay.config import JobsConfig, ServerConfig
from relay.server.app import Server
from relay.testing.scenarios import PCM_CLIP, scenario
from relay.testing.script import Send, Stall, Status
from tests.server.harness import PATIENCE_S, config, relay_to, serving

ANNA, BEN = {"Authorization": "Bearer annas-key"}, {"Authorization": "Bearer bens-key"}
KEYS = ServerConfig(port=0, keys=["annas-key", "bens-key"])
ENDED = ("succeeded", "failed", "cancelled")
NATIVE = {"sample_rate": "native"}


class Caller:
    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self._base = f"http://127.0.0.1:{server.port}/v1/jobs"
        self._http = http

    async def ask(
        self, method: str, path: str = "", body: Any = None, who: dict[str, str] = ANNA, **headers: str
    ) -> tuple[int, Any, Any]:
        async with self._http.request(method, self._base + path, json=body, headers=who | headers) as answer:
            data = await answer.read()
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else data, answer.headers

    async def submit(self, text: str = "Hello there.", **fields: Any) -> dict[str, Any]:
        status, job, _ = await self.ask("POST", body={"text": text, "audio": NATIVE, **fields})
        assert status == 202, job
        return dict(job)

    async def until(self, job_id: str, *statuses: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status, job, _ = await self.ask("GET", f"/{job_id}")
                assert status == 200, job
                if job["status"] in (statuses or ENDED):
                    return dict(job)
                await asyncio.sleep(0.01)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_a_job_is_spoken_into_each_container(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    folder = tmp_path / "state" / "jobs"
    async with relay_to(scenario("ok"), server=KEYS, jobs=JobsConfig(folder=str(folder))) as (server, _):
        caller = Caller(server, http)
        assert (await caller.ask("GET"))[1] == {"jobs": []}
        assert (await caller.ask("GET", "/job_none"))[0] == 404
        assert not folder.exists(), "something is made before the first job"
        jobs = {name: await caller.submit(container=name) for name in ("wav", "flac", "raw", "mp3", "ogg")}
        spoken = np.frombuffer(PCM_CLIP.data, "<i2")
        for name, job in jobs.items():
            ended = await caller.until(job["id"])
            assert ended["status"] == "succeeded", ended
            assert ended["progress"]["chars_done"] == ended["progress"]["chars"] == len("Hello there.")
            status, audio, headers = await caller.ask("GET", f"/{job['id']}/audio")
            assert (status, len(audio)) == (200, ended["audio"]["bytes"])
            assert headers["Content-Type"] == ended["audio"]["content_type"]
            if name == "raw":
                assert audio == PCM_CLIP.data
            elif name in ("wav", "flac"):
                samples, rate_hz = soundfile.read(io.BytesIO(audio), dtype="int16")
                assert rate_hz == 24000
                assert np.array_equal(samples, spoken)
            part = await caller.ask("GET", f"/{job['id']}/audio", Range="bytes=10-19")
            assert (part[0], part[1]) == (206, audio[10:20])
            assert (await caller.ask("GET", f"/{job['id']}/audio", Range="bytes=99999999-"))[0] == 416
        assert not list(folder.glob(".*")), "temporary files are left"
        gone = jobs["raw"]["id"]
        assert (await caller.ask("DELETE", f"/{gone}"))[0] == 204
        assert (await caller.ask("GET", f"/{gone}"))[0] == 404
        assert not list(folder.glob(f"{gone}*"))


async def test_a_job_is_its_clients_alone(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with relay_to(scenario("ok"), server=KEYS, jobs=JobsConfig(folder=str(tmp_path))) as (server, _):
        caller = Caller(server, http)
        job = await caller.submit(idempotency_key="k")
        assert (await caller.submit(idempotency_key="k"))["id"] == job["id"]
        status, error, _ = await caller.ask("POST", body={"text": "Other.", "idempotency_key": "k"})
        assert (status, error["error"]["code"]) == (400, "invalid_message")
        await caller.until(job["id"])
        for method, path in (("GET", ""), ("GET", "/audio"), ("DELETE", "")):
            status, error, _ = await caller.ask(method, f"/{job['id']}{path}", who=BEN)
            assert (status, error["error"]["code"]) == (404, "unknown_job")
        assert (await caller.ask("GET", who=BEN))[1] == {"jobs": []}
        assert (await caller.ask("GET", who={}))[0] == 401


async def test_what_is_not_ready_says_so_and_a_running_job_can_be_cancelled(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    stalled = (Status(headers={"content-type": "audio/pcm"}), Send(PCM_CLIP.data[:4800]), Stall())
    settings = JobsConfig(folder=str(tmp_path), max_running=1)
    async with relay_to(stalled, server=KEYS, jobs=settings) as (server, _):
        caller = Caller(server, http)
        running, queued = await caller.submit(), await caller.submit()
        await caller.until(running["id"], "running")
        for job in (running, queued):
            status, error, headers = await caller.ask("GET", f"/{job['id']}/audio")
            assert (status, error["error"]["code"], error["error"]["retryable"]) == (409, "job_not_ready", True)
            assert "Retry-After" in headers
        assert (await caller.ask("DELETE", f"/{queued['id']}"))[1]["status"] == "cancelled"
        assert (await caller.ask("DELETE", f"/{running['id']}"))[1]["status"] == "cancelled"
        status, error, _ = await caller.ask("GET", f"/{running['id']}/audio")
        assert (status, error["error"]["retryable"]) == (409, False)
        listed = (await caller.ask("GET", "?status=cancelled&limit=1"))[1]
        rest = (await caller.ask("GET", f"?status=cancelled&limit=1&cursor={listed['next_cursor']}"))[1]
        assert [job["id"] for job in (*listed["jobs"], *rest["jobs"])] == [queued["id"], running["id"]]
    assert not list(tmp_path.glob(".*")), "a cancelled job leaves its audio"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": 1}, "invalid_message"),
        ({"text": "a", "containr": "wav"}, "invalid_message"),
        ({"text": "a", "container": "zip"}, "invalid_message"),
        ({"text": "a", "idempotency_key": ""}, "invalid_message"),
        ({"text": "a", "provider": "nobody"}, "invalid_config"),
        ({"text": "a", "audio": {"sample_rate": 7}}, "invalid_config"),
        ({"text": "a", "audio": {"header": True}}, "invalid_config"),
        ({"text": "a" * 101}, "text_too_long"),
    ],
)
async def test_what_can_never_be_spoken_is_refused(
    http: aiohttp.ClientSession, tmp_path: Path, body: Any, code: str
) -> None:
    settings = JobsConfig(folder=str(tmp_path / "jobs"), max_text_chars=100)
    async with serving(config(jobs=settings, server=KEYS)) as server:
        status, error, _ = await Caller(server, http).ask("POST", body=body)
        assert (error["error"]["code"], status) == (code, 413 if code == "text_too_long" else 400)
        assert (await Caller(server, http).ask("GET", "?limit=0"))[0] == 400
        assert (await Caller(server, http).ask("GET", "?status=done"))[0] == 400
    assert not (tmp_path / "jobs").exists()


async def test_a_place_that_cannot_be_used_is_a_retryable_error(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    broken, file = tmp_path / "broken", tmp_path / "file"
    broken.mkdir()
    (broken / "jobs.sqlite3").write_bytes(b"not a database at all" * 200)
    file.write_text("no folder")
    for folder in (broken, file / "jobs"):
        settings = JobsConfig(folder=str(folder))
        async with relay_to(scenario("ok"), server=KEYS, jobs=settings) as (server, _):
            status, error, _ = await Caller(server, http).ask("POST", body={"text": "Hello."})
            assert (status, error["error"]["code"], error["error"]["retryable"]) == (503, "over_capacity", True)
            assert str(tmp_path) not in error["error"]["message"]
            url = f"http://127.0.0.1:{server.port}/v1/speech"
            async with http.post(url, json={"text": "Hello.", "audio": NATIVE}, headers=ANNA) as answer:
                assert (answer.status, await answer.read()) == (200, PCM_CLIP.data), "live turns are harmed"


async def test_a_failed_provider_fails_the_job_with_its_error(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with relay_to(
        (Status(401, {"content-type": "application/json"}, 2), Send(b"{}")),
        server=KEYS,
        jobs=JobsConfig(folder=str(tmp_path)),
    ) as (server, _):
        caller = Caller(server, http)
        ended = await caller.until((await caller.submit())["id"])
        assert (ended["status"], ended["error"]["code"], ended["error"]["provider"]) == (
            "failed",
            "provider_auth",
            "breeze",
        )
