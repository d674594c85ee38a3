"""Who may speak a turn, in order, and one request at one of them: a slot at the provider, then its reply."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from relay.core.events import Progress
from relay.core.formats import AudioFormat
from relay.core.record import TurnRecord
from relay.core.text.chunker import DEFAULT, TextChunker
from relay.core.text.spoken import SpokenSegment
from relay.core.timings import Stage, Timings
from relay.engine.concurrency import LATER, ConcurrencyLimiter
from relay.engine.notices import Notices
from relay.engine.read_ahead import ReadAheadBudget, reading_ahead
from relay.engine.speaker import Position
from relay.errors import ProviderError
from relay.providers.base.poll import PollRequest
from relay.providers.base.provider import Driver, LocalRequest, Provider, Reply, Speech, Upstream, takes_phonemes


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A provider that may speak a turn, with the settings it would speak it with."""

    provider: Provider
    speech: Speech
    limiter: ConcurrencyLimiter
    ahead: ReadAheadBudget = field(default_factory=ReadAheadBudget)
    # The shape of its headerless audio, where the operator says it.
    shape: AudioFormat | None = None


class Candidates:
    """Who speaks a turn now, and who goes on if that one fails, in order. One that failed is not tried again."""

    def __init__(self, candidates: tuple[Candidate, ...], record: TurnRecord, notices: Notices) -> None:
        self.current, *self._others = candidates
        self._record = record
        self._notices = notices
        self._name()

    def replace(self, failed: Candidate, error: ProviderError) -> bool:
        """Whether there is another one for what comes after a failure. The client is told of a change."""
        if self.current is not failed:
            return True  # an earlier segment's failure has replaced it
        if not self._others:
            return False
        self.current = self._others.pop(0)
        self._name()
        self._notices.failed_over(failed.provider.name, error)
        return True

    def _name(self) -> None:
        record, speech = self._record, self.current.speech
        record.provider, record.voice, record.model = self.current.provider.name, speech.voice, speech.model


class Waits(Protocol):
    """Told of the wait for a reply."""

    def waiting(self) -> None:
        """All slots at the provider are taken."""

    def progress(self, progress: Progress, waited_s: float) -> None:
        """The provider's job is in this state, `waited_s` after it was asked for."""


@asynccontextmanager
async def opened(
    candidate: Candidate,
    driver: Driver,
    text: str | SpokenSegment,
    timings: Timings,
    *,
    urgency: int,
    position: Position | None = None,
    waits: Waits | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Reply]:
    """The reply for one segment, its first piece there. Leaving ends the provider's work and returns the slot, which
    goes back before that when the provider has sent all.

    A provider that says it is busy, and until when, gets that time from everyone, and is asked again if the wait for a
    slot is not over by then; else its answer is the error. Raises RelayError only. `waits` is told of the wait for it.
    `position` None: no turn stands before this one.
    """
    limiter = candidate.limiter
    if position is not None:
        await until_its_turn(limiter, position)
    deadline_s = clock() + limiter.timeout_s
    while True:
        async with AsyncExitStack() as stack:
            on_wait = waits.waiting if waits is not None else None
            slot = await stack.enter_async_context(limiter.slot(urgency, on_wait=on_wait, deadline_s=deadline_s))
            timings.mark(Stage.PLACE_GIVEN, clock())
            upstream = _upstream(candidate, text)
            if urgency == LATER and isinstance(upstream, LocalRequest):
                upstream = replace(upstream, background=True)
            if isinstance(upstream, PollRequest) and waits is not None:
                upstream = replace(upstream, on_progress=waits.progress)
            try:
                reply = await stack.enter_async_context(driver.open(upstream, timings))
            except ProviderError as error:
                if not slot.waits_out(error, deadline_s):
                    raise
                continue
            slot.answered()
            if limiter.limit is not None:
                reply = await stack.enter_async_context(reading_ahead(reply, slot, limiter, candidate.ahead))
            yield reply
            return


def _upstream(candidate: Candidate, text: str | SpokenSegment) -> Upstream:
    """With pronunciations, where there are any and the provider takes them."""
    provider, speech = candidate.provider, candidate.speech
    if isinstance(text, str):
        return provider.request(speech, text)
    if text.phonemes and takes_phonemes(provider):
        return provider.pronounce(speech, text.spoken, text.phonemes)
    return provider.request(speech, text.spoken)


async def until_its_turn(limiter: ConcurrencyLimiter, position: Position) -> None:
    """Waits until a turn may ask for a slot. One that stands behind others takes one at once where another stays free;
    else it asks when those before it have been fed.

    Its audio cannot be fed before theirs, so a slot that it held for a reply that is too long to be read ahead would
    not come back before they had one.
    """
    if not (limiter.has_spare or position.is_current):
        await position.until_current()


def chunker_for(candidates: Sequence[Candidate], current: Provider) -> TextChunker:
    """Cuts text into segments that every candidate takes, as long as `current` likes them."""
    limits = [candidate.provider.capabilities.longest_segment_chars for candidate in candidates]
    target = current.capabilities.target_segment_chars
    policy = DEFAULT
    if target is not None:
        policy = replace(DEFAULT, target_chars=target, longest_chars=max(target, DEFAULT.longest_chars))
    return TextChunker(max_chars=min((limit for limit in limits if limit is not None), default=None), policy=policy)
