"""IPA -> the phonemes of the voice, and the tokens of a text that they are for. Pure.

The network knows American English only, in letters of its own (those of Kokoro): A, I, O, W and Y are diphthongs, ʧ and
ʤ are one letter each, no vowel is marked as long, and stress stands before the vowel, not before the syllable.
"""

from collections.abc import Sequence
from typing import Any, Protocol
from unicodedata import normalize

__all__ = ["MAX_IPA_CHARS", "pronounced", "voiced"]

# Of one request: twice what a text of 200 characters has. More would be minutes of speech for a short text.
MAX_IPA_CHARS = 400
_VOWELS = frozenset("AIOWYiuæɑɔəɛɜɪʊʌᵊᵻ")
_STRESS = frozenset("ˈˌ")
# What is not here, and is no letter of the voice, is a sound that it lacks.
_ROWS = """
    eɪ A | aɪ I | oʊ O | əʊ O | aʊ W | ɔɪ Y | tʃ ʧ | dʒ ʤ | eː A | oː O | ɪə ɪɹ | eə ɛɹ | ɛə ɛɹ | ʊə ʊɹ | ɝ ɜɹ | ɚ əɹ
    l̩ ᵊl | n̩ ᵊn | m̩ ᵊm | ɒ ɑ | a ɑ | e ɛ | o O | ɐ ə | ɨ ɪ | ʉ u | g ɡ | r ɹ | ɻ ɹ | ʁ ɹ | ɫ l | ɲ nj | ɱ m | ɦ h | ʍ w
"""
_SOUNDS = {letter: letter for letter in "bdfhijklmnpstuvwzæðŋɑɔəɛɜɡɪɹɾʃʊʌʒʔθᵊᵻʧʤˈˌ "}
for _row in _ROWS.replace("\n", "|").split("|"):
    if _row.strip():
        _sound, _letters = _row.split()
        _SOUNDS[_sound] = _letters
_LONGEST = max(map(len, _SOUNDS))
# Ties, divisions of syllables, length, aspiration, the r that colours a vowel.
_SILENT = frozenset(".‿\u0361\u035cːˑʰ˞")


class Token(Protocol):
    """A token of the library's; `whitespace` follows it."""

    text: str
    whitespace: str

    def copy(self, **changed: Any) -> Any: ...


def voiced(ipa: str) -> str | None:
    """`ipa` in the letters of the voice. None where it has a sound that the voice lacks, or is no IPA."""
    left = normalize("NFC", ipa).strip("/ ").replace("\u0361", "").replace("\u035c", "")
    letters, stress, at = "", "", 0
    while at < len(left):
        length = next((n for n in range(_LONGEST, 0, -1) if left[at : at + n] in _SOUNDS), 0)
        if not length and left[at] not in _SILENT:
            return None
        sound = _SOUNDS[left[at : at + length]] if length else ""
        at += length or 1
        if sound in _STRESS:
            stress = sound
            continue
        if stress and sound[:1] in _VOWELS:
            letters, stress = letters + stress, ""
        letters += sound
    return letters if any(letter in _VOWELS for letter in letters) else None


def pronounced(tokens: Sequence[Token], words: list[tuple[str, str]]) -> list[Token]:
    """`tokens` with the phonemes of `words`, each with its own, in the order of the text: found words are taken from
    `words`, and those before them. A word that is read in another form than it is written keeps its reading."""
    told: list[Token] = []
    at = 0
    while at < len(tokens):
        found = next((number for number, (word, _) in enumerate(words) if _length(tokens, at, word)), None)
        length = 0
        if found is not None:
            word, phonemes = words[found]
            length = _length(tokens, at, word)
            del words[: found + 1]
            last = tokens[at + length - 1]
            following = tokens[at + length] if at + length < len(tokens) else last
            if not last.whitespace and following.text.lower() in ("'s", "’s"):
                # The library would say it as if nothing stood before it.
                word, phonemes = word + following.text, phonemes + _genitive(phonemes[-1])
                last, length = following, length + 1
            told.append(tokens[at].copy(text=word, whitespace=last.whitespace, phonemes=phonemes, rating=5))
        else:
            told.append(tokens[at])
        at += length or 1
    return told


def _genitive(last: str) -> str:
    return "ᵻz" if last in "szʃʒʧʤ" else "s" if last in "ptkfθ" else "z"


def _length(tokens: Sequence[Token], at: int, word: str) -> int:
    """How many tokens from `at` on are `word`; 0 if they are not."""
    said = ""
    for number, token in enumerate(tokens[at:], 1):
        said += token.text
        if said == word:
            return number
        said += token.whitespace
        if len(said) > len(word) or not word.startswith(said):
            break
    return 0
