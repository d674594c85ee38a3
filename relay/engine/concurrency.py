"""How many requests may run at one provider at a time, and who is next.

A provider that allows three generations at a time answers a fourth with 429. The relay knows the number (configured, or
asked of the provider) and lets the fourth wait for its turn, up to a deadline, instead of failing it. What a 429 that
comes all the same means for everybody else is `closure`'s to say.
"""

import asyncio
import heapq
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TypeAlias

from relay.drivers.fair import CALLER, FairOrder, Turn
from relay.engine.closure import LONGEST_CLOSURE_S, Closure, Trial
from relay.errors import Code, ProviderError, ProviderFault

# A listener waits no longer than this for a turn to begin; then an error is better.
QUEUE_TIMEOUT_S = 10.0
# Requests that may wait; behind more than this none is served in time.
MAX_WAITING = 1000
# How fast the guess of a request's duration follows what is seen.
_NEWEST_WEIGHT = 0.2

# Order of service: audio that a listener is waiting for goes before audio that may be needed next, and that before
# audio that nobody listens to.
NOW, AHEAD, LATER = 0, 1, 2


class NoSlotError(ProviderError):
    """The limiter's own refusal: the provider was not asked, so it says nothing about the provider."""


class Slot:
    """One request at the provider. Counted until `release`, which leaving the context does too."""

    __slots__ = ("_answered", "_limiter", "_refused", "_since_s", "_trial", "held")

    def __init__(self, limiter: "ConcurrencyLimiter", trial: Trial, since_s: float) -> None:
        self.held = True
        self._limiter = limiter
        self._trial = trial
        self._since_s = since_s
        self._answered = self._refused = False

    def answered(self) -> None:
        """The provider has taken the request: its reply has begun. Reopens a provider that was closed. Idempotent."""
        if not (self._answered or self._refused):
            self._answered = True
            self._limiter.note_answer(self._trial)

    def waits_out(self, error: ProviderError, deadline_s: float) -> bool:
        """Whether to ask for another slot after `error`. True for a provider that is busy, says until when, and is
        asked again before `deadline_s`. Notes the refusal, for everybody; idempotent."""
        self.refused(error)
        return self._limiter.reopens_before(error, deadline_s)

    def refused(self, error: ProviderError) -> None:
        """Notes that the provider turned the request away, if that is what `error` says. Once a slot."""
        if _refusal_in(error) is not None and not self._refused:
            self._refused = True
            self._limiter.note_refusal(self._trial, error)

    def release(self) -> None:
        """Gives the slot to the next caller. Idempotent."""
        if self.held:
            self.held = False
            self._limiter.give_back(self._trial, self._since_s)


class Taking:
    """`async with limiter.slot() as slot:`. Enter once."""

    __slots__ = ("_deadline_s", "_limiter", "_on_wait", "_slot", "_urgency")

    def __init__(
        self, limiter: "ConcurrencyLimiter", urgency: int, on_wait: Callable[[], None] | None, deadline_s: float | None
    ) -> None:
        self._limiter = limiter
        self._urgency = urgency
        self._on_wait = on_wait
        self._deadline_s = deadline_s

    async def __aenter__(self) -> Slot:
        limiter = self._limiter
        slot = limiter.take()
        if slot is None:
            slot = await limiter.wait(self._urgency, self._on_wait, self._deadline_s)
        self._slot = slot
        return slot

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        slot = self._slot
        if error is None:
            slot.answered()
        elif (refusal := _refusal_in(error)) is not None:
            slot.refused(refusal)
        slot.release()


