"""The end of the way: a session's schedule -> what takes its audio. Turns feed it, and it writes what leaves now.

What can leave leaves in the call that brought it, so that no first frame waits for a task to be woken. The only other
moments are those that the schedule itself names: one timer serves all sessions of the process.

This file does not know sockets, protocols or providers.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from relay.codecs.fade import faded
from relay.core.events import Failed
from relay.core.formats import FrameFormat
from relay.core.playout import AT_ONCE_S, NEVER_S, Run
from relay.core.record import TurnEnded
from relay.core.session import Session
from relay.engine.ticker import Ticker
from relay.errors import RelayError


class Outlet(Protocol):
    """Takes what leaves: a socket, a body, a file."""

    @property
    def room_bytes(self) -> int:
        """How much it takes now; 0: nothing. Its owner calls `Speaker.flush` when there is room again."""
        ...

    def write(self, items: Sequence[Any]) -> None:
        """Takes Runs and events, in order. Must not call the speaker."""
        ...

    def fail(self, error: Exception) -> None:
        """A bug has stopped the session: nothing more is written."""
        ...


class TurnLog(Protocol):
    """Counts turns that end, and errors that clients are told of."""

    def turn_ended(self, ended: TurnEnded, session_id: str | None) -> None: ...

    def error_told(self, error: RelayError) -> None: ...


class Position:
    """Where a turn stands among those of its session."""

    __slots__ = ("_speaker", "_turn_id")

    def __init__(self, speaker: "Speaker", turn_id: str) -> None:
        self._speaker = speaker
        self._turn_id = turn_id

    @property
    def is_current(self) -> bool:
        """Whether all turns before it have been fed whole."""
        return self._speaker.is_current(self._turn_id)

    async def until_current(self) -> None:
        await self._speaker.until_current(self._turn_id)


class Speaker:
    """Speaks the turns of one session into one outlet. Belongs to one event loop; nothing here waits but `room`."""

    def __init__(
        self,
        session: Session,
        outlet: Outlet,
        ticker: Ticker,
        log: TurnLog,
        *,
        session_id: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._playout = session.playout
        self._outlet = outlet
        self._ticker = ticker
        self._log = log
        self._session_id = session_id
        self._clock = clock
        # Turns that wait for room to feed.
        self._waiting: dict[str, asyncio.Event] = {}
        # Turns that wait for those before them; and which turn was current when they began to.
        self._current_changed: asyncio.Event | None = None
        self._current: str | None = None
        self._alarm_s = NEVER_S
        self._closed = False

    # What a turn calls.

    def set_format(self, turn_id: str, frame_format: FrameFormat) -> None:
        """The turn's exact frames, before its first audio."""
        self._session.set_format(turn_id, frame_format)

    def feed(self, turn_id: str, pcm: bytes, ahead: Sequence[Any] = ()) -> None:
        """More audio of the turn, whole samples, and before it the events that stand there."""
        for event in ahead:
            self._playout.mark(turn_id, event)
        self._playout.feed(turn_id, pcm)
        if ahead or not self._playout.holds:
            self.flush()

    def mark(self, turn_id: str, event: Any, *, behind: bool = False) -> None:
        """An event that stands here: see `Playout.mark`."""
        self._playout.mark(turn_id, event, behind=behind)
        self.flush()

    def idle(self, turn_id: str) -> None:
        """No audio of the turn is on its way before its client says more."""
        self._playout.idle(turn_id)
        self.flush()

    def taken(self, turn_id: str, chars: int) -> None:
        """A provider was given so much more of the turn's text."""
        self._session.taken(turn_id, chars)
        self.flush()

    def end(self, turn_id: str, error: RelayError | None = None) -> None:
        """All of the turn was fed: its end stands behind its audio."""
        self._playout.end(turn_id, error)
        self.flush()

    def wants(self, turn_id: str) -> bool:
        """Whether the turn may feed now: see `Playout.wants`."""
        return self._playout.wants(turn_id)

    def is_current(self, turn_id: str) -> bool:
        """Whether all turns before it have been fed whole."""
        return self._playout.current == turn_id

    def held_s(self) -> float:
        """Seconds of audio that wait to leave."""
        return self._playout.held_ms / 1000

    async def room(self, turn_id: str) -> None:
        """Waits until the turn may feed. The owner of the turn's task cancels it when the turn ends before."""
        while not self._playout.wants(turn_id):
            changed = self._waiting[turn_id] = asyncio.Event()
            try:
                await changed.wait()
            finally:
                del self._waiting[turn_id]

    async def until_current(self, turn_id: str) -> None:
        """Waits until all turns before it have been fed whole. The owner of the turn's task cancels it when the turn
        ends before."""
        while (current := self._playout.current) != turn_id:
            if self._current_changed is None:
                self._current_changed, self._current = asyncio.Event(), current
            await self._current_changed.wait()

    # What the session's owner calls.

    def flush(self) -> None:
        """Writes all that may leave now, in as few writes as the outlet has room for."""
        session, outlet = self._session, self._outlet
        if self._closed:
            return
        try:
            while (room_bytes := outlet.room_bytes) > 0:
                now_s = self._clock()
                if items := session.due(now_s, room_bytes):
                    if len(items) > 1 or type(items[0]) is not Run:
                        items = list(map(self._noted, items))
                    outlet.write(items)
                due_s = self._playout.next_due_s
                if due_s != AT_ONCE_S:
                    # One alarm is enough: the next is set when it has rung.
                    if due_s != NEVER_S and not now_s < self._alarm_s <= due_s:
                        self._alarm_s = due_s
                        self._ticker.wake(self.flush, due_s)
                    break
        except Exception as error:
            self._closed = True
            outlet.fail(error)
        if self._waiting or self._current_changed is not None:
            self._let_in()

    def close(self) -> None:
        """Writes nothing any more. Idempotent."""
        self._closed = True

    def _let_in(self) -> None:
        """Wakes the turn that may feed again, and those that wait for the turns before them."""
        for turn_id, changed in self._waiting.items():
            if self._playout.wants(turn_id):
                changed.set()
        if self._current_changed is not None and self._playout.current != self._current:
            self._current_changed.set()
            self._current_changed = None

    def _noted(self, item: Any) -> Any:
        """An item as the outlet gets it."""
        if type(item) is Run:
            if item.fades:
                payload = faded(item.payload, item.frame_format.audio, item.samples)
                return item._replace(payload=payload, fades=False)
            return item
        if type(item) is TurnEnded:
            self._log.turn_ended(item, self._session_id)
            item = item.event
        if type(item) is Failed:
            self._log.error_told(item.error)
        return item
