"""A turn's text, segment by segment: the next one's request is under way while one is being spoken.

    async with Segments(text, candidates, driver, notices, position, timings) as segments:
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
from relay.core.formats import AudioFormat
from relay.core.text.chunker import speakable
from relay.core.text.spoken import SpokenSegment, WordPlaces
from relay.core.timings import Timings, TurnTimings
from relay.engine.candidates import Candidate, Candidates, opened
from relay.engine.concurrency import AHEAD, LATER, NOW
from relay.engine.notices import Notices
from relay.engine.speaker import Position
from relay.engine.text import PassedText, TurnText, given_of, spoken_of
from relay.engine.untraced import UNTRACED
from relay.errors import ProviderError, untrace
from relay.providers.base.provider import Driver, Reply

# The segment being spoken and the one after it, whose request is under way so that no gap stands between the two. Each
# costs a slot at the provider, and text spoken for nothing when the turn is cancelled.
OPEN_SEGMENTS = 2


class Segment:
    """One reply, open, its first piece there; or, without a reply, text that has nothing to speak in it.

    `text` is as it was given, `spoken` what the provider gets for it. Leaving it ends the provider's work on it.
    """

    def __init__(self, text: str | SpokenSegment) -> None:
        self.text, self.spoken = given_of(text), spoken_of(text)
        self.passed = PassedText(self.text)
        self.places: WordPlaces | None = None
        self.reply: Reply | None = None
        self.shape: AudioFormat | None = None
        self.request = Timings()
        self.left = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.left = True
        with UNTRACED:
            await self._stack.aclose()


class _Opening(Segment):
    """A segment whose request is under way. `number` counts those that are spoken, from 0; `ready_s` is when the text
    was whole. What its provider says of its progress is told once the segment is the next to be heard."""

    def __init__(
        self, text: str | SpokenSegment, number: int, ready_s: float, notices: Notices, *, background: bool
    ) -> None:
        super().__init__(text)
        self._asked = text
        self.number = number
        self.ready_s = ready_s
        self.candidate: Candidate
        # What opens it ahead of need.
        self.task: asyncio.Task[None] | None = None
        self._notices = notices
        self._in_front = False
        self._waits = False
        self._background = background

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

    @property
    def _urgency(self) -> int:
        if self._background:
            return LATER
        return NOW if self._in_front else AHEAD

    async def open(
        self,
        candidate: Candidate,
        driver: Driver,
        position: Position,
        timings: TurnTimings,
        clock: Callable[[], float],
    ) -> None:
        """Raises RelayError; then nothing is left open."""
        with UNTRACED:
            self.candidate, self.shape = candidate, candidate.shape
            self._waits = self.left = False
            self.places = None if isinstance(self._asked, str) else WordPlaces(self._asked)
            self.request = timings.request(self.number, candidate.provider.name, self.ready_s, clock())
            self.reply = await self._stack.enter_async_context(
                opened(
                    *(candidate, driver, self._asked, self.request),
                    urgency=self._urgency,
                    position=position,
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
        position: Position,
        timings: TurnTimings,
        *,
        background: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._background = background
        self.truncated: ProviderError | None = None
        self._text = text
        self._candidates = candidates
        self._driver = driver
        self._notices = notices
        self._position = position
        self._timings = timings
        self._clock = clock
        self._slots = asyncio.Semaphore(OPEN_SEGMENTS)
        # Bounded by the slots; None behind the last one, an exception where taking text went wrong.
        self._queue: asyncio.Queue[Segment | Exception | None] = asyncio.Queue()
        self._openings: set[asyncio.Task[None]] = set()
        # What is being spoken, and what is to be spoken again by another candidate.
        self._front: Segment | None = None
        self._again: _Opening | None = None
        self._taking: asyncio.Task[None] | None = None
        self._spoken = 0

    @property
    def open(self) -> bool:
        """Whether a provider is at work on any of it, or will be without more text."""
        speaking = self._front is not None and not self._front.left
        return speaking or bool(self._openings) or self._again is not None or not self._queue.empty()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = {*self._openings, *([self._taking] if self._taking else [])}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        while not self._queue.empty():
            if isinstance(left := self._queue.get_nowait(), Segment):
                await left.__aexit__(None, None, None)
            if isinstance(left, _Opening):
                left.task = None  # an error in it holds what it came through

    async def next(self) -> Segment | None:
        """The next segment; the one before must have been left. None after the last. Raises RelayError when the
        provider's side of it cannot be opened."""
        segment, self._again = self._again, None
        if segment is None:
            taken = await self._next_text()
            self._front = taken
            if not isinstance(taken, _Opening):
                return taken
            segment = taken
        while True:
            segment.to_front()
            opening, segment.task = segment.task, None
            try:
                # What was not opened ahead of need is opened here, without a task to wait for.
                await (opening or self._opened(segment))
            except ProviderError as error:
                if not self._candidates.replace(segment.candidate, error):
                    raise
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

    async def _next_text(self) -> Segment | None:
        if self._taking is None:
            # The first text goes its way at once; from then on the text behind it is taken ahead of need.
            await self._slots.acquire()
            text = await self._text.next()
            first = None if text is None else self._begun(text)
            if first is not None:
                self._taking = asyncio.create_task(self._take(), name="take text")
            return first
        self._slots.release()
        taken = await self._queue.get()
        if isinstance(taken, Exception):
            raise taken
        return taken

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
                    segment = self._begun(text)
                    if isinstance(segment, _Opening):
                        self._open_ahead(segment)
                    self._queue.put_nowait(segment)
        except Exception as error:
            self._queue.put_nowait(error)

    def _begun(self, text: str | SpokenSegment) -> Segment:
        if not speakable(spoken_of(text)):
            return Segment(text)
        opening = _Opening(text, self._spoken, self._clock(), self._notices, background=self._background)
        self._spoken += 1
        return opening

    def _open_ahead(self, opening: _Opening) -> None:
        opening.candidate = self._candidates.current
        opening.task = task = asyncio.create_task(self._opened(opening), name="open segment")
        self._openings.add(task)
        task.add_done_callback(self._openings.discard)

    async def _opened(self, opening: _Opening) -> None:
        await opening.open(self._candidates.current, self._driver, self._position, self._timings, self._clock)
