"""Which workers there are: exactly one a slot, each known, whatever happens in whatever order."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.server.process.roster import (
    GONE_TIMEOUT_S,
    MAX_BACKOFF_S,
    MAX_KILLED_STARTS,
    READY_TIMEOUT_S,
    STABLE_S,
    AllServing,
    Effect,
    Order,
    Over,
    Park,
    Phase,
    Roster,
    Say,
    Spawn,
    State,
    Tell,
)

DRAIN_S = 25.0


class World:
    """What a supervisor is around a roster, with processes that are numbers. The test decides when they do what."""

    def __init__(self, count: int = 2, *, start: bool = True) -> None:
        self.count = count
        self.now_s = 1000.0
        self.roster = Roster(count, DRAIN_S)
        self.alive: dict[int, Spawn] = {}
        self.told: dict[int, list[Order]] = {}
        self.parked: list[int] = []
        self.said: list[str] = []
        self.over: Over | None = None
        self.serving_times = 0
        self.generation = 0
        self.apply(self.roster.start(self.now_s))
        if start:
            self.ready_all()

    def apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert self.over is None, "nothing follows the end"
            match effect:
                case Spawn():
                    assert self.roster.phase in (Phase.STARTING_UP, Phase.RUNNING)
                    assert effect.worker not in self.told, "a number is used once"
                    self.alive[effect.worker] = effect
                    self.told[effect.worker] = []
                case Tell(worker=worker, order=order):
                    assert worker in self.alive, "only a process that lives is told anything"
                    self.told[worker].append(order)
                case Park(slot=slot):
                    self.parked.append(slot)
                case Say(message=message):
                    self.said.append(message)
                case AllServing():
                    self.serving_times += 1
                case Over():
                    assert not self.alive, "no process is left behind"
                    self.over = effect
        self.check()

    def check(self) -> None:
        states = self.roster.states
        assert states.keys() == self.alive.keys(), "every process is known, and no other"
        for slot in range(self.count):
            here = [states[worker] for worker, spawn in self.alive.items() if spawn.slot == slot]
            assert here.count(State.SERVING) <= 1
            assert here.count(State.STARTING) <= 1
        if self.roster.phase is Phase.RUNNING:
            active = [state for state in states.values() if state in (State.STARTING, State.SERVING)]
            assert len(active) <= self.count + 1, "one replacement at a time"

    def of(self, state: State) -> list[int]:
        return [worker for worker, each in self.roster.states.items() if each is state]

    def ready(self, worker: int) -> None:
        self.apply(self.roster.ready(worker, self.now_s))

    def end(self, worker: int, status: int) -> None:
        del self.alive[worker]
        self.apply(self.roster.ended(worker, status, self.now_s))

    def hangup(self) -> None:
        self.generation += 1
        self.apply(self.roster.reload(self.generation, DRAIN_S, self.now_s))

    def stop(self) -> None:
        self.apply(self.roster.stop(self.now_s))

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.apply(self.roster.due(self.now_s))

    def ready_all(self) -> None:
        for worker in self.of(State.STARTING):
            self.ready(worker)

    def settle(self) -> None:
        """Every process does what it was told, and time passes until nothing is left to do."""
        for _ in range(1000):
            if told := [worker for worker, orders in self.told.items() if orders and worker in self.alive]:
                self.end(told[0], -9 if Order.KILL in self.told[told[0]] else 0)
            elif starting := self.of(State.STARTING):
                self.ready(starting[0])
            elif self.roster.next_due_s < float("inf") and self.over is None:
                self.wait(max(0.0, self.roster.next_due_s - self.now_s))
            else:
                return
        raise AssertionError("it never settles")

    def assert_whole(self) -> None:
        assert sorted(spawn.slot for spawn in self.alive.values()) == list(range(self.count))
        assert set(self.roster.states.values()) == {State.SERVING}


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ready", "kill", "exit", "obey", "hangup", "wait", "stop", "hurry"]),
        st.integers(0, 10),
        st.sampled_from([0.0, 0.01, 1.0, 5.0, READY_TIMEOUT_S, DRAIN_S + GONE_TIMEOUT_S, STABLE_S]),
    ),
    max_size=60,
)


def play(world: World, events: list[tuple[str, int, float]], *, stops: bool) -> None:
    for what, which, seconds in events:
        alive = sorted(world.alive)
        worker = alive[which % len(alive)] if alive else None
        told = [each for each in alive if world.told[each]]
        if world.over is not None:
            return
        if what == "ready" and worker is not None:
            world.ready(worker)
        elif what == "kill" and worker is not None:
            world.end(worker, -9)
        elif what == "exit" and worker is not None:
            world.end(worker, 1)
        elif what == "obey" and told:
            world.end(told[which % len(told)], 0)
        elif what == "hangup":
            world.hangup()
        elif what == "wait":
            world.wait(seconds)
        elif what == "stop" and stops:
            world.stop()
        elif what == "hurry" and stops:
            world.apply(world.roster.stop_at_once(world.now_s))


@given(st.integers(1, 4), EVENTS)
def test_after_anything_there_are_exactly_so_many_workers_and_each_is_known(
    count: int, events: list[tuple[str, int, float]]
) -> None:
    world = World(count)
    play(world, events, stops=False)
    world.settle()
    world.assert_whole()


@given(st.integers(1, 4), st.booleans(), EVENTS)
def test_after_anything_a_stop_ends_every_process_and_starts_none(
    count: int, start: bool, events: list[tuple[str, int, float]]
) -> None:
    world = World(count, start=start)
    play(world, events, stops=True)
    world.stop() if world.over is None else None
    world.settle()
    assert world.over is not None
    assert not world.alive


@given(EVENTS)
def test_settings_that_may_still_be_needed_are_kept(events: list[tuple[str, int, float]]) -> None:
    world = World(3)
    for event in events:
        play(world, [event], stops=False)
        starting = {world.alive[worker].generation for worker in world.of(State.STARTING)}
        assert starting <= world.roster.generations
        assert len(world.roster.generations) <= 2 + len(starting)


def test_the_start_is_all_or_nothing() -> None:
    world = World(3, start=False)
    world.ready(0)
    assert world.serving_times == 0
    world.end(1, 1)
    assert world.told == {0: [Order.DRAIN], 1: [], 2: [Order.KILL]}
    world.settle()
    assert world.over is not None
    assert world.over.failure == "a worker ended before it was ready; its own message stands above"


def test_a_start_that_takes_too_long_is_given_up() -> None:
    world = World(2, start=False)
    world.ready(0)
    world.wait(READY_TIMEOUT_S)
    assert world.told[1] == [Order.KILL]
    world.settle()
    assert world.over is not None
    assert world.over.failure is not None
    assert "not ready within 30 s" in world.over.failure


def test_a_first_crash_is_repaired_at_once_and_a_loop_is_backed_off_and_said_once_a_step() -> None:
    world = World(2)
    waits = []
    for _ in range(9):
        [victim] = [worker for worker, spawn in world.alive.items() if spawn.slot == 0]
        said = len(world.said)
        world.end(victim, -11)
        assert len(world.said) == said + 1
        at_s = world.now_s
        while not world.of(State.STARTING):
            world.wait(world.roster.next_due_s - world.now_s)
        waits.append(world.now_s - at_s)
        world.ready_all()
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30, 30]
    assert max(waits) == MAX_BACKOFF_S
    assert world.parked == [0] * 8, "nobody waits for a worker that is not there"
    world.wait(STABLE_S)
    world.end(world.of(State.SERVING)[-1], -11)
    assert world.said[-1] == "a worker ended by itself; replacing it now", "it had served for a while"


def test_a_worker_that_ends_while_its_replacement_starts_is_replaced_by_it() -> None:
    world = World(2)
    world.hangup()
    [starting] = world.of(State.STARTING)
    world.end(0, -9)
    assert world.of(State.STARTING) == [starting], "one process for one slot"
    world.settle()
    world.assert_whole()
    assert {spawn.generation for spawn in world.alive.values()} == {1}


def test_a_worker_that_crashes_just_before_a_hangup_has_one_replacement() -> None:
    world = World(2)
    world.end(0, -9)
    world.hangup()
    world.hangup()
    assert len(world.of(State.STARTING)) == 1
    world.settle()
    world.assert_whole()
    assert {spawn.generation for spawn in world.alive.values()} == {2}


def test_hangups_during_a_replacement_are_one_more_round() -> None:
    world = World(2)
    world.hangup()
    for _ in range(20):
        world.hangup()
    world.settle()
    world.assert_whole()
    assert {spawn.generation for spawn in world.alive.values()} == {21}
    assert len(world.told) <= 2 + 1 + 2, "two to begin with, one with older settings, two with the newest"
    assert world.said == ["all workers were replaced"]


def test_a_replacement_waits_until_the_one_before_has_drained() -> None:
    world = World(2)
    world.hangup()
    world.ready_all()
    assert world.told[0] == [Order.RETIRE]
    assert not world.of(State.STARTING)
    world.end(0, 0)
    assert len(world.of(State.STARTING)) == 1
    world.wait(1)
    world.ready_all()
    world.wait(DRAIN_S + GONE_TIMEOUT_S)
    assert world.told[1] == [Order.RETIRE, Order.KILL], "it did not end"


@pytest.mark.parametrize("refuse", ["exit", "late"])
def test_settings_that_a_worker_refuses_leave_the_old_ones_in_force(refuse: str) -> None:
    world = World(2)
    world.hangup()
    [candidate] = world.of(State.STARTING)
    if refuse == "exit":
        world.end(candidate, 1)
    else:
        world.wait(READY_TIMEOUT_S)
        world.end(candidate, -9)
    assert world.said[-1].startswith("keeping the old settings and workers: a worker ")
    assert sorted(world.of(State.SERVING)) == [0, 1]
    world.end(0, -9)
    world.settle()
    assert {spawn.generation for spawn in world.alive.values()} == {0}, "a later crash does not bring them back"


def test_a_replacement_killed_by_a_signal_is_tried_again_but_not_for_ever() -> None:
    world = World(2)
    world.hangup()
    for _ in range(MAX_KILLED_STARTS):
        assert "keeping" not in "".join(world.said)
        while not world.of(State.STARTING):
            world.wait(world.roster.next_due_s - world.now_s)
        world.end(world.of(State.STARTING)[0], -9)
    assert world.said[-1].startswith("keeping the old settings and workers")
    world.settle()
    world.assert_whole()


def test_new_settings_repair_a_relay_whose_workers_crash() -> None:
    world = World(1)
    for _ in range(6):
        world.end(next(iter(world.alive)), 1)
        while not world.alive:
            world.wait(world.roster.next_due_s - world.now_s)
    world.end(next(iter(world.alive)), 1)
    assert not world.alive
    world.hangup()
    assert [spawn.generation for spawn in world.alive.values()] == [1], "at once, and with the new settings"


def drain_cleanly(world: World) -> None:
    for worker in list(world.alive):
        world.end(worker, 0)


def drain_with_a_failure(world: World) -> None:
    world.end(0, 1)
    drain_cleanly(world)


def kill_one(world: World) -> None:
    world.end(1, -9)
    drain_cleanly(world)


def hang(world: World) -> None:
    world.wait(DRAIN_S + GONE_TIMEOUT_S)
    for worker in list(world.alive):
        world.end(worker, -9)


@pytest.mark.parametrize(("ends", "status"), [(drain_cleanly, 0), (drain_with_a_failure, 1), (kill_one, 1), (hang, 1)])
def test_the_status_says_whether_every_worker_drained(ends: Callable[[World], None], status: int) -> None:
    world = World(2)
    world.stop()
    ends(world)
    assert world.over == Over(status=status)


def test_a_worker_that_was_starting_when_all_stopped_does_not_count() -> None:
    world = World(2)
    world.hangup()
    [starting] = world.of(State.STARTING)
    world.stop()
    assert world.told[starting] == [Order.KILL], "it serves nobody"
    world.end(starting, -9)
    drain_cleanly(world)
    assert world.over == Over(status=0)


def test_a_second_stop_changes_nothing_and_at_once_reaches_those_that_drain() -> None:
    world = World(2)
    world.stop()
    world.stop()
    assert world.told == {0: [Order.DRAIN], 1: [Order.DRAIN]}
    world.apply(world.roster.stop_at_once(world.now_s))
    assert world.told == {0: [Order.DRAIN, Order.STOP_AT_ONCE], 1: [Order.DRAIN, Order.STOP_AT_ONCE]}
    world.end(0, 1)
    world.wait(GONE_TIMEOUT_S)
    assert world.told[1][-1] is Order.KILL, "it is not waited for as long as a drain may take"
