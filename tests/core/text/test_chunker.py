"""When text becomes a segment: exactness for every way of calling, and the decisions one by one."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.text.characters import glued, is_ideograph
from relay.core.text.chunker import DEFAULT, ChunkPolicy, TextChunker, speakable
from relay.core.text.sentences import SentenceScan, find_sentence_ends
from tests.covering import each

# Small enough that every rule comes into play within a short text.
TIGHT = ChunkPolicy(first_min_chars=6, first_max_chars=12, target_chars=24, longest_chars=36)
BIT_BY_BIT = ChunkPolicy(first_min_chars=1, first_max_chars=1, target_chars=1, longest_chars=300)

LATIN = "Yes. No! Really? and the house Dr. Smith e.g. 3.14 1,000 10:30 z. B. a@b.cd — , ; “Hi.” ... 5 000 ** - ’"
OTHERS = "今天很好。 「はい。」 我， 안녕. مرحبا؟ नमस्ते। สวัสดี क्षि é e\u0301 👩\u200d👩\u200d👧 🇩🇪 \u200d \u0301"
FRAGMENTS = [
    *LATIN.split(),
    *OTHERS.split(),
    " ",
    " ",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\u00a0",
    ". ",
    ", ",
    "\r\n",
    "x" * 50,
]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)
policies = st.sampled_from([DEFAULT, TIGHT, BIT_BY_BIT])


def drain(chunker: TextChunker, now_s: float = 0.0) -> list[str]:
    """All that the chunker gives now."""
    return list(iter(lambda: chunker.take(now_s), None))


def speak(
    deltas: Iterable[str], *, max_chars: int | None = None, policy: ChunkPolicy = DEFAULT, pull: bool = True
) -> list[str]:
    """The segments of text that comes without a pause, pulled after every delta or at the end only."""
    chunker = TextChunker(max_chars=max_chars, policy=policy)
    segments = []
    for delta in deltas:
        chunker.append(delta, 0.0)
        segments += drain(chunker) if pull else []
    chunker.end_input()
    segments += drain(chunker)
    assert chunker.exhausted
    return segments


def cut(text: str, sizes: list[int]) -> list[str]:
    """`text` in pieces of these sizes, the rest in one."""
    pieces, start = [], 0
    for size in sizes:
        pieces.append(text[start : start + size])
        start += size
    return [*pieces, text[start:]]


# --- exactness ---------------------------------------------------------------------------------------------------


@given(st.lists(st.one_of(texts, st.sampled_from(["flush", 0.01, 0.3, 0.6, 2.0]))), policies, st.integers(1, 60))
def test_joined_segments_are_the_text(steps: list[str | float], policy: ChunkPolicy, max_chars: int) -> None:
    """Whatever is called when; and all counts are true all the time."""
    chunker = TextChunker(max_chars=max_chars, policy=policy)
    text, segments, now_s = "", list[str](), 0.0
    for step in steps:
        if step == "flush":
            chunker.flush()
            segments += drain(chunker, now_s)
            assert "".join(segments) == text
        elif isinstance(step, str):
            chunker.append(step, now_s)
            text += step
        else:
            now_s += step
            segments += drain(chunker, now_s)
            assert chunker.deadline_s is None or chunker.deadline_s > now_s
        assert chunker.pending_chars == len(text) - len("".join(segments))
        assert not chunker.exhausted
    chunker.end_input()
    segments += drain(chunker, now_s)
    assert "".join(segments) == text
    assert all(0 < len(segment) <= max_chars for segment in segments)
    assert chunker.exhausted and chunker.deadline_s is None


@given(st.text(max_size=80), st.lists(st.integers(1, 9)), st.integers(1, 20))
def test_any_characters_are_kept(text: str, sizes: list[int], max_chars: int) -> None:
    assert "".join(speak(cut(text, sizes), max_chars=max_chars, policy=TIGHT)) == text


@given(texts, st.lists(st.integers(1, 9)), policies, st.sampled_from([None, 7, 40]))
def test_pulled_at_the_end_the_cuts_do_not_matter(
    text: str, sizes: list[int], policy: ChunkPolicy, max_chars: int | None
) -> None:
    whole = speak([text], max_chars=max_chars, policy=policy, pull=False)
    assert speak(cut(text, sizes), max_chars=max_chars, policy=policy, pull=False) == whole
    assert speak(text, max_chars=max_chars, policy=policy, pull=False) == whole


@given(texts, st.lists(st.integers(1, 9)), policies, st.integers(8, 60))
def test_no_cut_is_inside_a_word_a_number_or_a_character(
    text: str, sizes: list[int], policy: ChunkPolicy, max_chars: int
) -> None:
    at = 0
    for segment in speak(cut(text, sizes), max_chars=max_chars, policy=policy)[:-1]:
        start, at = at, at + len(segment)
        before, after = text[at - 1], text[at]
        run = text[start:].split(maxsplit=1)[0]
        alone = segment.strip() in run and len(run) > min(max_chars, policy.longest_chars // 3)
        if glued(text, at, start):
            assert alone or before in "。」؟।，" or before.isspace(), "an accent behind an end that could not wait"
        word = after.isalnum() and (before.isalnum() or before in "'’@_")
        number = before in ".,:" and after.isdigit() and text[at - 2 : at - 1].isdigit()
        spaceless = is_ideograph(before) or not (before + after).isascii()
        if (word and not spaceless) or number:
            assert alone, "only a word that is longer than a segment may be"


@given(texts, st.lists(st.integers(1, 9)), policies)
def test_unspeakable_segments_come_only_last(text: str, sizes: list[int], policy: ChunkPolicy) -> None:
    """Or where what is speakable does not fit beside them."""
    for segment, following in pairwise(speak(cut(text, sizes), policy=policy)):
        assert speakable(segment) or len(segment + following) > policy.longest_chars // 3


# --- sentences ---------------------------------------------------------------------------------------------------


def test_one_sentence_after_the_other() -> None:
    deltas = ["Hel", "lo there", ".", " How", " are you?", " I", " am Dr", ".", " No", "."]
    chunker = TextChunker()
    given_at = []
    for delta in deltas:
        chunker.append(delta, 0.0)
        given_at.append(chunker.take(0.0))
    assert given_at == [None, None, None, "Hello there. ", None, "How are you? ", None, None, None, None]
    chunker.end_input()
    assert drain(chunker) == ["I am Dr. No."]


def test_a_stop_at_the_end_waits_for_what_follows() -> None:
    chunker = TextChunker()
    chunker.append("It is 3.", 0.0)
    assert chunker.take(0.0) is None
    chunker.append("14 today. O", 0.0)
    assert drain(chunker) == ["It is 3.14 today. "]


def test_a_full_stop_of_chinese_waits_for_nothing() -> None:
    assert speak("他走了。我也走。") == ["他走了。", "我也走。"]
    chunker = TextChunker()
    chunker.append("他走了。", 0.0)
    assert chunker.take(0.0) == "他走了。"


def test_a_full_stop_in_an_open_quotation_waits_for_the_next_character() -> None:
    chunker = TextChunker()
    chunker.append("他说：“好。", 0.0)
    assert chunker.take(0.0) is None
    chunker.append("”", 0.0)
    assert chunker.take(0.0) == "他说：“好。”"
    chunker.append("“好。", 0.0)
    assert chunker.take(0.0) is None
    chunker.append("走", 0.0)
    assert chunker.take(0.0) == "“好。"


def test_a_full_stop_in_an_open_quotation_waits_no_longer_than_a_sentence_does() -> None:
    chunker = TextChunker()
    chunker.append("彼は「はい。", 5.0)
    assert chunker.take(5.0) is None
    assert chunker.deadline_s == 5.0 + DEFAULT.sentence_after_s
    assert chunker.take(chunker.deadline_s) == "彼は「はい。"


def test_a_clause_in_an_open_quotation_waits_for_the_next_character() -> None:
    text = "“今天天气真的非常非常好，”他说，我们走吧"
    assert speak(text) == ["“今天天气真的非常非常好，”", "他说，我们走吧"]


def test_an_end_that_may_move_is_not_joined_to_a_certain_one() -> None:
    assert speak(["好的。今天天气很好。"]) == speak("好的。今天天气很好。") == ["好的。", "今天天气很好。"]


def test_later_segments_hold_as_many_sentences_as_fit() -> None:
    sentence = "This sentence has forty characters in it. "
    assert speak([sentence * 12], pull=False) == [sentence, sentence * 4, sentence * 4, sentence * 3]


def test_a_sentence_longer_than_the_target_is_whole() -> None:
    long = "word " * 50 + "end. "
    assert speak(["Fine. Go.\n\n", long + "Yes."]) == ["Fine. Go.\n\n", long, "Yes."]
    assert speak(["Fine. Go.\n\n" + long + "Yes."], pull=False) == ["Fine. Go.\n\n", long + "Yes."]


def test_a_very_short_sentence_is_not_left_alone() -> None:
    """Not even where the one before it fills the target."""
    sentence = "This sentence has forty-seven characters in it. "
    text = sentence * 5 + "Is it so? "
    assert len(sentence * 4 + "Is it so? ") > DEFAULT.target_chars
    assert speak([text], pull=False) == [sentence, sentence * 4 + "Is it so? "]
    assert speak([text + sentence], pull=False) == [sentence, sentence * 4 + "Is it so? ", sentence]


def test_chinese_counts_for_more() -> None:
    sentence = "今天天气很好，我们去公园散步吧。"
    segments = speak([sentence * 12])
    assert segments[0] == sentence and segments[1] == sentence * 4
    assert all(len(segment) <= DEFAULT.target_chars // 3 for segment in segments)


# --- the first segment -------------------------------------------------------------------------------------------


def test_the_first_segment_may_be_a_clause() -> None:
    text = "Sure, I can help you with that problem, and with all the others that you may have"
    assert speak(text) == ["Sure, I can help you with that problem, ", "and with all the others that you may have"]


def test_a_clause_that_is_too_short_is_not_the_first_segment() -> None:
    assert speak("Sure, it is, you know") == ["Sure, it is, you know"]


def test_a_first_sentence_that_is_there_is_not_cut() -> None:
    text = "Sure, I can help you with that problem, and with all the others. "
    assert speak([text, "More."]) == [text, "More."]


def test_a_long_first_sentence_is_cut_though_it_is_there() -> None:
    head, tail = (
        "Sure, I can help you with that problem, ",
        "and with all the others that you may have today, or tomorrow. ",
    )
    assert len(head + tail) > DEFAULT.first_max_chars
    assert speak([head + tail]) == [head, tail]


def test_no_clause_is_cut_off_right_before_the_end() -> None:
    head = "I can help you with all of the problems that you may have and with those of all of your friends, "
    assert speak([head + "you know. "]) == [head + "you know. "], "nor before what only looks like an end so far"
    assert speak([head + "you know. Go on."]) == [head + "you know. ", "Go on."]
    assert speak([head + "you"]) == [head, "you"]


def test_a_short_first_sentence_is_not_delayed() -> None:
    assert speak(["Yes.", " ", "I", " do."]) == ["Yes. ", "I do."]
    assert speak(["Sure! ", "I do."]) == ["Sure! ", "I do."]


def test_a_short_first_sentence_is_joined_with_what_is_there() -> None:
    assert speak(["Yes. I can do all of that for you. Now go. "]) == ["Yes. I can do all of that for you. ", "Now go. "]


@pytest.mark.parametrize(
    "text", ["１，０００円は高い，", "costs of about all those 1,000, or 10:30", "that is what I think about it,no"]
)
def test_no_clause_ends_inside_a_number(text: str) -> None:
    segments = speak(text, policy=ChunkPolicy(first_min_chars=3))
    assert not any(segment[-1] in "，,:" and segment[-2:-1].isdigit() for segment in segments[:-1])


def test_a_short_first_sentence_goes_before_one_that_is_too_long_for_a_beginning() -> None:
    long = "I can do all of that for you and for all of your friends and for all of those who may come with them too. "
    assert len(long) > DEFAULT.first_max_chars
    assert speak(["Yes. " + long], pull=False) == ["Yes. ", long]
    assert speak([long], pull=False) == [long]


# --- long text ---------------------------------------------------------------------------------------------------


def test_text_without_an_end_is_cut_at_a_clause() -> None:
    text = "First sentence here. " + "and it goes on, " * 30
    segments = speak(text)
    assert all(len(segment) <= DEFAULT.longest_chars + 1 for segment in segments)
    assert all(segment.endswith(", ") for segment in segments[1:])


def test_text_without_an_end_is_cut_between_words() -> None:
    text = "word" + " word" * 200
    segments = speak(text)
    assert [len(segment) for segment in segments] == [300, 300, 300, 104]
    assert all(segment.endswith(" ") for segment in segments[:-1])


@pytest.mark.parametrize("max_chars", [1, 2, 7, 40, 1000])
def test_max_chars(max_chars: int) -> None:
    text = "Well, this is a sentence of some length. It costs 1,000.50 in all; internationalisation! " * 5
    segments = speak([text], max_chars=max_chars)
    assert "".join(segments) == text
    assert all(len(segment) <= max_chars for segment in segments)
    if max_chars >= 40:
        assert all(before[-1] == " " or after[0] == " " for before, after in pairwise(segments))


def test_spaces_are_attached_as_far_as_they_fit() -> None:
    assert speak(["One two.   Three four. "], max_chars=10, policy=BIT_BY_BIT) == ["One two.  ", " Three ", "four. "]
    assert speak(["One two.   Three four. "], max_chars=11, policy=BIT_BY_BIT) == [
        "One two.   ",
        "Three four. "[:11],
        " ",
    ]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("abcde, ghi", "abcde, "),  # 6: just enough for a beginning
        ("abcd, ghi", None),
        ("abcde, ghij. ", "abcde, ghij. "),  # 12: not too much for one
        ("abcde, ghijk. ", "abcde, "),
        ("abcde fghij k, mno. ", "abcde fghij k, mno. "),  # 6 more characters are needed behind the clause
        ("abcde fghij k, mnop. ", "abcde fghij k, "),
        ("abcde fghij klmno pqrst uvwxy abcde. ", "abcde fghij klmno pqrst uvwxy abcde. "),  # 36: as long as can be
        ("abcde fghij klmno pqrst uvwxy abcdef. ", "abcde fghij klmno pqrst uvwxy "),
    ],
)
def test_the_lengths_of_a_policy_are_met_exactly_at_first(text: str, first: str | None) -> None:
    chunker = TextChunker(policy=TIGHT)
    chunker.append(text + "X", 0.0)
    assert chunker.take(0.0) == first


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("Abcde fghij. Abcdefghij. X", "Abcde fghij. Abcdefghij. "),  # 24: the target
        ("Abcde fghij. Abcdefghijk. X", "Abcde fghij. "),
        ("Abcdefghijk mnopqrstu. Abc. X", "Abcdefghijk mnopqrstu. Abc. "),  # beyond it, but " Abc." is very short
        ("Abcdefghijk mnopqrstu. Abcd. X", "Abcdefghijk mnopqrstu. "),
    ],
)
def test_the_lengths_of_a_policy_are_met_exactly_later(text: str, second: str) -> None:
    chunker = TextChunker(policy=TIGHT)
    chunker.append(f"Go home. {text}", 0.0)
    assert [chunker.take(0.0), chunker.take(0.0)] == ["Go home. ", second]


def test_an_unbreakable_run_is_cut_between_characters() -> None:
    family = "👨‍👩‍👧"
    assert speak(["a" + family * 4], max_chars=12) == ["a" + family * 2, family * 2]


def test_thai_is_cut_at_its_spaces() -> None:
    phrase = "สวัสดีครับผมชื่อสมชาย"
    text = f"{phrase} " * 20
    segments = speak(text)
    assert "".join(segments) == text
    assert segments[0] == f"{phrase} {phrase} "
    assert all(segment.endswith(f"{phrase} ") for segment in segments)


# --- flush, end, deadline ----------------------------------------------------------------------------------------


def test_flush_gives_all_that_is_there() -> None:
    chunker = TextChunker()
    chunker.append("Let me se", 0.0)
    assert chunker.take(0.0) is None
    chunker.flush()
    chunker.flush()
    assert drain(chunker) == ["Let me se"]
    assert chunker.pending_chars == 0 and not chunker.exhausted
    chunker.append("e now", 0.0)
    assert drain(chunker) == []
    chunker.flush()
    assert drain(chunker) == ["e now"]


def test_no_segment_runs_across_a_flush() -> None:
    chunker = TextChunker()
    for text in ("One.", " Two", " \n", "Three. F"):
        chunker.append(text, 0.0)
        chunker.flush()
    chunker.append("our. Five", 0.0)
    assert drain(chunker) == ["One.", " Two", " \n", "Three. F", "our. "]


def test_speech_begins_anew_after_a_flush() -> None:
    clause = "Sure, I can help you with that problem, "
    chunker = TextChunker()
    for _ in range(2):
        chunker.append(clause + "a", 0.0)
        assert drain(chunker) == [clause]
        chunker.append(clause, 0.0)
        assert drain(chunker) == []
        chunker.flush()
        assert drain(chunker) == ["a" + clause]


def test_the_end_of_input() -> None:
    chunker = TextChunker()
    chunker.append("Bye", 0.0)
    chunker.end_input()
    chunker.end_input()
    assert chunker.pending_chars == 3
    assert drain(chunker) == ["Bye"]
    assert chunker.exhausted
    with pytest.raises(AssertionError, match="end of input"):
        chunker.append("x", 0.0)


def test_nothing_at_all() -> None:
    chunker = TextChunker()
    assert chunker.take(9.0) is None and chunker.deadline_s is None and not chunker.exhausted
    chunker.append("", 1.0)
    chunker.flush()
    assert chunker.take(9.0) is None and chunker.deadline_s is None
    chunker.end_input()
    assert chunker.take(9.0) is None and chunker.exhausted


@each(
    ("text", "wait_s", "segments"),
    [
        ("Let me look.", DEFAULT.sentence_after_s, ["Let me look."]),
        ("I like it. ", DEFAULT.sentence_after_s, ["I like it. "]),
        ("Let me look for", DEFAULT.flush_after_s, ["Let me look "]),
        ("Let me look ", DEFAULT.flush_after_s, ["Let me look "]),
        ("Let me see,", DEFAULT.flush_after_s, ["Let me see,"]),
        ("It costs 10", DEFAULT.flush_after_s, ["It costs "]),
        ("It costs 10 ", DEFAULT.flush_after_s, ["It costs "]),
        ("It costs 10,", DEFAULT.flush_after_s, ["It costs "]),
        ("It was 1990.", DEFAULT.number_after_s, ["It was 1990."]),
        ("I met Dr.", DEFAULT.flush_after_s, ["I met "]),
        ("你好，我想去", DEFAULT.flush_after_s, ["你好，"]),
        ("see example.", DEFAULT.sentence_after_s, ["see example."]),
    ],
)
def test_text_that_stops_coming(text: str, wait_s: float, segments: list[str]) -> None:
    """Asked at every deadline that it names, the chunker gives this at that time, and no word in two."""
    chunker = TextChunker()
    chunker.append(text, 100.0)
    now_s = 100.0
    assert drain(chunker, now_s) == []
    told = []
    while chunker.deadline_s is not None:
        assert chunker.deadline_s > now_s
        now_s = chunker.deadline_s
        segments_now = drain(chunker, now_s)
        if segments_now:
            assert now_s == 100.0 + wait_s
        told += segments_now
    assert told == segments
    chunker.end_input()
    assert "".join([*told, *drain(chunker, now_s)]) == text


@each("text", ["Hello", "12", "12.", "", "...", "👋 ", " \n", "— ", "我想去"])
def test_text_that_may_still_grow_waits(text: str) -> None:
    chunker = TextChunker()
    chunker.append("Go on.\n\n", 0.0)
    assert drain(chunker) == ["Go on.\n\n"]
    chunker.append(text, 1.0)
    assert drain(chunker, 1.0 + DEFAULT.flush_after_s) == []


def test_every_delta_puts_the_deadline_off() -> None:
    chunker = TextChunker()
    for tick in range(20):
        chunker.append("word ", tick * 0.3)
        assert drain(chunker, tick * 0.3) == []
        assert chunker.deadline_s == pytest.approx(tick * 0.3 + DEFAULT.sentence_after_s)
        assert drain(chunker, tick * 0.3 + 0.29) == []
        assert chunker.deadline_s == pytest.approx(tick * 0.3 + DEFAULT.flush_after_s)
    assert "".join(drain(chunker, 19 * 0.3 + DEFAULT.flush_after_s)) == "word " * 20


def test_the_held_word_is_spoken_with_what_follows() -> None:
    chunker = TextChunker()
    chunker.append("Let me look for exam", 0.0)
    assert drain(chunker, 1.0) == ["Let me look for "]
    assert chunker.deadline_s is None and drain(chunker, 9.0) == []
    chunker.append("ples, one, two, three, four and five, to be", 9.0)
    assert drain(chunker, 9.0) == ["examples, one, two, three, four and five, "], "speech begins anew"


# --- bounds ------------------------------------------------------------------------------------------------------


class CountingEnds:
    """The sentence finder, counting the characters that it is asked to look at."""

    def __init__(self) -> None:
        self.calls = 0
        self.looked_at = 0
        self.widest = 0

    def __call__(self, text: str, start: int, stop: int, *, final: bool) -> SentenceScan:
        self.calls += 1
        self.looked_at += stop - start
        self.widest = max(self.widest, stop - start)
        return find_sentence_ends(text, start, stop, final=final)


@each("text", ["a", "word ", "Yes. No, " * 3, "好，", "è\u0301"])
@each("size", [1, 7, 50_000])
def test_the_cost_is_linear(text: str, size: int) -> None:
    """A character is looked at a few times, however the text is cut, and long text is never searched to its end."""
    length = 10_000
    text = (text * length)[:length]
    finder = CountingEnds()
    chunker = TextChunker(find_ends=finder)
    for at in range(0, length, size):
        chunker.append(text[at : at + size], 0.0)
        drain(chunker)
    chunker.end_input()
    drain(chunker)
    assert chunker.exhausted
    assert finder.looked_at <= 5 * length
    assert finder.widest <= DEFAULT.longest_chars + 64


def test_asking_again_costs_nothing() -> None:
    finder = CountingEnds()
    chunker = TextChunker(find_ends=finder)
    assert drain(chunker) == []
    assert finder.calls == 0
    chunker.append("Let me see", 0.0)
    for _ in range(9):
        assert chunker.take(0.0) is None
    assert finder.calls == 1


@pytest.mark.timeout(10)
def test_a_hundred_thousand_letters_without_an_end_one_by_one() -> None:
    chunker = TextChunker()
    taken = 0
    for _ in range(100_000):
        chunker.append("a", 0.0)
        taken += len(chunker.take(0.0) or "")
        assert chunker.pending_chars <= DEFAULT.longest_chars
    assert taken + chunker.pending_chars == 100_000


def test_what_was_taken_is_let_go() -> None:
    chunker = TextChunker()
    for _ in range(1000):
        chunker.append("This sentence has forty characters in it. ", 0.0)
        drain(chunker)
    assert len(chunker._text) < 1000 and not chunker._ends and not chunker._arrived


# --- settings ----------------------------------------------------------------------------------------------------


def test_a_nonsensical_policy_is_refused() -> None:
    for policy in (
        {"first_min_chars": 0},
        {"first_min_chars": 101},
        {"target_chars": 99},
        {"longest_chars": 199},
        {"sentence_after_s": -0.1},
        {"flush_after_s": 0.1},
        {"number_after_s": 0.4},
    ):
        with pytest.raises(ValueError, match="order"):
            ChunkPolicy(**policy)
    with pytest.raises(ValueError, match="max_chars is 0"):
        TextChunker(max_chars=0)
