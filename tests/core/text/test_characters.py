"""What can be pronounced, and what a reader sees as one character."""

from hypothesis import given
from hypothesis import strategies as st

from relay.core.text.characters import count_syllables, glued, is_ideograph, speakable
from tests.covering import each

# Each is one character to its reader, and more than one code point.
CLUSTERS = {
    "accent": "e\u0300",
    "two accents": "a\u0323\u0302",
    "vowel sign": "कि",
    "conjunct": "क्ष",
    "Thai vowel and tone": "กี่",
    "Thai AM": "กำ",
    "Thai vowel before": "เก",
    "Lao vowel before": "ໄກ",
    "family": "👨‍👩‍👧‍👦",
    "skin tone": "👋🏽",
    "emoji form": "❤️",
    "keycap": "5️⃣",
    "flag": "🇩🇪",
    "Scotland": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "jamo": "\u1112\u1161\u11ab",
    "half-width voicing": "ｶﾞ",
    "line end": "\r\n",
    "non-joiner": "نامه\u200c"[-2:],
}


@each("text", ["a", "7", "é", "e\u0301", "好", "か", "안", "ก", "ـب", "अ", "①", "½", "100 %", "%", "€", "x*"])
def test_speakable(text: str) -> None:
    assert speakable(text)
    assert speakable(f" — {text}…")


@each("text", ["", " ", "\n\n", "...", "。」", "—", "***", "# ", "_", "👋🏽", "❤️", "\u200d", "\u0301", "?!", "•"])
def test_not_speakable(text: str) -> None:
    assert not speakable(text)


def test_speakable_within_bounds() -> None:
    assert not speakable("a...b", 1, 4)
    assert speakable("a...b", 1)
    assert speakable("...%b", 0, 4)


@each("cluster", CLUSTERS.values())
def test_clusters_hold_together(cluster: str) -> None:
    """Alone, and between others of their kind; whole clusters come apart."""
    text = f"x{cluster}{cluster}y"
    inside = {1 + at for at in range(1, len(cluster))}
    inside |= {at + len(cluster) for at in inside}
    assert {at for at in range(len(text) + 1) if glued(text, at)} == inside


def test_flags_are_counted_from_the_start() -> None:
    flags = "🇩🇪" * 3
    assert [at for at in range(7) if glued(flags, at)] == [1, 3, 5]
    assert [at for at in range(7) if glued(flags, at, 2)] == [3, 5]


def test_a_space_is_never_glued() -> None:
    assert not glued("\u200d x", 1)
    assert not glued("เ ก", 1)


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=20), st.integers(-2, 22))
def test_nothing_but_line_ends_is_glued_below_the_combining_marks(text: str, at: int) -> None:
    assert glued(text, at) == (at > 0 and text[at - 1 : at + 1] == "\r\n")


def test_syllables() -> None:
    assert count_syllables("abc, 12") == 0
    assert count_syllables("漢字かなカナ한글, é") == 8


def test_ideographs() -> None:
    assert all(map(is_ideograph, "漢かカー々𠀀"))
    assert not any(map(is_ideograph, "a한ก。、「1"))
