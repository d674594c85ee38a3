"""A turn's text, segment by segment: the next one's request is under way while one is being spoken.

This file does not know frames, outboxes or clients: what it gets of a provider it hands to its turn.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from relay.core.events import Progress
from relay.core.text.chunker import speakable
from relay.core.timings import Timings, TurnTimings
from relay.engine.concurrency import AHEAD, NOW
from relay.engine.converse import PassedText
from relay.engine.text import TurnText
from relay.engine.untraced import UNTRACED
from relay.engine.upstream import Candidate, Candidates, opened
from relay.errors import ProviderError, RelayError, untrace
from relay.providers.base.provider import Driver, Reply

# The segment being spoken and the one after it, whose request is under way so that no gap stands between the two. Each
# costs a place in the provider's concurrency limit, and text spoken for nothing when the turn is cancelled.
OPEN_SEGMENTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHooks:
    """What the turn does with its segments, or its conversation. `carry` raises ProviderError after the good audio."""

    carry: Callable[[Reply, PassedText, Timings], Awaitable[None]]
    # Text without anything to speak.
    pass_over: Callable[[str], Awaitable[None]]
    on_wait: Callable[[], None]
    # How far the provider is with the segment that the listener waits for, and after how many seconds.
    on_progress: Callable[[Progress, float], None]
    # Who failed, who has taken its place, and why.
    on_failover: Callable[[Candidate, Candidate, ProviderError], None]


@dataclass(frozen=True, slots=True)
class _Segment:
    """`number` counts those that are spoken, from 0; `ready_s` is when the text was whole."""

    text: str
    number: int
    ready_s: float


class Segments:
    """Speaks all segments of one turn, in order, by the first of the candidates that can.

    A candidate that fails is replaced by the next one: for the same segment if none of its audio had come, else from
    the next segment on; `truncated` is then what cut the segment off, and the turn must not end as if it were whole.
    """

    def __init__(
        self,
        candidates: Candidates,
        driver: Driver,
        hooks: SegmentHooks,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.truncated: ProviderError | None = None
        self.open = 0
        self._candidates = candidates
        self._driver = driver
        self._hooks = hooks
        self._clock = clock

    async def speak(self, given: TurnText, timings: TurnTimings) -> None:
        """Until all text has been spoken. Raises ExceptionGroup of RelayErrors, after what was being spoken before."""
        spoken = 0
        slots = asyncio.Semaphore(OPEN_SEGMENTS)
        before = asyncio.Event()
        before.set()
        with UNTRACED:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await slots.acquire()
                    text = await given.next()
                    if text is None:
                        return
                    after = asyncio.Event()
                    if speakable(text):
                        segment = _Segment(text, spoken, self._clock())
                        tasks.create_task(self._speak(segment, timings, before, after, slots))
                        spoken += 1
                    else:
                        tasks.create_task(self._pass_over(text, before, after, slots))
                    before = after

    async def _pass_over(
        self, text: str, before: asyncio.Event, after: asyncio.Event, slots: asyncio.Semaphore
    ) -> None:
        await before.wait()
        await self._hooks.pass_over(text)
        after.set()
        slots.release()

    async def _speak(
        self,
        segment: _Segment,
        timings: TurnTimings,
        before: asyncio.Event,
        after: asyncio.Event,
        slots: asyncio.Semaphore,
    ) -> None:
        """Speaks one segment when the one before it has been; opens the provider's side at once."""
        self.open += 1
        try:
            with UNTRACED:
                while not await self._spoken_by(self._candidates.current, segment, timings, before):
                    pass
        finally:
            self.open -= 1
        after.set()
        slots.release()

    async def _spoken_by(
        self, candidate: Candidate, segment: _Segment, timings: TurnTimings, before: asyncio.Event
    ) -> bool:
        """Whether the segment's audio came from `candidate`; else another one has taken its place, to be tried."""
        text, hooks = segment.text, self._hooks
        passed, urgency = PassedText(text), NOW if before.is_set() else AHEAD
        request = timings.request(segment.number, candidate.provider.name, segment.ready_s, self._clock())

        def on_progress(progress: Progress, waited_s: float) -> None:
            if before.is_set():
                hooks.on_progress(progress, waited_s)

        try:
            async with opened(
                *(candidate, self._driver, text, request),
                urgency=urgency,
                on_wait=hooks.on_wait,
                on_progress=on_progress,
                clock=self._clock,
            ) as reply:
                await before.wait()
                await hooks.carry(reply, passed, request)
        except RelayError as error:
            # What was being spoken before it is delivered first.
            await before.wait()
            if not isinstance(error, ProviderError):
                raise
            if not self._candidates.replace(candidate, error, hooks.on_failover):
                raise
            if not passed.heard:
                return False
            untrace(error)  # it is kept, and came through here
            self.truncated = self.truncated or error
        return True
