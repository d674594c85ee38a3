"""The text that is spoken for the text that was given, and back: which given text a spoken segment stands for.

The chunker cuts what is spoken and knows nothing of it. This file does not know where it cuts.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from relay.core.text.runs import Rewriter, Run, Stages, given_of, merged, spoken_of

__all__ = ["FEED_CHARS", "Phonemes", "SpokenSegment", "SpokenText", "WordPlaces"]

# More than this at once, made to cost as much as text can, holds up a thread for more than 20 ms; prose takes 3 ms. The
# caller feeds longer text in pieces.
FEED_CHARS = 1024


@dataclass(frozen=True, slots=True)
class Phonemes:
    """How `spoken[start:stop]` of a segment is pronounced, in IPA."""

    start: int
    stop: int
    ipa: str


@dataclass(frozen=True, slots=True)
class SpokenSegment:
    """A segment: its `runs` joined are the text as `given` and as `spoken`."""

    runs: tuple[Run, ...]

    @property
    def given(self) -> str:
        """For the client: the `given` of a turn's segments, joined, is the text appended."""
        return given_of(self.runs)

    @property
    def spoken(self) -> str:
        """For the provider."""
        return spoken_of(self.runs)

    @property
    def phonemes(self) -> tuple[Phonemes, ...]:
        """The places of `spoken` whose pronunciation is known, in order."""
        ends = accumulate(len(run.spoken) for run in self.runs)
        return tuple(
            Phonemes(end - len(run.spoken), end, run.ipa)
            for run, end in zip(self.runs, ends, strict=True)
            if run.ipa is not None
        )


class SpokenText:
    """One turn's text between its client and the chunker.

    `feed` and `flush` give what is spoken, to append to the chunker; `take` says of each segment it gives what it
    stands for. A run that a cut divides belongs to the segment that has its end; what is left out, to the segment that
    goes on behind it, so that nothing depends on when a segment is taken. Memory: the runs not yet taken.
    """

    def __init__(self, rewriters: Sequence[Rewriter]) -> None:
        self._stages = Stages(rewriters)
        self._runs: deque[Run] = deque()
        self._pending_chars = 0

    @property
    def held_chars(self) -> int:
        """Characters that are not yet given to the chunker; `flush` gives them."""
        return self._stages.held_chars

    @property
    def pending_chars(self) -> int:
        """Given characters that no segment has yet, the held ones among them."""
        return self._pending_chars

    def feed(self, text: str) -> str:
        """Adds text as given, at best FEED_CHARS at a time; what is to be spoken as far as that is known."""
        self._pending_chars += len(text)
        return self._keep(self._stages.feed(text))

    def flush(self) -> str:
        """The rest of what was fed. Idempotent; text may follow."""
        return self._keep(self._stages.flush())

    def take(self, spoken: str, *, last: bool = False) -> SpokenSegment:
        """The segment whose text is `spoken`: the next of what `feed` and `flush` gave.

        `last`: it ends the turn, and what is left out behind it belongs to it.
        """
        runs: list[Run] = []
        left = len(spoken)
        while left or (last and self._runs):
            first = self._runs.popleft()
            assert left or not first.spoken, "a last segment has all that is spoken"
            if len(first.spoken) <= left or not first.spoken:
                runs.append(first)
                left -= len(first.spoken)
            elif first.plain:
                runs.append(Run(first.given[:left], first.spoken[:left]))
                self._runs.appendleft(Run(first.given[left:], first.spoken[left:]))
                left = 0
            else:
                # Nothing is given for the part that is spoken first.
                runs.append(Run("", first.spoken[:left]))
                self._runs.appendleft(Run(first.given, first.spoken[left:]))
                left = 0
        segment = SpokenSegment(tuple(merged(runs)))
        assert segment.spoken == spoken, "segments are taken in order"
        self._pending_chars -= len(segment.given)
        return segment

    def rest(self) -> str:
        """What was given behind the last segment, of which nothing is spoken; for the end of a turn."""
        rest = given_of(self._runs)
        assert not spoken_of(self._runs), "what is spoken is taken first"
        self._runs.clear()
        self._pending_chars -= len(rest)
        return rest

    def _keep(self, runs: list[Run]) -> str:
        self._runs.extend(merged(runs))
        return spoken_of(runs)


class WordPlaces:
    """Finds the words that a provider times in a segment's spoken text, and what was given for each."""

    def __init__(self, segment: SpokenSegment = SpokenSegment(())) -> None:
        self._runs: list[Run] = []
        self._given = self._spoken = ""
        self._spoken_ends: list[int] = []
        self._given_ends: list[int] = []
        self._at = 0  # in what is spoken
        self._told = 0  # in what was given
        self.add(segment)

    def add(self, segment: SpokenSegment) -> None:
        """More text behind it."""
        for run in segment.runs:
            self._given += run.given
            self._spoken += run.spoken
            self._given_ends.append(len(self._given))
            self._spoken_ends.append(len(self._spoken))
        self._runs += segment.runs

    def given_for(self, word: str) -> str | None:
        """The given text that the next `word` stands for.

        None if the provider's word is not in what is spoken ("three" for "3"). Empty if the word before stands for
        the same text ("sequel server" for "SQL"): it then ends with this one.
        """
        start = self._spoken.find(word, self._at) if word else -1
        if start < 0:
            return None
        self._at = start + len(word)
        begin = max(self._told, self._given_at(start, end=False))
        end = max(begin, self._given_at(self._at, end=True))
        self._told = end
        return self._given[begin:end]

    def _given_at(self, spoken: int, *, end: bool) -> int:
        """The place in what was given of one in what is spoken; the end of a word is in the run before it."""
        run = bisect_right(self._spoken_ends, spoken - 1 if end else spoken)
        given_start = self._given_ends[run] - len(self._runs[run].given)
        if self._runs[run].plain:
            return given_start + spoken - (self._spoken_ends[run] - len(self._runs[run].spoken))
        return self._given_ends[run] if end else given_start
