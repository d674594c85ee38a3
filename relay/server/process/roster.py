"""Which workers there are, what each one does, and what happens next. Pure: no process, no signal, no clock.

The supervisor reports what happened (a worker is ready, a process ended, a signal came) and carries out the effects
that come back. A worker has a number, and is in exactly one state until its process has ended::

    STARTING -> SERVING -> LEAVING        and from each of them to ENDED
        \\-------------------> KILLED

`count` slots are served by one worker each. A slot has at most one SERVING worker and at most one STARTING one (its
replacement); no other worker can exist but those that were told to leave.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import TypeAlias

# A worker imports, binds nothing and warms up: a second on a slow machine, many on one that swaps.
READY_TIMEOUT_S = 30.0
# After the drain, or when it was told to stop at once, a worker has this long to end.
GONE_TIMEOUT_S = 10.0
# The first crash of a worker that has served for a while is repaired at once. After that each wait is twice the one
# before: a relay that cannot run must not spend its machine on starting.
FIRST_BACKOFF_S, MAX_BACKOFF_S = 1.0, 30.0
# A worker that has served for so long did not crash because of how it was started.
STABLE_S = 60.0
# New settings whose first worker is killed so often by a signal before it serves are given up. One that ends with an
# exit status has refused them, and is not asked again.
MAX_KILLED_STARTS = 3


class State(Enum):
    STARTING = auto()
    SERVING = auto()
    LEAVING = auto()  # was told to drain and to end
    KILLED = auto()  # was killed by the supervisor; its end is awaited


class Order(Enum):
    """What a worker can be told."""

    RETIRE = auto()  # another worker has the listening socket: accept no more, drain, end
    DRAIN = auto()
    STOP_AT_ONCE = auto()
    KILL = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn:
    """Start process `worker` for `slot`, with the settings of `generation`."""

    worker: int
    slot: int
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    worker: int
    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """No worker serves this slot for a while: take its socket out of the port, so that no connection waits there."""

    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """A line for the log."""

    message: str
    error: bool = False
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllServing:
    """Every slot is served for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """All processes have ended. `failure` says why the start failed, if it did; else `status` is the exit status."""

    status: int
    failure: str | None = None


Effect: TypeAlias = Spawn | Tell | Park | Say | AllServing | Over


class Phase(Enum):
    STARTING_UP = auto()  # all slots or none
    RUNNING = auto()
    STOPPING = auto()
    OVER = auto()


@dataclass(slots=True)
class _Worker:
    slot: int
    generation: int
    gone_s: float  # from being told to leave to being killed
    state: State
    deadline_s: float  # when its state has lasted too long
    since_s: float
    late: bool = False


@dataclass(slots=True)
class _Slot:
    serving: int | None = None
    starting: int | None = None
    crashes: int = 0
    spawn_at_s: float = 0.0


