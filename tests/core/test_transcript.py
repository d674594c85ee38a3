"""Which text was sent, and which was heard."""

import pytest

from relay.core.events import Word
from relay.core.transcript import MOST_BEHIND_SAMPLES, Transcript


def words(*timed: tuple[str, int]) -> tuple[Word, ...]:
    return tuple(Word(text, start, start + 50) for text, start in timed)


def three() -> Transcript:
    transcript = Transcript()
    transcript.begin("One two. ", 0, 0)
    transcript.time(words(("One", 0), ("two", 100)))
    transcript.complete()
    transcript.begin("Three four. ", 1000, 900)
    transcript.begin("Five.", 2000, 1500)
    return transcript


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        (0, ""),
        (1, "One"),
        (100, "One"),
        (101, "One two. "),
        (1000, "One two. "),
        (1001, "One two. Three four. "),
        (9999, "One two. Three four. Five."),
    ],
)
def test_text_is_known_to_the_word_where_its_words_have_times(sample: int, text: str) -> None:
    """Also of segments behind which others were sent: a listener hears later than the relay sends."""
    assert three().until(sample) == text
    assert len(three()) == 3


def test_of_words_that_may_still_come_nothing_is_taken_for_granted() -> None:
    transcript = Transcript()
    transcript.begin("One two three.", 0, 0)
    transcript.time(words(("One", 0), ("two", 100)))
    assert transcript.until(500) == "One two"
    transcript.complete()
    assert transcript.until(500) == "One two three."


def test_a_word_that_is_not_in_the_text_moves_nothing() -> None:
    transcript = Transcript()
    transcript.begin("Ten euros.", 0, 0)
    transcript.time(words(("10", 0), ("euros", 100)))
    transcript.complete()
    assert (transcript.until(50), transcript.until(101)) == ("", "Ten euros.")


def test_words_of_what_was_sent_long_ago_are_dropped() -> None:
    transcript = three()
    transcript.begin("Six.", 10 * MOST_BEHIND_SAMPLES, MOST_BEHIND_SAMPLES + 999)
    assert transcript.until(50) == "One"
    transcript.begin("Seven.", 11 * MOST_BEHIND_SAMPLES, MOST_BEHIND_SAMPLES + 1000)
    assert transcript.until(50) == "One two. "
