"""A turn whose text goes to the provider as it is typed: passing text on while audio comes back.

This file does not know which provider is speaking, nor who listens.
"""

import asyncio
from collections.abc import Awaitable, Callable

from relay.engine.text import Mark, StreamedText
from relay.engine.untraced import UNTRACED
from relay.errors import RelayError
from relay.providers.base.dialogue import Conversation


class PassedText:
    """Text that a provider has been given and that no `text.segment` has told of yet.

    A provider does not say which audio speaks which text. What is known is an order: audio that came before a text was
    passed on does not speak it. So all text given before the first audio is one segment, each further piece is one of
    its own, and a segment's start is the earliest instant at which it can be heard. Where `text` is given at once, as a
    request's is, it is the one segment.
    """

    def __init__(self, text: str | None = None) -> None:
        self._untold: list[str] = [] if text is None else [text]
        self._audio_came = False

    def add(self, text: str) -> None:
        if self._untold and not self._audio_came:
            self._untold[-1] += text
        else:
            self._untold.append(text)

    @property
    def heard(self) -> bool:
        """Whether any audio has come."""
        return self._audio_came

    def audio_came(self) -> list[str]:
        """The segments to tell of before the audio that has just come."""
        self._audio_came = True
        return self.rest()

    def rest(self) -> list[str]:
        """The segments that have not been told of, for the end of the turn."""
        untold, self._untold = self._untold, []
        return untold


async def converse(
    text: StreamedText,
    conversation: Conversation,
    passed: PassedText,
    carry: Callable[[Conversation, PassedText], Awaitable[None]],
) -> None:
    """Passes `text` on as it comes, while `carry` carries the audio. Returns when the audio has ended.

    Raises the RelayError of either of them, for a provider that takes no more text ends the audio too, and bugs as an
    ExceptionGroup.
    """
    failure: RelayError | None = None
    try:
        with UNTRACED:
            async with asyncio.TaskGroup() as tasks:
                passing = tasks.create_task(_pass_on(text, conversation, passed))
                await carry(conversation, passed)
                # The provider has ended the turn: it has all the text, or the driver would have raised.
                passing.cancel()
    except ExceptionGroup as group:
        errors, bugs = group.split(RelayError)
        if errors is None or bugs is not None:
            raise
        failure = first_error(errors)
    if failure is not None:
        raise failure


def first_error(group: BaseExceptionGroup[RelayError]) -> RelayError:
    for error in group.exceptions:
        return first_error(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")


async def _pass_on(text: StreamedText, conversation: Conversation, passed: PassedText) -> None:
    # What has been heard in part is not passed on to anybody else.
    while (given := await text.next(keep=not passed.heard)) is not Mark.END:
        if isinstance(given, str):
            # Noted before it is given: its audio may be there before `give` returns.
            passed.add(given)
            await conversation.give(given)
            text.took(len(given))
        else:
            await conversation.flush()
    await conversation.end_text()
