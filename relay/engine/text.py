"""A turn's text on its way from the client: to the segments that are spoken, or as it comes to the provider."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import TypeAlias

from relay.core.text.characters import speakable
from relay.core.text.chunker import TextChunker


class Taken:
    """Characters taken by who speaks them, told once though a failover has them taken again."""

    def __init__(self, on_taken: Callable[[int], None]) -> None:
        self._on_taken = on_taken
        self._chars = 0
        self._told = 0

    def __call__(self, chars: int) -> None:
        self._chars += chars
        if self._chars > self._told:
            self._on_taken(self._chars - self._told)
            self._told = self._chars

    def again(self) -> None:
        """The same text is taken from its beginning."""
        self._chars = 0


class TurnText:
    """The chunker with a way to wait for it. One task takes; appending never waits."""

    def __init__(
        self,
        chunker: TextChunker,
        *,
        on_taken: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chunker = chunker
        self._on_taken = on_taken
        self._clock = clock
        self._changed = asyncio.Event()
        self.chars = self.pending_chars = 0
        # Whether nothing will be taken before the client says more.
        self.waiting = False

    def append(self, text: str) -> None:
        self.chars += len(text)
        self.pending_chars += len(text)
        self._chunker.append(text, self._clock())
        self._changed.set()

    def flush(self) -> None:
        self._chunker.flush()
        self._changed.set()

    def end_input(self) -> None:
        self._chunker.end_input()
        self._changed.set()

    async def next(self) -> str | None:
        """The next segment, as soon as one is speakable; None when all text was taken and no more will come.

        The session's idle timeout bounds the wait for a client that says nothing.
        """
        while True:
            self._changed.clear()
            segment = self._chunker.take(self._clock())
            if segment is not None:
                self.pending_chars -= len(segment)
                self._on_taken(len(segment))
                return segment
            if self._chunker.exhausted:
                return None
            deadline_s = self._chunker.deadline_s
            delay_s = None if deadline_s is None else max(0.0, deadline_s - self._clock())
            self.waiting = delay_s is None
            try:
                async with asyncio.timeout(delay_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
            finally:
                self.waiting = False


class Mark(Enum):
    """What stands between pieces of text."""

    FLUSH = auto()
    END = auto()


Given: TypeAlias = str | Mark


class StreamedText:
    """Text that is not cut: what has come since the last look is one piece. One task takes; appending never waits.

    What waits, and what is kept to be given again, is bounded by the session's `max_turn_chars`.
    """

    def __init__(self, *, on_taken: Callable[[int], None]) -> None:
        self._on_taken = on_taken
        self._given: deque[Given] = deque()
        self._kept: deque[Given] = deque()
        self._changed = asyncio.Event()
        self.chars = self.pending_chars = 0
        # Whether nothing will be taken before the client says more.
        self.waiting = False

    def append(self, text: str) -> None:
        self.chars += len(text)
        self.pending_chars += len(text)
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

    def rewind(self) -> None:
        """What was kept is given again, before what still waits."""
        self._given.extendleft(reversed(self._kept))
        self._kept.clear()
        self.pending_chars = sum(len(given) for given in self._given if isinstance(given, str))

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
        self.pending_chars -= chars
        self._on_taken(chars)
