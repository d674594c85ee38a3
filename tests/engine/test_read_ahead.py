"""Reading ahead of a listener while others wait for the slot: order, bounds, when the slot is free, ways to leave."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver
from relay.engine.closure import Trial
from relay.engine.concurrency import ConcurrencyLimiter
from relay.engine.read_ahead import (
    PIECE_BYTES,
    PIECE_OVERHEAD_BYTES,
    READ_AHEAD_BYTES,
    ReadAhead,
    ReadAheadBudget,
    reading_ahead,
)
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import faults
from relay.providers.base.http import HttpRequest, Piece, ReplyFacts, WordTime
from relay.testing import clock
from relay.testing.audio import noise
from relay.testing.fake_provider import FakeProvider
from relay.testing.script import Cut, Pause, Script, Send, Status
from tests.server.cycles import left_in_cycles

SOURCE = SourceFormat(container=Container.RAW, pcm=AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000))
CUT = ProviderError(Code.PROVIDER_CUT, "cut", provider=ProviderFault(name="p"))


@dataclass
class Scripted:
    """A reply by script: each piece after a wait, then an end. A generator, as some are, or an iterator."""

    pieces: Sequence[Piece]
    waits_s: Sequence[float] = ()
    error: Exception | None = None
    generator: bool = True
    facts: ReplyFacts = field(default_factory=lambda: ReplyFacts(source=SOURCE))
    content_type: str | None = "audio/pcm"
    piece_came_s: float | None = None
    given: int = 0
    reading: bool = False
    aborted: bool = False

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self._pieces() if self.generator else self

    async def __anext__(self) -> Piece:
        assert not self.reading, "two read at once"
        assert not self.aborted, "it is read on although it was left"
        self.reading = True
        try:
            if self.waits_s and (wait_s := self.waits_s[self.given % len(self.waits_s)]):
                await asyncio.sleep(wait_s)
        finally:
            self.reading = False
        if self.given < len(self.pieces):
            self.given += 1
            self.piece_came_s = asyncio.get_running_loop().time()
            return self.pieces[self.given - 1]
        if self.error is not None:
            raise self.error
        raise StopAsyncIteration

    async def _pieces(self) -> AsyncIterator[Piece]:
        while True:
            try:
                yield await self.__anext__()
            except StopAsyncIteration:
                return

    def refuse(self, body: bytes) -> ProviderError | None:
        return CUT if body else None

    def abort(self) -> None:
        self.aborted = True


async def settle(turns: int = 10) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def hold_once(limiter: ConcurrencyLimiter, for_s: float = 0.0) -> None:
    async with limiter.slot():
        if for_s:
            await asyncio.sleep(for_s)


@asynccontextmanager
async def read(
    reply: Scripted, limiter: ConcurrencyLimiter, budget: ReadAheadBudget | None = None
) -> AsyncIterator[ReadAhead]:
    async with (
        limiter.slot() as slot,
        reading_ahead(reply, slot, limiter, budget or ReadAheadBudget()) as reading,
    ):
        yield reading


def blocks(count: int, size: int = 1000) -> list[Piece]:
    return [bytes([number % 256]) * size for number in range(count)]


# Nobody waits


async def test_while_none_waits_nothing_is_read_ahead_and_no_task_is_made() -> None:
    limiter, reply = ConcurrencyLimiter("p", 2), Scripted(blocks(5))
    async with read(reply, limiter) as reading:
        tasks = asyncio.all_tasks()
        for number in range(1, 4):
            assert await anext(reading) == reply.pieces[number - 1]
            await settle()
            assert (reply.given, reading.held_bytes) == (number, 0)
            assert reading.piece_came_s == reply.piece_came_s
        assert asyncio.all_tasks() == tasks
        assert limiter.in_use == 1
        assert [piece async for piece in reading] == reply.pieces[3:]
        assert limiter.in_use == 0, "the slot is free when the reply has ended, not when it is left"
    assert limiter.in_use == 0
    assert not reply.aborted


async def test_without_a_limit_nothing_is_read_ahead() -> None:
    limiter, reply = ConcurrencyLimiter("p"), Scripted(blocks(5))
    async with read(reply, limiter) as reading:
        assert [piece async for piece in reading] == reply.pieces


async def test_it_says_what_the_reply_says() -> None:
    reply = Scripted(blocks(1))
    async with read(reply, ConcurrencyLimiter("p")) as reading:
        assert (reading.facts, reading.content_type) == (reply.facts, "audio/pcm")
        assert (reading.refuse(b"why"), reading.refuse(b"")) == (CUT, None)


# Somebody waits


@pytest.mark.parametrize("generator", [False, True])
@pytest.mark.parametrize("first", [0, 2])
async def test_the_slot_is_free_when_the_provider_has_sent_all_though_the_listener_takes_nothing(
    generator: bool, first: int
) -> None:
    limiter, budget = ConcurrencyLimiter("p", 1), ReadAheadBudget()
    words = [WordTime(text="a", start_s=0.0, end_s=1.0)]
    reply = Scripted([*blocks(40), *words, *blocks(3)], generator=generator)
    async with read(reply, limiter, budget) as reading:
        heard = [await anext(reading) for _ in range(first)]
        second = asyncio.create_task(hold_once(limiter))
        async with asyncio.timeout(5):
            await second
        assert reply.given == len(reply.pieces)
        assert budget.held_bytes == reading.held_bytes > 0
        assert [*heard, *[piece async for piece in reading]] == reply.pieces
        assert (limiter.in_use, budget.held_bytes) == (0, 0)
    assert not reply.aborted


async def test_it_is_told_when_somebody_begins_to_wait_while_its_reader_is_in_the_middle_of_a_read() -> None:
    limiter, come = ConcurrencyLimiter("p", 1), asyncio.Event()

    class Late(Scripted):
        async def __anext__(self) -> Piece:
            if self.given == 1:
                await come.wait()
            return await super().__anext__()

    reply = Late(blocks(4))
    async with read(reply, limiter) as reading:
        assert await anext(reading)
        pulling = asyncio.create_task(anext(reading))
        await settle()
        second = asyncio.create_task(hold_once(limiter))
        await settle()
        assert reply.given == 1
        come.set()
        await second
        assert await pulling == reply.pieces[1]
        assert [piece async for piece in reading] == reply.pieces[2:]


async def test_a_reply_that_fails_gives_its_good_pieces_first_and_its_slot_at_once() -> None:
    limiter = ConcurrencyLimiter("p", 1)
    error = ProviderError(Code.PROVIDER_TIMEOUT, "stalled", provider=ProviderFault(name="p"))
    reply = Scripted(blocks(5), error=error)
    heard: list[Piece] = []
    async with read(reply, limiter) as reading:
        await asyncio.create_task(hold_once(limiter))
        # Not before the provider's side was dropped: it would count the request still.
        assert reply.aborted
        with pytest.raises(ProviderError, match="stalled"):
            async for piece in reading:
                heard.append(piece)  # noqa: PERF401 - what came before the error counts
    assert heard == reply.pieces
    assert limiter.in_use == 0


async def test_when_none_waits_any_more_no_more_is_read_ahead() -> None:
    limiter = ConcurrencyLimiter("p", 1)
    reply = Scripted(blocks(100), waits_s=[0.001])
    async with read(reply, limiter) as reading:
        second = asyncio.create_task(hold_once(limiter))
        while reply.given < 3:
            await asyncio.sleep(0)
        second.cancel()
        with suppress(asyncio.CancelledError):
            await second
        await asyncio.sleep(0.01)
        # At most the piece that was being waited for.
        assert reply.given <= 5
        given_before = reply.given
        await asyncio.sleep(0.01)
        assert reply.given == given_before
        assert [piece async for piece in reading] == reply.pieces


async def test_a_reply_known_to_be_complete_gives_its_slot_back_before_it_is_read() -> None:
    class Known(Scripted):
        complete = False

    limiter, reply = ConcurrencyLimiter("p", 1), Known(blocks(1000, 4096))
    async with read(reply, limiter) as reading:
        await anext(reading)
        assert limiter.in_use == 1
        reply.complete = True
        await hold_once(limiter)
        # More than may be read ahead, and nothing had to be.
        assert (reply.given, reading.held_bytes) == (1, 0)
        assert len([piece async for piece in reading]) == 999
    reply = Known(blocks(2))
    reply.complete = True
    async with read(reply, limiter) as reading:
        assert limiter.in_use == 0
        assert [piece async for piece in reading] == reply.pieces


# Bounds


async def test_a_turn_reads_ahead_no_further_than_its_bound_and_on_as_its_listener_takes() -> None:
    limiter, budget = ConcurrencyLimiter("p", 1), ReadAheadBudget(turn_bytes=100_000)
    reply = Scripted(blocks(200))
    async with read(reply, limiter, budget) as reading:
        second = asyncio.create_task(hold_once(limiter))
        await settle(500)
        assert not second.done()
        assert budget.turn_bytes - PIECE_BYTES - 1128 <= reading.held_bytes <= budget.turn_bytes
        taken = 0
        while not second.done():
            await anext(reading)
            taken += 1
            assert budget.held_bytes <= budget.turn_bytes
            await settle()
        # The rest fits when the listener is this close to the end.
        assert taken >= 200 - budget.turn_bytes // 1128
        assert len([piece async for piece in reading]) == 200 - taken
    assert budget.held_bytes == 0


async def test_pieces_of_one_byte_do_not_take_a_multiple_of_the_bound() -> None:
    limiter, budget = ConcurrencyLimiter("p", 1), ReadAheadBudget(turn_bytes=PIECE_BYTES * 4)
    reply = Scripted([b"x"] * 10_000)
    async with read(reply, limiter, budget) as reading:
        second = asyncio.create_task(hold_once(limiter))
        await settle(200)
        assert 0 < reply.given <= budget.turn_bytes // PIECE_OVERHEAD_BYTES
        assert b"".join([piece async for piece in reading if isinstance(piece, bytes)]) == b"x" * 10_000
        await second


async def test_all_turns_together_keep_the_bound_of_the_process_and_share_it() -> None:
    limiter = ConcurrencyLimiter("p", 3)
    budget = ReadAheadBudget(turn_bytes=60_000, total_bytes=100_000)
    replies = [Scripted(blocks(100)) for _ in range(3)]

    async def listen(reply: Scripted, go: asyncio.Event) -> list[Piece]:
        async with read(reply, limiter, budget) as reading:
            await go.wait()
            heard = []
            async for piece in reading:
                heard.append(piece)
                await asyncio.sleep(0)
                assert budget.held_bytes <= budget.total_bytes
            return heard

    goes = [asyncio.Event() for _ in replies]
    listeners = [asyncio.create_task(listen(reply, go)) for reply, go in zip(replies, goes, strict=True)]
    await settle()
    waiting = [asyncio.create_task(hold_once(limiter)) for _ in range(5)]
    await settle(500)
    assert not any(task.done() for task in waiting)
    before = [reply.given for reply in replies]
    # What one gives back, another that nobody listens to can take.
    goes[0].set()
    await listeners[0]
    await settle(500)
    assert sum(reply.given for reply in replies[1:]) > sum(before[1:])
    for go in goes:
        go.set()
    assert [await listener for listener in listeners] == [reply.pieces for reply in replies]
    await asyncio.gather(*waiting)
    assert (budget.held_bytes, limiter.in_use) == (0, 0)
    assert budget.peak_bytes <= budget.total_bytes


async def test_a_bound_of_nothing_reads_nothing_ahead() -> None:
    limiter, budget = ConcurrencyLimiter("p", 1), ReadAheadBudget(turn_bytes=0)
    reply = Scripted(blocks(3))
    async with read(reply, limiter, budget) as reading:
        second = asyncio.create_task(hold_once(limiter))
        await settle(50)
        assert reply.given == 0
        assert [piece async for piece in reading] == reply.pieces
        await second


async def test_a_reply_that_has_all_at_hand_leaves_the_loop_its_turns() -> None:
    limiter, reply = ConcurrencyLimiter("p", 1), Scripted(blocks(400), generator=False)
    async with read(reply, limiter):
        second = asyncio.create_task(hold_once(limiter))
        turns = 0
        while not second.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 400 // 16


# Leaving


@pytest.mark.parametrize("generator", [False, True])
@pytest.mark.parametrize("turns", range(25))
async def test_left_at_every_turn_of_the_loop(generator: bool, turns: int) -> None:
    limiter, budget = ConcurrencyLimiter("p", 1), ReadAheadBudget(turn_bytes=PIECE_BYTES + 6 * 1128)
    reply = Scripted(blocks(30), waits_s=[0.0, 0.0, 0.001], generator=generator)
    heard: list[Piece] = []

    async def listen() -> None:
        async with read(reply, limiter, budget) as reading:
            async for piece in reading:
                heard.append(piece)
                await asyncio.sleep(0)

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0)
    second = asyncio.create_task(hold_once(limiter))
    await settle(turns)
    listener.cancel()
    with suppress(asyncio.CancelledError):
        await listener
    assert heard == reply.pieces[: len(heard)]
    await second
    assert (limiter.in_use, budget.held_bytes, reply.reading) == (0, 0, False)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancel_while_the_pump_is_being_stopped_waits_for_it_and_is_kept() -> None:
    limiter, stopping, go = ConcurrencyLimiter("p", 1), asyncio.Event(), asyncio.Event()

    class Slow(Scripted):
        async def __anext__(self) -> Piece:
            try:
                await asyncio.Event().wait()
            finally:
                stopping.set()
                await go.wait()
            raise AssertionError

    async def leave() -> None:
        async with read(Slow(blocks(1)), limiter):
            await settle()

    leaving = asyncio.create_task(leave())
    await asyncio.sleep(0)
    second = asyncio.create_task(hold_once(limiter))
    await stopping.wait()
    leaving.cancel()
    await settle()
    assert not leaving.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await second
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_nothing_waits_for_the_garbage_collector() -> None:
    async def once(error: Exception | None, read_on: bool) -> None:
        limiter, reply = ConcurrencyLimiter("p", 1), Scripted(blocks(5), error=error)
        async with read(reply, limiter) as reading:
            await anext(reading)
            if read_on:
                await asyncio.create_task(hold_once(limiter))
            with suppress(ProviderError):
                async for _ in reading:
                    pass

    for error in (None, ProviderError(Code.PROVIDER_CUT, "cut", provider=ProviderFault(name="p"))):
        for read_on in (False, True):
            with left_in_cycles() as left:
                await once(error, read_on)
                if error is not None:
                    error.__traceback__ = None
            assert not left, (error, read_on)


@dataclass(frozen=True)
class Plan:
    sizes: list[int]
    waits_s: list[float]
    fails: bool
    generator: bool
    listens_s: list[float]
    others: list[tuple[float, float]]
    leaves_s: float
    turn_bytes: int
    total_bytes: int


SOON = st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.05])
PLANS = st.builds(
    Plan,
    sizes=st.lists(st.sampled_from([0, 1, 100, 1000, 4000, 8000]), max_size=40),
    waits_s=st.lists(SOON, max_size=5),
    fails=st.booleans(),
    generator=st.booleans(),
    listens_s=st.lists(SOON, min_size=1, max_size=5),
    others=st.lists(st.tuples(st.floats(0, 0.3), SOON), max_size=6),
    leaves_s=st.sampled_from([0.0, 0.0007, 0.003, 0.02, 0.1, 0.2, 1e6, 1e6, 1e6]),
    turn_bytes=st.sampled_from([0, 9000, 20_000, READ_AHEAD_BYTES]),
    total_bytes=st.sampled_from([8500, 20_000, READ_AHEAD_BYTES]),
)


@given(st.lists(PLANS, min_size=1, max_size=3), st.integers(min_value=1, max_value=2))
@settings(max_examples=150, deadline=None)
def test_every_piece_once_in_order_within_the_bounds_and_the_slot_exactly_once(plans: list[Plan], limit: int) -> None:
    clock.run(_play(plans, limit))


async def _play(plans: list[Plan], limit: int) -> None:
    loop = asyncio.get_running_loop()
    limiter = ConcurrencyLimiter("p", limit, timeout_s=1e9, clock=loop.time)
    budget = ReadAheadBudget(turn_bytes=plans[0].turn_bytes, total_bytes=plans[0].total_bytes)
    give_back, given = limiter.give_back, limiter._closure.given
    taken = released = 0

    def give() -> Trial:
        nonlocal taken
        taken += 1
        return given()

    def count(*slot: Any) -> None:
        nonlocal released
        released += 1
        give_back(*slot)

    limiter._closure.given = give  # type: ignore[method-assign]
    limiter.give_back = count  # type: ignore[method-assign, assignment]

    async def other(after_s: float, for_s: float) -> None:
        await asyncio.sleep(after_s)
        async with limiter.slot():
            await asyncio.sleep(for_s)

    async def listen(plan: Plan) -> None:
        pieces: list[Piece] = [bytes([number % 251]) * size for number, size in enumerate(plan.sizes)]
        error = ProviderError(Code.PROVIDER_CUT, "cut", provider=ProviderFault(name="p")) if plan.fails else None
        reply = Scripted(pieces, plan.waits_s, error, plan.generator)
        heard: list[Piece] = []
        ended: Exception | None = None
        whole = False
        try:
            async with asyncio.timeout(plan.leaves_s), limiter.slot() as slot:
                async with reading_ahead(reply, slot, limiter, budget) as reading:
                    try:
                        async for piece in reading:
                            assert len(heard) <= reply.given
                            heard.append(piece)
                            assert reading.piece_came_s is not None
                            assert reading.held_bytes <= max(plans[0].turn_bytes, 0)
                            assert budget.held_bytes <= budget.total_bytes
                            await asyncio.sleep(plan.listens_s[len(heard) % len(plan.listens_s)])
                        whole = True
                    except ProviderError as fault:
                        ended = fault
                    if whole or ended:
                        assert not slot.held
        except TimeoutError:
            pass
        assert heard == pieces[: len(heard)]
        if plan.leaves_s > 1:
            assert whole is not plan.fails
        if ended is not None:
            assert ended is error
            assert heard == pieces
        if whole:
            assert heard == pieces
        assert not reply.reading

    async with asyncio.TaskGroup() as tasks:
        for plan in plans:
            tasks.create_task(listen(plan))
            for after_s, for_s in plan.others:
                tasks.create_task(other(after_s, for_s))
    assert (limiter.in_use, limiter.waiting, budget.held_bytes, released) == (0, 0, 0, taken)
    assert (limiter._watchers, budget._hungry) == ({}, {})
    assert asyncio.all_tasks() == {asyncio.current_task()}


# With the real HTTP driver, whose provider is on loopback


def request(address: str) -> HttpRequest:
    return HttpRequest(
        provider="fake",
        method="POST",
        url=f"{address}/v1/speech",
        headers={},
        secret_headers={},
        body=b"{}",
        accept=lambda _headers: ReplyFacts(source=SOURCE),
        refuse=lambda refusal: faults.refused("fake", refusal),
    )


@asynccontextmanager
async def speaking(script: Script) -> AsyncIterator[tuple[FakeProvider, HttpDriver]]:
    driver = HttpDriver()
    async with FakeProvider(script) as fake:
        await driver.start()
        try:
            yield fake, driver
        finally:
            await driver.close()


Speak = Callable[[], Coroutine[Any, Any, bytes]]


def speaker(fake: FakeProvider, driver: HttpDriver, limiter: ConcurrencyLimiter, budget: ReadAheadBudget) -> Speak:
    async def speak() -> bytes:
        async with (
            limiter.slot() as slot,
            driver.open(request(fake.url), Timings()) as opened,
            reading_ahead(opened, slot, limiter, budget) as reply,
        ):
            return b"".join([piece async for piece in reply if isinstance(piece, bytes)])

    return speak


AUDIO = Status(200, {"content-type": "audio/pcm"})


async def test_a_second_caller_is_served_when_the_first_reply_was_sent_though_its_listener_hears_it_in_real_time() -> (
    None
):
    clip = noise(8.0)
    limiter, budget = ConcurrencyLimiter("p", 1), ReadAheadBudget()
    async with speaking((AUDIO, Send(clip))) as (fake, driver):
        async with (
            limiter.slot() as slot,
            driver.open(request(fake.url), Timings()) as opened,
            reading_ahead(opened, slot, limiter, budget) as reply,
        ):
            heard = [await anext(reply)]
            # Nobody waits: the provider is paused by the listener that takes nothing.
            await settle(100)
            assert not fake.exchanges[0].finished
            second = asyncio.create_task(speaker(fake, driver, limiter, budget)())
            assert await second == clip
            assert reply.held_bytes >= len(clip) - len(heard[0]) - 2 * PIECE_BYTES  # type: ignore[arg-type]
            heard += [piece async for piece in reply]
        assert b"".join(piece for piece in heard if isinstance(piece, bytes)) == clip
    assert (limiter.in_use, budget.held_bytes) == (0, 0)


async def test_a_reply_longer_than_the_bound_gives_its_slot_when_the_bound_lets_the_rest_in() -> None:
    clip = noise(20.0)
    limiter, budget = ConcurrencyLimiter("p", 1), ReadAheadBudget(turn_bytes=256 * 1024)
    async with speaking((AUDIO, Send(clip))) as (fake, driver):
        async with (
            limiter.slot() as slot,
            driver.open(request(fake.url), Timings()) as opened,
            reading_ahead(opened, slot, limiter, budget) as reply,
        ):
            heard = bytearray()
            second = asyncio.create_task(speaker(fake, driver, limiter, budget)())
            while len(fake.exchanges) < 2:
                piece = await anext(reply)
                assert isinstance(piece, bytes)
                heard += piece
                assert budget.held_bytes <= budget.turn_bytes
                await asyncio.sleep(0.001)
            # What is left is in the buffer and in the sockets.
            assert budget.turn_bytes / 2 < len(clip) - len(heard) < budget.turn_bytes + 400_000
            assert await second == clip
            heard += b"".join([piece async for piece in reply if isinstance(piece, bytes)])
        assert heard == clip
    assert (limiter.in_use, budget.held_bytes) == (0, 0)


async def test_a_cut_comes_behind_the_audio_that_was_read_ahead() -> None:
    clip = noise(1.0)
    limiter, budget = ConcurrencyLimiter("p", 1), ReadAheadBudget()
    async with speaking((AUDIO, Send(clip), Pause(0.01), Cut())) as (fake, driver):
        async with (
            limiter.slot() as slot,
            driver.open(request(fake.url), Timings()) as opened,
            reading_ahead(opened, slot, limiter, budget) as reply,
        ):
            await asyncio.create_task(hold_once(limiter))
            heard = bytearray()
            with pytest.raises(ProviderError) as caught:
                async for piece in reply:
                    assert isinstance(piece, bytes)
                    heard += piece
            assert caught.value.code is Code.PROVIDER_CUT
            assert heard == clip
    assert (limiter.in_use, budget.held_bytes) == (0, 0)


async def test_leaving_while_reading_ahead_stops_the_provider() -> None:
    limiter, budget = ConcurrencyLimiter("p", 1), ReadAheadBudget(turn_bytes=64 * 1024)
    async with speaking((AUDIO, Send(noise(60.0)))) as (fake, driver):
        async with (
            limiter.slot() as slot,
            driver.open(request(fake.url), Timings()) as opened,
            reading_ahead(opened, slot, limiter, budget) as reply,
        ):
            second = asyncio.create_task(hold_once(limiter))
            await anext(reply)
            await settle(20)
        await fake.exchanges[0].left()
        await second
    assert (limiter.in_use, budget.held_bytes) == (0, 0)
