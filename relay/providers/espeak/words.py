"""Word events of eSpeak NG -> words of the text, and when each is spoken. This file does not know the library.

An event says "from this sample on I speak what stands at this character", and needs care (measured with 1.52.0):
"3,000" and "example.com" give several events, some of them pointing a character or two beside what is spoken; "in the"
gives one; the second word of an emoji's name points at the space behind it. What holds is their order, and their
samples. So an event opens a word where one can begin in the text, a word reaches to where the next begins, and events
inside of it are ignored: nothing spoken is left out, nothing is spoken twice. The price is that "in the" is one word.
"""

from collections.abc import Iterator

# What ends a word besides white space, although no space need stand beside it.
_GAPS = "—–…"
# Scripts that set no space between words, in which a word may begin at any letter: first and last code points.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x20000, 0x3FFFF),  # Han, supplementary planes
)
# Punctuation that is not spoken, cut from both ends of a word. Symbols (%, $, #, +) are spoken and stay.
_OUTER = (
    _GAPS
    + " \t\r\n\v\f\x00\u00a0\u3000.,;:!?\"'()[]{}«»‹›“”‘’‚„¿¡·-、。，．；：！？「」『』（）［］｛｝《》〈〉【】،؛؟।॥"
)


class WordTimes:
    """A transform from events `(index, sample)` to words `(text, first sample, end sample)`.

    `index` counts characters of `text` from 0. Words come in the order of the text, do not overlap, and each ends where
    the next begins; the last one at the `samples` given to `flush`.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        # Where the word being spoken begins: index and sample.
        self._open: tuple[int, int] | None = None
        # The same of an event that pointed at a gap: part of the word before, or the word after? The next event tells.
        self._doubtful: tuple[int, int] | None = None

    @property
    def begun(self) -> list[int]:
        """The samples at which words begin, or may begin, that have not come out yet; in order."""
        return [mark[1] for mark in (self._open, self._doubtful) if mark is not None]

    def feed(self, index: int, sample: int) -> list[tuple[str, int, int]]:
        at = self._beginning(min(max(index, 0), len(self._text)))
        doubtful, self._doubtful = self._doubtful, None
        words: list[tuple[str, int, int]] = []
        if doubtful is not None and doubtful[0] < at:
            words += self._begin(*doubtful)
        if self._is_gap(index):
            self._doubtful = (at, sample)
            return words
        return [*words, *self._begin(at, sample)]

    def flush(self, samples: int) -> list[tuple[str, int, int]]:
        words: list[tuple[str, int, int]] = []
        if self._doubtful is not None and self._doubtful[0] < len(self._text):
            words += self._begin(*self._doubtful)
        return [*words, *self._begin(len(self._text) + 1, samples)]

    def _begin(self, at: int, sample: int) -> Iterator[tuple[str, int, int]]:
        """A word begins at index `at`, unless it is the one that is open, or an echo of one before it."""
        if self._open is not None:
            begun, first_sample = self._open
            if at <= begun:
                return
            spoken = self._text[begun:at].strip(_OUTER)
            if spoken:
                yield spoken, first_sample, max(sample, first_sample)
        self._open = (at, sample)

    def _beginning(self, index: int) -> int:
        """Where the word that `index` lies in begins; from a gap, where the next one does."""
        while self._is_gap(index):
            index += 1
        while 0 < index < len(self._text) and not self._may_begin(index):
            index -= 1
        return index

    def _may_begin(self, index: int) -> bool:
        if self._is_gap(index - 1):
            return True
        # A mark on the letter before it is no letter, and begins nothing.
        return self._text[index].isalnum() and (_unspaced(self._text[index]) or _unspaced(self._text[index - 1]))

    def _is_gap(self, index: int) -> bool:
        return 0 <= index < len(self._text) and (self._text[index].isspace() or self._text[index] in _GAPS)


def _unspaced(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _UNSPACED)
