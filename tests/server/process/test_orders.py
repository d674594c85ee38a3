"""How an end becomes an exit status, and what signals that come more than once mean."""

import asyncio
import logging

import pytest

from relay.server.process.orders import drained
from relay.server.process.stop_signals import ONE_REQUEST_S, StopSignals


async def finished(value: bool) -> bool:
    return value


async def failed() -> bool:
    raise KeyError("a bug")


async def endless() -> bool:
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


async def fails_when_stopped() -> bool:
    try:
        return await endless()
    finally:
        raise KeyError("a bug")


@pytest.mark.parametrize(
    ("drain", "status", "says"),
    [
        (lambda: finished(True), 0, []),
        (lambda: finished(False), 1, ["turns were ended by force at the end of the drain"]),
        (failed, 1, ["the drain failed"]),
    ],
)
async def test_the_status_and_one_line_say_what_happened(
    drain: object, status: int, says: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(drain)
    assert await drained(drain(), asyncio.Event()) == status
    assert caplog.messages == says


async def test_an_exception_of_the_drain_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await drained(failed(), asyncio.Event())
    [record] = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


@pytest.mark.parametrize(
    ("drain", "says"),
    [(endless, "stopped at once, before the drain was done"), (fails_when_stopped, "the drain failed")],
)
async def test_to_stop_at_once_ends_the_drain(drain: object, says: str, caplog: pytest.LogCaptureFixture) -> None:
    assert callable(drain)
    at_once = asyncio.Event()
    running = asyncio.create_task(drained(drain(), at_once))
    await asyncio.sleep(0)
    at_once.set()
    assert await running == 1
    assert caplog.messages == [says]
    assert caplog.records[0].levelno == logging.ERROR


async def test_a_drain_that_is_cancelled_is_over_when_the_cancel_returns() -> None:
    running = asyncio.create_task(drained(endless(), asyncio.Event()))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert [task for task in asyncio.all_tasks() if task.get_name() in ("drain", "stop at once")] == []


@pytest.mark.parametrize(
    ("instants_s", "at_once"),
    [
        ([5.0], [False]),
        ([5.0, 5.0, 5.01, 5.0 + ONE_REQUEST_S], [False] * 4),
        ([5.0, 5.1 + ONE_REQUEST_S, 9.0], [False, True, True]),
    ],
)
def test_signals_that_come_together_are_one(instants_s: list[float], at_once: list[bool]) -> None:
    stops = StopSignals()
    assert [stops.at_once(instant_s) for instant_s in instants_s] == at_once
