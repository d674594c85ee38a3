"""Which words of a text each word that the voice reads belongs to. Pure.

The voice reads a rewritten text ("7:30 pm" is three words, "Dr." one without its point), so the words of both are laid
side by side: equal ones belong together, and so does what stands between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

# Punctuation that is not spoken, cut from both ends of a word.
_OUTER = " \t\r\n.,;:!?\"'()[]{}«»‹›“”‘’‚„¿¡…—–-*_`"


@dataclass(frozen=True, slots=True)
class Match:
    """One or more words of the text, without the punctuation around them, and the words read for them: the first and
    one after the last, by their index."""

    text: str
    first: int
    end: int


def matches(text: str, read: Sequence[str]) -> list[Match]:
    """The words of `text`, in order, with what is read for them; words that nothing is read for are left out."""
    written = [stripped for word in text.split() if (stripped := word.strip(_OUTER))]
    matcher = SequenceMatcher(None, [_plain(word) for word in written], [_plain(word) for word in read], autojunk=False)
    found = []
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            found += [Match(written[i + at], k + at, k + at + 1) for at in range(j - i)]
        elif i < j and k < m:
            found.append(Match(" ".join(written[i:j]), k, m))
        elif k < m and found:
            # Read without being written: it is the end of the word before.
            found[-1] = Match(found[-1].text, found[-1].first, m)
    return found


def _plain(word: str) -> str:
    return word.strip(_OUTER).casefold()
