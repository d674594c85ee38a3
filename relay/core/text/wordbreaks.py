"""Where text may be cut inside a sentence: after a clause, else between words, else between characters.

This file does not know when a cut is wanted. All its searches stay within the bounds they are given.
"""

import re
from collections.abc import Iterator

from relay.core.text.characters import NO_BREAK_SPACES, PHRASE_SPACED, glued, is_ideograph

_CLOSERS = re.escape("\"'”’»›)]）】」』〉》")
_NARROW = ",;:،؛፣፤፥՝…"
_WIDE = "，：；､、"
_DASHES = "-–—"

# What a clause may end with; in South-East Asian scripts that is any letter before a space.
_RUN = re.compile(rf"[{_NARROW}{_WIDE}\-–—.\n{PHRASE_SPACED}]+")
_CLOSING = re.compile(f"[{_CLOSERS}]*")
# The end of a text that has stopped coming: a clause mark after what is neither a number nor an address.
_COMPLETE = re.compile(rf"[^\s\d_/@&'’.-][{_CLOSERS}]*[{_NARROW}{_WIDE}—][{_CLOSERS}]*\Z")
_COMPLETE_CHARS = 8


def first_clause_end(text: str, start: int, earliest: int, stop: int) -> int | None:
    """The end of the first clause of `text[start:stop]` that is at `earliest` or after it; spaces follow the end."""
    return next((end for end in _clause_ends(text, start, stop, earliest) if end >= earliest), None)


def forced_cut(text: str, start: int, bound: int) -> int:
    """The best cut of text that must be cut after `start`, at `bound` (inside `text`) at the latest.

    A clause end, else a space between words, both in the last three quarters, or else the piece would be a stump;
    else between two ideographs; else at any space, be it the one that the text begins with; else inside a word, but
    never inside a character unless that one character is longer than the bound.
    """
    worthwhile = start + (bound - start) // 4
    clause = max(_clause_ends(text, start, bound), default=start)
    if clause > worthwhile:
        return clause
    backwards = range(bound, start, -1)
    space = next((at for at in backwards if _between_words(text, at, len(text))), start)
    if space > worthwhile:
        return space
    ideograph = next((at for at in backwards if _between_ideographs(text, at, start)), start)
    if ideograph > worthwhile:
        return ideograph
    if space > start:
        return space
    any_space = next((at for at in backwards if text[at].isspace() and not text[at - 1].isspace()), start)
    if any_space > start:
        return any_space
    word = next((at for at in range(start, bound) if not text[at].isspace()), start)
    if word > start and not glued(text, word, start):
        return word
    return next((at for at in backwards if not glued(text, at, start)), bound)


def settled_end(text: str, start: int, stop: int) -> int:
    """Where a text that has stopped coming at `stop` may be cut so that no word or number can still grow.

    Its end, if that is a space or a clause mark after a word; else before its last word. `start` if there is nothing.
    Han, kana and Thai show no words: they are cut after punctuation and spaces only.
    """
    if text[stop - 1].isspace() and not text[start:stop].rstrip()[-1:].isdigit():
        return stop
    if _COMPLETE.search(text, max(start, stop - _COMPLETE_CHARS), stop):
        return stop
    clause = max(_clause_ends(text, start, stop), default=start)
    space = next((at for at in range(stop - 1, start, -1) if _between_words(text, at, stop)), start)
    return max(clause, space)


def _clause_ends(text: str, start: int, stop: int, earliest: int = 0) -> Iterator[int]:
    # A mark stands a little before the end of its clause, for it may have to be closed.
    for run in _RUN.finditer(text, max(start, earliest - _COMPLETE_CHARS), stop):
        end = _clause_end(text, run.start(), run.end())
        if end is not None and start < end <= stop and not glued(text, end, start):
            yield end


def _clause_end(text: str, begin: int, end: int) -> int | None:
    """The end of the clause that the run of marks `text[begin:end]` ends; None if they end none.

    What follows must show it: "1,000", "10:30", "10—20" and "file.,v" hold no clauses.
    """
    line_end = text.find("\n", begin, end)
    if line_end >= 0:
        return line_end
    last, before, following = text[end - 1], text[begin - 1 : begin], text[end : end + 1]
    if last in _DASHES:
        spaced = before.isspace() and following.isspace()
        joined = last == "—" and not before.isdigit() and following.isalnum()
        return end if spaced or joined else None
    if last in _WIDE and text[end - 2 : end - 1].isdigit() and (not following or following.isdigit()):
        return None
    if last == "…" and following and is_ideograph(following):
        return end
    if last == "." and text[end - 2 : end] != "..":
        return None
    closing = _CLOSING.match(text, end)
    assert closing is not None, "any number of marks, or none, matches"
    closed = closing.end()
    return closed if last in _WIDE or text[closed : closed + 1].isspace() else None


def _between_words(text: str, at: int, stop: int) -> bool:
    """Is `at` the end of a word, before a space that is not inside a number ("10 000")?"""
    if not text[at].isspace() or text[at] in NO_BREAK_SPACES or text[at - 1].isspace():
        return False
    if not text[at - 1].isdigit():
        return True
    following = next((char for char in text[at:stop] if not char.isspace()), "0")
    return not following.isdigit()


def _between_ideographs(text: str, at: int, start: int) -> bool:
    return is_ideograph(text[at - 1]) and is_ideograph(text[at]) and not glued(text, at, start)
