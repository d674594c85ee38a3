"""Jobs: how long a list and a poll take among many, and what jobs that run flat out take from live turns.

Run: `python -m bench.jobs [JOBS] [TURNS]`. Provider, relay and client are processes of their own, and the relay has a
core. First JOBS jobs are in the table, and one client asks, one request at a time. Then TURNS live turns are spoken one
at a time, at real time, in phases that alternate: beside nothing, and beside 20 jobs of as much text as they can take.
An underrun is a frame that comes after the instant at which a listener without a prebuffer would have played it.
"""

import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from bench.figures import percentiles
from bench.processes import keep_punctual, provider, relay, stay_off_the_relays_core
from relay.core.events import TurnRequest
from relay.core.job import Job, JobRequest, JobStatus
from relay.jobs.place import DATABASE
from relay.server.access.keys import Auth
from relay.store.sqlite_jobs import SqliteJobs

JOBS, TURNS = 10_000, 200
REQUESTS = 1000
RUNNING = 20
PHASES = 4
# More than a phase can speak.
JOB_TEXT = "This is a sentence of a long book that nobody waits for. " * 10_000
SHARED = "/dev/shm" if Path("/dev/shm").is_dir() else None
FRAME_MS, LEAD_MS = 20, 200
P99_MS, MOVED_MS = 5.0, 1.0


async def fill(folder: Path, jobs: int) -> list[str]:
    """A table of jobs of the client that asks without a key. In memory, so that no disk is waited for."""
    with tempfile.TemporaryDirectory(dir=SHARED) as fast:
        store = SqliteJobs(str(Path(fast) / DATABASE))
        await store.open()
        owner = Auth([], []).client(None, "127.0.0.1", "")
        request = JobRequest(turn=TurnRequest(), text="Hello there. " * 20)
        ids = [f"job_{number:032x}" for number in range(jobs)]
        for job_id in ids:
            job = Job(
                id=job_id, owner=owner, status=JobStatus.QUEUED, created_at_s=time.time(), request=request, chars=260
            )
            await store.add(job, digest="", most_active=jobs)
            await store.cancel(job_id, owner, now_s=time.time())
        await store.close()
        await asyncio.to_thread(shutil.copytree, fast, folder, dirs_exist_ok=True)
    return ids


async def asked_ms(http: aiohttp.ClientSession, url: str) -> float:
    start_s = time.perf_counter()
    async with http.get(url) as answer:
        await answer.read()
        assert answer.status == 200, await answer.text()
    return (time.perf_counter() - start_s) * 1000


async def table(port: int, ids: list[str]) -> bool:
    base, draw = f"http://127.0.0.1:{port}/v1/jobs", random.Random(1)
    asks: dict[str, Callable[[], str]] = {
        "poll": lambda: f"{base}/{draw.choice(ids)}",
        "list": lambda: base,
        "list of a status, deep": lambda: f"{base}?status=cancelled&cursor={draw.randint(100, len(ids))}",
        "list of 100": lambda: f"{base}?limit=100",
    }
    print(f"{f'ms, of {len(ids)} jobs':28}{'p50':>8}{'p99':>8}{'max':>8}   p99 to reach {P99_MS:g}")
    reached = True
    async with aiohttp.ClientSession() as http:
        for name, url in asks.items():
            values = [await asked_ms(http, url()) for _ in range(REQUESTS)]
            p50, p99 = percentiles(values, 50, 99)
            reached = reached and p99 <= P99_MS
            print(f"{name:28}{p50:8.2f}{p99:8.2f}{max(values):8.2f}", flush=True)
    return reached


async def turn(websocket: ClientConnection) -> tuple[float, int]:
    """A live turn's TTFA as the client sees it, in ms, and its underruns."""
    start_s = time.perf_counter()
    pacing = {"mode": "realtime", "lead_ms": LEAD_MS}
    await websocket.send(json.dumps({"type": "speak", "text": "Hello there.", "pacing": pacing}))
    arrivals_s: list[float] = []
    while True:
        message = await websocket.recv()
        if isinstance(message, bytes):
            arrivals_s.append(time.perf_counter())
            continue
        event = json.loads(message)
        assert event["type"] != "error", event
        if event["type"] == "turn.done":
            due_s = (arrivals_s[0] + index * FRAME_MS / 1000 for index in range(len(arrivals_s)))
            late = sum(at_s > due for at_s, due in zip(arrivals_s[1:], list(due_s)[1:], strict=True))
            # `turn.done` comes before all of it was played; the next turn would queue behind what is left.
            await asyncio.sleep(2 * LEAD_MS / 1000)
            return (arrivals_s[0] - start_s) * 1000, late


async def begin_jobs(http: aiohttp.ClientSession, base: str) -> list[str]:
    """Jobs that run, all of them."""
    body: dict[str, Any] = {"text": JOB_TEXT, "container": "raw"}
    ids = []
    for _ in range(RUNNING):
        async with http.post(base, json=body) as answer:
            ids.append((await answer.json())["id"])
    while True:
        async with http.get(f"{base}?status=running&limit=100") as answer:
            if len((await answer.json())["jobs"]) >= RUNNING:
                return ids
        await asyncio.sleep(0.05)


async def beside(port: int, turns: int) -> bool:
    base = f"http://127.0.0.1:{port}/v1/jobs"
    ttfas: dict[str, list[float]] = {"alone": [], "beside jobs": []}
    underruns = dict.fromkeys(ttfas, 0)
    seconds = 0.0
    url = f"ws://127.0.0.1:{port}/v1/stream"
    async with aiohttp.ClientSession() as http, connect(url, compression=None) as websocket:
        await websocket.recv()
        await turn(websocket)
        for phase in range(2 * PHASES):
            name = list(ttfas)[phase % 2]
            ids = await begin_jobs(http, base) if phase % 2 else []
            for _ in range(turns // PHASES):
                ttfa_ms, late = await turn(websocket)
                ttfas[name].append(ttfa_ms)
                underruns[name] += late
            for job_id in ids:
                async with http.get(f"{base}/{job_id}") as answer:
                    job = await answer.json()
                assert job["status"] == "running", job
                seconds += job["progress"]["seconds"]
                await (await http.post(f"{base}/{job_id}/cancel")).read()
    print(f"\n{f'TTFA in ms, {turns} turns':28}{'p50':>8}{'p99':>8}{'max':>8}{'underruns':>11}")
    for name, values in ttfas.items():
        p50, p99 = percentiles(values, 50, 99)
        print(f"{name:28}{p50:8.2f}{p99:8.2f}{max(values):8.2f}{underruns[name]:11}")
    moved_ms = percentiles(ttfas["beside jobs"], 50)[0] - percentiles(ttfas["alone"], 50)[0]
    print(f"moved by {moved_ms:.2f} ms, to reach {MOVED_MS:g}; meanwhile {RUNNING} jobs spoke {seconds / 60:.0f} min")
    return moved_ms <= MOVED_MS and not underruns["beside jobs"]


async def measure(jobs: int, turns: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        ids = await fill(Path(folder), jobs)
        settings: dict[str, Any] = {
            "RELAY_JOBS_FOLDER": folder,
            "RELAY_JOBS_MAX_RUNNING": str(RUNNING),
            "BREEZE_MAX_CONCURRENT": "100",
        }
        async with provider("2") as source, relay(source.url, **settings) as server:
            listed = await table(server.port, ids)
            return await beside(server.port, turns) and listed


def main(jobs: int = JOBS, turns: int = TURNS) -> int:
    stay_off_the_relays_core()
    keep_punctual()
    reached = uvloop.run(measure(jobs, turns))
    print("reached" if reached else "not reached")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
