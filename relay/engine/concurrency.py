"""How many requests may run at one provider at a time, and who is next.

A provider that allows three generations at a time answers a fourth with 429. The relay knows the number (configured, or
asked of the provider) and lets the fourth wait for its turn, up to a deadline, instead of failing it.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

from relay.errors import Code, ProviderError, ProviderFault

# A listener waits no longer than this for a turn to begin; then it is better told.
QUEUE_TIMEOUT_S = 10.0
# Requests that may wait; behind more than this nobody is served in time.
MAX_WAITING = 1000
# How fast the guess of a request's duration follows what is seen.
_NEWEST_WEIGHT = 0.2

# Who waits: audio that a listener is waiting for goes before audio that only might be needed next.
NOW, AHEAD = 0, 1


class ConcurrencyLimiter:
    """Places at one provider. `limit` None: no bound. Belongs to one event loop."""

    def __init__(
        self,
        provider: str,
        limit: int | None = None,
        *,
        timeout_s: float = QUEUE_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider = provider
        self.limit = limit
        self.taken = 0
        self.most_waiting = 0
        self.timeout_s = timeout_s
        self._clock = clock
        self._order = count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._closed_until_s = 0.0
        self._usual_s = 1.0
        self._reopening: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @asynccontextmanager
    async def place(self, urgency: int = NOW, *, on_wait: Callable[[], None] | None = None) -> AsyncIterator[None]:
        """A place while the context is entered. `on_wait` is called if there is none at once.

        Raises ProviderError `provider_rate_limited`, with `retry_after_s`, when none came in time.
        """
        if not self._free or self.waiting:
            await self._queue(urgency, on_wait)
        else:
            self.taken += 1
        start_s = self._clock()
        try:
            yield
        finally:
            self._usual_s += _NEWEST_WEIGHT * (self._clock() - start_s - self._usual_s)
            self.taken -= 1
            self._call_next()

    def waits_out(self, error: ProviderError, deadline_s: float) -> bool:
        """Whether to ask again after `error`. A provider that is busy, and says until when, gets that time from
        everyone; it is asked again if the time is over before `deadline_s`."""
        if error.code is not Code.PROVIDER_RATE_LIMITED or not error.retry_after_s:
            return False
        self.close_for(error.retry_after_s)
        return self._clock() + error.retry_after_s < deadline_s

    def close_for(self, seconds: float) -> None:
        """The provider asked everyone to wait: gives out no place until then."""
        self._closed_until_s = max(self._closed_until_s, self._clock() + seconds)
        self._reopen_later()

    def _reopen_later(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
        delay_s = max(0.0, self._closed_until_s - self._clock())
        self._reopening = asyncio.get_running_loop().call_later(delay_s, self._reopen)

    def _reopen(self) -> None:
        self._reopening = None
        if self._clock() < self._closed_until_s:
            self._reopen_later()  # a loop may call a little early
        else:
            self._call_next()

    @property
    def _free(self) -> bool:
        return (self.limit is None or self.taken < self.limit) and self._clock() >= self._closed_until_s

    async def _queue(self, urgency: int, on_wait: Callable[[], None] | None) -> None:
        if self.waiting >= MAX_WAITING:
            raise self._refusal(f"{MAX_WAITING} requests are waiting for a place")
        if on_wait is not None:
            on_wait()
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (urgency, next(self._order), called)
        heapq.heappush(self._waiting, entry)
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            async with asyncio.timeout(self.timeout_s):
                await called
        except BaseException as error:
            if entry in self._waiting:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            else:
                # The place was given in the same instant in which nobody wanted it any more.
                self.taken -= 1
                self._call_next()
            if isinstance(error, TimeoutError):
                raise self._refusal(f"no place was free within {self.timeout_s:g} s") from None
            raise

    def _call_next(self) -> None:
        """Gives free places to those who wait, the most urgent first."""
        while self._waiting and self._free:
            _, _, called = heapq.heappop(self._waiting)
            self.taken += 1
            # Cancelled in this very instant: its `_queue` gives the place back.
            if not called.done():
                called.set_result(None)

    def _refusal(self, reason: str) -> ProviderError:
        limit = "" if self.limit is None else f" ({self.limit} at a time)"
        closed_s = max(0.0, self._closed_until_s - self._clock())
        guess_s = self._usual_s * (self.waiting + 1) / max(1, self.limit or 1)
        return ProviderError(
            Code.PROVIDER_RATE_LIMITED,
            f"{self.provider} is busy{limit}: {reason}",
            provider=ProviderFault(name=self.provider),
            retry_after_s=round(max(closed_s, guess_s), 1),
        )
