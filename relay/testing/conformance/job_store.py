"""A store of jobs: each is kept, is run by one worker at a time, and ends once.

    await check_jobs(lambda: SqliteJobs(path_of_a_new_file()))
    await check_shared_jobs(SqliteJobs(path), SqliteJobs(path))

Each store is given new, empty and not yet open. Instants are arguments: nothing here waits for a clock.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from relay.core.events import TurnRequest
from relay.core.job import Job, JobAudio, JobRequest, JobStatus, Progress
from relay.errors import ClientError, Code, LimitError
from relay.store.base import DueWebhook, JobStore

NOW_S = 1_800_000_000.0
LEASE_S = 30.0
MANY = 100
# Longest that one suite may take.
PATIENCE_S = 20.0


async def check_jobs(make: Callable[[], JobStore]) -> None:
    """Everything that a store does by itself. `make` makes another, empty one at each call."""
    checks = (
        *(_check_keeping, _check_keys, _check_bound, _check_owners, _check_pages, _check_leases, _check_ends),
        _check_webhooks,
    )
    async with asyncio.timeout(PATIENCE_S):
        for check in checks:
            async with _opened(make()) as store:
                await check(store)


async def check_shared_jobs(*stores: JobStore) -> None:
    """Several stores of one place, as several processes have them: each job is leased once, whoever asks."""
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(store.open() for store in stores))
        try:
            for number in range(20):
                await _add(stores[number % len(stores)], f"j{number}")
            asks = [
                store.lease(f"w{number}", now_s=NOW_S, until_s=NOW_S + LEASE_S)
                for _ in range(20)
                for number, store in enumerate(stores)
            ]
            leased = [job.id for job in await asyncio.gather(*asks) if job is not None]
            assert sorted(leased) == sorted({*leased}), "a job is leased twice"
            assert len(leased) == 20, f"of 20 jobs, {len(leased)} are leased"
            for store in stores:
                assert await store.get("j0", "anna") is not None, "what one has kept, another does not know"
        finally:
            for store in stores:
                await store.close()


async def _check_keeping(store: JobStore) -> None:
    options = {"speed": 1.5, "nested": {"a": [1, None]}}
    turn = TurnRequest(voice="v", audio={"sample_rate": 8000}, options=options)
    request = JobRequest(turn=turn, text="Ä long\0 text. 🎧", container="flac", door="d", own={"their_id": "x-1"})
    await store.add(_job("a", request=request), digest="1", most_active=MANY)
    kept = await store.get("a", "anna")
    assert kept == _job("a", request=replace(request, text=""), chars=len("Hello.")), "a job is not kept as it was"
    assert await store.text("a", "anna") == request.text, "a text is not kept as it was"
    assert await store.get("b", "anna") is None, "a job that was never added is there"
    leased = await _lease(store, "w")
    assert leased is not None and leased.request == request, "a leased job lacks its text"


async def _check_keys(store: JobStore) -> None:
    first = await _add(store, "a", key="k", digest="1")
    again = await _add(store, "b", key="k", digest="1")
    assert again.id == first.id, "a job that is submitted twice is there twice"
    other = await _add(store, "c", owner="ben", key="k", digest="2")
    assert other.id == "c", "a key is taken for another client's"
    try:
        await _add(store, "d", key="k", digest="2")
    except ClientError:
        pass
    else:
        raise AssertionError("a key is taken for two jobs")
    adds = (_add(store, f"r{number}", key="race", digest="1") for number in range(20))
    assert len({job.id for job in await asyncio.gather(*adds)}) == 1, "at once, a key makes several jobs"


async def _check_bound(store: JobStore) -> None:
    for number in range(3):
        await _add(store, f"j{number}", most_active=3)
    try:
        await _add(store, "more", most_active=3)
    except LimitError as error:
        assert error.code is Code.RATE_LIMITED and error.retry_after_s, "a full queue does not say when to come again"
    else:
        raise AssertionError("a queue grows without bound")
    await _add(store, "ben", owner="ben", most_active=3)
    await store.cancel("j0", "anna", now_s=NOW_S)
    await _add(store, "more", most_active=3)


async def _check_owners(store: JobStore) -> None:
    await _add(store, "a")
    assert await store.get("a", "ben") is None, "a job is shown to another client"
    assert await store.text("a", "ben") is None, "a text is shown to another client"
    assert await store.cancel("a", "ben", now_s=NOW_S) is None, "a job is cancelled by another client"
    assert not (await store.page("ben", limit=5, cursor=None)).jobs, "a job is listed to another client"
    await store.cancel("a", "anna", now_s=NOW_S)
    assert not await store.remove("a", "ben"), "a job is removed by another client"
    assert await store.get("a", None) is not None, "a job cannot be found without its client"


async def _check_pages(store: JobStore) -> None:
    for number in range(7):
        await _add(store, f"j{number}", door="d" if number % 2 else "")
    await store.cancel("j3", "anna", now_s=NOW_S)
    seen: list[str] = []
    cursor = None
    for _ in range(10):
        page = await store.page("anna", limit=3, cursor=cursor)
        seen += [job.id for job in page.jobs]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
        await _add(store, f"new{len(seen)}")
    assert seen == [f"j{number}" for number in range(6, -1, -1)], f"paged through, the list is {seen}"
    queued = await store.page("anna", status=JobStatus.QUEUED, door="d", limit=10, cursor=None)
    assert [job.id for job in queued.jobs] == ["j5", "j1"], "a list is not of the status and door that were asked for"
    exact = await store.page("anna", status=JobStatus.CANCELLED, limit=1, cursor=None)
    assert exact.next_cursor is None, "behind the last job there is another page"
    for wrong in ("x", "-1", "1 OR 1", "9" * 40):
        try:
            await store.page("anna", limit=1, cursor=wrong)
        except ClientError:
            continue
        raise AssertionError(f"the cursor {wrong!r} is taken")


async def _check_leases(store: JobStore) -> None:
    assert await _lease(store, "w") is None, "there is a job to run where none was added"
    await _add(store, "a")
    await _add(store, "b")
    first = await _lease(store, "w")
    assert first is not None and (first.id, first.status, first.attempts) == ("a", JobStatus.RUNNING, 1)
    second = await _lease(store, "w")
    assert second is not None and second.id == "b", "the same job is leased again"
    assert await _lease(store, "x") is None
    come = Progress(segments=2, chars=30, samples=48000, sample_rate_hz=24000)
    assert await store.renew("a", "w", until_s=NOW_S + 2 * LEASE_S, progress=come)
    assert not await store.renew("a", "x", until_s=NOW_S + 2 * LEASE_S, progress=come), "a lease is another's"
    later = await _lease(store, "x", now_s=NOW_S + LEASE_S)
    assert later is not None and later.id == "b", "a lease that ran out is not given on, or one that did not is"
    assert not await store.renew("b", "w", until_s=NOW_S + 9 * LEASE_S, progress=come), "a lost lease is renewed"
    assert not await store.finish(_ended(second), "w"), "a job is ended by who has lost it"
    await store.release("a", "x")
    assert await _lease(store, "y") is None, "a job is released by who does not have it"
    await store.release("a", "w")
    resumed = await _lease(store, "y")
    assert resumed is not None, "a job that was released is not run again"
    known = (resumed.id, resumed.progress, resumed.attempts)
    assert known == ("a", come, 2), f"no job comes again as it was released: {known}"


async def _check_ends(store: JobStore) -> None:
    for name in ("a", "b", "c"):
        await _add(store, name, key=name, digest="1")
    leased = await _lease(store, "w")
    assert leased is not None
    assert await store.finish(_ended(leased, NOW_S + 9), "w"), "a job that has ended is not kept"
    assert not await store.finish(_ended(leased), "w"), "a job ends twice"
    kept = await store.cancel("a", "anna", now_s=NOW_S + 99)
    assert kept is not None and kept.status is JobStatus.SUCCEEDED, "a job that has succeeded is cancelled"
    assert kept.audio == JobAudio(media_type="audio/wav", bytes=44, duration_ms=0.0)
    running = await _lease(store, "w")
    assert running is not None
    cancelled = await store.cancel("b", "anna", now_s=NOW_S + 5)
    assert cancelled is not None and cancelled.status is JobStatus.CANCELLED
    assert not await store.finish(_ended(running), "w"), "a job that was cancelled succeeds"
    assert not await store.renew("b", "w", until_s=NOW_S + LEASE_S, progress=Progress()), "a cancelled job is run on"
    assert [job.id for job in await store.oldest_ended(9)] == ["b", "a"], "the oldest are not those that ended first"
    assert await store.ended_bytes() == 44
    assert not await store.remove("c", None), "a job that waits is forgotten"
    assert await store.remove("a", "anna") and not await store.remove("a", "anna")
    assert await store.get("a", "anna") is None and await store.ended_bytes() == 0
    assert (await _add(store, "a2", key="a", digest="2")).id == "a2", "the key of a forgotten job stays taken"


async def _check_webhooks(store: JobStore) -> None:
    for name in ("a", "b", "c"):
        await _add(store, name, webhook=None if name == "a" else f"https://{name}.example/")
    assert await _due(store) is None, "a webhook is due before its job has ended"
    await store.cancel("c", "anna", now_s=NOW_S + 1)
    for _ in range(2):
        leased = await _lease(store, "w")
        assert leased is not None
        assert await store.finish(_ended(leased, NOW_S + 2), "w")
    dues = [await _due(store, now_s=NOW_S + 3) for _ in range(3)]
    known = [(due.job.id, due.job.status, due.attempt) for due in dues if due is not None]
    assert known == [("c", JobStatus.CANCELLED, 1), ("b", JobStatus.SUCCEEDED, 1)], f"due are {known}"
    assert dues[0] is not None and dues[0].job.request.webhook == "https://c.example/", "it does not say where to"
    await store.settle_webhook("b", again_at_s=None)
    again = await _due(store, now_s=NOW_S + 3 + LEASE_S)
    assert again is not None and (again.job.id, again.attempt) == ("c", 2), (
        "of a process that died it is not sent again"
    )
    await store.settle_webhook("c", again_at_s=NOW_S + 500)
    assert await _due(store, now_s=NOW_S + 499) is None, "a webhook is due too early, or again when it was settled"
    assert await store.remove("c", "anna") and await _due(store, now_s=NOW_S + 500) is None, "it outlives its job"
    await store.settle_webhook("c", again_at_s=NOW_S)
    assert await _due(store, now_s=NOW_S + 500) is None, "a job that is gone has a webhook"


async def _due(store: JobStore, *, now_s: float = NOW_S) -> DueWebhook | None:
    return await store.due_webhook(now_s=now_s, until_s=now_s + LEASE_S)


def _job(job_id: str, *, owner: str = "anna", request: JobRequest | None = None, chars: int = 6) -> Job:
    request = request or JobRequest(turn=TurnRequest(), text="Hello.")
    return Job(id=job_id, owner=owner, status=JobStatus.QUEUED, created_at_s=NOW_S, request=request, chars=chars)


def _ended(job: Job, at_s: float = NOW_S) -> Job:
    audio = JobAudio(media_type="audio/wav", bytes=44, duration_ms=0.0)
    return replace(job, status=JobStatus.SUCCEEDED, completed_at_s=at_s, audio=audio)


async def _add(
    store: JobStore,
    job_id: str,
    *,
    owner: str = "anna",
    key: str | None = None,
    door: str = "",
    digest: str = "1",
    most_active: int = MANY,
    webhook: str | None = None,
) -> Job:
    request = JobRequest(turn=TurnRequest(), text="Hello.", key=key, door=door, webhook=webhook)
    return await store.add(_job(job_id, owner=owner, request=request), digest=digest, most_active=most_active)


async def _lease(store: JobStore, worker: str, *, now_s: float = NOW_S) -> Job | None:
    return await store.lease(worker, now_s=now_s, until_s=now_s + LEASE_S)


@asynccontextmanager
async def _opened(store: JobStore) -> AsyncIterator[JobStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()
        await store.close()
