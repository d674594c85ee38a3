"""A turn's text of which not all is spoken as it was given: filters and a lexicon stand between client and provider.

What the client is told and what is counted is the text as given; the provider gets what is spoken. Text is rewritten as
it is asked for and a piece at a time, so that a long one does not hold the loop. Turns without filters and lexicon have
none of this.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from relay.core.text.chunker import DEFAULT, TextChunker, speakable
from relay.core.text.filters import TextFilter, parse_filters, rewriters
from relay.core.text.lexicon import MAX_TURN_ENTRIES, Lexicon
from relay.core.text.spoken import FEED_CHARS, SpokenSegment, SpokenText, WordPlaces
from relay.engine.text import Given, Mark, StreamedText, Taken, TurnText
from relay.providers.base.http import WordTime

__all__ = ["Rewriting", "as_given", "cut_text", "streamed_text"]


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What is to be done to a turn's text before it is spoken."""

    filters: tuple[TextFilter, ...] = ()
    lexicon: Lexicon | None = None

    def over(self, text_filter: Sequence[str] | None, lexicon: Mapping[str, Any] | None) -> "Rewriting | None":
        """For a turn that asks for these filters, or for what is here, and that lays its own words over the lexicon.
        None if its text is spoken as it is given. Raises ClientError."""
        filters = self.filters if text_filter is None else parse_filters(text_filter)
        words = self.lexicon
        if lexicon:
            words = Lexicon.parse(lexicon, most=MAX_TURN_ENTRIES, base=words)
        return Rewriting(filters, words) if filters or words is not None else None

    def begin(self) -> SpokenText:
        return SpokenText(rewriters(self.filters, self.lexicon))


def cut_text(
    chunker: TextChunker, taken: Taken, rewriting: Rewriting | None, *, clock: Callable[[], float] = time.monotonic
) -> TurnText:
    """Text for segments."""
    if rewriting is None:
        return TurnText(chunker, taken, clock=clock)
    return _RewrittenText(chunker, taken, rewriting, clock=clock)


def streamed_text(taken: Taken, rewriting: Rewriting | None) -> StreamedText:
    """Text for a provider that takes it as it is typed."""
    return StreamedText(taken) if rewriting is None else _RewrittenStream(taken, rewriting)


