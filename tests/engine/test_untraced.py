"""What is expected loses its traceback where it leaves, with all that led to it; a bug keeps its own."""

import asyncio

import pytest

from relay.engine.untraced import UNTRACED
from relay.errors import Code, LimitError, RelayError
from tests.server.cycles import left_in_cycles

FULL = LimitError(Code.OVER_CAPACITY, "full")
BUG = ZeroDivisionError("a bug")


def caught(*raised: BaseException) -> BaseException:
    """What comes out of the block; each of `raised` while the one before it was handled."""

    def within(first: BaseException, *following: BaseException) -> None:
        try:
            raise first
        except BaseException:
            if not following:
                raise
            within(*following)

    try:
        with UNTRACED:
            within(*raised)
    except BaseException as error:
        return error
    raise AssertionError("it was swallowed")


def frames(error: BaseException | None) -> list[str]:
    trace, names = error.__traceback__ if error else None, []
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return names


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        FULL,
        ExceptionGroup("of a TaskGroup", [FULL, FULL]),
        BaseExceptionGroup("of both", [FULL, ExceptionGroup("", [FULL]), asyncio.CancelledError()]),
    ],
)
def test_an_expected_error_comes_out_without_the_frames_below(error: BaseException) -> None:
    assert caught(error) is error
    assert frames(error) == []


@pytest.mark.parametrize("error", [BUG, ExceptionGroup("of a TaskGroup", [FULL, BUG])])
def test_a_bug_says_where_it_was(error: Exception) -> None:
    assert caught(error) is error
    assert frames(error) == ["caught", "within"]


def test_what_led_to_it_comes_without_them_too() -> None:
    error = caught(OSError("reset"), TimeoutError("late"), RelayError(Code.INTERNAL, "failed"))
    assert isinstance(error.__context__, TimeoutError)
    assert isinstance(error.__context__.__context__, OSError)
    assert frames(error) == frames(error.__context__) == frames(error.__context__.__context__) == []


async def test_a_task_group_that_is_cancelled_leaves_no_circle() -> None:
    class Held:
        """What was at work."""

    Held.__module__ = "relay.server.test"

    async def work(held: Held) -> None:
        with UNTRACED:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.Event().wait())

    with left_in_cycles() as left:
        task = asyncio.create_task(work(Held()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        del task
    assert not left


def test_a_circle_is_found_and_named() -> None:
    """Otherwise all that is proven with `left_in_cycles` would be nothing."""
    with left_in_cycles() as left:
        error = RelayError(Code.INTERNAL, "holds itself")
        error.__cause__ = error
        del error
    assert left == {"RelayError": 1}
