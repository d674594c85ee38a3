"""Facts about characters that cutting text needs. This file does not know what a sentence is."""

import re
from unicodedata import category, combining

# Scripts written without spaces between words, whose every character is a syllable or more.
IDEOGRAPHIC = (
    "\u3005-\u3007\u3031-\u3035\u303b\u303c\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003fffd"
)
HANGUL = "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7fb\uffa0-\uffdc"
# Scripts of South-East Asia: no space between words either, one between phrases.
PHRASE_SPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"
# Space that says itself that nothing may be cut there.
NO_BREAK_SPACES = "\u00a0\u2007\u202f"

_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_NAMED_SIGN = re.compile("[%‰°$€£¥₹₩₽₺&@±×÷∞√]")
_IDEOGRAPH = re.compile(f"[{IDEOGRAPHIC}]")
_SYLLABLE = re.compile(f"[{IDEOGRAPHIC}{HANGUL}]")
_JOINERS = re.compile(
    "[\u200c\u200d"  # zero width non-joiner, joiner
    "\u0e33\u0eb3"  # Thai and Lao AM: written after their consonant, one with it
    "\u1160-\u11ff\ud7b0-\ud7fb"  # conjoining vowels and finals of Hangul
    "\uff9e\uff9f"  # half-width voicing marks
    "\U0001f3fb-\U0001f3ff"  # skin tones
    "\U000e0020-\U000e007f]"  # tags: the flags of Scotland, Wales, ...
)
# Written before the consonant that they are spoken after (Unicode property Logical_Order_Exception).
_PREFIX_VOWELS = re.compile("[\u0e40-\u0e44\u0ec0-\u0ec4]")
_HANGUL_LEAD = re.compile("[\u1100-\u115f\ua960-\ua97c]")
_HANGUL = re.compile(f"[{HANGUL}]")
_ZERO_WIDTH_JOINER = "\u200d"
_VIRAMA_CLASS = 9


def speakable(text: str, start: int = 0, stop: int | None = None) -> bool:
    """Is there anything to pronounce: a letter, a digit, a sign that has a name in speech?

    Spaces, punctuation, Markdown and emoji alone are not: most providers answer them with an error or with no audio.
    """
    if stop is None:
        stop = len(text)
    return bool(_LETTER_OR_DIGIT.search(text, start, stop) or _NAMED_SIGN.search(text, start, stop))


def is_ideograph(char: str) -> bool:
    """Han or kana: text that has no spaces between its words."""
    return _IDEOGRAPH.match(char) is not None


def count_syllables(text: str) -> int:
    """How many characters are a whole syllable or more: Han, kana, Hangul."""
    return 0 if text.isascii() else len(_SYLLABLE.findall(text))


def glued(text: str, at: int, start: int = 0) -> bool:
    """Would a cut before `text[at]` split what a reader sees as one character? `start` is known not to.

    The extended grapheme clusters of UAX #29 (revision 45) as far as text for speech has them, and the vowels that
    Thai and Lao write before their consonant.
    """
    if not start < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if after < "\u0300" or after.isspace():
        return before == "\r" and after == "\n"
    if category(after)[0] == "M" or _JOINERS.match(after) or before == _ZERO_WIDTH_JOINER:
        return True
    if _is_regional(before) and _is_regional(after):
        run = at - 1
        while run > start and _is_regional(text[run - 1]):
            run -= 1
        return (at - run) % 2 == 1
    return bool(
        (combining(before) == _VIRAMA_CLASS and after.isalpha())
        or _PREFIX_VOWELS.match(before)
        or (_HANGUL_LEAD.match(before) and _HANGUL.match(after))
    )


def _is_regional(char: str) -> bool:
    """One of the letters that make a flag in pairs."""
    return "\U0001f1e6" <= char <= "\U0001f1ff"
