"""Slots at a provider: order, deadline, what is given back, and a provider that turned requests away."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.engine.concurrency import AHEAD, MAX_WAITING, NOW, ConcurrencyLimiter, NoSlotError, Slot
from relay.errors import Code, ProviderError, ProviderFault
from relay.testing import clock


class Caller:
    """Takes a slot and keeps it until `leave` is set."""

    def __init__(self, limiter: ConcurrencyLimiter, urgency: int = NOW) -> None:
        self.has_slot = False
        self.waited = False
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._run(limiter, urgency))

    async def _run(self, limiter: ConcurrencyLimiter, urgency: int) -> None:
        def on_wait() -> None:
            self.waited = True

        async with limiter.slot(urgency, on_wait=on_wait):
            self.has_slot = True
            await self.leave.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def leave(*callers: Caller) -> None:
    for caller in callers:
        caller.leave.set()
    await asyncio.gather(*(caller.task for caller in callers))


async def test_without_a_limit_nobody_waits() -> None:
    limiter = ConcurrencyLimiter("p")
    callers = [Caller(limiter) for _ in range(100)]
    await settle()
    assert all(caller.has_slot and not caller.waited for caller in callers)
    await leave(*callers)
    assert limiter.in_use == 0


async def test_the_urgent_go_first_and_among_equals_who_came_first() -> None:
    limiter = ConcurrencyLimiter("p", 1)
    first, ahead, second, third = Caller(limiter), Caller(limiter, AHEAD), Caller(limiter), Caller(limiter)
    await settle()
    assert [caller.has_slot for caller in (first, ahead, second, third)] == [True, False, False, False]
    assert [caller.waited for caller in (first, ahead, second, third)] == [False, True, True, True]
    for done, following in ((first, second), (second, third), (third, ahead)):
        await leave(done)
        await settle()
        assert following.has_slot
    await leave(ahead)
    assert (limiter.in_use, limiter.waiting) == (0, 0)


async def test_a_wait_that_is_too_long_ends_in_an_error_that_says_when_to_come_back() -> None:
    limiter = ConcurrencyLimiter("p", 1, timeout_s=0.01)
    holder = Caller(limiter)
    await settle()
    with pytest.raises(ProviderError) as caught:
        async with limiter.slot():
            pass
    assert (caught.value.code, caught.value.retryable) == (Code.PROVIDER_RATE_LIMITED, True)
    assert caught.value.retry_after_s
    assert "1 at a time" in caught.value.message
    await leave(holder)
    assert (limiter.in_use, limiter.waiting) == (0, 0)


async def test_a_slot_whose_caller_was_cancelled_goes_to_the_next() -> None:
    limiter = ConcurrencyLimiter("p", 1)
    holder, cancelled, following = Caller(limiter), Caller(limiter), Caller(limiter)
    await settle()
    cancelled.task.cancel()
    await leave(holder)
    await settle()
    assert following.has_slot
    assert cancelled.task.cancelled()
    await leave(following)
    assert limiter.in_use == 0


async def test_a_slot_given_in_the_instant_of_the_cancel_is_not_lost() -> None:
    limiter = ConcurrencyLimiter("p", 1)
    holder, unlucky, following = Caller(limiter), Caller(limiter), Caller(limiter)
    await settle()
    holder.leave.set()
    while not limiter.in_use or not holder.task.done():
        await asyncio.sleep(0)
    unlucky.task.cancel()
    await settle()
    assert following.has_slot or unlucky.task.cancelled()
    await settle()
    assert following.has_slot
    await leave(following)
    assert limiter.in_use == 0


async def test_a_slot_is_given_back_once_however_often_it_is_released() -> None:
    limiter = ConcurrencyLimiter("p", 2)
    async with limiter.slot() as first, limiter.slot() as second:
        assert limiter.in_use == 2
        for _ in range(3):
            first.release()
        assert (limiter.in_use, first.held, second.held) == (1, False, True)
    assert limiter.in_use == 0


async def test_a_slot_released_early_goes_to_the_next_while_its_context_is_still_entered() -> None:
    limiter = ConcurrencyLimiter("p", 1)
    async with limiter.slot() as slot:
        following = Caller(limiter)
        await settle()
        assert not following.has_slot
        slot.release()
        await settle()
        assert bool(following.has_slot)
    assert limiter.in_use == 1
    await leave(following)
    assert limiter.in_use == 0


def test_without_a_limit_a_slot_needs_no_loop_and_no_turn_of_it() -> None:
    limiter = ConcurrencyLimiter("p")
    entering = limiter.slot().__aenter__()
    with pytest.raises(StopIteration) as entered:
        entering.send(None)
    assert isinstance(entered.value.value, Slot)
    assert limiter.in_use == 1


async def test_a_limit_that_is_learned_later_counts_what_runs_already() -> None:
    limiter = ConcurrencyLimiter("p")
    callers = [Caller(limiter) for _ in range(3)]
    await settle()
    limiter.limit = 2
    late = Caller(limiter)
    await settle()
    assert (limiter.contended, late.has_slot) == (True, False)
    limiter.limit = 4
    await settle()
    assert (limiter.contended, late.has_slot) == (False, True)
    await leave(*callers, late)


async def test_contention_is_told_when_it_begins_and_not_again_while_it_lasts() -> None:
    limiter = ConcurrencyLimiter("p", 1)
    told: list[int] = []

    def tell() -> None:
        told.append(limiter.waiting)

    limiter.watch(tell)
    first = Caller(limiter)
    await settle()
    assert told == []
    second, third = Caller(limiter), Caller(limiter)
    await settle()
    assert told == [1]
    await leave(first)
    await leave(second)
    await settle()
    assert (limiter.contended, third.has_slot, told) == (False, True, [1])
    fourth = Caller(limiter)
    await settle()
    assert told == [1, 1]
    limiter.unwatch(tell)
    await leave(third, fourth)
    assert limiter.in_use == 0


# A provider that turns requests away. Time is virtual.


def busy(retry_after_s: float | None = None) -> ProviderError:
    return failed(Code.PROVIDER_RATE_LIMITED, retry_after_s)


def failed(code: Code, retry_after_s: float | None = None) -> ProviderError:
    return ProviderError(code, "p failed", provider=ProviderFault(name="p"), retry_after_s=retry_after_s)


def virtual(limit: int | None = None, **settings: float) -> ConcurrencyLimiter:
    return ConcurrencyLimiter("p", limit, clock=clock.virtual_loop().time, **settings)


async def turned_away(limiter: ConcurrencyLimiter, retry_after_s: float | None) -> None:
    with pytest.raises(ProviderError):
        async with limiter.slot():
            raise busy(retry_after_s)


async def begun_after(limiter: ConcurrencyLimiter, **wait: float) -> float:
    """Seconds until a slot came; raises the refusal."""
    start_s = clock.virtual_loop().time()
    async with limiter.slot(**wait):  # type: ignore[arg-type]
        return round(clock.virtual_loop().time() - start_s, 3)


def run(main: Coroutine[Any, Any, None]) -> None:
    clock.run(main)


def test_one_refusal_for_an_hour_closes_for_ten_seconds_at_most() -> None:
    async def main() -> None:
        limiter = virtual(timeout_s=60.0)
        await turned_away(limiter, 3600.0)
        # Half way through one goes ahead, and its answer lets in all the others.
        assert await asyncio.gather(*(begun_after(limiter) for _ in range(10))) == [5.0] * 10
        assert await begun_after(limiter) == 0.0

    run(main())


def test_a_caller_that_cannot_live_to_see_it_reopen_is_refused_at_once() -> None:
    async def main() -> None:
        loop, limiter = clock.virtual_loop(), virtual(timeout_s=4.0)
        queued = ConcurrencyLimiter("p", 1, timeout_s=4.0, clock=loop.time)
        for each in (limiter, queued):
            waiting: list[asyncio.Task[float]] = []
            with pytest.raises(ProviderError):
                async with each.slot():
                    if each is queued:
                        waiting = [asyncio.create_task(begun_after(each)) for _ in range(3)]
                        await asyncio.sleep(1.0)
                        assert each.waiting == 3
                    raise busy(3600.0)
            start_s = loop.time()
            for refused in (*waiting, begun_after(each), begun_after(each, deadline_s=start_s + 9.0)):
                with pytest.raises(ProviderError, match="asked for a pause") as caught:
                    await refused
                assert caught.value.retry_after_s == 10.0
            assert loop.time() - start_s < 0.001
            # Later it is near enough.
            await asyncio.sleep(7.0)
            assert await begun_after(each) == 0.0, "half of the pause is over: this one is the probe"

    run(main())


def test_a_short_pause_is_waited_out() -> None:
    async def main() -> None:
        limiter, loop = virtual(timeout_s=10.0), clock.virtual_loop()
        deadline_s = loop.time() + 10.0
        error = busy(2.0)
        async with limiter.slot() as slot:
            assert slot.waits_out(error, deadline_s)
            assert slot.waits_out(error, deadline_s), "idempotent"
            assert not slot.waits_out(error, loop.time() + 1.9)
            assert not slot.waits_out(busy(), deadline_s)
            assert not slot.waits_out(failed(Code.PROVIDER_TIMEOUT, 1.0), deadline_s)
        assert await begun_after(limiter, deadline_s=deadline_s) == 1.0

    run(main())


def test_a_refusal_within_a_group_counts_and_once() -> None:
    async def main() -> None:
        limiter, loop = virtual(timeout_s=60.0), clock.virtual_loop()
        errors = [busy() for _ in range(3)]

        async def ask(error: ProviderError) -> None:
            async with limiter.slot():
                await asyncio.sleep(1.0)
                raise ExceptionGroup("tasks", [ExceptionGroup("inner", [error]), failed(Code.PROVIDER_CUT)])

        await asyncio.gather(*(ask(error) for error in errors), return_exceptions=True)
        assert not any(limiter.waits_out(error, loop.time() + 60.0) for error in errors[-1:])
        # Sent together, they are one refusal, and one that does not say until when closes nothing.
        assert await begun_after(limiter) == 0.0

    run(main())


def test_the_limiters_own_refusal_says_nothing_about_the_provider() -> None:
    async def main() -> None:
        limiter, loop = virtual(1, timeout_s=1.0), clock.virtual_loop()
        async with limiter.slot():
            with pytest.raises(NoSlotError) as caught:
                async with limiter.slot():
                    pass
            assert caught.value.retry_after_s
            assert not limiter.waits_out(caught.value, loop.time() + 60.0)
        with pytest.raises(NoSlotError):
            async with limiter.slot():
                raise caught.value
        assert await begun_after(limiter) == 0.0

    run(main())


def test_a_probe_that_was_cancelled_leaves_the_chance_to_the_next() -> None:
    async def main() -> None:
        limiter = virtual(timeout_s=60.0)
        await turned_away(limiter, 20.0)
        probe, following = Caller(limiter), Caller(limiter)
        await asyncio.sleep(10.001)
        assert (probe.has_slot, following.has_slot) == (True, False)
        probe.task.cancel()
        await settle()
        assert following.has_slot
        await leave(following)
        assert await begun_after(limiter) == 0.0

    run(main())


def test_those_who_waited_do_not_come_back_all_at_once() -> None:
    async def main() -> None:
        limiter = virtual(timeout_s=60.0)
        await turned_away(limiter, 4.0)
        callers = [Caller(limiter) for _ in range(200)]
        let_in = []
        for _ in range(12):
            let_in.append(sum(caller.has_slot for caller in callers))
            await asyncio.sleep(0.5)
        # None of them has had an answer: one probe after 2 s, the next after 4, then twice as many every 250 ms.
        assert let_in[:4] == [0] * 4
        assert let_in[5:8] == [1] * 3
        assert [each for each in let_in[9:] if each] == [4, 16, 200]
        await leave(*callers)
        assert limiter.in_use == 0

    run(main())


def test_beyond_the_limit_none_is_let_in_when_it_reopens() -> None:
    async def main() -> None:
        limiter = virtual(3, timeout_s=60.0)
        await turned_away(limiter, 4.0)
        callers = [Caller(limiter) for _ in range(20)]
        await asyncio.sleep(2.001)
        assert [caller.has_slot for caller in callers].count(True) == 1
        await leave(callers[0])
        await settle()
        assert [caller.has_slot for caller in callers].count(True) == 1 + 3
        assert limiter.in_use == 3
        for caller in callers:
            caller.leave.set()
        await asyncio.gather(*(caller.task for caller in callers))
        assert limiter.in_use == 0

    run(main())


async def test_the_queue_is_bounded() -> None:
    limiter = ConcurrencyLimiter("p", 1)
    callers = [Caller(limiter) for _ in range(MAX_WAITING + 1)]
    await settle()
    with pytest.raises(ProviderError, match="waiting"):
        async with limiter.slot():
            pass
    for caller in callers:
        caller.task.cancel()
    await asyncio.wait([caller.task for caller in callers])
    assert (limiter.in_use, limiter.waiting, limiter.peak_waiting) == (0, 0, MAX_WAITING)


@dataclass(frozen=True)
class Call:
    comes_s: float
    urgency: int
    holds_s: float
    cancelled_after_s: float
    deadline_s: float
    # What the provider answers: nothing, that it takes the request, or for how long it does not.
    refused_for_s: float | None
    answers: bool
    releases_early: bool


TIMES = st.sampled_from([0.0, 0.001, 0.01, 0.1, 1.0, 5.0])
CALLS = st.builds(
    Call,
    comes_s=TIMES,
    urgency=st.sampled_from([NOW, AHEAD]),
    holds_s=TIMES,
    cancelled_after_s=st.sampled_from([0.0, 0.001, 0.5, 1e6, 1e6, 1e6]),
    deadline_s=st.sampled_from([0.0, 0.5, 10.0, 100.0]),
    refused_for_s=st.sampled_from([None, None, None, 0.0, 1.0, 3600.0]),
    answers=st.booleans(),
    releases_early=st.booleans(),
)


@given(st.lists(CALLS, max_size=25), st.sampled_from([None, 1, 2, 5]))
@settings(max_examples=150, deadline=None)
def test_whatever_happens_the_limit_holds_and_every_caller_is_served_or_refused_in_time(
    calls: list[Call], limit: int | None
) -> None:
    async def main() -> None:
        loop, limiter = clock.virtual_loop(), virtual(limit)

        def check() -> None:
            assert limit is None or limiter.in_use <= limit
            assert not limiter.contended or limiter.in_use == limit
            assert limiter.in_use >= 0

        async def call(each: Call) -> None:
            await asyncio.sleep(each.comes_s)
            begin_s = loop.time()
            deadline_s = begin_s + each.deadline_s
            try:
                async with limiter.slot(each.urgency, deadline_s=deadline_s) as slot:
                    check()
                    assert loop.time() <= deadline_s + 1e-6
                    if each.answers:
                        slot.answered()
                    await asyncio.sleep(each.holds_s)
                    if each.releases_early:
                        slot.release()
                    if each.refused_for_s is not None:
                        raise busy(each.refused_for_s)
            except ProviderError:
                assert loop.time() <= max(deadline_s, begin_s) + each.holds_s + 1e-6
            finally:
                check()

        async def cancelled(each: Call) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(each.comes_s + each.cancelled_after_s):
                    await call(each)

        async with asyncio.timeout(1000), asyncio.TaskGroup() as tasks:
            for each in calls:
                tasks.create_task(cancelled(each))
        assert (limiter.in_use, limiter.waiting) == (0, 0)
        # Whatever was refused: some time later the provider is open.
        assert await begun_after(limiter, deadline_s=loop.time() + 31.0) <= 30.0

    run(main())