class _RewrittenText(TurnText):
    """The chunker cuts what is spoken; its segments say what was given for them.

    Text behind a flush is looked at when all before it was taken: what is left out before the flush belongs to the
    segments before it, so that a flush is answered though the text ends with what is not spoken. Text that a filter
    holds back when no more comes is spoken when the chunker would speak text without an end.
    """

    def __init__(
        self, chunker: TextChunker, taken: Taken, rewriting: Rewriting, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(chunker, taken, clock=clock)
        self._spoken = rewriting.begin()
        # Not rewritten yet; bounded by the session's `max_turn_chars`.
        self._given: deque[str | Mark] = deque()
        self._came_s = 0.0
        # All that was given to the chunker is to be taken up to a flush or the end.
        self._closing = False

    def append(self, text: str) -> None:
        self.chars += len(text)
        self._given.append(text)
        self._came_s = self._clock()
        self._changed.set()

    def flush(self) -> None:
        if not self._given or self._given[-1] is not Mark.FLUSH:
            self._given.append(Mark.FLUSH)
            self._changed.set()

    def end_input(self) -> None:
        self._given.append(Mark.END)
        self._changed.set()

    async def next(self) -> SpokenSegment | None:
        while True:
            self._changed.clear()
            segment = self._take()
            if segment is not None:
                self._taken.add(len(segment.given))
                return segment
            if self._given:
                self._rewrite()
                if self._given:
                    await asyncio.sleep(0)
            elif self._chunker.exhausted:
                return None
            else:
                await self._change_by(self._deadline_s())

    def _take(self) -> SpokenSegment | None:
        now_s = self._clock()
        if not self._given and self._spoken.held_chars and now_s >= self._held_until_s():
            self._chunker.append(self._spoken.flush(), self._came_s)
        spoken = self._chunker.take(now_s)
        if spoken is None and not self._closing:
            return None
        last = self._closing and not self._chunker.pending_chars
        if last:
            self._closing = False
        segment = self._spoken.take(spoken or "", last=last)
        return segment if segment.runs else None

    def _rewrite(self) -> None:
        if isinstance(self._given[0], str):
            self._chunker.append(self._spoken.feed(_piece(self._given)), self._came_s)
            return
        mark = self._given.popleft()
        self._chunker.append(self._spoken.flush(), self._came_s)
        self._closing = True
        if mark is Mark.FLUSH:
            self._chunker.flush()
        else:
            self._chunker.end_input()

    def _held_until_s(self) -> float:
        return self._came_s + DEFAULT.flush_after_s

    def _deadline_s(self) -> float | None:
        deadline_s = self._chunker.deadline_s
        if not self._spoken.held_chars:
            return deadline_s
        return self._held_until_s() if deadline_s is None else min(deadline_s, self._held_until_s())


class _RewrittenStream(StreamedText):
    """What is passed on is rewritten as it comes; a flush and the end release what a filter holds back.

    Kept is the text as given: given again, it is rewritten again from its beginning.
    """

    def __init__(self, taken: Taken, rewriting: Rewriting) -> None:
        super().__init__(taken)
        self._rewriting = rewriting
        self._spoken = rewriting.begin()
        # Rewritten, to be passed on; a piece and a mark at most, or what stands before the first that can be spoken.
        self._ready: deque[SpokenSegment | Mark] = deque()
        self._begun = False
        self._unflushed = False

    async def beginning(self) -> bool:
        while not self._begun:
            self._changed.clear()
            if self._given:
                self._rewrite()
                if self._given:
                    await asyncio.sleep(0)
            elif Mark.END in self._ready:
                return False
            else:
                await self._change()
        return True

    async def next(self, *, keep: bool = False) -> Given:
        while not self._ready:
            self._changed.clear()
            if not self._given:
                await self._change()
                continue
            self._rewrite()
            if self._given:
                await asyncio.sleep(0)
        if not keep:
            self._kept.clear()
        return self._ready.popleft()

    def rewind(self) -> None:
        self._restore()
        self._taken.again()

    def pour(self, into: TurnText) -> None:
        self._restore()
        super().pour(into)

    def _restore(self) -> None:
        """All that was kept is as if it had just been given."""
        self._given.extendleft(reversed(self._kept))
        self._kept.clear()
        self._ready.clear()
        self._spoken = self._rewriting.begin()
        self._begun = self._unflushed = False

    def _rewrite(self) -> None:
        """The next piece of text, or the next mark."""
        if isinstance(self._given[0], str):
            piece = _piece(self._given)
            self._kept.append(piece)
            self._add(self._spoken.feed(piece))
            return
        mark = self._given.popleft()
        assert isinstance(mark, Mark), "what is no text is a mark"
        if not (mark is Mark.FLUSH and self._kept and self._kept[-1] is Mark.FLUSH):
            self._kept.append(mark)
        self._add(self._spoken.flush(), last=True)
        # A flush of what cannot be spoken is none.
        if mark is Mark.END or self._unflushed:
            self._ready.append(mark)
            self._unflushed = False

    def _add(self, spoken: str, *, last: bool = False) -> None:
        segment = self._spoken.take(spoken, last=last)
        if segment.runs:
            self._ready.append(segment)
        if speakable(spoken):
            self._begun = self._unflushed = True


def as_given(words: list[WordTime], places: WordPlaces) -> list[WordTime]:
    """The words that a provider timed, each as the text that was given for it; as the provider has it where that is
    not known. Words that together stand for one text are one."""
    told: list[WordTime] = []
    for word in words:
        text = places.given_for(word.text)
        if text is None:
            told.append(word)
        elif text:
            told.append(replace(word, text=text))
        elif told:
            told[-1] = replace(told[-1], end_s=word.end_s)
    return told


def _piece(given: deque[str | Mark]) -> str:
    """Takes the text up to the next mark, at most FEED_CHARS of it."""
    pieces: list[str] = []
    room = FEED_CHARS
    while room and given and isinstance(first := given[0], str):
        given.popleft()
        if len(first) > room:
            given.appendleft(first[room:])
            first = first[:room]
        pieces.append(first)
        room -= len(first)
    return "".join(pieces)
