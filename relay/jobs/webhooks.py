"""Tells clients that their jobs have ended. What is still to be told is in the store, so a restart loses nothing; a
message may come twice, under the same id."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping

from relay.core.job import Job
from relay.core.webhook import signed_headers
from relay.store.base import DueWebhook, JobStore, StoreError

log = logging.getLogger(__name__)

# Seconds from a failed attempt to the next, 16 to 18 hours in all: a receiver that is down for a night is told.
RETRY_AFTER_S = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800)
# Each delay is longer by up to this share, so that messages that failed together do not come together again.
JITTER = 0.1
# Messages that are being sent at a time; one that is not answered takes a place for the sender's timeout.
AT_ONCE = 8
# Longer than an attempt takes: a process that died during one leaves it to another after this.
LEASE_S = 60.0
# How often a process looks whether a message is due.
LOOK_S = 1.0
# "The endpoint is gone": Standard Webhooks says to stop.
GONE = 410

Send = Callable[[str, Mapping[str, str], bytes], Awaitable[int | str]]


class Webhooks:
    """`send`: see `drivers.http.webhook`. `body_of`: what a client is told of a job that has ended."""

    def __init__(
        self,
        secret: str,
        send: Send,
        body_of: Callable[[Job], bytes],
        *,
        now_s: Callable[[], float],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._secret = secret
        self._send = send
        self._body_of = body_of
        self._now_s = now_s
        self._draw = draw
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """A job has ended."""
        self._wake.set()

    async def run(self, store: JobStore) -> None:
        """Sends what is due until it is cancelled; what it was sending is then sent again by the next."""
        places = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as sending:
            while True:
                await places.acquire()
                due = await self._next(store)
                task = sending.create_task(self._deliver(store, due), name="webhook")
                task.add_done_callback(lambda _: places.release())

    async def _next(self, store: JobStore) -> DueWebhook:
        while True:
            self._wake.clear()
            try:
                now_s = self._now_s()
                if due := await store.due_webhook(now_s=now_s, until_s=now_s + LEASE_S):
                    return due
            except StoreError as error:
                log.error("webhooks cannot be looked for: %s", error)
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _deliver(self, store: JobStore, due: DueWebhook) -> None:
        job, attempt = due.job, due.attempt
        assert job.request.webhook is not None, "it has something to be told"
        try:
            body = self._body_of(job)
            headers = signed_headers(self._secret, message_id(job), int(self._now_s()), body)
            outcome = await self._send(job.request.webhook, headers, body)
            again_at_s = self._again(attempt, outcome)
            await store.settle_webhook(job.id, again_at_s=again_at_s)
        except StoreError as error:
            log.error("webhook could not be settled: %s", error)
            return
        except Exception:  # one message's trouble must not end those of others
            log.exception("webhook failed by a bug")
            return
        facts = {"attempt": attempt, "status" if isinstance(outcome, int) else "reason": outcome}
        if _delivered(outcome):
            log.info("webhook delivered", extra=facts)
        else:
            log.warning("webhook %s", "given up" if again_at_s is None else "not delivered", extra=facts)

    def _again(self, attempt: int, outcome: int | str) -> float | None:
        """When it is to be sent again; None for never."""
        if _delivered(outcome) or outcome == GONE or attempt > len(RETRY_AFTER_S):
            return None
        return self._now_s() + RETRY_AFTER_S[attempt - 1] * (1 + JITTER * self._draw())


def message_id(job: Job) -> str:
    """The same at each attempt, so that a receiver knows a message that came twice."""
    return f"msg_{job.id.removeprefix('job_')}"


def _delivered(outcome: int | str) -> bool:
    return isinstance(outcome, int) and 200 <= outcome < 300
