"""The only queue between synthesis and a listener: bounded in milliseconds of audio, droppable turn by turn."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from relay.core.events import Event
from relay.core.frames import Frame
from relay.core.pacer import AT_ONCE_S, NEVER_S
from relay.errors import RelayError
from relay.server.ticker import Ticker

# A second hides a provider's hiccups from a listener that reads in bursts; more would only be synthesised for nothing
# when the turn is cancelled, and held for every listener that stopped reading.
HIGH_WATER_MS, LOW_WATER_MS = 1000, 500

# Answers to a client that sends and does not read. A client that behaves has a handful; at the bound it is cut off.
MAX_URGENT = 1024


@dataclass(frozen=True, slots=True)
class End:
    """The turn is over: spoken whole, or ended by `error` after the good audio before it."""

    error: RelayError | None = None


@dataclass(frozen=True, slots=True)
class WsPong:
    """The answer to a WebSocket ping."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """The last thing that is sent."""

    code: int
    reason: str


class Owner(Protocol):
    """The turn that an entry belongs to. `stopped`: nothing of it may be sent any more."""

    stopped: bool

    @property
    def frame_ms(self) -> int: ...

    def ready_s(self, pts: int) -> float: ...

    def waits(self, until_s: float) -> None: ...


Content: TypeAlias = Frame | Event | End
Urgent: TypeAlias = Event | WsPong | CloseSocket
Item: TypeAlias = Urgent | tuple[Owner, Content]


class OutboxFull(Exception):  # noqa: N818 - like asyncio.QueueFull
    """More answers wait than a client that reads would ever leave waiting."""


class Outbox:
    """What waits to be sent to one listener.

    Two lanes: what must stay in order with the audio waits in the queue behind it, and an answer that must not stand
    behind audio (a cancel's) goes past it. `put` makes its caller wait while more than HIGH_WATER_MS is held: that
    caller is what reads the provider's socket, so a listener that stops reading stops the provider. `post` never waits.
    One task gets; any task may put, one turn at a time.
    """

    def __init__(self, ticker: Ticker, clock: Callable[[], float] = time.monotonic) -> None:
        self._ticker = ticker
        self._clock = clock
        self._urgent: deque[Urgent] = deque()
        self._queue: deque[tuple[Owner, Content]] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._alarm_s = AT_ONCE_S
        self.held_ms = 0
        self.peak_ms = 0

    async def put(self, owner: Owner, contents: Iterable[Content]) -> None:
        """Adds to the queue, then waits until there is room for more. Cancelled while waiting, what was added stays."""
        self.put_nowait(owner, contents)
        if not self._room.is_set():
            await self._room.wait()

    def put_nowait(self, owner: Owner, contents: Iterable[Content]) -> None:
        """Adds to the queue; what a stopped owner still brings is forgotten.

        A cancelled task may run once more before its cancellation reaches it: one that waited for room, say, which the
        drop itself has made.
        """
        if owner.stopped:
            return
        queue, frame_ms = self._queue, owner.frame_ms
        for content in contents:
            queue.append((owner, content))
            if type(content) is Frame:
                self.held_ms += frame_ms
        if self.held_ms > HIGH_WATER_MS:
            self._room.clear()
        self.peak_ms = max(self.peak_ms, self.held_ms)
        self._changed.set()

    def post(self, message: Urgent) -> None:
        """Sends `message` before everything in the queue, after what was posted before. Raises OutboxFull."""
        if len(self._urgent) >= MAX_URGENT and not isinstance(message, CloseSocket):
            raise OutboxFull
        self._urgent.append(message)
        self._changed.set()

    def drop(self, owner: Owner) -> int:
        """Forgets all that waits for `owner`, and whatever it still puts. Returns the milliseconds of audio dropped."""
        owner.stopped = True
        kept = [entry for entry in self._queue if entry[0] is not owner]
        dropped_frames = sum(type(entry[1]) is Frame for entry in self._queue if entry[0] is owner)
        self._queue = deque(kept)
        self._release(dropped_frames * owner.frame_ms)
        self._changed.set()
        return dropped_frames * owner.frame_ms

    def nudge(self) -> None:
        """Looks again at what may leave: credit came, say."""
        self._changed.set()

    async def get(self) -> Item:
        """The next thing that may leave now. A frame waits for its instant and its credit; nothing overtakes it."""
        while (item := self.get_nowait()) is None:
            self._changed.clear()
            await self._changed.wait()
        return item

    def get_nowait(self) -> Item | None:
        """As `get`, or None if nothing may leave now."""
        if self._urgent:
            return self._urgent.popleft()
        if not self._queue:
            return None
        owner, content = self._queue[0]
        if type(content) is Frame:
            ready_s = owner.ready_s(content.pts)
            if ready_s != AT_ONCE_S and ready_s > self._clock():
                self._wait_until(owner, ready_s)
                return None
            self._release(owner.frame_ms)
        return self._queue.popleft()

    def _wait_until(self, owner: Owner, ready_s: float) -> None:
        if ready_s == self._alarm_s:
            return
        self._alarm_s = ready_s
        owner.waits(ready_s)
        if ready_s != NEVER_S:
            self._ticker.wake(self._changed, ready_s)

    def _release(self, freed_ms: int) -> None:
        self.held_ms -= freed_ms
        if self.held_ms <= LOW_WATER_MS:
            self._room.set()
