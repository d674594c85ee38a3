"""IPA in the letters of the voice, and which tokens of a text it is for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.providers.hibari.pronunciation import pronounced, voiced


class Token:
    def __init__(self, text: str, whitespace: str = "", phonemes: str | None = None, rating: int = 0) -> None:
        self.text, self.whitespace, self.phonemes = text, whitespace, phonemes

    def copy(self, **changed: Any) -> "Token":
        return Token(**changed)


@pytest.mark.parametrize(
    ("ipa", "letters"),
    [
        ("ʃɪˈvɔːn", "ʃɪvˈɔn"),  # stress stands before the vowel
        ("/ˈt͡ʃaʊ/", "ʧˈW"),
        ("ˈdʒɔɪ", "ʤˈY"),
        ("ˈrəʊ.bɒt", "ɹˈObɑt"),
        ("ˈnuː ˈjɔːk", "nˈu jˈɔk"),
        ("ˈbɒtl̩", "bˈɑtᵊl"),
        ("y", None),
        ("漢字", None),
        ("bɪt](/x/)", None),
        ("ˈ s", None),  # nothing that can be spoken alone
    ],
)
def test_ipa_is_written_in_the_letters_of_the_voice(ipa: str, letters: str | None) -> None:
    assert voiced(ipa) == letters


@given(st.text(max_size=40))
def test_no_text_brings_marks_of_the_library(ipa: str) -> None:
    assert not set(voiced(ipa) or "") & set("[]()/.,!?")


def test_words_are_found_in_order_and_with_their_genitive() -> None:
    tokens = [
        Token("Ann", "'"),
        Token("Ann"),
        Token("'s", " "),
        Token("New", " "),
        Token("York"),
        Token("."),
        Token("Ann"),
    ]
    words = [("Ann", "n"), ("New York", "jˈɔk"), ("Bob", "b"), ("Ann", "n")]
    told: list[Any] = pronounced([Token("An"), *tokens[1:]], words)
    assert [(token.text, token.whitespace, token.phonemes) for token in told] == [
        ("An", "", None),
        ("Ann's", " ", "nz"),
        ("New York", "", "jˈɔk"),
        (".", "", None),
        ("Ann", "", "n"),
    ]
    assert not words, "Bob is read in another form, and holds nobody back"
