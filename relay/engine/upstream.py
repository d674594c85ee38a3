"""One provider's side of a segment: a place at the provider, then its reply."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from relay.core.events import Progress
from relay.core.timings import Stage, Timings
from relay.engine.concurrency import ConcurrencyLimiter
from relay.errors import ProviderError
from relay.providers.base.poll import PollRequest
from relay.providers.base.provider import Driver, Provider, Reply, Speech


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A provider that may speak a turn, with the settings it would speak it with."""

    provider: Provider
    speech: Speech
    budget: ConcurrencyLimiter


class Candidates:
    """Who speaks a turn now, and who goes on if that one fails, in order. One that failed is not tried again."""

    def __init__(self, candidates: tuple[Candidate, ...]) -> None:
        self.current, *self._others = candidates

    def replace(
        self, failed: Candidate, error: ProviderError, tell: Callable[[Candidate, Candidate, ProviderError], None]
    ) -> bool:
        """Whether there is another one for what comes after a failure. `tell` is told who failed, who has taken its
        place, and why."""
        if self.current is not failed:
            return True  # an earlier segment's failure has replaced it
        if not self._others:
            return False
        self.current = self._others.pop(0)
        tell(failed, self.current, error)
        return True


@asynccontextmanager
async def opened(
    candidate: Candidate,
    driver: Driver,
    text: str,
    timings: Timings,
    *,
    urgency: int,
    on_wait: Callable[[], None],
    on_progress: Callable[[Progress, float], None],
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Reply]:
    """The reply for one segment, its first piece there. Leaving ends the provider's work and gives the place back.

    A provider that says it is busy, and until when, gets that time from everyone, and is asked again if the wait for a
    place is not over by then; else its answer is the error. Raises RelayError only.
    """
    budget = candidate.budget
    deadline_s = clock() + budget.timeout_s
    while True:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(budget.place(urgency, on_wait=on_wait))
            timings.mark(Stage.PLACE_GIVEN, clock())
            upstream = candidate.provider.request(candidate.speech, text)
            if isinstance(upstream, PollRequest):
                upstream = replace(upstream, on_progress=on_progress)
            try:
                reply = await stack.enter_async_context(driver.open(upstream, timings))
            except ProviderError as error:
                if not budget.waits_out(error, deadline_s):
                    raise
                continue
            yield reply
            return
