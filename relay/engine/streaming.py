"""A turn whose text is passed on as it comes: one conversation, or another where one fails before it was heard.

This file does not know frames, outboxes or clients: what it gets of a provider it hands to its turn.
"""

import time
from collections.abc import Callable

from relay.core.timings import Stage, TurnTimings
from relay.engine.converse import PassedText, converse
from relay.engine.segments import SegmentHooks
from relay.engine.text import Mark, StreamedText, Taken
from relay.engine.untraced import UNTRACED
from relay.engine.upstream import Candidate, Candidates
from relay.errors import ProviderError
from relay.providers.base.dialogue import DialogueDriver, StreamingProvider, takes_text_as_typed


class Conversations:
    """Speaks a turn by the first of the candidates that can, as long as they take text as it comes.

    A candidate that fails before any of its audio came is replaced by the next one, which is given all text from the
    beginning: nobody has heard anything. One that fails later is not: it has been given text of which nobody can tell
    what was spoken, and it may be all of the turn's. One that is busy, and says until when, is asked again.
    """

    def __init__(
        self,
        candidates: Candidates,
        driver: DialogueDriver,
        hooks: SegmentHooks,
        taken: Taken,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._candidates = candidates
        self._driver = driver
        self._hooks = hooks
        self._taken = taken
        self._clock = clock

    async def speak(self, given: StreamedText, timings: TurnTimings) -> bool:
        """True: all text was spoken. False: the candidate whose turn it is takes segments, and `given` has all text.

        A conversation is opened when there is something to be said. Raises RelayError, or ExceptionGroup of bugs.
        """
        candidate: Candidate | None = None
        deadline_s = 0.0
        while True:
            if candidate is not self._candidates.current:
                candidate = self._candidates.current
                deadline_s = self._clock() + candidate.budget.timeout_s
            provider = candidate.provider
            if not takes_text_as_typed(provider, candidate.speech):
                return False
            if not await given.beginning():
                while (text := await given.next()) is not Mark.END:
                    if isinstance(text, str):
                        given.took(len(text))
                        await self._hooks.pass_over(text)
                return True
            passed = PassedText()
            try:
                with UNTRACED:
                    await self._converse(candidate, provider, given, passed, timings)
            except ProviderError as error:
                again = candidate.budget.waits_out(error, deadline_s)
                if passed.heard or not (again or self._candidates.replace(candidate, error, self._hooks.on_failover)):
                    raise
                given.rewind()
                self._taken.again()
            else:
                return True

    async def _converse(
        self,
        candidate: Candidate,
        provider: StreamingProvider,
        given: StreamedText,
        passed: PassedText,
        timings: TurnTimings,
    ) -> None:
        now_s, upstream = self._clock(), provider.converse(candidate.speech)
        request = timings.request(0, provider.name, now_s, now_s)
        async with candidate.budget.place(on_wait=self._hooks.on_wait):
            request.mark(Stage.PLACE_GIVEN, self._clock())
            async with self._driver.converse(upstream, request) as conversation:
                await converse(
                    given, conversation, passed, lambda reply, passed: self._hooks.carry(reply, passed, request)
                )
