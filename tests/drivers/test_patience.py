"""A bound for a wait, moved at every instant: also where the loop was held at its end."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from relay.drivers.patience import Patience
from relay.testing import clock

Run = Callable[[Coroutine[Any, Any, None]], None]
both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


def hold(seconds: float) -> None:
    """Keeps the loop, as work that takes too long does."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        pass


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


def test_it_ends_at_the_instant_and_not_before() -> None:
    async def main() -> None:
        loop = clock.virtual_loop()
        with pytest.raises(TimeoutError):
            with Patience(5.0):
                await forever()
        assert round(loop.time(), 3) == 5.0

    clock.run(main())


@pytest.mark.parametrize(("moves", "ends_s"), [([8.0], 8.0), ([3.0], 3.0), ([math.inf, 9.0, 7.0], 7.0), ([0.5], 1.0)])
def test_it_is_moved(moves: list[float], ends_s: float) -> None:
    async def main() -> None:
        loop = clock.virtual_loop()
        with pytest.raises(TimeoutError):
            with Patience(5.0) as patience:
                await asyncio.sleep(1.0)
                for until_s in moves:
                    assert patience.move(until_s)
                await forever()
        assert round(loop.time(), 3) == ends_s

    clock.run(main())


def test_infinite_patience_has_no_timer() -> None:
    async def main() -> None:
        with Patience(math.inf) as patience:
            await asyncio.sleep(1e6)
            assert patience.move(clock.virtual_loop().time() + 1)
            assert patience.move(math.inf)
            await asyncio.sleep(1e6)

    clock.run(main())


def test_what_is_left_in_time_is_left_alone() -> None:
    async def main() -> None:
        for error in (None, ValueError()):
            try:
                with Patience(clock.virtual_loop().time() + 1.0) as patience:
                    await asyncio.sleep(0.5)
                    if error is not None:
                        raise error
            except ValueError:
                pass
            assert not patience.move(0.0)
            await asyncio.sleep(5.0)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    clock.run(main())


@both_loops
def test_a_move_right_behind_the_end_is_refused_and_the_wait_ends(run: Run) -> None:
    """The loop was held at the end: the timer and what would have moved it come in the same turn, in that order."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        moved: list[bool] = []
        with pytest.raises(TimeoutError):
            with Patience(loop.time() + 0.03) as patience:
                loop.call_soon(hold, 0.06)
                loop.call_later(0.034, lambda: moved.append(patience.move(loop.time() + 60.0)))
                await forever()
        assert moved == [False]
        assert not patience.move(loop.time() + 60.0)

    run(main())


@both_loops
def test_a_move_before_the_end_counts_though_its_timer_is_due(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with Patience(loop.time() + 0.03) as patience:
            loop.call_soon(hold, 0.06)
            loop.call_soon(patience.move, loop.time() + 60.0)
            await asyncio.sleep(0.08)

    run(main())


@both_loops
def test_a_cancel_by_another_goes_first(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def wait() -> None:
            with Patience(loop.time() + 0.03):
                await forever()

        task = loop.create_task(wait())
        await asyncio.sleep(0)
        loop.call_soon(hold, 0.06)
        loop.call_later(0.034, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run(main())


def test_one_within_another() -> None:
    async def main() -> None:
        loop = clock.virtual_loop()
        with pytest.raises(TimeoutError):
            with Patience(2.0):
                with pytest.raises(TimeoutError):
                    with Patience(1.0):
                        await forever()
                assert round(loop.time(), 3) == 1.0
                with Patience(3.0):
                    await forever()
        assert round(loop.time(), 3) == 2.0

    clock.run(main())
