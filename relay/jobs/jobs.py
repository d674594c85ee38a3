"""Jobs of one process: what clients ask of them, and the tasks that run them.

Several processes may share one place: any of them answers for any job, and each job is run by one of them.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from uuid import uuid4

import msgspec

from relay.codecs.containers import CONTAINERS
from relay.config import JobsConfig
from relay.core.command_checks import opening
from relay.core.job import Job, JobAudio, JobFailure, JobRequest, JobStatus, Progress
from relay.core.webhook import check_webhook_url
from relay.engine.codec_warmup import container_loaded
from relay.engine.engine import Engine
from relay.errors import ClientError, Code, InternalError, LimitError, ProviderError, RelayError
from relay.jobs.files import JobFiles, needs_av
from relay.jobs.run import JobRun, LeaseLostError
from relay.jobs.webhooks import Webhooks
from relay.store.base import JobPage, JobStore, StoreError

log = logging.getLogger(__name__)

# How often a process without work looks whether another one has left some.
LOOK_S = 1.0
# A provider's failure that may pass is waited out so often, so long.
RETRY_AFTER_S = (1.0, 5.0, 30.0)
# How often old jobs are looked for, and how many at a time.
SWEEP_S = 60.0
SWEPT_AT_ONCE = 100
# Of a lease, that pass between two renewals: a machine may stall for the rest.
RENEWED_AFTER = 1 / 30


class Jobs:
    """Entered, it runs jobs; leaving hands those that run back to whoever comes next.

    `store` is opened with the first job, or at once where an earlier process left jobs.
    """

    def __init__(
        self,
        engine: Engine,
        settings: JobsConfig,
        make_store: Callable[[], JobStore],
        folder: Path,
        *,
        webhooks: Webhooks | None = None,
        wall_clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._make_store = make_store
        self._files = JobFiles(folder)
        self._webhooks = webhooks
        self._now_s = wall_clock_s
        self._store: JobStore | None = None
        self._opening = asyncio.Lock()
        self._pace = asyncio.Lock()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        # By the name of the lease that each is run under: a process that was stopped for longer than a lease lasts may
        # take up a job that another task of it still runs.
        self._runs: dict[str, tuple[str, asyncio.Task[None]]] = {}

    async def start(self) -> None:
        """Goes on with what is left. What cannot be opened is told when a client asks."""
        if self._settings.enabled and self._files.folder.exists():
            try:
                await self._opened()
            except RelayError as error:
                log.error("jobs cannot be run: %s", error.message)

    async def close(self) -> None:
        """Hands back what runs, and releases the store. Idempotent."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()
        if self._store is not None:
            store, self._store = self._store, None
            await store.close()

    # What clients ask.

    async def submit(self, request: JobRequest, owner: str) -> Job:
        """Queues a job, or gives the one that has its key. Raises RelayError for what can never be spoken."""
        self._check(request)
        store = await self._opened()
        job = Job(
            id=f"job_{uuid4().hex}",
            owner=owner,
            status=JobStatus.QUEUED,
            created_at_s=self._now_s(),
            request=request,
            chars=len(request.text),
        )
        digest = hashlib.sha256(msgspec.json.encode(request, order="sorted")).hexdigest()
        with _reachable():
            kept = await store.add(job, digest=digest, most_active=self._settings.max_active_per_client)
        self._wake.set()
        return kept

    async def get(self, job_id: str, owner: str | None) -> Job:
        """Raises ClientError where the client has no such job; with `owner` None: where there is none."""
        store = await self._opened_if_any()
        if store is None:
            raise _no_such_job()
        with _reachable():
            job = await store.get(job_id, owner)
        return _found(job)

    async def text(self, job_id: str, owner: str) -> str:
        store = await self._opened_if_any()
        if store is None:
            raise _no_such_job()
        with _reachable():
            text = await store.text(job_id, owner)
        if text is None:
            raise _no_such_job()
        return text

    async def page(
        self, owner: str, *, status: JobStatus | None, door: str | None, limit: int, cursor: str | None
    ) -> JobPage:
        store = await self._opened_if_any()
        if store is None:
            return JobPage(jobs=())
        with _reachable():
            return await store.page(owner, status=status, door=door, limit=limit, cursor=cursor)

    def audio(self, job: Job) -> Path:
        """The file of a job that has succeeded."""
        assert job.status is JobStatus.SUCCEEDED, "its audio is whole"
        return self._files.result(job)

    async def cancel(self, job_id: str, owner: str) -> Job:
        """Ends a job that has not ended; no-op for one that has."""
        store = await self._opened_if_any()
        if store is None:
            raise _no_such_job()
        with _reachable():
            job = _found(await store.cancel(job_id, owner, now_s=self._now_s()))
        for running_id, run in list(self._runs.values()):
            if running_id == job_id:
                run.cancel()
        if job.status is JobStatus.CANCELLED:
            await self._remove_files(job)
            self._has_ended()
        return job

    async def remove(self, job: Job) -> None:
        """Forgets a job that has ended, and its audio."""
        store = await self._opened()
        with _reachable():
            await store.remove(job.id, job.owner)
        await self._remove_files(job)

    def _check(self, request: JobRequest) -> None:
        if not self._settings.enabled:
            raise ClientError(Code.FORBIDDEN, "jobs are switched off on this relay (jobs.enabled)")
        if request.container not in CONTAINERS:
            raise ClientError(Code.INVALID_CONFIG, f"container must be one of {', '.join(CONTAINERS)}")
        if len(request.text) > self._settings.max_text_chars:
            raise ClientError(
                Code.TEXT_TOO_LONG,
                f"text has {len(request.text)} characters; a job may have {self._settings.max_text_chars}",
            )
        if request.webhook is not None:
            if self._webhooks is None:
                raise ClientError(Code.INVALID_CONFIG, "this relay sends no webhooks (jobs.webhook_secret is not set)")
            check_webhook_url(request.webhook, self._settings.webhook_hosts)
        if request.turn.audio.get("header"):
            raise ClientError(Code.INVALID_CONFIG, "audio.header is for WebSocket frames; a file has none")
        if request.turn.window_ms is not None:
            raise ClientError(Code.INVALID_CONFIG, "flow is for WebSocket turns; nobody listens to a job")
        self._engine.settings(opening(self._engine.defaults, "job", 0, request.turn))

    async def _opened_if_any(self) -> JobStore | None:
        """The store; None where there is no folder yet, and so no job: asking for one makes none."""
        if self._store is None and self._settings.enabled and not self._files.folder.exists():
            return None
        return await self._opened()

    async def _opened(self) -> JobStore:
        """The store, with the tasks that run what is in it. Raises RelayError where it cannot be used."""
        if not self._settings.enabled:
            raise ClientError(Code.FORBIDDEN, "jobs are switched off on this relay (jobs.enabled)")
        async with self._opening:
            if self._store is None:
                with _reachable():
                    await asyncio.to_thread(self._files.make_folder)
                    store = self._make_store()
                    await store.open()
                self._store = store
                self._tasks = [
                    *(asyncio.create_task(self._work(), name="run jobs") for _ in range(self._settings.max_running)),
                    asyncio.create_task(self._sweep(), name="forget old jobs"),
                ]
                if self._webhooks is not None:
                    self._tasks.append(asyncio.create_task(self._webhooks.run(store), name="send webhooks"))
        return self._store

    # Running them.

    async def _work(self) -> None:
        """Runs one job after the other."""
        store = self._store
        assert store is not None, "it was opened"
        while True:
            job, worker = None, token_hex(8)
            try:
                if not self._engine.draining:
                    job = await self._leased(store, worker)
            except StoreError as error:
                log.error("jobs cannot be looked for: %s", error)
            if job is None:
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._wake.wait()
                continue
            # As a task of its own, so that a cancelled job ends and this goes on.
            run = asyncio.create_task(self._run(store, job, worker), name="job")
            self._runs[worker] = job.id, run
            try:
                await asyncio.wait([run])
            except asyncio.CancelledError:
                run.cancel()
                await asyncio.wait([run])
                # A task that is cancelled before its first step hands nothing back.
                with suppress(StoreError):
                    await store.release(job.id, worker)
                raise
            finally:
                del self._runs[worker]

    async def _leased(self, store: JobStore, worker: str) -> Job | None:
        """A job to run, if there is one. Cancelled, it gives back what it got."""
        now_s = self._now_s()
        leasing = asyncio.ensure_future(store.lease(worker, now_s=now_s, until_s=now_s + self._settings.lease_s))
        try:
            return await asyncio.shield(leasing)
        except asyncio.CancelledError:
            with suppress(StoreError):
                if (job := await leasing) is not None:
                    await store.release(job.id, worker)
            raise

    async def _run(self, store: JobStore, job: Job, worker: str) -> None:
        """To its end, or until it is cancelled or another's."""
        current = job
        renewing = asyncio.create_task(self._renew(store, lambda: current, worker), name="renew lease")

        async def keep(progress: Progress) -> bool:
            nonlocal current
            current = replace(current, progress=progress)
            return not renewing.done()

        try:
            ended = await self._spoken(current, keep)
            if await store.finish(ended, worker):
                self._has_ended()
                log.info("job ended", extra={"reason": str(ended.status), "count": ended.attempts})
            else:
                await self._remove_cancelled(store, job)
        except LeaseLostError:
            log.info("job is no longer ours", extra={"count": job.attempts})
            with suppress(StoreError):
                await self._remove_cancelled(store, job)
        except StoreError as error:
            log.error("job could not be kept: %s", error)
        except asyncio.CancelledError:
            await asyncio.shield(self._hand_back(store, current, worker))
            raise
        except Exception:
            log.exception("job failed by a bug")
            with suppress(StoreError):
                await store.finish(self._failed(current, InternalError()), worker)
                self._has_ended()
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    def _has_ended(self) -> None:
        if self._webhooks is not None:
            self._webhooks.wake()

    async def _hand_back(self, store: JobStore, job: Job, worker: str) -> None:
        """The next worker goes on from here; no-op for a job that was cancelled."""
        with suppress(StoreError):
            until_s = self._now_s() + self._settings.lease_s
            if await store.renew(job.id, worker, until_s=until_s, progress=job.progress):
                await store.release(job.id, worker)
            else:
                await self._remove_cancelled(store, job)

    async def _remove_cancelled(self, store: JobStore, job: Job) -> None:
        """What the run has written after the cancel had removed it."""
        now = await store.get(job.id, job.owner)
        if now is None or now.status is JobStatus.CANCELLED:
            await self._remove_files(job)

    async def _renew(self, store: JobStore, job: Callable[[], Job], worker: str) -> None:
        """Keeps the lease, and notes the progress; ends when the job is no longer ours."""
        while True:
            await asyncio.sleep(self._settings.lease_s * RENEWED_AFTER)
            now = job()
            until_s = self._now_s() + self._settings.lease_s
            try:
                if not await store.renew(now.id, worker, until_s=until_s, progress=now.progress):
                    return
            except StoreError as error:
                log.error("job's lease could not be renewed: %s", error)

    async def _spoken(self, job: Job, keep: Callable[[Progress], Awaitable[bool]]) -> Job:
        """The job as it ended. What may pass is tried again from where it stopped."""
        for attempt in range(len(RETRY_AFTER_S) + 1):
            run = JobRun(self._engine, self._files, job, self._settings.max_text_chars, keep, self._pace)
            try:
                spoken = await run.speak()
                if not await keep(spoken.progress):
                    raise LeaseLostError
                if needs_av(job.request.container, spoken.audio.encoding):
                    await container_loaded(job.request.container)
                media_type, size = await asyncio.to_thread(self._files.finish, job, spoken.audio)
            except RelayError as error:
                job = replace(job, progress=run.progress)
                if not error.retryable or attempt == len(RETRY_AFTER_S):
                    return self._failed(job, error)
                await asyncio.sleep(max(RETRY_AFTER_S[attempt], min(error.retry_after_s or 0.0, 60.0)))
                continue
            except OSError as error:
                return self._failed(job, _disk(error))
            return replace(
                job,
                status=JobStatus.SUCCEEDED,
                completed_at_s=self._now_s(),
                progress=spoken.progress,
                provider=spoken.provider,
                voice=spoken.voice,
                latency_ms=spoken.latency_ms,
                audio=JobAudio(media_type=media_type, bytes=size, duration_ms=round(spoken.progress.seconds * 1000, 3)),
            )
        raise AssertionError("the last attempt has returned")

    def _failed(self, job: Job, error: RelayError) -> Job:
        provider = error.provider.name if isinstance(error, ProviderError) else None
        failure = JobFailure(code=error.code, message=error.message, provider=provider)
        return replace(job, status=JobStatus.FAILED, completed_at_s=self._now_s(), failure=failure)

    # Forgetting them.

    async def _sweep(self) -> None:
        """Forgets jobs that ended long ago, and the oldest where all take too much room."""
        store = self._store
        assert store is not None, "it was opened"
        while True:
            try:
                await self._forget(store)
            except StoreError as error:
                log.error("old jobs could not be forgotten: %s", error)
            await asyncio.sleep(SWEEP_S)

    async def _forget(self, store: JobStore) -> None:
        kept_bytes = await store.ended_bytes()
        for job in await store.oldest_ended(SWEPT_AT_ONCE):
            old = (job.completed_at_s or 0.0) <= self._now_s() - self._settings.retention_s
            if not old and kept_bytes <= self._settings.max_bytes:
                return
            kept_bytes -= job.audio.bytes if job.audio else 0
            await store.remove(job.id, None)
            await self._remove_files(job)

    async def _remove_files(self, job: Job) -> None:
        with suppress(OSError):
            await asyncio.to_thread(self._files.remove, job)


@contextmanager
def _reachable() -> Iterator[None]:
    """What is wrong with the place is for the operator: the client is told to come again."""
    try:
        yield
    except (StoreError, OSError) as error:
        log.error("jobs cannot be kept: %s", error)
        raise LimitError(
            Code.OVER_CAPACITY, "this relay cannot keep jobs at the moment; its log says why", retry_after_s=5
        ) from error


def _found(job: Job | None) -> Job:
    if job is None:
        raise _no_such_job()
    return job


def _no_such_job() -> ClientError:
    return ClientError(Code.UNKNOWN_JOB, "there is no such job; it may have been forgotten (jobs.retention_s)")


def _disk(error: OSError) -> LimitError:
    log.error("a job's audio cannot be written: %s", error)
    return LimitError(Code.OVER_CAPACITY, "the job's audio could not be written; the relay's log says why")
