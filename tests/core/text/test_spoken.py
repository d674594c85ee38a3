"""From what is spoken back to what was given: segments, cut by the chunker, and timed words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.text.chunker import ChunkPolicy, TextChunker
from relay.core.text.filters import TextFilter, rewriters
from relay.core.text.lexicon import Lexicon
from relay.core.text.runs import Run, Stages, given_of, merged, spoken_of
from relay.core.text.spoken import Phonemes, SpokenSegment, SpokenText, WordPlaces
from tests.covering import each

LEXICON = Lexicon.parse(
    {"sql": "my sequel", "example": "eggsample", "bold": {"ipa": "bəʊld"}, "now": "right now. Yes", "a": "uh"}
)
TIGHT = ChunkPolicy(first_min_chars=6, first_max_chars=12, target_chars=24, longest_chars=36)
WORDS = (
    "** * _ `x` [it](https://example.com/a) https://www.example.com/b?c SQL sql example bold now a Hello there. "
    "好的。 「 」 👋 - # 1."
)
FRAGMENTS = [*WORDS.split(), " ", " ", ". ", "\n", "\n\n", "```\ncode\n```\n"]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)


def turn(pieces: list[str], *, policy: ChunkPolicy = TIGHT, max_chars: int | None = None) -> list[SpokenSegment]:
    """As a turn has it: given text -> filters, lexicon -> chunker -> segments with both texts."""
    text, chunker = SpokenText(rewriters(list(TextFilter), LEXICON)), TextChunker(policy=policy, max_chars=max_chars)
    segments = list[SpokenSegment]()

    def take() -> None:
        while (spoken := chunker.take(0.0)) is not None:
            segments.append(text.take(spoken, last=chunker.exhausted))

    given_chars = 0
    for piece in pieces:
        chunker.append(text.feed(piece), 0.0)
        given_chars += len(piece)
        take()
        assert text.pending_chars == given_chars - sum(len(segment.given) for segment in segments)
    chunker.append(text.flush(), 0.0)
    chunker.end_input()
    take()
    if rest := text.rest():
        segments.append(SpokenSegment((Run(rest, ""),)))
    assert text.pending_chars == 0 and text.held_chars == 0
    return segments


def test_a_turn() -> None:
    said = "# Hello\n**See** [the docs](https://example.com/x), they are *very* good. SQL is there. 👋\n```py\nx\n```\n"
    segments = turn(list(said), policy=ChunkPolicy())
    assert [(segment.given, segment.spoken) for segment in segments] == [
        ("# Hello\n", "Hello\n\n"),
        (
            "**See** [the docs](https://example.com/x), they are *very* good. SQL is there. ",
            "See the docs, they are very good. my sequel is there. ",
        ),
        ("👋\n```py\nx\n```\n", "\n\n\n"),
    ]


@given(texts, st.lists(st.integers(1, 9), min_size=1, max_size=9), st.sampled_from([None, 5, 30]))
def test_the_given_texts_joined_are_the_text(text: str, sizes: list[int], max_chars: int | None) -> None:
    pieces, at = list[str](), 0
    while at < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    segments = turn(pieces, max_chars=max_chars)
    whole = merged(all_runs(text))
    assert "".join(segment.given for segment in segments) == text
    assert "".join(segment.spoken for segment in segments) == spoken_of(whole)


def all_runs(text: str) -> list[Run]:
    stages = Stages(rewriters(list(TextFilter), LEXICON))
    return [*stages.feed(text), *stages.flush()]


@given(texts, st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_when_a_segment_is_taken_changes_nothing(text: str, cuts: list[int]) -> None:
    """The same cuts of what is spoken stand for the same given text, taken late or as early as can be."""
    early, late = SpokenText(rewriters(list(TextFilter), LEXICON)), SpokenText(rewriters(list(TextFilter), LEXICON))
    spoken = late.feed(text) + late.flush()
    pieces, at = list[str](), 0
    while at < len(spoken):
        pieces.append(spoken[at : at + cuts[len(pieces) % len(cuts)]])
        at += len(pieces[-1])
    there, taken = "", list[str]()
    for char in text:
        there += early.feed(char)
        while len(taken) < len(pieces) and len(there) >= len("".join(pieces[: len(taken) + 1])):
            taken.append(early.take(pieces[len(taken)]).given)
    there += early.flush()
    taken += [early.take(piece).given for piece in pieces[len(taken) :]]
    assert there == spoken
    assert taken == [late.take(piece).given for piece in pieces]
    assert early.rest() == late.rest()


def test_a_run_that_a_cut_divides_belongs_to_its_end() -> None:
    text = SpokenText(rewriters([], Lexicon.parse({"sql": "my sequel"})))
    assert text.feed("Use SQL ok ") == "Use my sequel ok "
    first, second = text.take("Use my "), text.take("sequel ok ")
    assert (first.given, second.given) == ("Use ", "SQL ok ")
    assert (first.spoken, second.spoken) == ("Use my ", "sequel ok ")


def test_what_is_left_out_belongs_to_what_goes_on_behind_it() -> None:
    text = SpokenText(rewriters([TextFilter.MARKDOWN]))
    spoken = text.feed("One. **Two.**\n\n- x") + text.flush()
    assert spoken == "One. Two.\n\n\nx" or spoken == "One. Two.\n\nx"
    assert [text.take("One. ").given, text.take(spoken[5:-1]).given] == ["One. ", "**Two.**\n\n"]
    assert text.take("x", last=True).given == "- x"


def test_a_turn_of_which_nothing_is_spoken() -> None:
    segments = turn(["```\nx = 1\n```"])
    assert [(segment.given, segment.spoken) for segment in segments] == [("```\nx = 1\n```", "")]


def test_phonemes_have_their_places() -> None:
    segment = turn(["Be bold **bold** SQL"])[0]
    assert segment.spoken == "Be bold bold my sequel"
    assert segment.phonemes == (Phonemes(3, 7, "bəʊld"), Phonemes(8, 12, "bəʊld"))


def test_taking_what_is_not_next_is_a_bug() -> None:
    text = SpokenText([])
    assert text.feed("abc") == "abc"
    with pytest.raises(AssertionError, match="in order"):
        text.take("x")


@each(
    ("runs", "words", "given_words"),
    [
        ([Run("one two", "one two")], ["one", "two"], ["one", "two"]),
        ([Run("**", ""), Run("bold", "bold"), Run("**", ""), Run(" x", " x")], ["bold", "x"], ["bold", "x"]),
        ([Run("SQL", "my sequel"), Run(" ok", " ok")], ["my", "sequel", "ok"], ["SQL", "", "ok"]),
        ([Run("bo", "bo"), Run("**", ""), Run("ld", "ld")], ["bold"], ["bo**ld"]),
        ([Run("a 3 b", "a 3 b")], ["a", "three", "b"], ["a", None, "b"]),
        ([Run("the the", "the the")], ["the", "the", "the"], ["the", "the", None]),
        ([Run("", "my "), Run("x", "x")], ["my", "x"], ["", "x"]),
        ([Run("我在", "我在"), Run("重庆", "崇庆")], ["我", "在", "崇庆"], ["我", "在", "重庆"]),
        ([Run("x", "x")], ["", "x"], [None, "x"]),
    ],
)
def test_timed_words_are_told_as_they_were_given(
    runs: list[Run], words: list[str], given_words: list[str | None]
) -> None:
    places = WordPlaces(SpokenSegment(tuple(runs)))
    assert [places.given_for(word) for word in words] == given_words


@given(texts)
def test_given_words_stand_in_the_given_text_in_order(text: str) -> None:
    for segment in turn([text]):
        places, at = WordPlaces(segment), 0
        for word in segment.spoken.split():
            given_word = places.given_for(word)
            assert given_word is not None
            found = segment.given.find(given_word, at)
            assert found >= 0
            at = found + len(given_word)


def test_a_run_is_as_small_as_it_can_be() -> None:
    chain = Stages(rewriters([TextFilter.URLS], LEXICON))
    assert merged(chain.feed("https://www.ex.org/b?c a x") + chain.flush()) == [
        Run("https://www.ex.org", "ex.org"),
        Run("/b?c", ""),
        Run(" ", " "),
        Run("a", "uh"),
        Run(" x", " x"),
    ]


def test_a_chain_of_none_gives_what_it_gets() -> None:
    assert Stages([]).feed("abc") == [Run("abc", "abc")] and Stages([]).feed("") == [] and Stages([]).flush() == []
    assert given_of([Run("a", "b")]) == "a"