class Roster:
    """Every method but the properties reports what happened at `now_s` and returns the effects, in order.

    `drain_s`: how long a worker that leaves may drain. Settings have generations; 0 is the first one.
    """

    def __init__(self, count: int, drain_s: float) -> None:
        self._slots = [_Slot() for _ in range(count)]
        self._workers: dict[int, _Worker] = {}
        self._phase = Phase.STARTING_UP
        self._next_worker = 0
        # Settings that a worker has served with, and those that all are to have.
        self._good = self._target = 0
        self._gone_s = {0: drain_s + GONE_TIMEOUT_S}
        self._rolling = False
        self._roll_at_s = 0.0
        self._failed_starts = 0
        self._failure: str | None = None
        self._status = 0

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def states(self) -> dict[int, State]:
        """Every worker whose process has not ended."""
        return {number: worker.state for number, worker in self._workers.items()}

    @property
    def generations(self) -> set[int]:
        """The settings that a worker may still be started with, or is starting with."""
        starting = {each.generation for each in self._workers.values() if each.state is State.STARTING}
        return starting | {self._good, self._target}

    @property
    def next_due_s(self) -> float:
        """When `due` is to be called; infinite while only events can help."""
        deadlines: Iterable[float] = (worker.deadline_s for worker in self._workers.values())
        instants = [inf, *deadlines]
        if self._phase is Phase.RUNNING:
            instants += [slot.spawn_at_s for slot in self._slots if slot.serving is None and slot.starting is None]
            if self._rolls():
                instants.append(self._roll_at_s)
        return min(instants)

    def start(self, now_s: float) -> list[Effect]:
        return [self._spawn(slot, self._good, now_s) for slot in range(len(self._slots))]

    def ready(self, number: int, now_s: float) -> list[Effect]:
        """The worker serves now. One that was killed or told to leave meanwhile stays so."""
        worker = self._workers.get(number)
        if worker is None or worker.state is not State.STARTING:
            return []
        effects: list[Effect] = []
        slot = self._slots[worker.slot]
        old, slot.serving, slot.starting = slot.serving, number, None
        worker.state, worker.deadline_s, worker.since_s = State.SERVING, inf, now_s
        if worker.generation >= self._good:
            self._good, self._failed_starts = worker.generation, 0
        if old is not None:
            effects.append(self._leave(old, Order.RETIRE, now_s))
        if self._phase is Phase.STARTING_UP and all(each.serving is not None for each in self._slots):
            self._phase = Phase.RUNNING
            effects.append(AllServing())
        return effects + self._advance(now_s)

    def ended(self, number: int, status: int, now_s: float) -> list[Effect]:
        """The process is gone; `status` is negative for the signal that ended it."""
        worker = self._workers.pop(number, None)
        if worker is None:
            return []
        slot = self._slots[worker.slot]
        started = slot.starting == number
        if started:
            slot.starting = None
        served = slot.serving == number
        if served:
            slot.serving = None
        if self._phase is Phase.STOPPING:
            if worker.state is State.LEAVING or served:
                self._status = self._status or int(status != 0)
            return self._over_if_empty()
        if self._phase is Phase.STARTING_UP:
            failure = _why(worker, status, started)
            return [*self._stop(now_s, failure), *self._over_if_empty()]
        if served:
            return [*self._crashed(worker, status, now_s), *self._advance(now_s)]
        if started:
            return [*self._start_failed(worker, status, now_s), *self._advance(now_s)]
        effects: list[Effect] = []
        if status != 0:
            effects.append(Say(message="a worker that was replaced did not drain cleanly", error=True, status=status))
        return effects + self._advance(now_s)

    def reload(self, generation: int, drain_s: float, now_s: float) -> list[Effect]:
        """There are new settings, newer than all before: every worker is to be replaced, one after the other.

        While workers are being replaced already, the replacements of older settings are replaced in turn.
        """
        assert generation > self._target, "generations rise"
        if self._phase not in (Phase.STARTING_UP, Phase.RUNNING):
            return []
        self._target, self._failed_starts, self._roll_at_s = generation, 0, now_s
        for slot in self._slots:
            slot.crashes, slot.spawn_at_s = 0, now_s
        self._gone_s = {each: gone_s for each, gone_s in self._gone_s.items() if each in self.generations}
        self._gone_s[generation] = drain_s + GONE_TIMEOUT_S
        self._rolling = True
        return self._advance(now_s)

    def stop(self, now_s: float) -> list[Effect]:
        """All workers drain and end, and no other is started. Idempotent."""
        if self._phase not in (Phase.STARTING_UP, Phase.RUNNING):
            return []
        return [*self._stop(now_s, None), *self._over_if_empty()]

    def stop_at_once(self, now_s: float) -> list[Effect]:
        """Those that drain are to end now."""
        if self._phase is not Phase.STOPPING:
            return []
        effects: list[Effect] = []
        for number, worker in self._workers.items():
            if worker.state is State.LEAVING:
                worker.deadline_s = min(worker.deadline_s, now_s + GONE_TIMEOUT_S)
                effects.append(Tell(worker=number, order=Order.STOP_AT_ONCE))
        return effects

    def due(self, now_s: float) -> list[Effect]:
        """What was to be done by now."""
        effects: list[Effect] = []
        for number, worker in self._workers.items():
            if worker.deadline_s > now_s:
                continue
            if worker.state is State.LEAVING:
                effects.append(Say(message="a worker did not end in time, killing it", error=True))
                self._status = int(self._phase is Phase.STOPPING) or self._status
            worker.late = True
            effects.append(self._kill(number))
        return effects + self._advance(now_s)

    def _advance(self, now_s: float) -> list[Effect]:
        """Fills empty slots; then, if all are served, replaces one more worker that has older settings."""
        if self._phase is not Phase.RUNNING:
            return []
        # An empty slot has no worker to lose: it tries the newest settings, and the last good ones after their failure.
        effects: list[Effect] = [
            self._spawn(index, self._target, now_s)
            for index, slot in enumerate(self._slots)
            if slot.serving is None and slot.starting is None and slot.spawn_at_s <= now_s
        ]
        if not self._rolls():
            if self._rolling and not self._stale():
                self._rolling = False
                effects.append(Say(message="all workers were replaced"))
            return effects
        if self._roll_at_s <= now_s:
            effects.append(self._spawn(self._stale()[0], self._target, now_s))
        return effects

    def _stale(self) -> list[int]:
        """Slots whose worker has older settings than the newest, or none yet."""
        return [
            index
            for index, slot in enumerate(self._slots)
            if slot.serving is None or self._workers[slot.serving].generation != self._target
        ]

    def _rolls(self) -> bool:
        """One worker at a time: none starts, none leaves, every slot is served."""
        quiet = all(worker.state is State.SERVING for worker in self._workers.values())
        return self._rolling and quiet and len(self._workers) == len(self._slots) and bool(self._stale())

    def _spawn(self, index: int, generation: int, now_s: float) -> Spawn:
        number, self._next_worker = self._next_worker, self._next_worker + 1
        deadline_s = now_s + READY_TIMEOUT_S
        gone_s = self._gone_s[generation]
        self._workers[number] = _Worker(index, generation, gone_s, State.STARTING, deadline_s, now_s)
        self._slots[index].starting = number
        return Spawn(worker=number, slot=index, generation=generation)

    def _crashed(self, worker: _Worker, status: int, now_s: float) -> list[Effect]:
        slot = self._slots[worker.slot]
        if now_s - worker.since_s >= STABLE_S:
            slot.crashes = 0
        if slot.starting is not None:
            return [Say(message="a worker ended by itself; its replacement is starting", error=True, status=status)]
        return self._back_off(worker.slot, "a worker ended by itself", status, now_s)

    def _start_failed(self, worker: _Worker, status: int, now_s: float) -> list[Effect]:
        """Of a replacement: new settings that no worker has served with are given up, others are tried again later."""
        effects: list[Effect] = []
        why = _why(worker, status, started=True)
        if worker.generation == self._target > self._good:
            self._failed_starts += 1
            if status >= 0 or worker.late or self._failed_starts >= MAX_KILLED_STARTS:
                self._target, self._rolling = self._good, False
                effects.append(Say(message=f"keeping the old settings and workers: {why}", error=True, status=status))
        slot = self._slots[worker.slot]
        if slot.serving is None:
            return [*effects, *self._back_off(worker.slot, why, status, now_s)]
        if self._rolling:
            slot.crashes += 1
            wait_s = _wait_s(slot.crashes)
            self._roll_at_s = now_s + wait_s
            effects.append(Say(message=f"{why}; trying again in {wait_s:g} s", error=True, status=status))
        return effects

    def _back_off(self, index: int, why: str, status: int, now_s: float) -> list[Effect]:
        slot = self._slots[index]
        wait_s, slot.crashes = _wait_s(slot.crashes), slot.crashes + 1
        slot.spawn_at_s = now_s + wait_s
        if not wait_s:
            return [Say(message=f"{why}; replacing it now", error=True, status=status)]
        message = f"{why}; replacing it in {wait_s:g} s, after {slot.crashes} in a row"
        return [Park(slot=index), Say(message=message, error=True, status=status)]

    def _stop(self, now_s: float, failure: str | None) -> list[Effect]:
        """Those that serve drain; those that start serve nobody, and are killed."""
        self._phase, self._failure = Phase.STOPPING, failure
        effects: list[Effect] = []
        for number, worker in self._workers.items():
            if worker.state is State.SERVING:
                effects.append(self._leave(number, Order.DRAIN, now_s))
            elif worker.state is State.STARTING:
                effects.append(self._kill(number))
        return effects

    def _leave(self, number: int, order: Order, now_s: float) -> Tell:
        worker = self._workers[number]
        worker.state, worker.deadline_s = State.LEAVING, now_s + worker.gone_s
        return Tell(worker=number, order=order)

    def _kill(self, number: int) -> Tell:
        worker = self._workers[number]
        worker.state, worker.deadline_s = State.KILLED, inf
        return Tell(worker=number, order=Order.KILL)

    def _over_if_empty(self) -> list[Effect]:
        if self._workers:
            return []
        self._phase = Phase.OVER
        return [Over(status=self._status, failure=self._failure)]


def _wait_s(crashes: int) -> float:
    """None after the first of several crashes, then 1, 2, 4 ... up to the cap."""
    return 0.0 if not crashes else min(FIRST_BACKOFF_S * 2.0 ** min(crashes - 1, 16), MAX_BACKOFF_S)


def _why(worker: _Worker, status: int, started: bool) -> str:
    if worker.late:
        return f"a worker was not ready within {READY_TIMEOUT_S:g} s"
    if not started:
        return "a worker ended while the others were starting"
    if status < 0:
        return f"a worker was ended by signal {-status} before it was ready"
    return "a worker ended before it was ready; its own message stands above"
