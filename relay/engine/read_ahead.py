"""A reply whose slot at the provider goes back when the provider has sent all, not when the listener has heard it.

    async with limiter.slot() as slot, driver.open(upstream, timings) as opened:
        async with reading_ahead(opened, slot, limiter, budget) as reply:
            async for piece in reply: ...

While another turn waits for a slot, those that hold one read on ahead of their listeners, into a bounded buffer of
encoded bytes. While none waits, or beyond the bound, a piece is read when it is asked for, by the task that asks: the
provider's socket is paused by a slow listener, and nothing is held here.

This file does not know what carries a reply, nor what is in its pieces.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType
from typing import Self

from relay.engine.concurrency import ConcurrencyLimiter, Slot
from relay.errors import ProviderError
from relay.providers.base.http import Piece, ReplyFacts
from relay.providers.base.provider import Reply

# Encoded audio that one turn may hold ahead of its listener: 11 s of 24 kHz s16, a minute of MP3 at 64 kbit/s. Longer
# replies are few, and give their slot back when the listener is that close to their end.
READ_AHEAD_BYTES = 512 * 1024
# And all turns of a process together: 128 turns with a full buffer each.
READ_AHEAD_TOTAL_BYTES = 64 * 1024 * 1024
# What is set aside before a piece is read: the most that HTTP brings at once, or the largest piece of the reply so far.
# Only a piece larger than every one before it can exceed the bounds, by what it is larger.
PIECE_BYTES = 8 * 1024
# What a held piece takes besides its bytes (CPython 3.11, 64 bit: object heads, the tuple, the instant). Counted, or
# pieces of one byte would take a hundred times the bound.
PIECE_OVERHEAD_BYTES = 128
# Pieces read without a turn of the loop in between, for replies that have them at hand.
PIECES_A_TURN = 16


class ReadAheadBudget:
    """Bytes that may be held ahead of listeners: `turn_bytes` by each turn, `total_bytes` by all that share this."""

    def __init__(self, *, turn_bytes: int = READ_AHEAD_BYTES, total_bytes: int = READ_AHEAD_TOTAL_BYTES) -> None:
        self.turn_bytes = turn_bytes
        self.total_bytes = total_bytes
        self.held_bytes = 0
        self.peak_bytes = 0
        # Who found no room, the first to be asked again first.
        self._hungry: dict[Callable[[], None], None] = {}

    def take(self, size_bytes: int) -> bool:
        """Whether there was room for so much more; it is taken then."""
        if self.held_bytes + size_bytes > self.total_bytes:
            return False
        self.held_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.held_bytes)
        return True

    def give_back(self, size_bytes: int) -> None:
        """So much less is held; if negative, so much more, of a piece that was larger than what was set aside."""
        self.held_bytes -= size_bytes
        self.peak_bytes = max(self.peak_bytes, self.held_bytes)
        while self._hungry and self.total_bytes - self.held_bytes >= PIECE_BYTES:
            tell = next(iter(self._hungry))
            del self._hungry[tell]
            tell()
            if tell in self._hungry:  # wants more than there is
                return

    def await_room(self, tell: Callable[[], None]) -> None:
        """Calls `tell`, once, when there is room again; it must not raise or block."""
        self._hungry[tell] = None

    def forget(self, tell: Callable[[], None]) -> None:
        self._hungry.pop(tell, None)


class ReadAhead:
    """A `Reply` around another one; see `reading_ahead`. Enter before use; iterate once, by one task at a time.

    The pieces, their order and what ends them are those of the reply. A read that is cancelled loses nothing that was
    read ahead.
    """

    def __init__(self, reply: Reply, slot: Slot, limiter: ConcurrencyLimiter, budget: ReadAheadBudget) -> None:
        self.piece_came_s: float | None = None
        self._reply = reply
        self._slot = slot
        self._limiter = limiter
        self._budget = budget
        self._source: AsyncIterator[Piece] = aiter(reply)
        # Read ahead: the piece, when it had come, what it counts. Bounded by the budget.
        self._held: deque[tuple[Piece, float | None, int]] = deque()
        self._held_bytes = 0
        self._piece_bytes = PIECE_BYTES
        self._reserved_bytes = 0
        self._ended = False
        # How the reply ended, until it is raised.
        self._fault: Exception | None = None
        # Who reads the reply: the task that wants the next piece, or the pump. Never both.
        self._pulling = False
        self._pump: asyncio.Task[None] | None = None
        self._news: asyncio.Future[None] | None = None

    @property
    def facts(self) -> ReplyFacts:
        return self._reply.facts

    @property
    def content_type(self) -> str | None:
        return self._reply.content_type

    @property
    def held_bytes(self) -> int:
        """What is held ahead of the listener now."""
        return self._held_bytes

    def refuse(self, body: bytes) -> ProviderError | None:
        return self._reply.refuse(body)

    async def __aenter__(self) -> Self:
        self._limiter.watch(self._look)
        self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drops what is held. The slot is released by its own context, or was when the provider had sent all."""
        self._limiter.unwatch(self._look)
        self._budget.forget(self._look)
        if not self._ended:
            self.abort()
        try:
            await self._stop_pump()
            if isinstance(self._source, AsyncGenerator):
                await self._source.aclose()
        finally:
            self._held.clear()
            self._fault = None
            held_bytes, self._held_bytes = self._held_bytes, 0
            self._budget.give_back(held_bytes)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        while not self._held:
            if self._fault is not None:
                fault, self._fault = self._fault, None
                try:
                    raise fault
                finally:
                    del fault  # it holds this frame
            if self._ended:
                raise StopAsyncIteration
            if self._pump is None:
                return await self._pull()
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        piece, self.piece_came_s, size_bytes = self._held.popleft()
        self._held_bytes -= size_bytes
        self._budget.give_back(size_bytes)
        self._look()
        return piece

    async def _pull(self) -> Piece:
        """The next piece, read by the task that wants it."""
        self._pulling = True
        try:
            piece = await anext(self._source)
        except StopAsyncIteration:
            self._end()
            raise
        except Exception:
            self._fail()
            raise
        finally:
            self._pulling = False
        self.piece_came_s = getattr(self._reply, "piece_came_s", None)
        self._look()
        return piece

    def _look(self) -> None:
        """Gives the slot back if the provider has sent all, and reads on ahead if others wait for it."""
        if not self._slot.held:
            return
        if getattr(self._reply, "complete", False):
            self._release()
        elif not self._pulling and self._pump is None and self._reserve():
            self._pump = asyncio.get_running_loop().create_task(self._read_on())

    def _reserve(self) -> bool:
        """Sets bytes aside for the next piece. False: none waits for the slot any more, or there is no room."""
        if self._reserved_bytes:
            return True
        if not (self._slot.held and self._limiter.contended):
            return False
        size_bytes = self._piece_bytes
        if self._held_bytes + size_bytes > self._budget.turn_bytes:
            return False
        if not self._budget.take(size_bytes):
            self._budget.await_room(self._look)
            return False
        self._reserved_bytes = size_bytes
        return True

    async def _read_on(self) -> None:
        """The pump. Cancelled only when the reply is left: what it waits for may be lost then."""
        unbroken = 0
        try:
            while self._reserve():
                piece = await anext(self._source)
                self._hold(piece)
                if getattr(self._reply, "complete", False):
                    self._release()
                unbroken += 1
                if unbroken == PIECES_A_TURN:
                    unbroken = 0
                    await asyncio.sleep(0)
        except StopAsyncIteration:
            self._end()
        except Exception as fault:
            self._fault = fault
            self._fail()
        finally:
            self._pump = None
            reserved_bytes, self._reserved_bytes = self._reserved_bytes, 0
            self._budget.give_back(reserved_bytes)
            self._tell()

    def _hold(self, piece: Piece) -> None:
        size_bytes = (len(piece) if isinstance(piece, bytes) else 0) + PIECE_OVERHEAD_BYTES
        self._held.append((piece, getattr(self._reply, "piece_came_s", None), size_bytes))
        self._held_bytes += size_bytes
        self._piece_bytes = max(self._piece_bytes, size_bytes)
        reserved_bytes, self._reserved_bytes = self._reserved_bytes, 0
        self._budget.give_back(reserved_bytes - size_bytes)
        self._tell()

    def _tell(self) -> None:
        """Wakes the task that waits for the pump."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
        self._news = None

    def _end(self) -> None:
        self._ended = True
        self._release()

    def _fail(self) -> None:
        """A reply that failed may still be running at the provider, which counts it until the connection is gone."""
        self.abort()
        self._release()

    def abort(self) -> None:
        """Makes the provider stop, now, where the reply can do that; idempotent. Then leave it: nothing more is to be
        read."""
        abort = getattr(self._reply, "abort", None)
        if abort is not None:
            abort()

    def _release(self) -> None:
        self._limiter.unwatch(self._look)
        self._budget.forget(self._look)
        self._slot.release()

    async def _stop_pump(self) -> None:
        """Returns when the pump has ended, also if cancelled meanwhile: the reply may be closed only then."""
        cancelled: asyncio.CancelledError | None = None
        if (pump := self._pump) is not None:
            pump.cancel()
            while not pump.done():
                try:
                    await asyncio.wait([pump])
                except asyncio.CancelledError as error:
                    cancelled = error
            self._pump = None
        # Of a pump that was cancelled before its first step.
        reserved_bytes, self._reserved_bytes = self._reserved_bytes, 0
        self._budget.give_back(reserved_bytes)
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                del cancelled  # it holds this frame


def reading_ahead(reply: Reply, slot: Slot, limiter: ConcurrencyLimiter, budget: ReadAheadBudget) -> ReadAhead:
    """A context that gives `reply`, to be read in its stead; enter it inside of the slot's and the reply's own.

    Releases `slot` when the reply has ended, or is known to be complete; while `limiter.contended`, reads on ahead.
    """
    return ReadAhead(reply, slot, limiter, budget)
