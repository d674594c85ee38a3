"""Jobs in this process: gone when it ends, unknown to others."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from relay.core.job import Job, JobStatus, Progress
from relay.store.base import DueWebhook, JobPage
from relay.store.job_rules import position, too_many, used_key, without_text


@dataclass(slots=True, kw_only=True)
class _Kept:
    number: int
    job: Job
    digest: str
    worker: str | None = None
    until_s: float = 0.0
    webhook_at_s: float | None = None
    webhook_attempts: int = 0

    def end(self, job: Job) -> None:
        self.job = job
        if job.request.webhook is not None:
            self.webhook_at_s = job.completed_at_s


class MemoryJobs:
    """See `base.JobStore`. Nothing here waits, so each call is one step for all tasks of a loop."""

    def __init__(self, place: str = "") -> None:
        self._count = 0
        self._kept: dict[str, _Kept] = {}
        self._by_key: dict[tuple[str, str], str] = {}

    async def open(self) -> None:
        pass

    async def add(self, job: Job, *, digest: str, most_active: int) -> Job:
        key = (job.owner, job.request.key) if job.request.key is not None else None
        if key is not None and (known := self._by_key.get(key)) is not None:
            kept = self._kept[known]
            if kept.digest != digest:
                raise used_key()
            return without_text(kept.job)
        active = sum(each.job.owner == job.owner and not each.job.status.ended for each in self._kept.values())
        if active >= most_active:
            raise too_many(active)
        self._count += 1
        self._kept[job.id] = _Kept(number=self._count, job=job, digest=digest)
        if key is not None:
            self._by_key[key] = job.id
        return job

    async def get(self, job_id: str, owner: str | None) -> Job | None:
        kept = self._owned(job_id, owner)
        return without_text(kept.job) if kept else None

    async def text(self, job_id: str, owner: str) -> str | None:
        kept = self._owned(job_id, owner)
        return kept.job.request.text if kept else None

    async def page(
        self, owner: str, *, status: JobStatus | None = None, door: str | None = None, limit: int, cursor: str | None
    ) -> JobPage:
        before = position(cursor)
        found = list(self._listed(owner, status, door, before))
        more = len(found) > limit
        return JobPage(
            jobs=tuple(without_text(kept.job) for kept in found[:limit]),
            next_cursor=str(found[limit - 1].number) if more else None,
        )

    async def lease(self, worker: str, *, now_s: float, until_s: float) -> Job | None:
        for kept in self._kept.values():
            job = kept.job
            if job.status is JobStatus.QUEUED or (job.status is JobStatus.RUNNING and kept.until_s <= now_s):
                started_s = now_s if job.started_at_s is None else job.started_at_s
                kept.job = replace(job, status=JobStatus.RUNNING, started_at_s=started_s, attempts=job.attempts + 1)
                kept.worker, kept.until_s = worker, until_s
                return kept.job
        return None

    async def renew(self, job_id: str, worker: str, *, until_s: float, progress: Progress) -> bool:
        kept = self._held(job_id, worker)
        if kept is None:
            return False
        kept.until_s = until_s
        kept.job = replace(kept.job, progress=progress)
        return True

    async def release(self, job_id: str, worker: str) -> None:
        if (kept := self._held(job_id, worker)) is not None:
            kept.job, kept.worker = replace(kept.job, status=JobStatus.QUEUED), None

    async def finish(self, job: Job, worker: str) -> bool:
        kept = self._held(job.id, worker)
        if kept is None:
            return False
        kept.end(replace(job, request=replace(job.request, text=kept.job.request.text)))
        return True

    async def cancel(self, job_id: str, owner: str, *, now_s: float) -> Job | None:
        kept = self._owned(job_id, owner)
        if kept is None:
            return None
        if not kept.job.status.ended:
            kept.end(replace(kept.job, status=JobStatus.CANCELLED, completed_at_s=now_s))
        return without_text(kept.job)

    async def remove(self, job_id: str, owner: str | None) -> bool:
        kept = self._owned(job_id, owner)
        if kept is None or not kept.job.status.ended:
            return False
        del self._kept[job_id]
        if (key := kept.job.request.key) is not None:
            del self._by_key[kept.job.owner, key]
        return True

    async def due_webhook(self, *, now_s: float, until_s: float) -> DueWebhook | None:
        due = [kept for kept in self._kept.values() if kept.webhook_at_s is not None and kept.webhook_at_s <= now_s]
        if not due:
            return None
        kept = min(due, key=lambda kept: kept.webhook_at_s or 0.0)
        kept.webhook_at_s = until_s
        kept.webhook_attempts += 1
        return DueWebhook(job=without_text(kept.job), attempt=kept.webhook_attempts)

    async def settle_webhook(self, job_id: str, *, again_at_s: float | None) -> None:
        if (kept := self._kept.get(job_id)) is not None:
            kept.webhook_at_s = again_at_s

    async def oldest_ended(self, limit: int) -> tuple[Job, ...]:
        ended = [kept.job for kept in self._kept.values() if kept.job.status.ended]
        ended.sort(key=lambda job: job.completed_at_s or 0.0)
        return tuple(map(without_text, ended[:limit]))

    async def ended_bytes(self) -> int:
        return sum(kept.job.audio.bytes for kept in self._kept.values() if kept.job.audio)

    async def close(self) -> None:
        self._kept.clear()
        self._by_key.clear()

    def _owned(self, job_id: str, owner: str | None) -> _Kept | None:
        kept = self._kept.get(job_id)
        return kept if kept is not None and owner in (None, kept.job.owner) else None

    def _held(self, job_id: str, worker: str) -> _Kept | None:
        kept = self._kept.get(job_id)
        running = kept is not None and kept.worker == worker and kept.job.status is JobStatus.RUNNING
        return kept if running else None

    def _listed(self, owner: str, status: JobStatus | None, door: str | None, before: int | None) -> Iterator[_Kept]:
        for kept in reversed(self._kept.values()):
            job = kept.job
            if (
                job.owner == owner
                and status in (None, job.status)
                and door in (None, job.request.door)
                and (before is None or kept.number < before)
            ):
                yield kept
