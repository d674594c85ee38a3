"""What the session machine is for: each fault that a schedule spread over many objects had, put back, and found."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from relay.core.effects import Effect, StopTurns
from relay.core.events import SessionDefaults
from relay.core.playout import AT_ONCE_S, Playout, Run
from relay.core.session import Session
from relay.errors import RelayError
from tests.core.session_machine import EVERYTHING, LIMITS, SessionMachine, check

FEW = settings(max_examples=200, stateful_step_count=50, phases=[Phase.generate], report_multiple_bugs=False)


class Leaking(Session):
    """Sends what is due while it stops turns, one after the other."""

    leaked: list[Any]

    def nudge(self, now_s: float) -> None:
        self.leaked = [*getattr(self, "leaked", []), *super().due(now_s, EVERYTHING)]

    def due(self, now_s: float, room_bytes: int) -> list[Any]:
        leaked, self.leaked = getattr(self, "leaked", []), []
        return [*leaked, *super().due(now_s, room_bytes)]


class DropsOneByOne(Leaking):
    """Frames of the second turn leave before it is stopped too."""

    def _stop(self, turn_ids: Iterable[str], now_s: float, error: RelayError | None) -> list[Effect]:
        effects: list[Effect] = []
        for turn_id in list(turn_ids):
            effects += super()._stop([turn_id], now_s, error)
            self.nudge(now_s)
        ended = tuple(ended for effect in effects if isinstance(effect, StopTurns) for ended in effect.ended)
        return [StopTurns(ended)] if ended else []


class SpeaksBeforeItTells(Leaking):
    """Frames of the next turn leave before the end of the one that was stopped."""

    def _stop(self, turn_ids: Iterable[str], now_s: float, error: RelayError | None) -> list[Effect]:
        named = list(turn_ids)
        self.playout.cancel(named, now_s)
        self.nudge(now_s)
        return super()._stop(named, now_s, error)


class StopsOneByOneAtTheEnd(Leaking):
    """A turn that ends of itself while those before it are stopped is ended twice."""

    def close(self, error: RelayError | None, now_s: float) -> list[Effect]:
        stopped = []
        for record in self.records:
            self.playout.cancel([record.turn_id], now_s)
            stopped.append(ended := self._stopped(record.turn_id, error))
            self._tell(ended.event)
            self.nudge(now_s)
        super().close(error, now_s)
        return [StopTurns(tuple(stopped))]


class OneClockATurn(Playout):
    """Each turn has a lead of its own, on top of those of the turns before it."""

    def _run(self, turn: Any, now_s: float, room_bytes: int) -> Run | None:
        clocks = self.__dict__.setdefault("clocks", {})
        self._playing_until_s = clocks.get(turn.turn_id, AT_ONCE_S)
        run = super()._run(turn, now_s, room_bytes)
        clocks[turn.turn_id] = self._playing_until_s
        return run


class CountsFastTurns(Playout):
    """A turn waits until audio that was not paced has been heard."""

    def _cut(self, turn: Any, form: Any, frames: int, now_s: float) -> Run:
        run = super()._cut(turn, form, frames, now_s)
        if turn.lead_s is None:
            self._play(turn, frames, frames * turn.frame_s, now_s)
        return run


class KeepsWhatWasFinished(Playout):
    """A cancel forgets only what the listener holds of turns that go on."""

    def cancel(self, turn_ids: Iterable[str], now_s: float, *, forget: bool = True) -> dict[str, float]:
        return super().cancel([turn_id for turn_id in turn_ids if turn_id in self._turns], now_s, forget=forget)


class NeverForgets(Playout):
    def forget_heard(self) -> None:
        """After a cancel the next turn waits for audio that the listener has thrown away."""


def with_playout(faulty: type[Playout]) -> type[Session]:
    class Faulty(Session):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            self.playout = faulty()

    Faulty.__name__ = faulty.__name__
    return Faulty


FAULTS: list[type[Session]] = [
    DropsOneByOne,
    SpeaksBeforeItTells,
    StopsOneByOneAtTheEnd,
    with_playout(OneClockATurn),
    with_playout(CountsFastTurns),
    with_playout(KeepsWhatWasFinished),
    with_playout(NeverForgets),
]


@pytest.mark.parametrize("faulty", FAULTS, ids=lambda faulty: faulty.__name__)
def test_the_machine_finds(faulty: type[Session]) -> None:
    class Machine(SessionMachine):
        def make_session(self) -> Session:
            return faulty(SessionDefaults(provider="p"), LIMITS, check)

    # A KeyError is the turn that ends twice.
    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(Machine, settings=FEW)
