"""The process that runs jobs is killed at random instants: each job ends once, and its audio is whole.

`RELAY_KILLS=50 pytest tests/jobs/test_killed.py` kills it 50 times, with 20 jobs.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from relay.config import JobsConfig
from relay.core.events import TurnRequest
from relay.core.job import JobRequest, JobStatus
from relay.engine.engine import Engine
from relay.jobs.jobs import Jobs
from relay.jobs.place import jobs_of
from relay.protocols.table import webhook_body
from relay.testing.audio import speech_like
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.script import Script, Send, Status
from tests.server.harness import config

KILLS = int(os.environ.get("RELAY_KILLS", "3"))
JOBS = 20 if "RELAY_KILLS" in os.environ else 6
# Of a child's life: some are killed as they begin, some with most of the work behind them.
LONGEST_LIFE_S = 0.3
PATIENCE_S = 60.0
ANNA = "anna"
CHILD = Path(__file__).with_name("killed_child.py")
ROOT = CHILD.parent.parent.parent


def said(text: str) -> bytes:
    """Other samples for each word, whatever the text is cut into."""
    return b"".join(map(word_said, text.split()))


@lru_cache
def word_said(word: str) -> bytes:
    return speech_like(0.02, seed=sum(word.encode()))


def provider(request: FakeRequest) -> Script:
    return Status(headers={"content-type": "audio/pcm"}), Send(said(request.json()["text"]))


def text_of(number: int) -> str:
    return " ".join(f"Sentence {at} of the text {number} is not a short one at all." for at in range(30))


async def goes_on(jobs: Jobs, job_ids: Iterable[str]) -> bool:
    """Whether a job that runs has kept audio from which it will go on."""
    running = [await jobs.get(job_id, ANNA) for job_id in job_ids]
    return any(job.status is JobStatus.RUNNING and job.progress.samples > 0 for job in running)


async def test_every_job_ends_once_and_whole_however_often_the_process_is_killed(tmp_path: Path) -> None:
    chance = random.Random(7)
    async with FakeProvider(provider) as fake:
        settings = config(fake.url, jobs=JobsConfig(folder=str(tmp_path), max_running=1))
        # Takes jobs, and runs none.
        engine = Engine(settings)
        engine.draining = True
        jobs = jobs_of(settings.jobs, engine, webhook_body)
        submitted = {}
        for number in range(JOBS):
            request = JobRequest(
                turn=TurnRequest(audio={"sample_rate": "native"}), text=text_of(number), container="raw"
            )
            submitted[(await jobs.submit(request, ANNA)).id] = text_of(number)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(CHILD), str(tmp_path), fake.url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                for kill in range(KILLS + 1):
                    process.stdin.write(b"go\n")
                    told = {(await process.stdout.readline()).decode().strip() for _ in range(2)}
                    [pid] = told - {"running"}
                    if kill == 0:
                        while not await goes_on(jobs, submitted):
                            await asyncio.sleep(0.005)
                    elif kill < KILLS:
                        await asyncio.sleep(chance.uniform(0, LONGEST_LIFE_S))
                    else:
                        while not all([(await jobs.get(job_id, ANNA)).status.ended for job_id in submitted]):
                            await asyncio.sleep(0.02)
                    os.kill(int(pid), signal.SIGKILL)
                    assert await process.stdout.readline() == b"ended\n"
            ended = [await jobs.get(job_id, ANNA) for job_id in submitted]
            assert {job.status for job in ended} == {JobStatus.SUCCEEDED}, [job.failure for job in ended]
            for job in ended:
                assert jobs.audio(job).read_bytes() == said(submitted[job.id]), f"after {job.attempts} attempts"
                assert job.progress.chars == len(submitted[job.id])
            assert not list(tmp_path.glob(".*")), "temporary files are left"
        finally:
            process.stdin.close()
            await process.wait()
            await jobs.close()
