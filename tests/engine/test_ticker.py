"""The ticker, on a loop whose clock the test owns."""

import asyncio

from relay.engine.ticker import Ticker


async def test_events_are_set_in_their_tick_and_never_early() -> None:
    loop = asyncio.get_running_loop()
    ticker = Ticker(clock=loop.time, tick_s=0.005)
    start_s = loop.time()
    woken: list[float] = []

    async def sleeper(after_s: float) -> None:
        event = asyncio.Event()
        ticker.wake(event.set, start_s + after_s)
        await event.wait()
        woken.append(loop.time() - start_s - after_s)

    await asyncio.gather(*(sleeper(after_s) for after_s in (0.03, 0.011, 0.0, 0.012, 0.02, -1.0)))
    assert len(woken) == 6
    assert min(woken) >= 0
    assert ticker._timer is None, "without anything to wake no timer runs"


async def test_a_nearer_instant_is_not_kept_waiting_by_a_farther_one() -> None:
    loop = asyncio.get_running_loop()
    ticker = Ticker(clock=loop.time)
    far, near = asyncio.Event(), asyncio.Event()
    ticker.wake(far.set, loop.time() + 3600)
    ticker.wake(near.set, loop.time() + 0.01)
    async with asyncio.timeout(5):
        await near.wait()
    assert not far.is_set()
    ticker.close()
    ticker.close()
    assert ticker._timer is None


async def test_a_timer_that_fires_early_wakes_nobody_before_time() -> None:
    now_s = 10.0
    ticker = Ticker(clock=lambda: now_s, tick_s=0.005)
    event = asyncio.Event()
    ticker.wake(event.set, 10.02)
    ticker._fire()
    assert not event.is_set()
    now_s = 10.0199
    ticker._fire()
    assert not event.is_set()
    now_s = 10.0201
    ticker._fire()
    assert event.is_set()
    ticker.close()


async def test_who_asks_again_while_being_called_is_called_again() -> None:
    loop = asyncio.get_running_loop()
    ticker = Ticker(clock=loop.time, tick_s=0.005)
    calls: list[float] = []
    over = asyncio.Event()

    def again() -> None:
        calls.append(loop.time())
        if len(calls) == 5:
            over.set()
        else:
            ticker.wake(again, calls[-1] + 0.005 if len(calls) != 3 else calls[-1] - 1)

    ticker.wake(again, loop.time())
    async with asyncio.timeout(5):
        await over.wait()
    assert len(calls) == 5
    assert ticker._timer is None
