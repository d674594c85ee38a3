"""Pacing over a minute of virtual time: a turn, its schedule, the ticker, and stalls of the loop and the provider."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.core.listener_clock import RAN_DRY_S
from relay.engine.ticker import TICK_S, TIMER_STEP_S
from relay.testing.clock import run, virtual_loop
from tests.engine.fakes import FakeDriver, FakeProvider, FakeReply
from tests.engine.stage import Accounts, listen, one_shot, settings

FRAME_S, LEAD_S = 0.02, 0.2
STALL_S = 0.025
SECOND = bytes(48_000)
# Virtual time passes by a nanosecond at every turn of the loop.
EXACT_S = 1e-5


@dataclass
class Sent:
    """When each frame left, in seconds after the first one; and what the pacer counted."""

    instants_s: list[float] = field(default_factory=list)
    stalls_s: list[float] = field(default_factory=list)
    lateness: list[int] = field(default_factory=list)
    ran_dry: int = 0
    peak_ms: float = 0

    @property
    def due_s(self) -> list[float]:
        """The absolute deadlines of the protocol: `start + n * frame - lead`, and none before the start."""
        return [max(0.0, number * FRAME_S - LEAD_S) for number in range(len(self.instants_s))]

    @property
    def late_s(self) -> list[float]:
        return [at - due for at, due in zip(self.instants_s, self.due_s, strict=True)]

    def most_ahead_s(self) -> float:
        """The most audio that a listener which plays at once ever had before it."""
        heard_until_s = most_s = 0.0
        for at in self.instants_s:
            heard_until_s = max(heard_until_s, at) + FRAME_S
            most_s = max(most_s, heard_until_s - at)
        return most_s


async def speak(pieces: Sequence[Any], *, stalls: bool = False, burst_ms: int = 0) -> Sent:
    """Speaks `pieces` at real time to a listener that takes every frame as it comes."""
    loop = virtual_loop()
    accounts = Accounts(loop.time)
    of = settings(FakeDriver(lambda _: FakeReply(pieces)), FakeProvider())
    pacing = {"mode": "realtime", "lead_ms": round(LEAD_S * 1000), "burst_ms": burst_ms}
    sent = Sent()
    async with one_shot(of, clock=loop.time, accounts=accounts, pacing=pacing) as turn:
        turn.append("A minute.")
        turn.end_input()
        async with asyncio.TaskGroup() as tasks:
            stalling = tasks.create_task(_stall(sent)) if stalls else None
            heard = await listen(turn, clock=loop.time)
            if stalling:
                stalling.cancel()
        assert heard.error is None
        sent.peak_ms = turn._live.session.playout.peak_ms
    assert heard.record.sent.samples == 24_000 * sum(piece is SECOND for piece in pieces)
    start_s = heard.frames_s[0]
    sent.instants_s = [at - start_s for at in heard.frames_s]
    sent.stalls_s = [at - start_s for at in sent.stalls_s]
    sent.ran_dry = heard.record.sent.ran_dry
    sent.lateness = heard.record.sent.lateness
    accounts.ticker.close()
    return sent


async def _stall(sent: Sent) -> None:
    """Something blocks the loop for 25 ms, about eight times a second."""
    source = random.Random(25)
    loop = virtual_loop()
    while True:
        await asyncio.sleep(source.uniform(0.05, 0.15))
        loop.advance(STALL_S)
        sent.stalls_s.append(loop.time())


def test_a_minute_leaves_on_absolute_deadlines() -> None:
    sent = run(speak([SECOND] * 60))
    assert len(sent.instants_s) == 3000
    assert min(sent.late_s) >= -EXACT_S, "never early"
    assert max(sent.late_s) <= TICK_S + EXACT_S, "at most a tick late, at the end as at the start"
    assert sent.most_ahead_s() <= LEAD_S + FRAME_S + EXACT_S
    assert sent.instants_s[-1] == pytest.approx(60 - FRAME_S - LEAD_S, abs=TICK_S + EXACT_S)
    assert sent.peak_ms < 3000, "a provider that is faster than real time is not read ahead"


def test_frames_leave_in_groups_when_the_lead_has_fallen_by_as_much() -> None:
    """As by default: half the lead at a time, and never less than the other half in hand."""
    sent = run(speak([SECOND] * 60, burst_ms=100))
    assert len(sent.instants_s) == 3000
    groups = Counter(round(at_s / EXACT_S) for at_s in sent.instants_s)
    assert len(groups) <= 3000 / 5 + 2, "five frames at a time"
    assert sent.most_ahead_s() <= LEAD_S + FRAME_S + EXACT_S
    # What the listener had in hand when each group but the last came.
    in_hand_s = [number * FRAME_S - at_s for number, at_s in enumerate(sent.instants_s)][10:2995:5]
    assert min(in_hand_s) >= LEAD_S - 0.1 - TICK_S - EXACT_S
    assert sum(sent.lateness[1:]) == 0, "a group is not late: its frames are not needed yet"


def test_stalls_of_the_loop_do_not_slow_it_and_the_lead_is_rebuilt() -> None:
    sent = run(speak([SECOND] * 60, stalls=True))
    assert len(sent.stalls_s) > 400
    for window in (50, 500, 2990):
        # The first frames are the lead, which leaves at once: speed is that of what follows.
        for start in range(10, 3000 - window, window):
            took_s = sent.instants_s[start + window] - sent.instants_s[start]
            if window >= 500:
                assert 0.99 <= window * FRAME_S / took_s <= 1.01
            assert abs(took_s - window * FRAME_S) <= STALL_S + TICK_S + TIMER_STEP_S + EXACT_S
    assert min(sent.late_s) >= -EXACT_S, "never early"
    assert max(sent.late_s) <= STALL_S + TICK_S + TIMER_STEP_S + EXACT_S, "lateness never adds up"
    assert max(sent.late_s) > TICK_S, "the stalls were felt"
    # A frame whose deadline no stall touches leaves on it: whatever a stall took from the lead is there again.
    calm = [
        late
        for late, due in zip(sent.late_s, sent.due_s, strict=True)
        if not any(end - STALL_S - TICK_S - TIMER_STEP_S <= due <= end + TICK_S for end in sent.stalls_s)
    ]
    assert len(calm) > 1000
    assert max(calm) <= TICK_S + TIMER_STEP_S + EXACT_S
    assert sent.ran_dry == 0


def test_after_a_stall_of_the_provider_no_more_than_the_lead_is_sent_ahead() -> None:
    async def stall() -> None:
        await asyncio.sleep(5)

    sent = run(speak([SECOND, SECOND, stall, *[SECOND] * 10]))
    gaps_s = [after - before for before, after in zip(sent.instants_s, sent.instants_s[1:], strict=False)]
    assert max(gaps_s) > 5 - 2 - RAN_DRY_S, "the listener ran dry"
    assert sent.ran_dry == 1
    assert sent.most_ahead_s() <= LEAD_S + FRAME_S + EXACT_S
    resumed = gaps_s.index(max(gaps_s)) + 1
    rest_s = [at - sent.instants_s[resumed] for at in sent.instants_s[resumed:]]
    assert rest_s[9] < EXACT_S, "the lead is rebuilt at once"
    late_s = [at - max(0.0, number * FRAME_S - LEAD_S) for number, at in enumerate(rest_s)]
    assert -EXACT_S <= min(late_s) <= max(late_s) <= TICK_S + EXACT_S, "and then it is real time again"


def test_a_stall_that_the_lead_hides_changes_nothing() -> None:
    async def stall() -> None:
        await asyncio.sleep(0.15)

    sent = run(speak([SECOND, stall, SECOND]))
    assert sent.ran_dry == 0
    assert max(sent.late_s) <= TICK_S + EXACT_S
