"""Carries text from the caller's iterator into a turn, for `Session.speak(iterator)`."""

import contextlib
from collections.abc import AsyncIterable

from relay_client.errors import RelayClientError, TextSourceError
from relay_client.inbox import Inbox
from relay_client.turn import Turn

__all__ = ["feed"]


async def feed(turn: Turn, inbox: Inbox, source: AsyncIterable[str]) -> None:
    """Appends what `source` gives as it comes, waits while the relay asks for no more text, then ends the turn.

    Runs as a task that is cancelled when the turn ends, whereupon the source is closed if it can be: an LLM that
    nobody listens to should not go on. If the source raises, what it gave is still spoken, and the turn then fails
    with TextSourceError. Never raises itself.
    """
    iterator = aiter(source)
    try:
        async for piece in iterator:
            await inbox.text_wanted.wait()
            try:
                await turn.append(piece)
            except RelayClientError:
                return  # the turn is over; its reader is told why
    except Exception as error:
        inbox.source_failure = TextSourceError(f"the text source raised {type(error).__name__}")
        inbox.source_failure.__cause__ = error
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()
    with contextlib.suppress(RelayClientError):
        await turn.end()
