"""Tokens with their phonemes -> the passages that the network speaks at once, with the words in them. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from relay.providers.hibari.speakable import UnspeakableError

# A longer passage is cut behind a clause, or between two words where it has none; a single word may be longer.
MAX_PHONEMES = 400
_CLAUSE_ENDS = frozenset(",;:—.!?…")


class Token(Protocol):
    """A token of the library's: `phonemes` is None or empty where it says nothing; `whitespace` follows it."""

    text: str
    phonemes: str | None
    whitespace: str


@dataclass(frozen=True, slots=True)
class PassageWord:
    """A word as it was read, and its phonemes: the first, and one after the last, by their index in the passage."""

    text: str
    first: int
    end: int


@dataclass(slots=True)
class Passage:
    phonemes: str = ""
    words: list[PassageWord] = field(default_factory=list)

    @property
    def ends_clause(self) -> bool:
        return self.phonemes.rstrip()[-1:] in _CLAUSE_ENDS


@dataclass(slots=True)
class _Word:
    """Tokens without white space between them."""

    text: str = ""
    phonemes: str = ""


def passages(tokens: Iterable[Token]) -> Iterator[Passage]:
    """The passages of one sentence, in order; their phonemes joined are those of the tokens.

    Raises UnspeakableError for a word that the library reads as nothing.
    """
    passage = Passage()
    # Where the passage was last at the end of a clause: how many words, how many phonemes.
    clause: tuple[int, int] | None = None
    for word in _words(tokens):
        if passage.words and len(passage.phonemes) + len(word.phonemes) > MAX_PHONEMES:
            before, passage = _cut(passage, clause)
            yield before
            clause = None
        first = len(passage.phonemes)
        passage.phonemes += word.phonemes
        spoken = word.phonemes.rstrip()
        if _has_letters(word.text) and not _has_letters(spoken):
            raise UnspeakableError("letters of no English word")
        if spoken:
            passage.words.append(PassageWord(word.text, first, first + len(spoken)))
        if spoken[-1:] in _CLAUSE_ENDS and passage.words:
            clause = len(passage.words), len(passage.phonemes)
    if passage.phonemes.strip():
        yield passage


def _cut(passage: Passage, clause: tuple[int, int] | None) -> tuple[Passage, Passage]:
    """What is spoken now, and what the next passage begins with."""
    words, phonemes = clause or (len(passage.words), len(passage.phonemes))
    rest = [PassageWord(word.text, word.first - phonemes, word.end - phonemes) for word in passage.words[words:]]
    return (
        Passage(passage.phonemes[:phonemes].rstrip(), passage.words[:words]),
        Passage(passage.phonemes[phonemes:], rest),
    )


def _has_letters(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _words(tokens: Iterable[Token]) -> Iterator[_Word]:
    """Words, with the space behind them in their phonemes as the library joins them."""
    word = _Word()
    for token in tokens:
        word.text += token.text
        word.phonemes += token.phonemes or ""
        if token.whitespace:
            word.phonemes += " "
            yield word
            word = _Word()
    if word.text:
        yield word
