"""Where text is cut inside a sentence."""

from hypothesis import given
from hypothesis import strategies as st

from relay.core.text.characters import glued
from relay.core.text.wordbreaks import first_clause_end, forced_cut, settled_end
from tests.covering import each

texts = st.text(st.sampled_from("ab1 ,.:—-\n\u00a0，漢かกเ\u0301\u200d👋🏽🇩"), min_size=2, max_size=60)


def clauses(text: str) -> list[str]:
    """All clauses, each searched from the end of the one before."""
    found, start = [], 0
    while (end := first_clause_end(text, start, start + 1, len(text))) is not None:
        found.append(text[start:end])
        start = end
    return [*found, text[start:]]


@each(
    "pieces",
    [
        ["Well,", " I think:", " yes;", " no"],
        ["He said “yes,”", " and (so,)", " left"],
        ["one —", " two—", "three -", " four –", " five"],
        ["10–20,", " or 1,000:30,", " at 10:30"],
        ["1—2 and well-known a -b file,v"],
        ["wait...", " what…", " so"],
        ["好，", "我们：", "去、", "看；", "吧"],
        ["价格１，０００：００和３、", "四"],
        ["我……", "不知道——", "真的"],
        ["「はい、」", "と"],
        ["مرحبا،", " كيف؛", " حالك"],
        ["สวัสดีครับ", " ผมชื่อ", " สมชาย"],
        ["first line", "\n- second", "\nthird"],
        ["a b c"],
    ],
)
def test_clauses(pieces: list[str]) -> None:
    assert clauses("".join(pieces)) == pieces


def test_the_first_clause_that_is_late_enough() -> None:
    text = "one, two, three"
    assert [first_clause_end(text, 0, earliest, len(text)) for earliest in (1, 4, 5, 9, 10)] == [4, 4, 9, 9, None]
    assert first_clause_end(text, 0, 1, 4) == 4
    assert first_clause_end(text, 0, 1, 3) is None


@each(
    ("text", "bound", "cut"),
    [
        ("one two, three four five", 18, "one two,"),  # a clause before a space
        ("so, one two three four five", 20, "so, one two three"),  # but not for a stump
        ("one two three four", 13, "one two three"),
        ("one two three four", 12, "one two"),
        ("costs 10 000 euros", 11, "costs"),  # a space inside a number is none
        ("a 10\u00a0000 €", 6, "a"),
        ("10 000 000 000", 8, "10 000"),  # unless there is no other
        ("10\u00a0000\u00a0000", 8, "10\u00a0000"),
        ("see https://example.org/a", 20, "see"),
        ("https://example.org/a b", 10, "https://ex"),  # alone longer than the bound
        ("我们一起去公园散步", 5, "我们一起去"),
        ("AI 我们一起去公园散步吧", 10, "AI 我们一起去公园"),
        ("我们，一起去公园", 6, "我们，"),
        ("aaaae\u0301\u0301bbb", 6, "aaaa"),
        ("e\u0301\u0301\u0301\u0301x", 3, "e\u0301\u0301"),  # one character is longer than the bound
        ("👨‍👩‍👧👨‍👩‍👧", 8, "👨‍👩‍👧"),
        ("      ab", 4, "    "),
        (" abcdefgh", 8, " "),  # the word fits without the space
    ],
)
def test_forced_cut(text: str, bound: int, cut: str) -> None:
    assert text[: forced_cut(text, 0, bound)] == cut
    moved = f"so, we. {text}"
    assert moved[8 : forced_cut(moved, 8, 8 + bound)] == cut


@given(texts, st.data())
def test_a_forced_cut_is_within_bounds_and_outside_words(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 2), "start")
    bound = data.draw(st.integers(start + 1, len(text) - 1), "bound")
    cut = forced_cut(text, start, bound)
    assert start < cut <= bound
    if glued(text, cut, start):
        assert cut == bound and all(glued(text, at, start) for at in range(start + 1, cut + 1))
    if text[cut - 1 : cut + 1].isascii() and text[cut - 1 : cut + 1].isalnum():
        spaces = [at for at in range(start, bound + 1) if text[at].isspace() and not glued(text, at + 1, start)]
        assert not spaces, "there was a space to cut at"


@each(
    ("text", "settled"),
    [
        ("one two", "one"),
        ("one two ", "one two "),
        ("one two,", "one two,"),
        ("one “two,”", "one “two,”"),
        ("one two'", "one"),
        ("one two-", "one"),
        ("one 10,", "one"),
        ("one 10 ", "one"),  # 10 000?
        ("one 10 two", "one 10"),
        ("one a@b.", "one"),
        ("one", ""),
        ("10 ", ""),
        ("你好，我想去", "你好，"),
        ("你好，", "你好，"),
        ("我想去", ""),
        ("สวัสดี ผม", "สวัสดี"),
        ("one two—", "one two—"),
        ("है, वह", "है,"),
    ],
)
def test_settled_end(text: str, settled: str) -> None:
    assert text[: settled_end(text, 0, len(text))] == settled
    assert settled_end(f"so, {text}", 4, 4 + len(text)) == 4 + len(settled)


@given(texts, texts)
def test_what_is_settled_stays_whole_words(text: str, more: str) -> None:
    """Whatever comes: the cut is not between letters or digits, but behind a space or a mark."""
    cut = settled_end(text, 0, len(text))
    assert 0 <= cut <= len(text)
    if 0 < cut < len(text):
        assert text[cut].isspace() or not text[cut - 1].isalnum()
    elif cut:
        assert not text[cut - 1].isalnum()
