"""A turn's text, segment by segment: the next one's request is under way while one is being spoken.

    async with Segments(text, candidates, driver, notices, timings) as segments:
        while (segment := await segments.next()) is not None:
            async with segment:
                ...     # carry segment.reply; a ProviderError goes to segments.failed

This file does not know audio, schedules or clients.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from relay.core.events import Progress
from relay.core.text.chunker import speakable
from relay.core.timings import Timings, TurnTimings
from relay.engine.candidates import Candidate, Candidates, opened
from relay.engine.concurrency import AHEAD, NOW
from relay.engine.notices import Notices
from relay.engine.text import PassedText, TurnText
from relay.engine.untraced import UNTRACED
from relay.errors import ProviderError, untrace
from relay.providers.base.provider import Driver, Reply

# The segment being spoken and the one after it, whose request is under way so that no gap stands between the two. Each
# costs a slot at the provider, and text spoken for nothing when the turn is cancelled.
OPEN_SEGMENTS = 2


class Segment:
    """One reply, open, its first piece there; or, without a reply, text that has nothing to speak in it.

    Leaving it ends the provider's work on it.
    """

    def __init__(self, text: str) -> None:
        self.passed = PassedText(text)
        self.text = text
        self.reply: Reply | None = None
        self.request = Timings()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with UNTRACED:
            await self._stack.aclose()


class _Opening(Segment):
    """A segment whose request is under way. `number` counts those that are spoken, from 0; `ready_s` is when the text
    was whole. What its provider says of its progress is told once the segment is the next to be heard."""

    def __init__(self, text: str, number: int, ready_s: float, notices: Notices) -> None:
        super().__init__(text)
        self.number = number
        self.ready_s = ready_s
        self.candidate: Candidate
        # While it is being opened.
        self.task: asyncio.Task[None] | None = None
        self._notices = notices
        self._in_front = False
        self._waits = False

    def to_front(self) -> None:
        self._in_front = True
        if self._waits and self.reply is None:
            self._notices.waiting()

    def waiting(self) -> None:
        self._waits = True
        if self._in_front:
            self._notices.waiting()

    def progress(self, progress: Progress, waited_s: float) -> None:
        if self._in_front:
            self._notices.progress(progress, waited_s)

    async def open(
        self, candidate: Candidate, driver: Driver, timings: TurnTimings, clock: Callable[[], float]
    ) -> None:
        """Raises RelayError; then nothing is left open."""
        with UNTRACED:
            self.candidate = candidate
            self._waits = False
            self.request = timings.request(self.number, candidate.provider.name, self.ready_s, clock())
            self.reply = await self._stack.enter_async_context(
                opened(
                    *(candidate, driver, self.text, self.request),
                    urgency=NOW if self._in_front else AHEAD,
                    waits=self,
                    clock=clock,
                )
            )


class Segments:
    """All segments of one turn, in order, by the first of the candidates that can speak them.

    A candidate that fails is replaced by the next one: for the same segment if none of its audio had come, else from
    the next segment on; `truncated` is then what cut the segment off, and the turn must not end as if it were whole.
    """

    def __init__(
        self,
        text: TurnText,
        candidates: Candidates,
        driver: Driver,
        notices: Notices,
        timings: TurnTimings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.truncated: ProviderError | None = None
        self._text = text
        self._candidates = candidates
        self._driver = driver
        self._notices = notices
        self._timings = timings
        self._clock = clock
        self._slots = asyncio.Semaphore(OPEN_SEGMENTS)
        # Bounded by the slots; None behind the last one, an exception where taking text went wrong.
        self._queue: asyncio.Queue[Segment | Exception | None] = asyncio.Queue()
        self._openings: set[asyncio.Task[None]] = set()
        self._again: _Opening | None = None
        self._taking: asyncio.Task[None]
        self._spoken = 0
        self._first = True

    @property
    def open(self) -> bool:
        """Whether a provider is at work on any of it, or will be without more text."""
        return bool(self._openings) or self._again is not None or not self._queue.empty()

    async def __aenter__(self) -> Self:
        self._taking = asyncio.create_task(self._take())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = {self._taking, *self._openings}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        while not self._queue.empty():
            if isinstance(left := self._queue.get_nowait(), Segment):
                await left.__aexit__(None, None, None)
            if isinstance(left, _Opening):
                left.task = None  # an error in it holds what it came through

    async def next(self) -> Segment | None:
        """The next segment; the one before must have been left. None after the last. Raises RelayError when the
        provider's side of it cannot be opened."""
        segment = self._again
        if segment is None:
            if not self._first:
                self._slots.release()
            self._first = False
            taken = await self._queue.get()
            if isinstance(taken, Exception):
                raise taken
            if not isinstance(taken, _Opening):
                return taken
            segment = taken
        self._again = None
        while True:
            segment.to_front()
            opening, segment.task = segment.task, None
            assert opening is not None, "what is queued is being opened"
            try:
                await opening
            except ProviderError as error:
                if not self._candidates.replace(segment.candidate, error):
                    raise
                self._open(segment)
            else:
                return segment

    def failed(self, segment: Segment, error: ProviderError) -> None:
        """The segment's reply has ended in `error`: another candidate goes on, or the error is raised."""
        assert isinstance(segment, _Opening), "only what was opened can fail"
        if not self._candidates.replace(segment.candidate, error):
            raise error
        if segment.passed.heard:
            untrace(error)  # it is kept, and came through here
            self.truncated = self.truncated or error
        else:
            self._again = segment
            self._open(segment)

    async def _take(self) -> None:
        """Takes text as it becomes speakable, and begins its requests ahead of need."""
        try:
            with UNTRACED:
                while True:
                    await self._slots.acquire()
                    text = await self._text.next()
                    if text is None:
                        self._queue.put_nowait(None)
                        return
                    self._queue.put_nowait(self._begun(text))
        except Exception as error:
            self._queue.put_nowait(error)

    def _begun(self, text: str) -> Segment:
        if not speakable(text):
            return Segment(text)
        opening = _Opening(text, self._spoken, self._clock(), self._notices)
        self._spoken += 1
        self._open(opening)
        return opening

    def _open(self, opening: _Opening) -> None:
        candidate = self._candidates.current
        opening.candidate = candidate
        opening.task = task = asyncio.create_task(
            opening.open(candidate, self._driver, self._timings, self._clock), name="open segment"
        )
        self._openings.add(task)
        task.add_done_callback(self._openings.discard)
