"""Text as it is typed -> segments to speak. This file does not know a clock, a provider, or where sentences end."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.core.text.characters import count_syllables, glued, speakable
from relay.core.text.quotations import open_marks
from relay.core.text.sentences import LOOKBACK_CHARS, Ending, SentenceScan, ending, find_sentence_ends
from relay.core.text.wordbreaks import first_clause_end, forced_cut, settled_end

__all__ = ["DEFAULT", "ChunkPolicy", "TextChunker", "speakable"]

# Mandarin is spoken at about 5 characters a second, English at 15 (5.2 and 6.2 syllables: Pellegrino, Coupé and
# Marsico, Language 87:3, 2011): a character of Han, kana or Hangul counts for three letters.
SYLLABLE_LETTERS = 3
# How much of a segment shows which script it is written in.
_SAMPLE_CHARS = 32
# How far a scan reads beyond the longest segment, so that what follows a stop can be seen.
_LOOKAHEAD_CHARS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPolicy:
    """When text is spoken. Lengths are in letters (about 15 are spoken in a second), times in seconds of silence.

    Waiting is counted from the text received last.
    """

    # The first segment may end with a clause of this length: two seconds of speech, which is what the next one's
    # text and time to first audio take. Shorter ones sound clipped and leave a gap behind them.
    first_min_chars: int = 30
    # A complete first sentence up to this length is not cut at a clause: 7 s of speech, which even a provider that
    # answers only when it has finished makes in about a second.
    first_max_chars: int = 100
    # Later segments hold as many sentences as fit: more keep the intonation and cost fewer first-audio times; 13 s
    # is what a barge-in may waste.
    target_chars: int = 200
    # A sentence that is longer is cut at a clause, complete or not: listener and memory wait no longer than this.
    longest_chars: int = 300
    # "Let me look." is a sentence if nothing comes for this long (pieces of an LLM come 10-100 ms apart) ...
    sentence_after_s: float = 0.2
    # ... and text without an end is spoken up to its last word; models that send few large pieces pause for 0.4 s.
    flush_after_s: float = 0.5
    # "3." may go on as 3.14: a wrong number is worse than a late one.
    number_after_s: float = 1.0

    def __post_init__(self) -> None:
        lengths = (1, self.first_min_chars, self.first_max_chars, self.target_chars, self.longest_chars)
        waits = (0.0, self.sentence_after_s, self.flush_after_s, self.number_after_s)
        if list(lengths) != sorted(lengths) or list(waits) != sorted(waits):
            raise ValueError("a chunk policy's lengths, and its times, must not fall in the order in which they stand")


DEFAULT = ChunkPolicy()


class FindEnds(Protocol):
    """Where sentences end: see `sentences.find_sentence_ends` for the contract."""

    def __call__(self, text: str, start: int, stop: int, *, final: bool) -> SentenceScan: ...


class TextChunker:
    """Cuts the text of one turn into segments. The joined segments are the text, whatever was called when.

    The caller pulls: `take` after each `append`, `flush` and `end_input`, and at `deadline_s`; again and again until
    it gives None. Nothing is decided before it is asked for, so that late calls get larger segments, not older ones.

    A segment ends with the spaces that follow it; cuts are at ends of sentences, for a first segment also of clauses,
    and for text that is too long or has stopped coming also of words. No cut is inside a word or a number unless
    that alone is longer than a segment may be, or the caller flushed there; and no segment runs across a flush.
    """

    def __init__(
        self,
        *,
        max_chars: int | None = None,
        policy: ChunkPolicy = DEFAULT,
        find_ends: FindEnds = find_sentence_ends,
    ) -> None:
        """`max_chars`, in code points: no segment is longer."""
        if max_chars is not None and max_chars < 1:
            raise ValueError(f"max_chars is {max_chars}; it must be at least 1")
        self._max_chars = max_chars
        self._policy = policy
        self._waits_s = {
            Ending.SENTENCE: policy.sentence_after_s,
            Ending.UNFINISHED: policy.flush_after_s,
            Ending.NUMBER: policy.number_after_s,
        }
        self._find_ends = find_ends
        self._arrived: list[str] = []  # appended, not yet looked at
        self._text = ""  # the rest of the text, behind a little of what was taken already; positions are in here
        self._taken = 0
        self._scanned = 0
        self._ends: deque[int] = deque()  # of sentences, known and not yet taken
        self._may_move = False  # the last end that a scan found, which is not among them
        self._appended_chars = 0
        self._pending_chars = 0
        self._flushes: deque[int] = deque()  # how much had been appended at each flush, until that much is taken
        self._ended = False
        # Speech is about to begin, or had to stop for want of text: what comes next should come early.
        self._eager = True
        self._last_append_s = 0.0
        self._deadline_s: float | None = None
        self._idle = True  # nothing has come since take() gave None

    @property
    def pending_chars(self) -> int:
        """Characters appended and not yet taken."""
        return self._pending_chars

    @property
    def exhausted(self) -> bool:
        """The input has ended and all of it was taken."""
        return self._ended and not self._pending_chars

    @property
    def deadline_s(self) -> float | None:
        """When `take` may give something though no more text came; None if it will not."""
        return self._deadline_s

    def append(self, text: str, now_s: float) -> None:
        """Adds text exactly as it is. It is looked at when it is asked for."""
        assert not self._ended, "no text comes after the end of input"
        if not text:
            return
        self._arrived.append(text)
        self._appended_chars += len(text)
        self._pending_chars += len(text)
        self._last_append_s = now_s
        self._deadline_s = now_s + self._policy.sentence_after_s
        self._idle = False

    def flush(self) -> None:
        """Lets `take` give all that was appended so far. Idempotent; text may follow."""
        if self._pending_chars and (not self._flushes or self._flushes[-1] < self._appended_chars):
            self._flushes.append(self._appended_chars)
            self._idle = False

    def end_input(self) -> None:
        """No more text: lets `take` give the rest. Idempotent."""
        self.flush()
        self._ended = True

    def take(self, now_s: float) -> str | None:
        """The next segment, or None if nothing should be spoken yet.

        A segment with nothing to pronounce comes only where there is nothing speakable to attach it to.
        """
        if self._idle and (self._deadline_s is None or now_s < self._deadline_s):
            return None
        self._gather()
        stop = len(self._text)
        if self._flushes:
            stop -= self._appended_chars - self._flushes[0]
        cut = self._choose(stop)
        if cut is not None:
            return self._release(cut, stop)
        cut = self._overdue(stop, now_s)
        if cut is not None:
            segment = self._release(cut, stop)
            self._eager = True
            return segment
        self._idle = True
        return None

    def _gather(self) -> None:
        """Brings what was appended behind what is pending, and lets go of what was taken."""
        if not self._arrived:
            return
        # One character more than the rules look at shows them whether a line began there.
        gone = max(0, self._taken - LOOKBACK_CHARS - 1)
        self._text = "".join((self._text[gone:], *self._arrived))
        self._arrived.clear()
        self._taken -= gone
        self._scanned -= gone
        self._ends = deque(end - gone for end in self._ends)

    def _choose(self, stop: int) -> int | None:
        """Where the next segment of the text up to `stop` ends, if what is there says so."""
        start, final = self._taken, bool(self._flushes)
        if start == stop:
            return None
        known = self._scan(stop)
        if not (known or final) and stop - start < self._worthwhile_chars():
            return None
        letters = self._letters(stop)
        longest = self._policy.longest_chars // letters
        if self._max_chars is not None:
            longest = min(longest, self._max_chars)
        ends = [end for end in known if end - start <= longest and speakable(self._text, start, end)]
        if self._eager:
            # An end that may yet move is not joined to one that is certain: so it is if the text comes by letters.
            apart = (
                self._may_move and len(ends) > 1 and ends[-1] == known[-1] and speakable(self._text, ends[-2], ends[-1])
            )
            certain = ends[:-1] if apart else ends
            cut = self._first(certain, stop, longest, letters)
        else:
            cut = self._further(ends, letters)
        if stop - start > longest:
            return forced_cut(self._text, start, start + longest) if cut is None else cut
        if final and (cut is None or not speakable(self._text, cut, stop)):
            return stop
        return cut

    def _first(self, ends: Sequence[int], stop: int, longest: int, letters: int) -> int | None:
        """The least that makes a good beginning."""
        start, least = self._taken, self._policy.first_min_chars // letters
        whole = next((end for end in ends if end - start >= least), None)
        if whole is not None and whole - start <= self._policy.first_max_chars // letters:
            return whole
        clause = first_clause_end(self._text, start, start + least, min(stop, start + longest))
        if clause == stop and not self._flushes and open_marks(self._text, stop):
            return None  # “好，” is to be one: its closing mark may come next
        if clause is not None and speakable(self._text, start, clause) and not self._over(clause + least, whole, stop):
            return clause
        short = [end for end in ends if end - start < least]
        return short[-1] if short else whole

    def _over(self, at: int, whole: int | None, stop: int) -> bool:
        """Does the sentence end before `at`, at `whole` or, as it seems, where the text does for now?"""
        if whole is not None:
            return whole < at
        return stop < at and ending(self._text, self._taken, stop) is not Ending.UNFINISHED

    def _further(self, ends: Sequence[int], letters: int) -> int | None:
        """As many sentences as fit; a very short one is not left behind for a segment of its own."""
        start, cut = self._taken, None
        for end in ends:
            alone = end - (cut or start) >= self._policy.first_min_chars // letters
            if cut is not None and alone and end - start > self._policy.target_chars // letters:
                break
            cut = end
        return cut

    def _worthwhile_chars(self) -> int:
        """Less than this without an end is no segment in any script."""
        policy = self._policy
        letters = policy.first_min_chars if self._eager else policy.longest_chars
        return min(letters // SYLLABLE_LETTERS, self._max_chars or letters)

    def _letters(self, stop: int) -> int:
        """How many letters a character of the next segment counts for."""
        sample = self._text[self._taken : min(stop, self._taken + _SAMPLE_CHARS)]
        return SYLLABLE_LETTERS if 2 * count_syllables(sample) >= len(sample) else 1

    def _scan(self, stop: int) -> Sequence[int]:
        """The sentence ends known within reach of the next segment, the end of flushed text among them."""
        reach = min(stop, self._taken + self._policy.longest_chars + _LOOKAHEAD_CHARS)
        final = reach == stop and bool(self._flushes)
        scan = self._find_ends(self._text, self._scanned, reach, final=final)
        self._scanned = scan.resume
        known = self._ends[-1] if self._ends else self._taken
        self._ends.extend(end for end in scan.ends if end > known)
        if final:
            self._may_move = False
            return [*self._ends, stop]
        self._may_move = scan.early is not None
        return self._ends if scan.early is None else [*self._ends, scan.early]

    def _overdue(self, stop: int, now_s: float) -> int | None:
        """Where to cut text that has stopped coming, if it has for long enough; sets the deadline."""
        if self._deadline_s is None or now_s < self._deadline_s:
            return None
        start = self._taken
        looks = ending(self._text, start, stop)
        due_s = self._last_append_s + self._waits_s[looks]
        self._deadline_s = due_s if now_s < due_s else None
        if self._deadline_s is not None:
            return None
        cut = settled_end(self._text, start, stop) if looks is Ending.UNFINISHED else stop
        return cut if speakable(self._text, start, cut) else None

    def _release(self, cut: int, stop: int) -> str:
        """Takes the text up to `cut`, and the spaces that follow it."""
        start, end = self._taken, cut
        bound = stop if self._max_chars is None else min(stop, start + self._max_chars)
        while end < bound and self._text[end].isspace():
            end += 1
        if end < stop and glued(self._text, end, start):
            end = cut  # an accent that stands on a space stays with it
        segment = self._text[start:end]
        self._taken = end
        self._scanned = max(self._scanned, end)
        self._pending_chars -= len(segment)
        while self._ends and self._ends[0] <= end:
            self._ends.popleft()
        self._eager = self._eager and not speakable(segment)
        if self._flushes and end == stop:
            self._flushes.popleft()
            self._eager = True
        if not self._pending_chars:
            self._deadline_s = None
        return segment
