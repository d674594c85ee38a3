"""Quotation marks and brackets: which are open at a place in a text. This file does not know what a sentence is."""

import re
from itertools import islice

# How far back an opening mark counts, in characters and in marks. A quotation that was never closed stops counting
# there, and at a blank line; until then it delays a sentence end by one character, or by the chunker's deadline.
REACH_CHARS = 200
REACH_MARKS = 24

# Every mark and what opens for it. Marks that open and close in different languages are in both columns: „Gut“ and
# “Good”, «Oui» and »Gut«, ”Hej” and »Hej», ”ٹھیک“. Half-width and full-width brackets close one another, as in （a).
_OPENED_BY = {
    ")": "(（﹙",
    "）": "(（﹙",
    "﹚": "(（﹙",
    "]": "[［",
    "］": "[［",
    "}": "{｛",
    "｝": "{｛",
    "」": "「",
    "｣": "｢",
    "』": "『",
    "】": "【",
    "〗": "〖",
    "〉": "〈",
    "》": "《",
    "〕": "〔",
    "〙": "〘",
    "﹂": "﹁",
    "﹄": "﹃",
    "〞": "〝",
    "〟": "〝",
    "“": "„”",
    "”": "“„”",
    "‘": "‚’",
    "’": "‘‚’",
    "«": "»",
    "»": "«»",
    "‹": "›",
    "›": "‹›",
    '"': '"',
    "'": "'",
    "＂": "＂",
    "＇": "＇",
}
_OPENERS = frozenset("".join(_OPENED_BY.values()))
# Of these one stands before a word or behind one, never between two letters: don't, l’été, 5'10.
_APOSTROPHES = "'’＇"
# Opening only if a space or another mark is before them, as in ”Hej.”; else they close what was opened out of reach.
_ONLY_CLOSING_INSIDE = frozenset("”’»›'＇")

_MARKS = re.compile(f"[{re.escape(''.join(sorted({*_OPENED_BY, *_OPENERS})))}]")
_ANY_OPENER = re.compile(f"[{re.escape(''.join(sorted(_OPENERS)))}]")
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n|\u2029")
# The marks that do nothing but open, and those that open whatever is before them if there is nothing to close.
_PLAIN_OPENERS = _OPENERS - {*_OPENED_BY}
_ALSO_CLOSING = frozenset("“‘«‹")


def open_marks(text: str, at: int) -> str:
    """The opening marks before `at` that are not closed there, outermost first.

    Depends on the REACH_CHARS before `at` and the one before them only. A mark that closes nothing is not counted; one
    that closes an outer mark closes what is open within it too.
    """
    earliest = at - REACH_CHARS if at > REACH_CHARS else 0
    first = _ANY_OPENER.search(text, earliest, at)
    if first is None:
        return ""
    if text.find("\n", earliest, at) >= 0 or text.find("\u2029", earliest, at) >= 0:
        for blank in _BLANK_LINE.finditer(text, earliest, at):
            earliest = blank.end()
        first = _ANY_OPENER.search(text, earliest, at)
    while first is not None and not _opens(text, first.start()):
        first = _ANY_OPENER.search(text, first.end(), at)
    if first is None:
        return ""
    earliest = first.start()
    opened = ""
    # Most marks are in pairs that no language reads in another way.
    for char in _MARKS.findall(text, earliest, at)[-REACH_MARKS:]:
        if char in _PLAIN_OPENERS or (char in _ALSO_CLOSING and not opened):
            opened += char
        elif opened and char not in _APOSTROPHES and opened[-1] in _OPENED_BY[char]:
            opened = opened[:-1]
        else:
            return _open_marks_in_context(text, earliest, at)
    return opened


def _open_marks_in_context(text: str, earliest: int, at: int) -> str:
    """The same where what stands beside a mark says what it does."""
    # Backwards, so that a text of nothing but marks costs no more than another.
    marks = [*islice(_MARKS.finditer(text[earliest:at][::-1]), REACH_MARKS)]
    opened = ""
    for mark in reversed(marks):
        char, place = mark[0], at - mark.end()
        inside = place and text[place - 1].isalnum() and text[place + 1 : min(place + 2, at)].isalnum()
        if char in _APOSTROPHES and inside:
            continue
        level = closes(char, opened)
        if level >= 0:
            opened = opened[:level]
        elif char in _OPENERS and _opens(text, place):
            opened += char
    return opened


def closes(char: str, opened: str) -> int:
    """The place in `opened` of the mark that `char` closes; -1 if it closes none of them."""
    openers = _OPENED_BY.get(char, "")
    if opened and opened[-1] in openers:
        return len(opened) - 1
    return max((opened.rfind(opener) for opener in openers), default=-1) if len(opened) > 1 else -1


def _opens(text: str, at: int) -> bool:
    """Does a mark that may open do so at `at`?"""
    if not at:
        return True
    before = text[at - 1]
    if text[at] in _ONLY_CLOSING_INSIDE:
        return before.isspace() or before in _OPENERS or before in "—–-"
    # 15" is a length.
    return not (text[at] == '"' and before.isdigit())
