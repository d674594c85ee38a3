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
from tests.covering import FULL, each

# It stops at the first one.
ENOUGH = settings(max_examples=2000, stateful_step_count=50, phases=[Phase.generate], report_multiple_bugs=False)

# A KeyError is the turn that ends twice.
FOUND = (AssertionError, KeyError)


def machine_of(faulty: type[Session]) -> type[SessionMachine]:
    class Machine(SessionMachine):
        def make_session(self) -> Session:
            return faulty(SessionDefaults(provider="p"), LIMITS, check)

    return Machine


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
        self._clock.playing_until_s = clocks.get(turn.turn_id, AT_ONCE_S)
        run = super()._run(turn, now_s, room_bytes)
        clocks[turn.turn_id] = self._clock.playing_until_s
        return run


class CountsFastTurns(Playout):
    """A turn waits until audio that was not paced has been heard."""

    def _cut(self, turn: Any, form: Any, frames: int, now_s: float) -> Run:
        run = super()._cut(turn, form, frames, now_s)
        if turn.lead_s is None:
            self._clock.play(turn.turn_id, frames * turn.held.frame_s, now_s, first=turn.sent.frames == frames)
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


def script(machine: SessionMachine, steps: list[tuple[str, dict[str, Any]]]) -> None:
    machine.connect()
    for name, given in steps:
        getattr(machine, name)(**given)
    machine.teardown()


def turn(ms: int, pacing: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """A whole turn of so much audio."""
    work = [("feed", 10 * ms)] if ms else []
    given = {"pacing": pacing or REALTIME, "work": work, "audio": {}, "window": 9, "whole": 1, "rate_hz": 8000}
    return "open_turn", {**given, "broken": 1}


REALTIME = {"mode": "realtime"}
LATER: tuple[str, dict[str, Any]] = ("play", {"ms": 500})
CANCEL_ALL: tuple[str, dict[str, Any]] = ("cancel_all", {"played": None})
CANCEL_LAST: tuple[str, dict[str, Any]] = ("cancel_one", {"which": 0, "played": None})
CANCEL_FIRST: tuple[str, dict[str, Any]] = ("cancel_one", {"which": 1, "played": None})
CLOSE: tuple[str, dict[str, Any]] = ("end_session", {"how": "fail"})

# Each with the shortest way to it.
FAULTS: list[tuple[type[Session], list[tuple[str, dict[str, Any]]]]] = [
    (DropsOneByOne, [turn(1000), turn(100), LATER, CANCEL_ALL]),
    (DropsOneByOne, [turn(1000), turn(900), LATER, CANCEL_ALL]),
    (SpeaksBeforeItTells, [turn(1000), turn(900), LATER, CANCEL_FIRST]),
    (StopsOneByOneAtTheEnd, [turn(1000), turn(100), LATER, CLOSE]),
    (StopsOneByOneAtTheEnd, [turn(1000), turn(900), LATER, CLOSE]),
    (with_playout(OneClockATurn), [turn(600), turn(600)]),
    (with_playout(CountsFastTurns), [turn(900, {"mode": "fast"}), turn(600)]),
    (with_playout(KeepsWhatWasFinished), [turn(100), CANCEL_LAST, turn(600)]),
    (with_playout(NeverForgets), [turn(100), CANCEL_ALL, turn(600)]),
]


def name_of(given: Any) -> str:
    return given.__name__ if isinstance(given, type) else f"{len(given)} steps"


@each(("faulty", "steps"), FAULTS)
def test_the_machine_knows_the_fault(faulty: type[Session], steps: list[tuple[str, dict[str, Any]]]) -> None:
    script(SessionMachine(), steps)
    with pytest.raises(FOUND):
        script(machine_of(faulty)(), steps)


# It takes a thousand sequences to come upon one of the other two; that it knows them is tested above.
SOON_FOUND = [faulty for faulty, _ in FAULTS if FULL or faulty.__name__ not in ("KeepsWhatWasFinished", "NeverForgets")]


@pytest.mark.parametrize("faulty", list(dict.fromkeys(SOON_FOUND)), ids=name_of)
def test_the_machine_comes_upon_the_fault(faulty: type[Session]) -> None:
    with pytest.raises(FOUND):
        run_state_machine_as_test(machine_of(faulty), settings=ENOUGH)
