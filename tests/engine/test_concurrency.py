"""Places at a provider: order, deadline, what is given back."""

import asyncio

import pytest

from relay.engine.concurrency import AHEAD, MAX_WAITING, NOW, ConcurrencyLimiter
from relay.errors import Code, ProviderError


class Caller:
    """Takes a place, keeps it until told."""

    def __init__(self, budget: ConcurrencyLimiter, urgency: int = NOW) -> None:
        self.has_place = False
        self.waited = False
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._run(budget, urgency))

    async def _run(self, budget: ConcurrencyLimiter, urgency: int) -> None:
        def on_wait() -> None:
            self.waited = True

        async with budget.place(urgency, on_wait=on_wait):
            self.has_place = True
            await self.leave.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def leave(*callers: Caller) -> None:
    for caller in callers:
        caller.leave.set()
    await asyncio.gather(*(caller.task for caller in callers))


async def test_without_a_limit_nobody_waits() -> None:
    budget = ConcurrencyLimiter("p")
    callers = [Caller(budget) for _ in range(100)]
    await settle()
    assert all(caller.has_place and not caller.waited for caller in callers)
    await leave(*callers)
    assert budget.taken == 0


async def test_the_urgent_go_first_and_among_equals_who_came_first() -> None:
    budget = ConcurrencyLimiter("p", 1)
    first, ahead, second, third = Caller(budget), Caller(budget, AHEAD), Caller(budget), Caller(budget)
    await settle()
    assert [caller.has_place for caller in (first, ahead, second, third)] == [True, False, False, False]
    assert [caller.waited for caller in (first, ahead, second, third)] == [False, True, True, True]
    for done, following in ((first, second), (second, third), (third, ahead)):
        await leave(done)
        await settle()
        assert following.has_place
    await leave(ahead)
    assert (budget.taken, budget.waiting) == (0, 0)


async def test_who_waits_too_long_is_told_when_to_come_back() -> None:
    budget = ConcurrencyLimiter("p", 1, timeout_s=0.01)
    holder = Caller(budget)
    await settle()
    with pytest.raises(ProviderError) as caught:
        async with budget.place():
            pass
    assert (caught.value.code, caught.value.retryable) == (Code.PROVIDER_RATE_LIMITED, True)
    assert caught.value.retry_after_s
    assert "1 at a time" in caught.value.message
    await leave(holder)
    assert (budget.taken, budget.waiting) == (0, 0)


async def test_a_place_whose_caller_was_cancelled_goes_to_the_next() -> None:
    budget = ConcurrencyLimiter("p", 1)
    holder, cancelled, following = Caller(budget), Caller(budget), Caller(budget)
    await settle()
    cancelled.task.cancel()
    await leave(holder)
    await settle()
    assert following.has_place
    assert cancelled.task.cancelled()
    await leave(following)
    assert budget.taken == 0


async def test_a_place_given_in_the_instant_of_the_cancel_is_not_lost() -> None:
    budget = ConcurrencyLimiter("p", 1)
    holder, unlucky, following = Caller(budget), Caller(budget), Caller(budget)
    await settle()
    holder.leave.set()
    while not budget.taken or not holder.task.done():
        await asyncio.sleep(0)
    unlucky.task.cancel()
    await settle()
    assert following.has_place or unlucky.task.cancelled()
    await settle()
    assert following.has_place
    await leave(following)
    assert budget.taken == 0


async def test_a_provider_that_asks_for_a_pause_gets_it() -> None:
    now_s = 10.0
    budget = ConcurrencyLimiter("p", 5, clock=lambda: now_s)
    budget.close_for(2.0)
    waiting = Caller(budget)
    await settle()
    assert [waiting.has_place] == [False]
    now_s = 12.1
    budget._call_next()
    await settle()
    assert [waiting.has_place] == [True]
    later = Caller(budget)
    await settle()
    assert later.has_place
    await leave(waiting, later)


async def test_a_pause_ends_by_itself() -> None:
    budget = ConcurrencyLimiter("p")
    budget.close_for(0.01)
    async with asyncio.timeout(5), budget.place():
        assert budget.taken == 1


async def test_a_timer_that_fires_early_still_ends_the_pause() -> None:
    """uvloop rounds to milliseconds, in either direction."""
    now_s = 10.0
    budget = ConcurrencyLimiter("p", clock=lambda: now_s)
    budget.close_for(2.0)
    waiting = Caller(budget)
    await settle()
    now_s = 11.9995
    budget._reopen()
    assert budget._reopening is not None, "it will be tried again"
    now_s = 12.0
    budget._reopen()
    await settle()
    assert waiting.has_place
    await leave(waiting)


async def test_who_may_wait_is_bounded() -> None:
    budget = ConcurrencyLimiter("p", 1)
    callers = [Caller(budget) for _ in range(MAX_WAITING + 1)]
    await settle()
    with pytest.raises(ProviderError, match="waiting"):
        async with budget.place():
            pass
    for caller in callers:
        caller.task.cancel()
    await asyncio.wait([caller.task for caller in callers])
    assert (budget.taken, budget.waiting) == (0, 0)
