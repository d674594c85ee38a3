"""Words that a voice says wrong, and how they are to be said.

An entry is found as a whole word: what is beside it is no letter, digit, mark or underscore, and no apostrophe, full
stop or decimal comma that joins it to one ("com" is not in "example.com", "don" not in "don't"; but "Nginx" is in
"Nginx's"). Where an entry begins or ends with a character of a script without spaces (Han, kana, Hangul, Thai, Lao,
Burmese, Khmer) anything may be beside it there. Of the entries at one place the longest counts, and what is said for
one is not looked at again.

An entry without capitals is found in any case; one with a capital only as it is written, and then counts before one
without. It does not matter whether an accent is one character with its letter.
"""

import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from unicodedata import category, normalize

from relay.core.text.characters import HANGUL, IDEOGRAPHIC, PHRASE_SPACED, glued
from relay.core.text.runs import Run
from relay.core.text.scanner import Found, Scanner, literal
from relay.errors import ClientError, Code

__all__ = ["MAX_ENTRIES", "MAX_TURN_ENTRIES", "MAX_VALUE_CHARS", "MAX_WORD_CHARS", "Lexicon", "LexiconFilter", "Saying"]

# Of a configuration: 20 ms to read. Of a turn: 2 ms, for it is read while others speak.
MAX_ENTRIES = 2000
MAX_TURN_ENTRIES = 200
# The longest word is also what is held back, and three characters behind it.
MAX_WORD_CHARS = 64
MAX_VALUE_CHARS = 256
_MAX_QUOTE_CHARS = 40

_UNSPACED = re.compile(f"[{IDEOGRAPHIC}{HANGUL}{PHRASE_SPACED}]")
# Between two letters or two digits these do not divide a word (UAX #29, WB6 to WB12).
_LETTER_JOINERS, _DIGIT_JOINERS = frozenset("'’.·"), frozenset("'’.,")
_BEHIND_CHARS = 3


@dataclass(frozen=True, slots=True)
class Saying:
    """How a word is said: `alias` is spoken for it; `ipa` is for providers that take phonemes, of word or alias."""

    alias: str | None = None
    ipa: str | None = None


class Lexicon:
    """Words and how they are said. Immutable; shared by all turns that use it.

    One over a `base` has the words of both; where both have a word, its own counts. It costs its own words only.
    """

    def __init__(self, entries: Mapping[str, Saying], base: "Lexicon | None" = None) -> None:
        self._base = base
        self._entries = dict(entries)
        self._exact: dict[str, Saying] = {}
        self._folded: dict[str, Saying] = {}
        for word, saying in self._entries.items():
            for form in (normalize("NFC", word), normalize("NFD", word)):
                table = self._exact if any(char.isupper() for char in word) else self._folded
                table[form if table is self._exact else fold(form)] = saying
        self._prefixes = sorted({*map(fold, self._exact), *self._folded})
        lengths: dict[str, set[int]] = {}
        for form in self._prefixes:
            lengths.setdefault(form[0], set()).add(len(form))
        below: dict[str, tuple[int, ...]] = {} if base is None else base.lengths
        # The lengths of the words that begin with a character, the longest first.
        self.lengths: dict[str, tuple[int, ...]] = below | {
            first: tuple(sorted({*found, *below.get(first, ())}, reverse=True)) for first, found in lengths.items()
        }
        firsts = "".join(sorted({*self.lengths, *(char for first in self.lengths for char in unfolded(first))}))
        self.special = re.compile(f"[{re.escape(firsts)}]" if firsts else r"(?!)")

    @classmethod
    def parse(
        cls, value: object, name: str = "lexicon", *, most: int = MAX_ENTRIES, base: "Lexicon | None" = None
    ) -> "Lexicon":
        """Of a mapping from words to respellings, or to objects with `alias` or `ipa` or both; at most `most` words.

        Raises ClientError that names the entry by its position in `name`, and says what would be right.
        """
        if not isinstance(value, Mapping):
            raise _invalid(f"{name} must be an object of words and how they are said, not {_kind(value)}")
        if len(value) > most:
            raise _invalid(f"{name} has {len(value)} entries; at most {most} are allowed")
        entries = {_word(word, name, at): _saying(value[word], name, at) for at, word in enumerate(value)}
        return cls(entries, base)

    @property
    def entries(self) -> Mapping[str, Saying]:
        """All of them, as they were written."""
        return self._entries if self._base is None else {**self._base.entries, **self._entries}

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, word: str) -> Saying | None:
        """What is said for `word`, which is whole."""
        saying = self._exact.get(word) or self._folded.get(fold(word))
        return self._base.get(word) if saying is None and self._base is not None else saying

    def begins(self, part: str) -> bool:
        """Is `part` the beginning of a longer word, or may it be one?"""
        folded = fold(part)
        at = bisect_left(self._prefixes, folded)
        at += at < len(self._prefixes) and self._prefixes[at] == folded
        own = at < len(self._prefixes) and self._prefixes[at].startswith(folded)
        return own or (self._base is not None and self._base.begins(part))


