"""The driver for `LocalRequest`: work done by processes on this machine, which may crash, hang and be replaced.

::

    open --> Pool.worker (callers in turn) --> WorkerProcess.begin --> LocalReply --> the listener

One request is one segment, so requests take turns at a fine grain. A worker's output is taken at once into the
request's own bounded reply: a listener that stalls keeps its reply, never a worker. This file does not know what a
worker does.
"""

import asyncio
import heapq
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import NamedTuple, Self

from relay.core.timings import Timings
from relay.drivers.fair import CALLER, FairOrder, Turn
from relay.drivers.local.process import WorkerLostError, WorkerProcess, WorkerTimeouts
from relay.drivers.local.reply import MAX_HELD_BYTES, LocalReply, renamed
from relay.drivers.local.wire import MAX_PAYLOAD_BYTES
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base.provider import WORKERS, LocalRequest

# Requests waiting for a worker, per module. A long segment takes 10 ms, so the last of them waits about a second; who
# comes after that is better told at once.
MAX_WAITING = 256
# The same bound in time, for when the workers are slow or have to be replaced again and again.
QUEUE_TIMEOUT_S = 10.0
# Patience at the end: for a worker to notice that its input has ended, then for the kernel to have killed it.
END_TIMEOUT_S = 1.0
KILL_TIMEOUT_S = 1.0


class LocalDriver:
    """A `base.Driver`. The processes of `modules` start in `start`, those of any other module at its first request.

    Belongs to one event loop. `start` and `close`, or `async with`; after `close` no process, task or pipe is left.
    """

    def __init__(
        self,
        modules: Iterable[str] = (),
        *,
        workers: int | None = None,
        max_waiting: int = MAX_WAITING,
        max_held_bytes: int = MAX_HELD_BYTES,
        timeouts: WorkerTimeouts | None = None,
    ) -> None:
        self._modules = tuple(modules)
        self._workers = workers
        self._max_waiting = max_waiting
        self._max_held_bytes = max_held_bytes
        self._timeouts = timeouts or WorkerTimeouts()
        self._pools: dict[str, Pool] = {}
        # For requests that nobody listens to.
        self._background: dict[str, Pool] = {}
        self._closed = False

    async def start(self) -> None:
        """Begins to start the workers, and does not wait: the first request does, if it comes so early."""
        self.warm(*self._modules)

    def warm(self, *modules: str, processes: int = WORKERS) -> None:
        """Begins to start the workers of `modules`, so that their first request finds them ready."""
        for module in modules:
            self._pool(module, processes)

    async def close(self) -> None:
        """Ends all workers, within END_TIMEOUT_S + KILL_TIMEOUT_S. Idempotent. What still runs ends in an error."""
        self._closed = True
        await asyncio.gather(*(pool.close() for pool in (*self._pools.values(), *self._background.values())))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def open(self, upstream: LocalRequest, timings: Timings) -> AsyncIterator[LocalReply]:
        """See `base.Driver.open`. When a worker dies before the first piece, its request is tried once more, ahead."""
        # Written down before a worker is taken: what cannot be sent must not cost one.
        job = json.dumps(dict(upstream.job)).encode()
        assert len(job) <= MAX_PAYLOAD_BYTES, "a provider keeps its jobs within one message"
        async with AsyncExitStack() as attempts:
            try:
                reply = await attempts.enter_async_context(self._attempt(upstream, job, timings))
            except WorkerLostError:
                timings.tally.retries += 1
                reply = await attempts.enter_async_context(self._attempt(upstream, job, timings, ahead=True))
            yield reply

    @asynccontextmanager
    async def _attempt(
        self, upstream: LocalRequest, job: bytes, timings: Timings, *, ahead: bool = False
    ) -> AsyncIterator[LocalReply]:
        pool = self._pool(upstream.module, 1 if upstream.background else upstream.processes, upstream.background)
        provider = upstream.provider or pool.provider
        try:
            worker = await pool.worker(ahead=ahead)
        except ProviderError as error:
            # Instances of one provider share its workers.
            raise error if provider == pool.provider else renamed(error, provider) from None
        reply = LocalReply(upstream, provider, timings, self._max_held_bytes)
        request = worker.begin(job, reply, timings)
        try:
            await reply.first()
            yield reply
        finally:
            worker.stop(request)

    def _pool(self, module: str, processes: int, background: bool = False) -> "Pool":
        pools = self._background if background else self._pools
        pool = pools.get(module)
        if pool is None:
            if self._closed:
                raise _shutting_down(provider_of(module))
            count = self._workers or processes
            pool = pools[module] = Pool(module, count, self._max_waiting, self._timeouts, background=background)
        return pool


class _Place(NamedTuple):
    """One that waits; the least is served next."""

    turn: Turn
    given: asyncio.Future[WorkerProcess | ProviderError]
    caller: str


