"""Every store of jobs keeps what those of others have to keep, and the suite finds one that does not."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from relay.core.job import Job, Progress
from relay.store import JOBS
from relay.store.base import DueWebhook, JobPage, JobStore
from relay.store.memory_jobs import MemoryJobs
from relay.store.sqlite_jobs import SqliteJobs
from relay.testing.conformance.job_store import check_jobs, check_shared_jobs


@pytest.fixture
def place(tmp_path: Path) -> Callable[[], str]:
    """A new place at each call."""
    numbers = count()
    return lambda: str(tmp_path / f"{next(numbers)}.sqlite3")


@pytest.mark.parametrize("kind", JOBS)
async def test_a_store(kind: str, place: Callable[[], str]) -> None:
    await check_jobs(lambda: JOBS[kind](place()))


async def test_a_file_is_shared(place: Callable[[], str]) -> None:
    path = place()
    await check_shared_jobs(*(SqliteJobs(path) for _ in range(3)))


class ShowsAll(MemoryJobs):
    async def get(self, job_id: str, owner: str | None) -> Job | None:
        return await super().get(job_id, None)


class LeasesForever(MemoryJobs):
    async def lease(self, worker: str, *, now_s: float, until_s: float) -> Job | None:
        return await super().lease(worker, now_s=0.0, until_s=until_s)


class LosesProgress(MemoryJobs):
    async def renew(self, job_id: str, worker: str, *, until_s: float, progress: Progress) -> bool:
        return await super().renew(job_id, worker, until_s=until_s, progress=Progress())


class TellsTwice(MemoryJobs):
    async def due_webhook(self, *, now_s: float, until_s: float) -> DueWebhook | None:
        return await super().due_webhook(now_s=now_s, until_s=now_s)


class ForgetsKeys(MemoryJobs):
    async def add(self, job: Job, *, digest: str, most_active: int) -> Job:
        job = replace(job, request=replace(job.request, key=None))
        return await super().add(job, digest=digest, most_active=most_active)


class SkipsOne(MemoryJobs):
    async def page(self, owner: str, **asked: Any) -> JobPage:
        page = await super().page(owner, **asked)
        cursor = page.next_cursor
        return replace(page, next_cursor=cursor and str(int(cursor) - 1))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (ShowsAll, "another client"),
        (LeasesForever, "ran out"),
        (LosesProgress, "no job comes again as it was released"),
        (ForgetsKeys, "twice"),
        (TellsTwice, "due are"),
        (SkipsOne, "paged through"),
    ],
)
async def test_a_broken_store_is_found(make: Callable[[], JobStore], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        await check_jobs(make)


async def test_stores_that_share_nothing_are_found() -> None:
    with pytest.raises(AssertionError):
        await check_shared_jobs(MemoryJobs(), MemoryJobs())


async def test_a_new_file_is_opened_by_several_at_once(tmp_path: Path) -> None:
    stores = [SqliteJobs(str(tmp_path / "jobs.sqlite3")) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(store.close() for store in stores))