def _refusal_in(error: BaseException) -> ProviderError | None:
    """The provider's "too many requests" that an error is, or that is in a group."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for each in error.exceptions if (found := _refusal_in(each)) is not None), None)
    if not isinstance(error, ProviderError) or isinstance(error, NoSlotError):
        return None
    return error if error.code is Code.PROVIDER_RATE_LIMITED else None


_Entry: TypeAlias = tuple[int, Turn, asyncio.Future[Slot], float]


class ConcurrencyLimiter:
    """The slots at one provider. `limit` None: no bound. Belongs to one event loop.

    `in_use`: slots held now. `waiting` and `peak_waiting`: callers without one, now and at most so far. `timeout_s`:
    how long a caller waits that names no deadline. `longest_closure_s`: the most that one refusal by the provider
    closes it for.
    """

    def __init__(
        self,
        provider: str,
        limit: int | None = None,
        *,
        timeout_s: float = QUEUE_TIMEOUT_S,
        longest_closure_s: float = LONGEST_CLOSURE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider = provider
        self.in_use = 0
        self.peak_waiting = 0
        self.timeout_s = timeout_s
        self._limit = limit
        self._clock = clock
        self._closure = Closure(longest_closure_s)
        self._order = FairOrder()
        # A heap, at most MAX_WAITING long: urgency, order of arrival, who waits, until when.
        self._waiting: list[_Entry] = []
        self._usual_s = 1.0
        self._look: asyncio.TimerHandle | None = None
        self._was_contended = False
        self._watchers: dict[Callable[[], None], None] = {}
        self._noted: Callable[[], ProviderError | None] = lambda: None

    @property
    def limit(self) -> int | None:
        """Requests that may run at a time. May be set while the limiter is in use."""
        return self._limit

    @limit.setter
    def limit(self, limit: int | None) -> None:
        self._limit = limit
        self._call_next()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def contended(self) -> bool:
        """Whether a caller waits for a slot that another one holds (and not for the provider to reopen)."""
        return bool(self._waiting) and self._limit is not None and self.in_use >= self._limit

    @property
    def has_spare(self) -> bool:
        """Whether another slot stays free behind the one that the next caller takes."""
        return self._limit is None or (not self._waiting and self.in_use + 1 < self._limit)

    def slot(
        self, urgency: int = NOW, *, on_wait: Callable[[], None] | None = None, deadline_s: float | None = None
    ) -> Taking:
        """A context that holds a Slot. `on_wait` is called if there is none at once; `deadline_s` is an instant.

        Entering raises NoSlotError (`provider_rate_limited`, with `retry_after_s`) if there will be none in time: at
        the deadline, or at once where it is known before. Leaving with such an error of the provider's own closes the
        provider to the others too; leaving without an error says that it takes requests.
        """
        return Taking(self, urgency, on_wait, deadline_s)

    def take(self) -> Slot | None:
        """A slot, if there is one for this caller now."""
        if self._waiting or not self._free:
            return None
        self.in_use += 1
        return Slot(self, self._closure.given(), self._clock())

    def watch(self, tell: Callable[[], None]) -> None:
        """Calls `tell` whenever the limiter becomes contended, until `unwatch`. It must not raise or block."""
        self._watchers[tell] = None

    def unwatch(self, tell: Callable[[], None]) -> None:
        self._watchers.pop(tell, None)

    def reopens_before(self, error: ProviderError, deadline_s: float) -> bool:
        """Whether a provider that answered `error` is asked again before `deadline_s`, for it said when to."""
        if _refusal_in(error) is None or not error.retry_after_s:
            return False
        return self._closure.reopens_s(self._clock()) < deadline_s

    def waits_out(self, error: ProviderError, deadline_s: float) -> bool:
        """`Slot.waits_out`, for an error that has left the slot's context: it was noted there."""
        if _refusal_in(error) is not None and self._noted() is not error:
            self.note_refusal(self._closure.given(), error)
        return self.reopens_before(error, deadline_s)

    # What follows is called by slots.

    def note_answer(self, trial: Trial) -> None:
        self._closure.answered(trial, self._clock())
        if self._waiting:
            self._call_next()

    def note_refusal(self, trial: Trial, error: ProviderError) -> None:
        self._noted = weakref.ref(error)
        now_s = self._clock()
        self._closure.refused(trial, now_s, error.retry_after_s or 0.0)
        reopens_s = self._closure.reopens_s(now_s)
        # Those that cannot live to see it have no use for waiting.
        late = [entry for entry in self._waiting if entry[3] < reopens_s]
        if late:
            self._waiting = [entry for entry in self._waiting if entry[3] >= reopens_s]
            heapq.heapify(self._waiting)
        for _, _, called, _ in late:
            if not called.done():
                called.set_exception(self._refusal(_PAUSED))
        self._call_next()

    def give_back(self, trial: Trial, since_s: float) -> None:
        self._closure.left(trial)
        self._usual_s += _NEWEST_WEIGHT * (self._clock() - since_s - self._usual_s)
        self.in_use -= 1
        if self._waiting:
            self._call_next()

    @property
    def _free(self) -> bool:
        return (self._limit is None or self.in_use < self._limit) and self._closure.admits(self._clock())

    async def wait(self, urgency: int, on_wait: Callable[[], None] | None, deadline_s: float | None) -> Slot:
        now_s = self._clock()
        deadline_s = now_s + self.timeout_s if deadline_s is None else deadline_s
        if self.waiting >= MAX_WAITING:
            raise self._refusal(f"{MAX_WAITING} requests are waiting for a slot")
        if self._closure.reopens_s(now_s) > deadline_s:
            raise self._refusal(_PAUSED)
        loop = asyncio.get_running_loop()
        called: asyncio.Future[Slot] = loop.create_future()
        entry: _Entry = (urgency, self._order.turn(CALLER.get()), called, deadline_s)
        heapq.heappush(self._waiting, entry)
        self.peak_waiting = max(self.peak_waiting, self.waiting)
        timer = loop.call_later(max(0.0, deadline_s - now_s), self._expire, entry, deadline_s - now_s)
        try:
            self._call_next()
            # Telling the others may have freed a slot.
            if on_wait is not None and not called.done():
                on_wait()
            return await called
        except BaseException:
            called.cancel()
            if called.cancelled():
                self._drop(entry)
            elif called.exception() is None:
                called.result().release()  # cancelled after the slot was granted: return it
            raise
        finally:
            timer.cancel()

    def _expire(self, entry: _Entry, waited_s: float) -> None:
        _, _, called, _ = entry
        if not called.done():
            called.set_exception(self._refusal(f"no slot was free within {max(0.0, waited_s):g} s"))
            self._drop(entry)

    def _drop(self, entry: _Entry) -> None:
        if entry in self._waiting:
            self._waiting.remove(entry)
            heapq.heapify(self._waiting)
        self._call_next()

    def _call_next(self) -> None:
        """Gives free slots to those who wait, the most urgent first."""
        while self._waiting and self._free:
            _, turn, called, _ = heapq.heappop(self._waiting)
            if not called.done():
                self._order.served(turn)
                self.in_use += 1
                called.set_result(Slot(self, self._closure.given(), self._clock()))
        self._look_later()
        was_contended, self._was_contended = self._was_contended, self.contended
        if self._was_contended and not was_contended:
            for tell in list(self._watchers):
                tell()

    def _look_later(self) -> None:
        """Looks again when time alone may let the next caller in."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._waiting:
            now_s = self._clock()
            delay_s = self._closure.next_look_s(now_s) - now_s
            if delay_s < float("inf"):
                self._look = asyncio.get_running_loop().call_later(max(0.0, delay_s), self._call_next)

    def _refusal(self, reason: str) -> NoSlotError:
        limit = "" if self._limit is None else f" ({self._limit} at a time)"
        now_s = self._clock()
        closed_s = self._closure.reopens_s(now_s) - now_s
        guess_s = self._usual_s * (self.waiting + 1) / max(1, self._limit or 1)
        return NoSlotError(
            Code.PROVIDER_RATE_LIMITED,
            f"{self.provider} is busy{limit}: {reason}",
            provider=ProviderFault(name=self.provider),
            retry_after_s=round(max(closed_s, guess_s), 1),
        )


_PAUSED = "it has asked for a pause, which is not over in time"
