"""The parts of the worker that are pure: what is said of a text, in which passages, and whose word is whose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.providers.hibari import sound
from relay.providers.hibari.passages import MAX_PHONEMES, Passage, passages
from relay.providers.hibari.speakable import UnspeakableError, has_sound, speakable
from relay.providers.hibari.words import Match, matches

RATE_HZ = 24000


class Token:
    def __init__(self, text: str, phonemes: str | None, whitespace: str = " ") -> None:
        self.text, self.phonemes, self.whitespace = text, phonemes, whitespace


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello, naïve café — “état”!", "Hello, naïve café — “état”!"),
        ("e\u0301tat", "état"),
        ("\u0663 and ½", "3 and 1/2"),
        ("Fine \U0001f642\ufe0f", "Fine  slightly smiling face "),
        ("2 π r, 5 µm", "2  pi  r, 5  micro m"),
        ("a → b €5", "a  rightwards arrow  b €5"),
    ],
)
def test_what_the_voice_is_silent_about_is_written_out(text: str, said: str) -> None:
    assert speakable(text) == said


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("こんにちは", "Hiragana"),
        ("Привет there", "Cyrillic"),
        ("say 你好", "Cjk"),
        ("λόγος", "Greek"),
        ("नमस्ते", "Devanagari"),
    ],
)
def test_letters_of_other_scripts_are_refused_by_their_name(text: str, script: str) -> None:
    with pytest.raises(UnspeakableError, match=script):
        speakable(text)


@given(st.text())
def test_any_text_is_said_or_refused(text: str) -> None:
    try:
        said = speakable(text)
    except UnspeakableError:
        return
    assert has_sound(said) or not any(character.isalnum() for character in text)


def test_punctuation_has_no_sound() -> None:
    assert [has_sound(text) for text in ("…", " — ?!", "“”", "$", "a", "7")] == [False] * 3 + [True] * 3


WORDS = st.lists(
    st.builds(
        Token,
        st.text("$.[", min_size=1, max_size=4),
        st.one_of(st.none(), st.text("xyz, .—", max_size=12)),
        st.sampled_from(["", " "]),
    ),
    max_size=120,
)


@given(WORDS)
def test_passages_joined_are_what_was_read_and_each_word_is_where_its_phonemes_are(tokens: list[Token]) -> None:
    found = list(passages(tokens))
    read = "".join((token.phonemes or "") + (" " if token.whitespace else "") for token in tokens)
    assert "".join("".join(passage.phonemes.split()) for passage in found) == "".join(read.split())
    for passage in found:
        assert passage.phonemes.strip()
        assert len(passage.phonemes) <= MAX_PHONEMES or len(passage.words) == 1
        ends = [0]
        for word in passage.words:
            assert ends[-1] <= word.first < word.end <= len(passage.phonemes)
            assert passage.phonemes[word.first : word.end].strip()
            ends.append(word.end)


def test_a_long_sentence_is_cut_behind_a_clause() -> None:
    tokens = [Token("word", "wɜɹd" * 10) for _ in range(8)]
    tokens[5].phonemes = "wɜɹd" * 10 + ","
    first, second = passages([*tokens, *tokens[:5]])
    assert (first.ends_clause, len(first.words), len(second.words)) == (True, 6, 7)
    assert not Passage("wɜɹd ").ends_clause


@pytest.mark.parametrize(
    ("text", "read", "found"),
    [
        ("Hello, there!", ["Hello,", "there!"], [("Hello", 0, 1), ("there", 1, 2)]),
        (
            "Come at 7:30 pm, Dr. Smith.",
            ["Come", "at", "seven", "thirty", "P.M.,", "Dr", "Smith."],
            [("Come", 0, 1), ("at", 1, 2), ("7:30 pm", 2, 5), ("Dr", 5, 6), ("Smith", 6, 7)],
        ),
        ("Fine 🙂 now", ["Fine", "slightly", "smiling", "face", "now"], [("Fine", 0, 1), ("🙂", 1, 4), ("now", 4, 5)]),
        ("a — b", ["a", "b"], [("a", 0, 1), ("b", 1, 2)]),
        ("…", [], []),
    ],
)
def test_words_are_those_of_the_text_that_was_given(
    text: str, read: list[str], found: list[tuple[str, int, int]]
) -> None:
    assert matches(text, read) == [Match(*each) for each in found]


@given(
    st.lists(st.sampled_from(["ab", "c", "d5", "7:30", "—", "x"]), max_size=12),
    st.lists(st.sampled_from("abcdx"), max_size=12),
)
def test_words_are_in_order_and_never_overlap(written: list[str], read: list[str]) -> None:
    end = 0
    for match in matches(" ".join(written), read):
        assert end <= match.first < match.end <= len(read)
        end = match.end


def test_silence_is_trimmed_to_the_millisecond() -> None:
    def ms(length: int) -> int:
        return RATE_HZ * length // 1000

    samples = np.zeros(ms(1000), np.float32)
    samples[ms(300) : ms(600)] = 0.5
    kept, cut = sound.trimmed(samples, RATE_HZ, tail_ms=120)
    assert (cut, len(kept)) == (ms(260), ms(40 + 300 + 120))
    assert np.flatnonzero(kept)[0] == ms(sound.LEAD_IN_MS)
    kept, cut = sound.trimmed(samples[ms(300) : ms(600)], RATE_HZ, tail_ms=120)
    assert (cut, len(kept)) == (0, ms(300)), "nothing is added"
    kept, cut = sound.trimmed(samples[: ms(300)], RATE_HZ, tail_ms=40)
    assert (cut, len(kept)) == (0, ms(40)), "silence alone is a short pause"
    assert sound.s16(np.array([0, 1.5, -1.5, 0.5], np.float32)) == np.array([0, 32767, -32767, 16384], "<i2").tobytes()
