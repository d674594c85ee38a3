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
from relay.engine.ticker import Ticker
from relay.errors import RelayError

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
    frame_ms: int

    def leave(self, frame: Frame, now_s: float) -> float:
        """AT_ONCE_S: the frame leaves now, and counts as sent. Else the instant from which it may."""


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
    Any task may put, one turn at a time.

    `on_ready` is called, from wherever that happens, whenever something may have come to leave: it takes, or has it
    taken soon. It must not raise. A call and not a task to be woken, which would cost more than the frame itself.
    """

    def __init__(
        self, ticker: Ticker, on_ready: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ticker = ticker
        self._on_ready = on_ready
        self._clock = clock
        self._urgent: deque[Urgent] = deque()
        self._queue: deque[tuple[Owner, Content]] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self._alarm_s = AT_ONCE_S
        # Something may leave now that has not been taken.
        self.ready = False
        self.held_ms = 0
        self.peak_ms = 0

    async def put(self, owner: Owner, contents: Iterable[Content]) -> None:
        """Adds to the queue, then waits until there is room for more. Cancelled while waiting, what was added stays."""
        self.put_nowait(owner, contents)
        await self.room()

    async def room(self) -> None:
        """Waits until more may be put."""
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
        was_empty = not queue
        for content in contents:
            queue.append((owner, content))
            if type(content) is Frame:
                self.held_ms += frame_ms
        if self.held_ms > HIGH_WATER_MS:
            self._room.clear()
        self.peak_ms = max(self.peak_ms, self.held_ms)
        if was_empty:  # else what is put now leaves after what has been waiting
            self.nudge()

    def post(self, message: Urgent) -> None:
        """Sends `message` before everything in the queue, after what was posted before. Raises OutboxFull."""
        if len(self._urgent) >= MAX_URGENT and not isinstance(message, CloseSocket):
            raise OutboxFull
        self._urgent.append(message)
        self.nudge()

    def drop(self, owner: Owner) -> int:
        """Forgets all that waits for `owner`, and whatever it still puts. Returns the milliseconds of audio dropped."""
        owner.stopped = True
        kept = [entry for entry in self._queue if entry[0] is not owner]
        dropped_frames = sum(type(entry[1]) is Frame for entry in self._queue if entry[0] is owner)
        self._queue = deque(kept)
        self._release(dropped_frames * owner.frame_ms)
        self.nudge()
        return dropped_frames * owner.frame_ms

    def close(self) -> None:
        """Forgets everything: nothing leaves any more."""
        self._on_ready = _nobody
        self._urgent.clear()
        self._queue.clear()

    def nudge(self) -> None:
        """Looks again at what may leave: credit came, say."""
        self.ready = True
        self._on_ready()

    def take(self, room_bytes: int) -> list[Item]:
        """What may leave now, in order, until its audio fills `room_bytes`: at least one item if any may leave.

        A frame waits for its instant and its credit; nothing overtakes it. What is taken counts as sent.
        """
        self.ready = False
        taken: list[Item] = []
        now_s = self._clock()
        used_bytes = freed_ms = 0
        while self._urgent or self._queue:
            if taken and used_bytes >= room_bytes:
                self.ready = True
                break
            if self._urgent:
                taken.append(self._urgent.popleft())
                continue
            entry = self._queue[0]
            owner, content = entry
            if type(content) is Frame:
                ready_s = owner.leave(content, now_s)
                if ready_s != AT_ONCE_S:
                    self._wait_until(ready_s)
                    break
                used_bytes += len(content.payload)
                freed_ms += owner.frame_ms
            self._queue.popleft()
            taken.append(entry)
        if freed_ms:
            self._release(freed_ms)
        return taken

    def _wait_until(self, ready_s: float) -> None:
        if ready_s != self._alarm_s and ready_s != NEVER_S:
            self._ticker.wake(self.nudge, ready_s)
        self._alarm_s = ready_s

    def _release(self, freed_ms: int) -> None:
        self.held_ms -= freed_ms
        if self.held_ms <= LOW_WATER_MS:
            self._room.set()


class PulledOutbox(Outbox):
    """An outbox that one task takes from, item by item, waiting for each."""

    def __init__(self, ticker: Ticker, clock: Callable[[], float] = time.monotonic) -> None:
        self._changed = asyncio.Event()
        super().__init__(ticker, self._changed.set, clock)

    async def get(self) -> Item:
        """The next thing that may leave."""
        while not (taken := self.take(0)):
            self._changed.clear()
            await self._changed.wait()
        [item] = taken
        return item


def _nobody() -> None:
    """Takes what nobody wants any more."""
