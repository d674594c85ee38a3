"""The driver of polled work: a job is made, asked about, and its audio fetched, until somebody stops listening.

This file does not know which provider is speaking, nor what its answers mean: the job says the next step.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import Self

from yarl import URL

from relay.core.events import Progress
from relay.core.timings import Stage, Timings
from relay.drivers.http.attempt import peer_of
from relay.drivers.http.driver import HttpDriver
from relay.drivers.http.errors import Meaning, Peer
from relay.drivers.http.reply import REFUSAL_BYTES, HttpReply
from relay.errors import Code, ProviderError
from relay.providers.base.http import HttpRequest, Piece, Refusal
from relay.providers.base.poll import Answer, Arrived, Ask, Fetch, PollJob, PollRequest
from relay.providers.base.provider import Reply

log = logging.getLogger(__name__)

# Withdrawals under way at a time. Each is one short request; a provider that leaves more than this unanswered is not
# helped by more, and its jobs end by themselves.
MAX_WITHDRAWALS = 64
WITHDRAWAL_TIMEOUT_S = 5.0
# What closing gives them: they save the provider's work, which is not worth a late stop of ours.
CLOSING_S = 1.0


class PollDriver:
    """Opens PollRequests through an HttpDriver, which is started before and closed after it.

    `sleep` waits for the next question; it is there to be replaced in tests.
    """

    def __init__(self, http: HttpDriver, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._http = http
        self._sleep = sleep
        self._withdrawals: set[asyncio.Task[None]] = set()
        self._open = False

    async def start(self) -> None:
        self._open = True

    async def close(self) -> None:
        """Lets withdrawals under way finish for CLOSING_S, ends the rest; idempotent."""
        self._open = False
        if not self._withdrawals:
            return
        _, late = await asyncio.wait(self._withdrawals, timeout=CLOSING_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    @asynccontextmanager
    async def open(self, upstream: PollRequest, timings: Timings) -> AsyncIterator[Reply]:
        """See `base.Driver.open`.

        Marks REQUEST_SENT of the job's first request, and RESPONSE_HEADERS and FIRST_BYTE of the reply that holds the
        audio. Unless that was received to its end, the job is withdrawn when this is left.
        """
        assert self._open, "the driver has not been started"
        job = upstream.job()
        reply: HttpReply | ArrivedReply | None = None
        async with AsyncExitStack() as stack:
            try:
                reply = await self._audio(upstream, job, timings, stack)
                yield reply
            finally:
                if reply is None or not reply.ended:
                    self._withdraw(job)

    async def _audio(
        self, upstream: PollRequest, job: PollJob, timings: Timings, stack: AsyncExitStack
    ) -> "HttpReply | ArrivedReply":
        """The reply that holds the audio, its first piece there; `stack` closes it."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        deadline_s = start_s + upstream.timeout_s
        first = job.start()
        step: Ask | Fetch | Arrived = first
        request = first.request
        late = Meaning(Code.PROVIDER_TIMEOUT, f"did not have the audio ready within {upstream.timeout_s:g} s")
        try:
            async with asyncio.timeout_at(deadline_s):
                while isinstance(step, Ask):
                    request = step.request
                    if step.progress is not None:
                        _tell(upstream, step.progress, loop.time() - start_s)
                    if step.after_s > 0:
                        await self._sleep(step.after_s)
                    answer, marks = await self._ask(request, timings)
                    came_s = monotonic()
                    step = job.receive(answer)
                    if isinstance(step, Ask) and loop.time() + step.after_s >= deadline_s:
                        # A wait that ends in a timeout is not begun. A provider that refuses has said why it is late.
                        raise _refused(request, answer) if answer.status >= 400 else _peer(request).error(late)
                if isinstance(step, Fetch):
                    request = step.request
                    _tell(upstream, Progress.DOWNLOADING, loop.time() - start_s)
                    return await stack.enter_async_context(self._http.open(request, timings))
        except TimeoutError:
            raise _peer(request).error(late) from None
        for stage in (Stage.RESPONSE_HEADERS, Stage.FIRST_BYTE):
            timings.mark(stage, marks.instants_s[stage])
        return ArrivedReply(step, request, answer, came_s)

    async def _ask(self, request: HttpRequest, timings: Timings) -> tuple[Answer, Timings]:
        """The answer, and its own marks: only a later look at it tells whether its bytes are audio."""
        marks = Timings(tally=timings.tally)
        try:
            return await self._http.ask(request, marks), marks
        finally:
            if (sent_s := marks.instants_s.get(Stage.REQUEST_SENT)) is not None:
                timings.mark(Stage.REQUEST_SENT, sent_s)
            if timings.connection_reused is None:
                timings.connection_reused = marks.connection_reused

    def _withdraw(self, job: PollJob) -> None:
        """Tells the provider in the background, if it can be told. The driver owns the task and ends it."""
        request = job.withdraw()
        if request is None or not self._open:
            return
        if len(self._withdrawals) >= MAX_WITHDRAWALS:
            log.warning("a job was not withdrawn: too many others are", extra={"provider": request.provider})
            return
        task = asyncio.create_task(self._tell(request))
        self._withdrawals.add(task)
        task.add_done_callback(self._withdrawals.discard)

    async def _tell(self, request: HttpRequest) -> None:
        reason: str
        try:
            async with asyncio.timeout(WITHDRAWAL_TIMEOUT_S):
                answer = await self._http.ask(request, Timings())
            if answer.status < 400:
                return
            reason = f"it answered {answer.status}"
        except TimeoutError:
            reason = f"no answer within {WITHDRAWAL_TIMEOUT_S:g} s"
        except ProviderError as error:
            reason = error.code
        log.info("a job could not be withdrawn: %s", reason, extra={"provider": request.provider})


class ArrivedReply:
    """Audio that came in the answer itself. Iterate once."""

    content_type: str | None = None
    ended = complete = True

    def __init__(self, arrived: Arrived, request: HttpRequest, answer: Answer, came_s: float) -> None:
        """`came_s`: when the answer had come, on the monotonic clock."""
        self.facts = arrived.facts
        self.piece_came_s: float | None = came_s
        self._pieces = deque(arrived.pieces)
        self._request = request
        self._status, self._headers = answer.status, answer.headers

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.popleft()

    def refuse(self, body: bytes) -> ProviderError:
        """The error that pieces which are no audio stand for."""
        return self._request.refuse(Refusal(status=self._status, headers=self._headers, body=body[:REFUSAL_BYTES]))


def _tell(upstream: PollRequest, progress: Progress, waited_s: float) -> None:
    if upstream.on_progress is not None:
        upstream.on_progress(progress, waited_s)


def _refused(request: HttpRequest, answer: Answer) -> ProviderError:
    body = answer.body[:REFUSAL_BYTES]
    return request.refuse(Refusal(status=answer.status, headers=answer.headers, body=body))


def _peer(request: HttpRequest) -> Peer:
    return peer_of(request.provider, URL(request.url, encoded=True))
