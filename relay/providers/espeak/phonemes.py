"""IPA -> phonemes as eSpeak NG takes them, and texts that hold them. Pure.

The library reads `[[...]]` in a text as phonemes, by its own mnemonics (after Kirshenbaum), if it is called for it. It
has no other way in: `<phoneme>` of SSML is read as the word within it (1.52.0). Each language has phonemes of its own,
so a sound of the IPA has several mnemonics here, the nearest first; `knows` says which of them a voice has.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple
from unicodedata import normalize

__all__ = ["MAX_IPA_CHARS", "Rendered", "mnemonics", "rendered", "with_genitive"]

# Of one request: twice what a text of 200 characters has. More would be minutes of speech for a short text.
MAX_IPA_CHARS = 400

# IPA -> mnemonics, the nearest first. Kirshenbaum, and `docs/phonemes.md` of espeak-ng 1.52.0.
_ROWS = """
    iː i: i | i i i: I | ɪ I I2 i | yː y: y | y y y: | ʏ y Y | eː e: e | e e e: E | ɛː E: E | ɛ E e | øː Y: Y
    ø Y Y: | œ W Y | æ a aa E | aː a: A: a | a a A | ɑː A: A a: a | ɑ A A: 0 a | ɒ 0 O A: | ɔː O: O | ɔ O O: 0
    oː o: o | o o o: oU | ʊ U u | uː u: u | u u u: U | ʌ V a# a | ə @ @2 | ɐ a# V @ | ɜː 3: W: @: | ɜ 3: 3 @
    ɝ 3: 3 @ | ɚ 3 @ | ɨ i" I# I i | ʉ u" u: u | ɯ u- u | ɤ o- V @ | ᵻ I# I i
    eɪ eI | aɪ aI | ɔɪ OI | aʊ aU | oʊ oU o: | əʊ oU @U | ɪə i@ i@3 | eə e@ | ɛə e@ | ʊə U@
    ɑ̃ A~ | ɛ̃ E~ | ɔ̃ O~ | œ̃ W~ | ã a~ A~ &~ | ẽ e~ | ĩ i~ | õ o~ O~ | ũ u~
    p p | b b | t t | d d | k k | ɡ g | g g | ʔ ? | m m | n n | ɱ m | ɲ n^ n | ŋ N n | ɴ N n
    f f | v v | θ T s | ð D z | s s | z z | ʃ S s | ʒ Z z | ʂ s. S | ʐ z. Z | ɕ S; S | ʑ Z; Z | ç C S | ʝ J^ j
    x x k | ɣ Q g | χ X x k | ʁ Q" R r | ħ H h | ʕ ? | h h | ɦ h | ʋ v# v | β B b | ɸ f
    ɹ r r- | ɻ r r. | r r R | ɾ * r | ʀ r" R r | ɽ r. r | l l | ɫ l L | ɭ l. l | ʎ l^ l | ɬ l# l
    j j | w w | ʍ w# w | ɥ w | tʃ tS | dʒ dZ | tɕ tS; tS | dʑ dZ; dZ | ts ts | dz dz | pf pF | ʈ t. t | ɖ d. d
    ɳ n. n | ɟ J d | c c k | q q k | ɢ g | l̩ @L l- | n̩ n- | m̩ m-
    ˈ ' | ˌ ,
"""
_SOUNDS: dict[str, tuple[str, ...]] = {}
for _row in _ROWS.replace("\n", "|").split("|"):
    if _row.strip():
        _sound, *_names = _row.split()
        _SOUNDS[normalize("NFC", _sound)] = tuple(_names)
_LONGEST = max(map(len, _SOUNDS))
_STRESS = ("ˈ", "ˌ")
_SIBILANTS, _VOICELESS = frozenset(("s", "z", "S", "Z", "tS", "dZ")), frozenset(("p", "t", "k", "f", "T"))
# Ties, divisions of syllables, and what the library has no sign for: length of what is always short, aspiration,
# palatalisation, labialisation, the r that colours a vowel.
_SILENT = frozenset(".‿\u0361\u035cːˑʰʲʷ˞")


def mnemonics(ipa: str, knows: Callable[[str], bool]) -> str | None:
    """What stands between `[[` and `]]` for `ipa`: names of this file, separated by `|`, and spaces between words.

    None where it has a sound that the voice has nothing near to, or that is no IPA.
    """
    left = normalize("NFC", ipa).strip("/ ").replace("\u0361", "").replace("\u035c", "")
    words: list[list[str]] = [[]]
    at = 0
    while at < len(left):
        length, name = _next(left, at, knows)
        if not length:
            return None
        at += length
        if name == " ":
            words.append([])
        elif name:
            words[-1].append(name)
    spoken = [word for word in words if any(name not in ("'", ",") for name in word)]
    return " ".join("|".join(word) for word in spoken) or None


def _next(ipa: str, at: int, knows: Callable[[str], bool]) -> tuple[int, str]:
    """How many characters the next sound has, and its name; 0 where there is none."""
    if ipa[at].isspace():
        return 1, " "
    for length in range(_LONGEST, 0, -1):
        sound = ipa[at : at + length]
        for name in _SOUNDS.get(sound, ()):
            if sound in _STRESS or knows(name):
                return length, name
    return (1, "") if ipa[at] in _SILENT else (0, "")


def with_genitive(text: str, stop: int, names: str) -> tuple[int, str]:
    """`stop` and `names` with the `'s` that may follow a name in `text`: the library would spell it alone."""
    if text[stop : stop + 2].lower() not in ("'s", "’s") or text[stop + 2 : stop + 3].isalnum():
        return stop, names
    last = names.rpartition("|")[2].rpartition(" ")[2]
    ending = "I|z" if last in _SIBILANTS else "s" if last in _VOICELESS else "z"
    return stop + 2, f"{names}|{ending}"


class Rendered(NamedTuple):
    """A text for the library. Character `i` of it stands for character `places[i]` of the text that was given."""

    text: str
    places: Sequence[int]


def rendered(text: str, phonemes: Sequence[tuple[int, int, str]]) -> Rendered:
    """`text` with mnemonics for its characters from `start` to `stop`, in order. All other text is spoken as it is: no
    bracket in it opens phonemes, since each is a parenthesis, which the library pauses for alike."""
    pieces: list[str] = []
    places: list[int] = []
    at = 0
    for start, stop, names in phonemes:
        before = text[at:start].replace("[", "(") or "".join(pieces[-1:])
        # Behind most punctuation the library drops phonemes that no space stands before.
        said = f" [[{names}]]" if before and not before[-1].isspace() else f"[[{names}]]"
        pieces += [text[at:start].replace("[", "("), said]
        places += [*range(at, start), *[start] * len(said)]
        at = stop
    pieces.append(text[at:].replace("[", "("))
    places += range(at, len(text) + 1)
    return Rendered("".join(pieces), places)