class LexiconFilter(Scanner):
    """Says the words of a text as a lexicon has them. Holds back at most MAX_WORD_CHARS and 3 characters."""

    def __init__(self, lexicon: Lexicon) -> None:
        super().__init__()
        self._lexicon = lexicon
        self.special = lexicon.special

    def found(self, text: str, at: int, final: bool) -> Found:
        first = text[at]
        left = "" if _UNSPACED.match(first) else self._before_word(text, at)
        if left and _joined(left, first):
            return literal(text, at)
        left_chars = len(text) - at
        for length in self._lexicon.lengths.get(fold(first), ()):
            if length > left_chars:
                if not final and self._lexicon.begins(text[at:]):
                    return None
                continue
            end = at + length
            saying = self._lexicon.get(text[at:end])
            if saying is None:
                continue
            if not final and len(text) - end < _BEHIND_CHARS and self._may_join(text, end):
                return None
            if self._ends_word(text, at, end):
                spoken = text[at:end] if saying.alias is None else saying.alias
                return end, [Run(text[at:end], spoken, saying.ipa)]
        return literal(text, at)

    def _before_word(self, text: str, at: int) -> str:
        """The two characters before `at`."""
        return (self._before + text[max(0, at - 2) : at])[-2:]

    @staticmethod
    def _may_join(text: str, end: int) -> bool:
        """May what is still to come join the text before `end` to a longer word?"""
        following = text[end:]
        joiner = not following or following[0] in _LETTER_JOINERS or following[0] in _DIGIT_JOINERS
        return joiner and (len(following) < 2 or (following[0] in "'’" and following[1] in "sS"))

    @staticmethod
    def _ends_word(text: str, at: int, end: int) -> bool:
        if glued(text, end, at):
            return False
        last, following = text[end - 1], text[end : end + 2]
        if not following or _UNSPACED.match(last) or not _is_word(last):
            return True
        if _is_word(following[0]):
            return bool(_UNSPACED.match(following[0]))
        if len(following) < 2 or not _joins(last, following[0], following[1]):
            return True
        # The s of the genitive is no part of the name before it.
        return following[0] in "'’" and following[1] in "sS" and not _is_word(text[end + 2 : end + 3] or " ")


def fold(text: str) -> str:
    """In lower case, as long as it was."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in text)


def unfolded(char: str) -> set[str]:
    """The characters of any case that fold to `char`."""
    return {other for other in (char.upper(), char.title(), *_ALSO_FOLDED.get(char, "")) if len(other) == 1}


# Whose lower case is that of another letter too: the signs of kelvin and angstrom.
_ALSO_FOLDED = {"k": "\u212a", "å": "\u212b", "ω": "\u2126", "θ": "\u03f4", "ß": "\u1e9e"}


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_" or category(char)[0] == "M" or char in "\u200c\u200d"


def _joins(before: str, mark: str, after: str) -> bool:
    """Does `mark` join what is before and after it to a word or a number?"""
    if before.isdigit() and after.isdigit():
        return mark in _DIGIT_JOINERS
    return mark in _LETTER_JOINERS and _is_word(before) and _is_word(after) and not _UNSPACED.match(after)


def _joined(left: str, first: str) -> bool:
    """Does a word that begins before `first`, behind the characters `left`, go on there?"""
    if not _is_word(first):
        return False
    if _is_word(left[-1]):
        return not _UNSPACED.match(left[-1])
    return len(left) == 2 and not _UNSPACED.match(left[0]) and _joins(left[0], left[1], first)


def _invalid(message: str) -> ClientError:
    return ClientError(Code.INVALID_CONFIG, message)


def _kind(value: object) -> str:
    names = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "a list", type(None): "null"}
    return names.get(type(value), "an object" if isinstance(value, Mapping) else "that")


def _quoted(text: str) -> str:
    line = "".join(char if char.isprintable() else " " for char in text[:_MAX_QUOTE_CHARS])
    return f"{line}..." if len(text) > _MAX_QUOTE_CHARS else line


def _word(word: object, name: str, at: int) -> str:
    where = f"entry {at + 1} of {name}"
    if not isinstance(word, str):
        raise _invalid(f"{where}: the word must be a string, not {_kind(word)}")
    if not any(char.isalnum() for char in word) or word != word.strip():
        raise _invalid(
            f"{where}: the word must have a letter or a digit and no space at its ends, not '{_quoted(word)}'"
        )
    if max(len(normalize(form, word)) for form in ("NFC", "NFD")) > MAX_WORD_CHARS:
        raise _invalid(f"{where}: the word must have at most {MAX_WORD_CHARS} characters: '{_quoted(word)}'")
    return word


def _saying(value: object, name: str, at: int) -> Saying:
    where = f"entry {at + 1} of {name}"
    if isinstance(value, str):
        return Saying(alias=_text(value, where, "the respelling"))
    if not isinstance(value, Mapping):
        raise _invalid(f"{where}: must be a string or an object with alias or ipa, not {_kind(value)}")
    unknown = next((key for key in value if key not in ("alias", "ipa")), None)
    if unknown is not None or not value:
        has = "nothing" if unknown is None else f"'{_quoted(str(unknown))}'"
        raise _invalid(f"{where}: must have alias, ipa or both; it has {has}")
    alias, ipa = value.get("alias"), value.get("ipa")
    return Saying(
        alias=_text(alias, where, "alias") if "alias" in value else None,
        ipa=_text(ipa, where, "ipa") if "ipa" in value else None,
    )


def _text(value: object, where: str, field: str) -> str:
    if not isinstance(value, str):
        raise _invalid(f"{where}: {field} must be a string, not {_kind(value)}")
    if len(value) > MAX_VALUE_CHARS:
        raise _invalid(f"{where}: {field} has {len(value)} characters; at most {MAX_VALUE_CHARS} are allowed")
    if not any(char.isalnum() for char in value) or not value.isprintable():
        raise _invalid(f"{where}: {field} must be printable and have a letter or a digit, not '{_quoted(value)}'")
    return value
