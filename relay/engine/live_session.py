"""One listener's session at work: commands in, turns as tasks, audio out through a speaker.

    async with LiveSession(engine, outlet, scope...) as live:
        live.receive(command)

This file does not know sockets or wire protocols.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from relay.core.effects import CutOff, Effect, EndText, Flush, GiveText, NoteUnderruns, OpenTurn, StopTurns
from relay.core.events import Command, SessionDefaults, SessionLimits
from relay.core.playout import Playout
from relay.core.record import TurnEnded, TurnRecord
from relay.core.session import Session
from relay.engine.speaker import Outlet, Speaker
from relay.engine.ticker import Ticker
from relay.engine.turn import Turn
from relay.errors import RelayError


class Accounts(Protocol):
    """What the sessions of one engine share."""

    ticker: Ticker

    def turn_opened(self, record: TurnRecord, playout: Playout) -> None: ...

    def turn_ended(self, ended: TurnEnded, session_id: str | None) -> None: ...

    def turn_abandoned(self, record: TurnRecord, session_id: str | None) -> None: ...

    def error_told(self, error: RelayError) -> None: ...

    def underran(self, count: int, ms: float) -> None: ...


class Tap(Protocol):
    """Sees a session's turns on their way to the listener. It takes no time, and raises nothing."""

    def opened(self, opened: OpenTurn) -> None:
        """A turn begins."""

    def wrote(self, items: Sequence[Any]) -> None:
        """What the outlet has just taken."""

    def closed(self) -> None:
        """Nothing more leaves; turns that are open have no end."""


class _Tapped:
    """An outlet whose items are also seen by a tap."""

    def __init__(self, outlet: Outlet, tap: Tap) -> None:
        self._outlet = outlet
        self._tap = tap

    @property
    def room_bytes(self) -> int:
        return self._outlet.room_bytes

    def write(self, items: Sequence[Any]) -> None:
        self._outlet.write(items)
        self._tap.wrote(items)

    def fail(self, error: Exception) -> None:
        self._outlet.fail(error)


class LiveSession:
    """Entered, it runs its turns; leaving ends those that are left, and waits until their providers' work has ended."""

    def __init__(
        self,
        accounts: Accounts,
        outlet: Outlet,
        *,
        defaults: SessionDefaults,
        limits: SessionLimits,
        check: Callable[[OpenTurn], Any],
        max_chars: int | None = None,
        spend: Callable[[int], None] = lambda _chars: None,
        session_id: str | None = None,
        traceparent: str | None = None,
        tap: Tap | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`check` makes the TurnSettings of a turn, or raises ClientError. `traceparent` is that of turns which name
        none."""
        self.session = Session(defaults, limits, check, max_chars=max_chars, spend=spend)
        outlet = _Tapped(outlet, tap) if tap is not None else outlet
        self._tap = tap
        self.speaker = Speaker(self.session, outlet, accounts.ticker, accounts, session_id=session_id, clock=clock)
        # Why the connection is to be dropped: what the client is owed cannot be told any more.
        self.cut_off: RelayError | None = None
        self._accounts = accounts
        self._session_id = session_id
        self._traceparent = traceparent
        self._clock = clock
        self._turns: dict[str, Turn] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.speaker.close()
        for record in self.session.abandon():
            self._accounts.turn_abandoned(record, self._session_id)
        if self._tap is not None:
            self._tap.closed()
        self._turns.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @property
    def busy(self) -> bool:
        """Whether anything is being spoken or sent, or will be before the client gives more text."""
        return self.session.playout.waiting or not all(turn.waits_for_text for turn in self._turns.values())

    def greet(self) -> None:
        """Tells what the session is."""
        assert self._session_id is not None, "a session that greets has an id"
        self.session.greet(self._session_id)
        self.speaker.flush()

    def receive(self, command: Command) -> None:
        """Applies one command of the client. Never raises for what a client did."""
        self._apply(self.session.receive(command, self._clock()))

    def fail(self, turn_id: str, error: RelayError) -> None:
        """Ends one turn at once."""
        self._apply(self.session.fail(turn_id, error, self._clock()))

    def drain(self) -> None:
        """Finish what was begun, then end."""
        self.session.drain()
        self.speaker.flush()

    def close(self, error: RelayError | None) -> None:
        """Ends every turn with `error` at once, and the session."""
        self._apply(self.session.close(error, self._clock()))

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case OpenTurn():
                    self._open(effect)
                case GiveText() | Flush() | EndText():
                    self._give(effect)
                case StopTurns(ended):
                    for each in ended:
                        self._stop(each)
                case NoteUnderruns(count, ms):
                    self._accounts.underran(count, ms)
                case CutOff(error):
                    self.cut_off = error
        self.speaker.flush()

    def _give(self, effect: GiveText | Flush | EndText) -> None:
        turn = self._turns.get(effect.turn_id)
        if turn is None:  # it has failed, and its error waits behind its audio
            return
        match effect:
            case GiveText(text=text):
                turn.append(text)
            case Flush(flush_id=flush_id):
                turn.flush(flush_id)
            case EndText():
                turn.end_input()

    def _open(self, opened: OpenTurn) -> None:
        record = opened.record
        record.traceparent = record.traceparent or self._traceparent
        self._accounts.turn_opened(record, self.session.playout)
        if self._tap is not None:
            self._tap.opened(opened)
        turn = Turn(opened.checked, record, self.speaker, clock=self._clock)
        self._turns[opened.turn_id] = turn
        task = asyncio.create_task(turn.run(), name=f"turn {opened.turn_index}")
        self._tasks[opened.turn_id] = task
        task.add_done_callback(lambda _: self._fed(opened.turn_id))

    def _stop(self, ended: TurnEnded) -> None:
        """Nothing of the turn leaves any more; its provider's work ends."""
        turn_id = ended.record.turn_id
        if turn := self._turns.pop(turn_id, None):
            turn.abort()
            self._tasks[turn_id].cancel()
        self._accounts.turn_ended(ended, self._session_id)

    def _fed(self, turn_id: str) -> None:
        """All of the turn's audio waits to leave, or it was stopped: it takes no more."""
        del self._tasks[turn_id]
        self._turns.pop(turn_id, None)
