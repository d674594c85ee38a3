"""Text -> text that the voice can say in English, or the refusal of what it would leave out. Pure.

The voice is silent where it knows nothing: other scripts, emoji, most symbols. What it would be silent about is either
written out here, or refused, so that nothing of a text is lost without a word.
"""

import unicodedata

# What of a text names the character that cannot be spoken.
_LETTER, _SYMBOLS = "L", ("So", "Sm", "Sk")
# The voice says these itself, by its tables.
_SPOKEN_SYMBOLS = frozenset("+=<>~^|`°$¢£€¥₹%&#@*_/\\")
# Joiners and variants of emoji: part of the picture before them.
_SILENT_NAMES = ("VARIATION SELECTOR", "ZERO WIDTH", "EMOJI MODIFIER")


class UnspeakableError(Exception):
    """The voice would leave something out; `what` says which kind of letters, and none of the text."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def speakable(text: str) -> str:
    """`text` with symbols, emoji and lone Greek letters as words, and digits of other scripts as ASCII.

    Raises UnspeakableError for letters that are not Latin.
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    return "".join(_spoken(text, at) for at in range(len(text)))


def has_sound(text: str) -> bool:
    """Whether anything in `speakable` text is pronounced: punctuation alone is a pause."""
    return any(character.isalnum() or character in _SPOKEN_SYMBOLS for character in text)


def _spoken(text: str, at: int) -> str:
    character = text[at]
    if character.isascii():
        return character
    kind, name = unicodedata.category(character), unicodedata.name(character, "")
    if kind == "Nd":
        return str(unicodedata.digit(character))
    if kind == "No":
        return unicodedata.normalize("NFKC", character).replace("\u2044", "/")
    if kind[0] == _LETTER and not name.startswith(
        ("LATIN", "FULLWIDTH LATIN", "MODIFIER LETTER", "FEMININE", "MASCULINE")
    ):
        return _letter(text, at, name)
    if any(part in name for part in _SILENT_NAMES):
        return ""
    if kind in _SYMBOLS and character not in _SPOKEN_SYMBOLS:
        return f" {name.lower()} "
    return unicodedata.normalize("NFKC", character) if kind[0] == _LETTER else character


def _letter(text: str, at: int, name: str) -> str:
    """A letter that stands alone is called by its name where that is one English readers know."""
    alone = not (text[at - 1 : at].isalpha() or text[at + 1 : at + 2].isalpha())
    if (name.startswith("GREEK ") and alone) or name in ("MICRO SIGN", "OHM SIGN"):
        return f" {name.removesuffix(' SIGN').rpartition(' ')[2].lower()} "
    raise UnspeakableError(f"{name.partition(' ')[0].capitalize() or 'unknown'} letters")
