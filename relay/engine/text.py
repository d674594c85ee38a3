"""A turn's text on its way from the client: to the segments that are spoken, or as it comes to the provider."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import TypeAlias

from relay.core.text.characters import speakable
from relay.core.text.chunker import TextChunker
from relay.core.text.spoken import SpokenSegment
from relay.engine.speaker import Speaker


class Taken:
    """Counts the characters of one turn that providers were given: once, though a failover has them given again."""

    def __init__(self, turn_id: str, speaker: Speaker) -> None:
        self._turn_id = turn_id
        self._speaker = speaker
        self._chars = 0
        self._told = 0

    def add(self, chars: int) -> None:
        self._chars += chars
        if self._chars > self._told:
            self._speaker.taken(self._turn_id, self._chars - self._told)
            self._told = self._chars

    def again(self) -> None:
        """The same text is taken from its beginning."""
        self._chars = 0


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
        # Of all text that the provider was given.
        self.chars = len(text or "")

    def add(self, text: str) -> None:
        self.chars += len(text)
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


class Flushes:
    """Unanswered flushes of a turn, by how much text had been given at each. The session bounds their number."""

    def __init__(self) -> None:
        self._open: deque[tuple[int, str | None]] = deque()

    def add(self, chars: int, flush_id: str | None) -> None:
        self._open.append((chars, flush_id))

    def spoken(self, chars: int) -> list[str | None]:
        """The ids of those whose text is within the first `chars` characters: answered now."""
        answered = []
        while self._open and self._open[0][0] <= chars:
            answered.append(self._open.popleft()[1])
        return answered


class TurnText:
    """The chunker with a way to wait for it. One task takes; appending never waits."""

    def __init__(
        self,
        chunker: TextChunker,
        taken: Taken,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chunker = chunker
        self._taken = taken
        self._clock = clock
        self._changed = asyncio.Event()
        self.chars = 0
        # Whether nothing will be taken before the client says more.
        self.waiting = False

    def append(self, text: str) -> None:
        self.chars += len(text)
        self._chunker.append(text, self._clock())
        self._changed.set()

    def flush(self) -> None:
        self._chunker.flush()
        self._changed.set()

    def end_input(self) -> None:
        self._chunker.end_input()
        self._changed.set()

    async def next(self) -> str | SpokenSegment | None:
        """The next segment, as soon as one is speakable; None when all text was taken and no more will come.

        The session's idle timeout bounds the wait for a client that says nothing.
        """
        while True:
            self._changed.clear()
            segment = self._chunker.take(self._clock())
            if segment is not None:
                self._taken.add(len(segment))
                return segment
            if self._chunker.exhausted:
                return None
            await self._change_by(self._chunker.deadline_s)

    async def _change_by(self, deadline_s: float | None) -> None:
        """Waits until the client says more, or until `deadline_s`."""
        delay_s = None if deadline_s is None else max(0.0, deadline_s - self._clock())
        self.waiting = delay_s is None
        try:
            async with asyncio.timeout(delay_s):
                await self._changed.wait()
        except TimeoutError:
            pass
        finally:
            self.waiting = False


class Mark(Enum):
    """What stands between pieces of text."""

    FLUSH = auto()
    END = auto()


Given: TypeAlias = str | SpokenSegment | Mark


def given_of(text: str | SpokenSegment) -> str:
    """The text as the client gave it."""
    return text if isinstance(text, str) else text.given


def spoken_of(text: str | SpokenSegment) -> str:
    """The text as a provider is to speak it."""
    return text if isinstance(text, str) else text.spoken


class StreamedText:
    """Text that is not cut: what has come since the last look is one piece. One task takes; appending never waits.

    What waits, and what is kept to be given again, is bounded by the session's `max_turn_chars`.
    """

    def __init__(self, taken: Taken) -> None:
        self._taken = taken
        self._given: deque[str | Mark] = deque()
        self._kept: deque[str | Mark] = deque()
        self._changed = asyncio.Event()
        self.chars = 0
        # Whether nothing will be taken before the client says more.
        self.waiting = False

    def append(self, text: str) -> None:
        self.chars += len(text)
        self._given.append(text)
        self._changed.set()

    def flush(self) -> None:
        # Two in a row are one, so that marks without text between them are bounded too.
        if not self._given or self._given[-1] is not Mark.FLUSH:
            self._given.append(Mark.FLUSH)
            self._changed.set()

    def end_input(self) -> None:
        self._given.append(Mark.END)
        self._changed.set()

    async def beginning(self) -> bool:
        """Waits for text that can be spoken. False: all text is there, and there is none.

        Nothing is taken: white space before the first word costs no request, and is not lost.
        """
        while True:
            self._changed.clear()
            text = "".join(piece for piece in self._given if isinstance(piece, str))
            ended = Mark.END in self._given
            if ended or speakable(text):
                return speakable(text)
            # A flush of what cannot be spoken is none.
            self._given = deque([text] if text else [])
            await self._change()

    async def next(self, *, keep: bool = False) -> Given:
        """All text that has come, or the mark that stands before it. END is the last.

        `keep`: it can be given again, with all that was kept before; without, none of it can.
        """
        while not self._given:
            self._changed.clear()
            await self._change()
        given = self._given.popleft()
        if isinstance(given, str):
            pieces = [given]
            while self._given and isinstance(following := self._given[0], str):
                pieces.append(following)
                self._given.popleft()
            given = "".join(pieces)
        if not keep:
            self._kept.clear()
        # Flushes without text between them are one here too.
        elif not (given is Mark.FLUSH and self._kept and self._kept[-1] is Mark.FLUSH):
            self._kept.append(given)
        return given

    async def rest(self) -> list[str]:
        """All text up to the end, which must be there."""
        texts = []
        while (given := await self.next()) is not Mark.END:
            if not isinstance(given, Mark):
                texts.append(given_of(given))
                self.took(len(texts[-1]))
        return texts

    def rewind(self) -> None:
        """What was kept is given again, before what still waits."""
        self._given.extendleft(reversed(self._kept))
        self._kept.clear()
        self._taken.again()

    def pour(self, into: TurnText) -> None:
        """Everything that waits goes `into` the chunker."""
        while self._given:
            given = self._given.popleft()
            if isinstance(given, str):
                into.append(given)
            elif given is Mark.FLUSH:
                into.flush()
            else:
                into.end_input()

    async def _change(self) -> None:
        self.waiting = True
        try:
            await self._changed.wait()
        finally:
            self.waiting = False

    def took(self, chars: int) -> None:
        """So much text has been passed on: a paused client may go on."""
        self._taken.add(chars)
