"""A turn whose text goes to the provider as it is typed: one conversation, or the next if one fails before its audio.

This file does not know audio, schedules or clients.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from relay.core.formats import AudioFormat
from relay.core.text.spoken import SpokenSegment, WordPlaces
from relay.core.timings import Stage, Timings, TurnTimings
from relay.engine.candidates import Candidate, Candidates, until_its_turn
from relay.engine.notices import Notices
from relay.engine.read_ahead import reading_ahead
from relay.engine.speaker import Position
from relay.engine.text import Mark, PassedText, StreamedText, given_of, spoken_of
from relay.engine.untraced import UNTRACED
from relay.errors import ProviderError, RelayError
from relay.providers.base.dialogue import Conversation, DialogueDriver, StreamingProvider, takes_text_as_typed
from relay.providers.base.provider import Reply


class StreamedReply:
    """A conversation under way: its reply, and the text that was passed on."""

    def __init__(self, reply: Reply, shape: AudioFormat | None, request: Timings, passed: PassedText) -> None:
        self.reply = reply
        self.shape = shape
        self.request = request
        self.passed = passed
        # Of text that is not spoken as it was given.
        self.places: WordPlaces | None = None


class Streaming:
    """Speaks a turn by the first of the candidates that can, as long as they take text as it comes.

    A candidate that fails before any of its audio came is replaced by the next one, which is given all text from the
    beginning: nothing of it was heard. One that fails later is not: it has been given text of which it is not known
    what was spoken, and it may be all of the turn's. One that is busy, and says until when, is asked again.
    """

    def __init__(
        self,
        text: StreamedText,
        candidates: Candidates,
        driver: DialogueDriver,
        notices: Notices,
        position: Position,
        timings: TurnTimings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._text = text
        self._candidates = candidates
        self._driver = driver
        self._notices = notices
        self._position = position
        self._timings = timings
        self._clock = clock
        self._candidate: Candidate | None = None
        # Until when the candidate is asked for a slot: from the first time on.
        self._deadline_s: float | None = None

    def provider(self) -> StreamingProvider | None:
        """Who is to be given the text; None where who speaks now takes segments."""
        candidate = self._candidates.current
        if candidate is not self._candidate:
            self._candidate = candidate
            self._deadline_s = None
        return candidate.provider if takes_text_as_typed(candidate.provider, candidate.speech) else None

    @asynccontextmanager
    async def conversation(self, provider: StreamingProvider) -> AsyncIterator[StreamedReply]:
        """Opens a conversation and passes text on until it has ended, while the reply is read within the context.

        Raises the RelayError of either side: a provider that takes no more text ends the audio too.
        """
        candidate = self._candidates.current
        await until_its_turn(candidate.limiter, self._position)
        now_s = self._clock()
        if self._deadline_s is None:
            self._deadline_s = now_s + candidate.limiter.timeout_s
        upstream = provider.converse(candidate.speech)
        request = self._timings.request(0, provider.name, now_s, now_s)
        passed = PassedText()
        failure: RelayError | None = None
        try:
            with UNTRACED:
                limiter = candidate.limiter
                async with limiter.slot(on_wait=self._notices.waiting, deadline_s=self._deadline_s) as slot:
                    request.mark(Stage.PLACE_GIVEN, self._clock())
                    async with (
                        self._driver.converse(upstream, request) as conversation,
                        reading_ahead(conversation, slot, limiter, candidate.ahead) as reply,
                        asyncio.TaskGroup() as tasks,
                    ):
                        spoken = StreamedReply(reply, candidate.shape, request, passed)
                        passing = tasks.create_task(self._pass_on(conversation, spoken))
                        yield spoken
                        # The provider has ended the turn: it has all the text, or the driver would have raised.
                        passing.cancel()
        except ExceptionGroup as group:
            errors, bugs = group.split(RelayError)
            if errors is None or bugs is not None:
                raise
            failure = _first(errors)
        if failure is not None:
            raise failure

    def failed(self, error: ProviderError, passed: PassedText | None) -> None:
        """The conversation has ended in `error`: the text is given again, to another candidate perhaps, or the error is
        raised."""
        candidate = self._candidate
        assert candidate is not None and self._deadline_s is not None, "a conversation has asked for a slot"
        again = candidate.limiter.waits_out(error, self._deadline_s)
        if (passed and passed.heard) or not (again or self._candidates.replace(candidate, error)):
            raise error
        self._text.rewind()

    async def _pass_on(self, conversation: Conversation, reply: StreamedReply) -> None:
        passed = reply.passed
        # What has been heard in part is not passed on to another provider.
        while (given := await self._text.next(keep=not passed.heard)) is not Mark.END:
            if isinstance(given, Mark):
                await conversation.flush()
                continue
            # Noted before it is given: its audio may be there before `give` returns.
            text = given_of(given)
            passed.add(text)
            if isinstance(given, SpokenSegment):
                reply.places = reply.places or WordPlaces()
                reply.places.add(given)
            if spoken := spoken_of(given):
                await conversation.give(spoken)
            self._text.took(len(text))
        await conversation.end_text()


def _first(group: BaseExceptionGroup[RelayError]) -> RelayError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