class Pool:
    """The workers of one module, and the requests that wait for one. Starts when made; replaces what dies."""

    def __init__(
        self, module: str, workers: int, max_waiting: int, timeouts: WorkerTimeouts, *, background: bool = False
    ) -> None:
        self._background = background
        self.provider = provider_of(module)
        self._module = module
        self._max_waiting = max_waiting
        self._timeouts = timeouts
        self._idle: list[WorkerProcess] = []
        # Bounded by `max_waiting` (and the few that are tried again). Each is given a worker or a reason.
        self._waiting: list[_Place] = []
        self._order = FairOrder()
        self._wanted = asyncio.Event()
        self._closed = asyncio.Event()
        self._processes: set[WorkerProcess] = set()
        self._failure: ProviderError | None = None
        self._failed_at_s = 0.0
        # One keeper for each place in the pool; `close` awaits them.
        self._keepers = [
            asyncio.create_task(self._keep(), name=f"keep a {self.provider} worker") for _ in range(workers)
        ]

    async def worker(self, *, ahead: bool = False) -> WorkerProcess:
        """A free worker, for exactly one `begin`. Callers are served in turn, but for the one that comes `ahead`."""
        if self._closed.is_set():
            raise _shutting_down(self.provider)
        if self._idle:
            return self._idle.pop()
        if self._failure is not None and time.monotonic() < self._failed_at_s + self._timeouts.retry_start_s:
            raise _again(self._failure)
        if len(self._waiting) >= self._max_waiting and not ahead:
            self._make_room(CALLER.get())
        return await self._wait_in_line(ahead)

    def _make_room(self, caller: str) -> None:
        """Refuses the last request of whoever has most of them waiting, or raises where that is this caller."""
        full = ProviderError(
            Code.PROVIDER_RATE_LIMITED,
            f"{self.provider}: {len(self._waiting)} requests wait for a worker already, and no more may",
            provider=ProviderFault(name=self.provider),
            retry_after_s=1.0,
        )
        waiting = Counter(entry.caller for entry in self._waiting)
        greediest, most = waiting.most_common(1)[0]
        if most <= waiting[caller] + 1:
            raise full
        last = max(entry for entry in self._waiting if entry.caller == greediest)
        self._waiting.remove(last)
        heapq.heapify(self._waiting)
        if not last.given.done():
            last.given.set_result(full)

    async def _wait_in_line(self, ahead: bool) -> WorkerProcess:
        place: asyncio.Future[WorkerProcess | ProviderError] = asyncio.get_running_loop().create_future()
        caller = CALLER.get()
        turn = self._order.turn(caller)
        entry = _Place((0, -turn[1]) if ahead else turn, place, caller)
        heapq.heappush(self._waiting, entry)
        self._wanted.set()
        try:
            async with asyncio.timeout(QUEUE_TIMEOUT_S):
                given = await place
        except BaseException as error:
            if entry in self._waiting:  # it may have been taken out of the line already
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            if place.done() and not place.cancelled():
                unused = place.result()
                if isinstance(unused, WorkerProcess):
                    self._free(unused)
            if isinstance(error, TimeoutError):
                raise ProviderError(
                    Code.PROVIDER_TIMEOUT,
                    f"{self.provider}: no worker became free within {QUEUE_TIMEOUT_S} s",
                    provider=ProviderFault(name=self.provider),
                ) from None
            raise
        if isinstance(given, ProviderError):
            raise given
        return given

    async def close(self) -> None:
        """Ends the processes: by the end of their input, then by force. Returns when nothing of them is left."""
        self._closed.set()
        self._wanted.set()
        self._refuse_all(_shutting_down(self.provider))
        for process in self._processes:
            process.end(_shutting_down(self.provider))
        _, late = await asyncio.wait(self._keepers, timeout=END_TIMEOUT_S)
        if late:
            for process in self._processes:
                process.kill()
            _, late = await asyncio.wait(late, timeout=KILL_TIMEOUT_S)
        for keeper in late:
            keeper.cancel()  # the kernel has not let go of its process; it is reaped when it does
        for outcome in await asyncio.gather(*self._keepers, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def _keep(self) -> None:
        """Keeps one place filled. The next process is started when the last one is gone, and is likely to do better."""
        while not self._closed.is_set():
            process = WorkerProcess(
                self._module, self.provider, self._timeouts, self._free, background=self._background
            )
            self._processes.add(process)
            failure = await process.start()
            if failure is not None:
                self._start_failed(process, failure)
            await process.gone
            self._processes.discard(process)
            if process in self._idle:
                self._idle.remove(process)
            if failure is not None:
                await self._pause()
            if not process.begun:
                # It did not live to do anything: to start another and another helps nobody until one is wanted.
                await self._until_wanted()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeouts.retry_start_s):
                await self._closed.wait()

    async def _until_wanted(self) -> None:
        """Ends when a request waits, or at `close`."""
        self._wanted.clear()
        if not self._waiting and not self._closed.is_set():
            await self._wanted.wait()

    def _free(self, worker: WorkerProcess) -> None:
        """The worker has nothing to do: the first in line gets it."""
        if not worker.alive:
            return
        self._failure = None
        while self._waiting:
            turn, place, _ = heapq.heappop(self._waiting)
            if not place.done():
                self._order.served(turn)
                place.set_result(worker)
                return
        self._idle.append(worker)

    def _start_failed(self, process: WorkerProcess, failure: ProviderError) -> None:
        if not any(other.alive for other in self._processes if other is not process):
            self._failure, self._failed_at_s = failure, time.monotonic()
            self._refuse_all(failure)

    def _refuse_all(self, reason: ProviderError) -> None:
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            if not entry.given.done():
                entry.given.set_result(_again(reason))


def provider_of(module: str) -> str:
    """The provider whose worker a module is: `relay.providers.espeak.worker` works for `espeak`."""
    folder, _, name = module.rpartition(".")
    return folder.rpartition(".")[2] if name == "worker" else name.removesuffix("_worker")


def _again(error: ProviderError) -> ProviderError:
    """A copy to raise: an exception that is raised twice collects the tracebacks of both."""
    return ProviderError(error.code, error.message, provider=error.provider)


def _shutting_down(provider: str) -> ProviderError:
    return ProviderError(
        Code.SHUTTING_DOWN, f"{provider}: the relay is shutting down", provider=ProviderFault(name=provider)
    )
