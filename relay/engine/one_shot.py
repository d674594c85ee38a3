"""One turn without a session: what `POST /v1/speech`, jobs and programs that use the engine speak with."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Any, Self

from relay.core.effects import OpenTurn
from relay.core.events import (
    AppendText,
    Command,
    EndTurn,
    Event,
    Failed,
    FlushText,
    SessionDefaults,
    SessionLimits,
    StartTurn,
    TurnDone,
    TurnRequest,
)
from relay.core.playout import Run
from relay.core.record import TurnRecord
from relay.engine.live_session import Accounts, LiveSession, Tap
from relay.errors import RelayError

# What is taken of the schedule at a time: a third of a second at 24 kHz.
ROOM_BYTES = 16 * 1024


class _Pulled:
    """An outlet that one task takes from. It has room while it is empty."""

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.changed = asyncio.Event()
        self.bug: Exception | None = None

    @property
    def room_bytes(self) -> int:
        return 0 if self.items else ROOM_BYTES

    def write(self, items: Sequence[Any]) -> None:
        self.items.extend(items)
        self.changed.set()

    def fail(self, error: Exception) -> None:
        self.bug = error
        self.changed.set()


class OneShot:
    """Runs one turn while its context is entered; leaving early cancels it and closes the provider's side.

    Text limits and settings are those of a session. Raises RelayError where a session would answer `error`.
    """

    def __init__(
        self,
        accounts: Accounts,
        request: TurnRequest,
        *,
        defaults: SessionDefaults,
        limits: SessionLimits,
        check: Callable[[OpenTurn], Any],
        max_chars: int | None = None,
        spend: Callable[[int], None] = lambda _chars: None,
        traceparent: str | None = None,
        tap: Tap | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outlet = _Pulled()
        self._live = LiveSession(
            accounts,
            self._outlet,
            defaults=defaults,
            limits=limits,
            check=check,
            max_chars=max_chars,
            spend=spend,
            traceparent=traceparent,
            tap=tap,
            clock=clock,
        )
        self._request = request
        self.record: TurnRecord

    async def __aenter__(self) -> Self:
        await self._live.__aenter__()
        try:
            self._receive(StartTurn(request=self._request))
        except RelayError:
            await self._live.__aexit__(None, None, None)
            raise
        [self.record] = self._live.session.records
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._live.__aexit__(kind, error, trace)

    def append(self, text: str) -> None:
        self._receive(AppendText(text=text))

    def flush(self, flush_id: str | None = None) -> None:
        self._receive(FlushText(flush_id=flush_id))

    def end_input(self) -> None:
        self._receive(EndTurn())

    async def contents(self) -> AsyncGenerator[Run | Event, None]:
        """Runs of frames and events in order, each when it may leave. Raises the turn's RelayError after the good
        audio."""
        outlet = self._outlet
        while True:
            while outlet.items:
                item = outlet.items.popleft()
                if isinstance(item, Failed):
                    raise item.error
                yield item
                if isinstance(item, TurnDone):
                    return
            outlet.changed.clear()
            self._live.speaker.flush()
            if not outlet.items:
                if outlet.bug is not None:
                    raise outlet.bug
                await outlet.changed.wait()

    def _receive(self, command: Command) -> None:
        self._live.receive(command)
        # What was refused is told at once.
        for item in self._outlet.items:
            if isinstance(item, Failed):
                raise item.error
