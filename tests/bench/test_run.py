"""A plan is spoken in its order, one turn at a time, and what was measured before the end is kept."""

import asyncio
from dataclasses import dataclass, field

import pytest

from relay.bench.plan import Connection, Path, Plan, Shot, Target
from relay.bench.record import Turn
from relay.bench.run import run
from relay.bench.spoken import Spoken
from relay.bench.texts import named

PLAN = Plan(
    targets=[Target(provider="one")],
    paths=list(Path),
    connections=list(Connection),
    texts=named(["short"]),
    rounds=3,
    warm_ups=2,
)


@dataclass
class FakeWay:
    """Takes no time. `hold_at`: the turn of that number does not end."""

    hold_at: int | None = None
    held: asyncio.Event = field(default_factory=asyncio.Event)
    spoken: list[Shot] = field(default_factory=list)

    async def speak(self, shot: Shot) -> Spoken:
        self.spoken.append(shot)
        if len(self.spoken) - 1 == self.hold_at:
            self.held.set()
            await asyncio.Event().wait()
        return Spoken(start_s=100.0 + len(self.spoken), ttfa_ms=10.0, total_ms=50.0, audio_ms=100.0)


async def test_every_turn_is_handed_over_in_its_order() -> None:
    way, warm_ups, turns = FakeWay(), list[Turn](), list[Turn]()
    await run(PLAN, dict.fromkeys(Path, way), on_warm_up=warm_ups.append, on_turn=turns.append)
    assert way.spoken == [*PLAN.warm_up_shots, *PLAN.shots]
    assert (len(warm_ups), len(turns)) == (4, 12)
    assert [turn.index for turn in turns] == list(range(12))
    assert [turn.at_s for turn in turns] == list(range(12))
    assert [(turn.path, turn.connection) for turn in turns] == [
        (shot.case.path, shot.case.connection) for shot in PLAN.shots
    ]
    assert {turn.rtf for turn in turns} == {0.5}


async def test_being_cancelled_loses_the_turn_that_is_spoken_and_no_other() -> None:
    way, turns = FakeWay(hold_at=9), list[Turn]()
    running = asyncio.create_task(run(PLAN, dict.fromkeys(Path, way), on_warm_up=lambda _: None, on_turn=turns.append))
    await way.held.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(turns) == 5


def test_a_turn_without_audio_has_failed() -> None:
    shot = PLAN.shots[0]
    assert Spoken().turn(0, shot, 0.0).code == "no_audio"
    assert Spoken(ttfa_ms=5.0, audio_ms=0.0).turn(0, shot, 0.0).code == "no_audio"
    assert Spoken(ttfa_ms=5.0, audio_ms=20.0).turn(0, shot, 0.0).code is None
    assert Spoken(code="provider_cut", ttfa_ms=5.0, audio_ms=20.0).turn(0, shot, 0.0).code == "provider_cut"


def test_time_to_first_speech_is_that_to_first_audio_and_its_silence() -> None:
    shot = PLAN.shots[0]
    assert Spoken(ttfa_ms=100.0, leading_silence_ms=30.0).turn(0, shot, 0.0).ttfs_ms == 130.0
    assert Spoken(ttfa_ms=100.0).turn(0, shot, 0.0).ttfs_ms is None
