"""The one queue: order, the two lanes, bounds, drop."""

import asyncio

import pytest

from relay.core.events import Pong
from relay.core.frames import Frame
from relay.core.pacer import AT_ONCE_S, NEVER_S
from relay.engine.outbox import (
    HIGH_WATER_MS,
    LOW_WATER_MS,
    MAX_URGENT,
    CloseSocket,
    Content,
    End,
    Outbox,
    OutboxFull,
    PulledOutbox,
)
from relay.engine.ticker import Ticker
from tests.server.fakes import FakeTurn


def frames(count: int, first: int = 0) -> list[Frame]:
    return [Frame(index, 1, 0, b"") for index in range(first, first + count)]


def make() -> PulledOutbox:
    return PulledOutbox(Ticker())


async def test_what_is_put_comes_out_in_order() -> None:
    outbox, turn = make(), FakeTurn()
    contents: list[Content] = [*frames(3), Pong(), End()]
    await outbox.put(turn, contents)
    assert [await outbox.get() for _ in contents] == [(turn, content) for content in contents]
    assert outbox.held_ms == 0
    assert outbox.peak_ms == 300


async def test_what_is_posted_goes_past_the_audio() -> None:
    outbox, turn = make(), FakeTurn()
    await outbox.put(turn, frames(1))
    outbox.post(Pong(id=1))
    outbox.post(Pong(id=2))
    assert [await outbox.get() for _ in range(3)] == [Pong(id=1), Pong(id=2), (turn, frames(1)[0])]


async def test_a_full_outbox_makes_its_filler_wait_until_the_low_mark() -> None:
    outbox, turn = make(), FakeTurn()
    count = HIGH_WATER_MS // turn.frame_ms + 1
    filler = asyncio.create_task(outbox.put(turn, frames(count)))
    await asyncio.sleep(0)
    assert not filler.done()
    while outbox.held_ms > LOW_WATER_MS + turn.frame_ms:
        await outbox.get()
        await asyncio.sleep(0)
        assert not filler.done(), f"woken at {outbox.held_ms} ms"
    await outbox.get()
    await filler


async def test_drop_takes_one_turns_content_and_makes_room() -> None:
    outbox, first, second = make(), FakeTurn(), FakeTurn(20)
    await outbox.put(second, frames(2))
    filler = asyncio.create_task(outbox.put(first, [*frames(20), End()]))
    await asyncio.sleep(0)
    assert not filler.done()
    assert outbox.drop(first) == 2000
    await filler
    assert outbox.held_ms == 40
    assert [await outbox.get() for _ in range(2)] == [(second, frame) for frame in frames(2)]
    assert outbox.drop(first) == 0


async def test_what_a_dropped_turn_still_puts_is_forgotten() -> None:
    """Its task may have been waiting for the room that the drop itself makes."""
    outbox, turn = make(), FakeTurn()
    filler = asyncio.create_task(outbox.put(turn, frames(20)))
    await asyncio.sleep(0)
    outbox.drop(turn)
    await filler
    await outbox.put(turn, [*frames(3), End()])
    outbox.post(Pong())
    assert await outbox.get() == Pong()
    assert (outbox.held_ms, len(outbox._queue)) == (0, 0)


async def test_a_frame_waits_for_its_instant_and_then_leaves() -> None:
    loop = asyncio.get_running_loop()
    outbox, turn = PulledOutbox(Ticker(clock=loop.time), clock=loop.time), FakeTurn()
    turn.ready_at_s = loop.time() + 0.02
    await outbox.put(turn, frames(1))
    async with asyncio.timeout(5):
        await outbox.get()
    assert loop.time() >= turn.ready_at_s


async def test_a_frame_without_credit_waits_for_the_grant() -> None:
    outbox, turn = make(), FakeTurn()
    turn.ready_at_s = NEVER_S
    await outbox.put(turn, frames(1))
    getter = asyncio.create_task(outbox.get())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not getter.done()
    turn.ready_at_s = AT_ONCE_S
    outbox.nudge()
    assert await getter == (turn, frames(1)[0])


async def test_an_answer_passes_a_frame_that_waits() -> None:
    outbox, turn = make(), FakeTurn()
    turn.ready_at_s = NEVER_S
    await outbox.put(turn, frames(1))
    getter = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    outbox.post(Pong())
    assert await getter == Pong()


async def test_answers_nobody_reads_are_bounded_but_the_farewell_fits() -> None:
    outbox = make()
    for _ in range(MAX_URGENT):
        outbox.post(Pong())
    with pytest.raises(OutboxFull):
        outbox.post(Pong())
    outbox.post(CloseSocket(1008, "slow_client"))


async def test_who_takes_is_told_whenever_something_may_have_come_to_leave() -> None:
    told: list[bool] = []
    outbox, turn = Outbox(Ticker(), lambda: told.append(True)), FakeTurn()
    await outbox.put(turn, frames(1))
    outbox.post(Pong())
    outbox.nudge()
    assert len(told) == 3
    assert outbox.ready
    assert outbox.take(0) == [Pong()]
    assert outbox.take(0) == [(turn, frames(1)[0])]
    outbox.close()
    outbox.post(Pong())
    assert len(told) == 3


async def test_what_is_taken_at_a_time_fits_the_room_and_counts_as_sent() -> None:
    outbox, turn = make(), FakeTurn(1)
    await outbox.put(turn, [Frame(index, 1, 0, bytes(100)) for index in range(5)])
    assert [entry[1].pts for entry in outbox.take(250)] == [0, 1, 2], "the one that fills the room is the last"  # type: ignore[index, union-attr]
    assert (turn.frames_sent, outbox.held_ms, outbox.ready) == (3, 2, True)
    assert len(outbox.take(250)) == 2
    assert not outbox.ready
    assert outbox.take(250) == []
