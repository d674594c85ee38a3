import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.providers.espeak.words import WordTimes


def words_of(text: str, events: list[tuple[int, int]], samples: int) -> list[tuple[str, int, int]]:
    words = WordTimes(text)
    return [*(word for event in events for word in words.feed(*event)), *words.flush(samples)]


def test_each_word_ends_where_the_next_begins_and_the_last_with_the_audio() -> None:
    # Events of espeak-ng 1.52.0, voice gmw/en-US, with 1 taken from its text positions.
    events = [(0, 0), (7, 12999), (12, 17251), (15, 19811), (17, 21100)]
    assert words_of("Hello, this is a test.", events, 30064) == [
        ("Hello", 0, 12999),
        ("this", 12999, 17251),
        ("is", 17251, 19811),
        ("a", 19811, 21100),
        ("test", 21100, 30064),
    ]


# Text, events as espeak-ng 1.52.0 gives them (positions from 0), and the words that they stand for.
MEASURED = [
    ("several events within a number", "cost $12.50, e.g.", [0, 5, 6, 7, 7, 7, 13], ["cost", "$12.50", "e.g"]),
    ("events beside what is spoken", "3,000 units", [0, 1, 6], ["3,000", "units"]),
    ("one event for a contraction", "don't you", [0, 6], ["don't", "you"]),
    ("one event for two words", "in the house", [0, 7], ["in the", "house"]),
    ("an event on the space before its word", "St. at 5", [0, 3, 7], ["St", "at", "5"]),
    ("an emoji whose name has two words", "naïve 😀 cafés", [0, 6, 7, 8], ["naïve", "😀", "cafés"]),
    ("such an emoji at the end", "naïve 😀 ", [0, 6, 7], ["naïve", "😀"]),
    ("a dash without spaces", "well—and then", [0, 5, 9], ["well", "and", "then"]),
    ("quotation marks", "said “Hello” (ok)", [0, 6, 14], ["said", "Hello", "ok"]),
    ("an address", "at example.com/a now", [0, 3, 10, 11, 14, 15, 17], ["at", "example.com/a", "now"]),
    ("markup, which is spoken", "a <b>bold</b>.", [0, 3, 5, 10, 11], ["a", "<b>bold</b>"]),
    ("Chinese", "你好,世界。今天", [0, 3, 4, 6, 7], ["你好", "世", "界", "今", "天"]),
    ("Chinese and Latin", "是 John,2024年10月", [0, 2, 7, 11, 12, 14], ["是", "John,2024", "年", "10", "月"]),
    ("Thai", "สวัสดีครับ วันนี้อากาศดี", [0, 11, 17], ["สวัสดีครับ", "วันนี้", "อากาศดี"]),
    ("Korean, with one event for two words", "오늘 날씨가 좋네요.", [0, 7], ["오늘 날씨가", "좋네요"]),
    ("the same event again and again", "今日はいい", [0, 0, 0, 0], ["今日はいい"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "indexes", "spoken"), [case[1:] for case in MEASURED], ids=[c[0] for c in MEASURED])
def test_events_become_the_words_of_the_text(text: str, indexes: list[int], spoken: list[str]) -> None:
    events = [(index, place * 100) for place, index in enumerate(indexes)]
    words = words_of(text, events, len(indexes) * 100)
    assert [word for word, _, _ in words] == spoken
    assert words[0][1] == 0
    assert words[-1][2] == len(indexes) * 100


def test_a_word_begins_at_the_first_of_its_events() -> None:
    words = words_of("cost $12.50 now", [(0, 0), (5, 100), (6, 200), (7, 300), (12, 400)], 500)
    assert words == [("cost", 0, 100), ("$12.50", 100, 400), ("now", 400, 500)]


def test_no_events_no_words() -> None:
    assert words_of("...", [], 154) == []


def test_begun_names_what_has_not_come_out() -> None:
    words = WordTimes("St. at 5")
    assert words.begun == []
    words.feed(0, 10)
    assert words.begun == [10]
    words.feed(3, 20)  # on a space: perhaps a word
    assert words.begun == [10, 20]
    words.feed(7, 30)
    assert words.begun == [30]


@given(
    st.text(st.sampled_from("ab1.,'- \t—😀你ก်é\0<"), max_size=30),
    st.lists(st.tuples(st.integers(-2, 35), st.integers(0, 9)), max_size=20),
)
def test_any_events_give_words_in_order_cut_from_the_text(text: str, steps: list[tuple[int, int]]) -> None:
    sample, events = 0, []
    for index, step in steps:
        sample += step
        events.append((index, sample))
    words = words_of(text, events, sample + 1)
    at = 0
    for spoken, _, _ in words:
        assert spoken
        at = text.index(spoken, at) + len(spoken)
    instants = [instant for _, first, end in words for instant in (first, end)]
    assert instants == sorted(instants)
    assert all(instant <= sample + 1 for instant in instants)
