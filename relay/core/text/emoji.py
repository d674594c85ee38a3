"""Emoji, which are left out: single ones, with skin tones, joined (families, flags, keycaps), and coming ones.

What has a name in speech stays unless it is written as an emoji (with U+FE0F): digits, #, *, ©, ®, ™, ‼, arrows. Signs
of the blocks Miscellaneous Symbols and Dingbats (☀ ❤ ✔) are left out in either form, unless U+FE0E says that they are
text. Smileys of punctuation, such as :-), stay. A space is left out behind an emoji that had one before it.
"""

import re

from relay.core.text.runs import Run
from relay.core.text.scanner import Found, Scanner, left_out, literal

_TEXT_SELECTOR, _EMOJI_SELECTOR, _JOINER = "\ufe0e", "\ufe0f", "\u200d"

# Emoji and Extended_Pictographic of Unicode 17, and what is reserved for more. Those that stay in their text form:
_SIGNS = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u2328\u23cf\u23ed-\u23ef\u23f1\u23f2\u23f8-\u23fa"
    "\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb\u25fc\u2934\u2935\u2b05-\u2b07\u3030\u303d\u3297\u3299"
)
_PICTURES = (
    "\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2600-\u2604\u260e\u2611\u2614\u2615\u2618\u261d\u2620\u2622"
    "\u2623\u2626\u262a\u262e\u262f\u2638-\u263a\u2640\u2642\u2648-\u2653\u265f\u2660\u2663\u2665\u2666\u2668\u267b"
    "\u267e\u267f\u2692-\u2697\u2699\u269b\u269c\u26a0\u26a1\u26a7\u26aa\u26ab\u26b0\u26b1\u26bd\u26be\u26c4\u26c5"
    "\u26c8\u26ce\u26cf\u26d1\u26d3\u26d4\u26e9\u26ea\u26f0-\u26f5\u26f7-\u26fa\u26fd\u2702\u2705\u2708-\u270d\u270f"
    "\u2712\u2714\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e\u2753-\u2755\u2757\u2763\u2764"
    "\u2795-\u2797\u27a1\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55"
    "\U0001f004\U0001f02c-\U0001f02f\U0001f094-\U0001f09f\U0001f0af\U0001f0b0\U0001f0c0\U0001f0cf\U0001f0d0"
    "\U0001f0f6-\U0001f0ff\U0001f170\U0001f171\U0001f17e\U0001f17f\U0001f18e\U0001f191-\U0001f19a"
    "\U0001f1af-\U0001f20f\U0001f21a\U0001f22f\U0001f232-\U0001f23a\U0001f23c-\U0001f23f\U0001f249-\U0001f25f"
    "\U0001f266-\U0001f64f\U0001f680-\U0001f6ff\U0001f7dc-\U0001f7ff\U0001f80c-\U0001f80f\U0001f848-\U0001f84f"
    "\U0001f85a-\U0001f85f\U0001f888-\U0001f88f\U0001f8ae\U0001f8af\U0001f8bc-\U0001f8bf\U0001f8c2-\U0001f8cf"
    "\U0001f8d9-\U0001f8ff\U0001f90c-\U0001f93a\U0001f93c-\U0001f945\U0001f947-\U0001f9ff\U0001fa58-\U0001fa5f"
    "\U0001fa6e-\U0001faff\U0001fc00-\U0001fffd"
)
_SIGN = re.compile(f"[{_SIGNS}]")
_EMOJI = re.compile(f"[{_SIGNS}{_PICTURES}]")
# What changes the emoji before it: selectors, the box of a keycap, skin tones, the tags of a flag.
_MODIFIER = re.compile("[\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
_KEYCAP = re.compile("[0-9#*]\ufe0f?\u20e3")
# Spoken as a stop even where they are written as emoji.
_STOPS = "‼⁉"


class EmojiFilter(Scanner):
    """Holds back at most 2 characters: a digit or a sign, until it is known whether it is an emoji."""

    _OUTSIDE = re.compile(f"[{_SIGNS}{_PICTURES}]|[0-9#*](?=[\ufe0f\u20e3]|\\Z)")
    _BEHIND = re.compile(r"[\s\S]")

    def __init__(self) -> None:
        super().__init__()
        self.special = self._OUTSIDE
        self._joined = False  # a joiner was the last character
        self._spaced = False  # a space, or nothing, was before the emoji

    def found(self, text: str, at: int, final: bool) -> Found:
        if self.special is self._BEHIND:
            if text[at] == _JOINER or _MODIFIER.match(text, at):
                self._joined = text[at] == _JOINER
                return left_out(text, at, at + 1)
            if self._joined and _EMOJI.match(text, at):
                self._joined = False
                return left_out(text, at, at + 1)
            if self._OUTSIDE.match(text, at) is None:
                return self._over(text, at)
        else:
            before = self.char_before(text, at)
            self._spaced = not before or before.isspace()
        return self._emoji(text, at, final)

    def _over(self, text: str, at: int) -> Found:
        """The emoji ended before `at`."""
        self.special = self._OUTSIDE
        return left_out(text, at, at + 1) if self._spaced and text[at] == " " else literal(text, at)

    def _emoji(self, text: str, at: int, final: bool) -> Found:
        char, after = text[at], text[at + 1 : at + 2]
        if not after and not final:
            return None
        if char in "0123456789#*":
            if after == _EMOJI_SELECTOR and at + 2 == len(text) and not final:
                return None
            keycap = _KEYCAP.match(text, at)
            return self._stays(text, at, at + 1) if keycap is None else self._left_out(text, at, keycap.end())
        if after == _TEXT_SELECTOR:
            return self._stays(text, at, at + 2)
        if _SIGN.match(char) is None:
            return self._left_out(text, at, at + 1)
        if after == _EMOJI_SELECTOR and char in _STOPS:
            self.special = self._OUTSIDE
            return at + 2, [Run(char, char), Run(after, "")]
        emoji = bool(after and _MODIFIER.match(after))
        return self._left_out(text, at, at + 2) if emoji else self._stays(text, at, at + 1)

    def _left_out(self, text: str, at: int, end: int) -> Found:
        self.special, self._joined = self._BEHIND, False
        return left_out(text, at, end)

    def _stays(self, text: str, at: int, end: int) -> Found:
        self.special = self._OUTSIDE
        return literal(text, at, end)
