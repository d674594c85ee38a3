"""IPA as mnemonics of the library, and texts that hold them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.providers.espeak.phonemes import mnemonics, rendered, with_genitive

LACKS = frozenset(("Y", "Y:", "y", "y:", "W", 'Q"', "R"))


@pytest.mark.parametrize(
    ("ipa", "names"),
    [
        ("ʃɪˈvɔːn", "S|I|'|v|O:|n"),
        ("/ˈt͡ʃaʊ/", "'|tS|aU"),
        ("həˈloʊ ˈwɜːld", "h|@|'|l|oU '|w|3:|l|d"),
        ("nə.ˈvɑ̃", "n|@|'|v|A~"),
        ("nɔ\u0303", "n|O~"),
        ("ʁɛ", "r|E"),  # the nearest that this voice has
        ("tʰaː", "t|a:"),
        ("tː", "t"),
        ("ˈ ˌ", None),  # nothing is said
        ("y", None),  # a sound that it lacks, and has nothing near to
        ("dɪfərent!", None),
        ("l]] [[a", None),
        ("gɪf", "g|I|f"),
    ],
)
def test_ipa_is_said_with_what_the_voice_has(ipa: str, names: str | None) -> None:
    assert mnemonics(ipa, lambda name: name not in LACKS) == names


@given(st.text(max_size=40))
def test_nothing_but_names_of_phonemes_comes_of_any_text(ipa: str) -> None:
    names = mnemonics(ipa, lambda _: True)
    assert names is None or not {"[", "]", "<", "&"} & set(names)


@given(st.lists(st.tuples(st.text("a[]( \n<&'", max_size=6), st.booleans()), max_size=8))
def test_only_what_is_marked_is_read_as_phonemes(parts: list[tuple[str, bool]]) -> None:
    text, marked = "", []
    for part, mark in parts:
        if mark and part:
            marked.append((len(text), len(text) + len(part), "x"))
        text += part
    made = rendered(text, marked)
    covered = {at for start, stop, _ in marked for at in range(start, stop)}
    plain = [(at, char) for at, char in zip(made.places, made.text, strict=False) if at not in covered]
    assert plain == [(at, char.replace("[", "(")) for at, char in enumerate(text) if at not in covered]
    said = [
        "".join(char for at, char in zip(made.places, made.text, strict=False) if at == start) for start, _, _ in marked
    ]
    assert {each.strip() for each in said} <= {"[[x]]"}
    assert not re.search(r"[^ \n]\[\[", made.text), "the library drops phonemes behind punctuation"
    assert (len(made.places), made.places[-1]) == (len(made.text) + 1, len(text))
    assert list(made.places) == sorted(made.places)


@pytest.mark.parametrize(
    ("rest", "names", "said"),
    [
        ("'s cat", "n|aI|k", (3, "n|aI|k|s")),
        ("’S", "a k|i:", (3, "a k|i:|z")),
        ("'s", "f|I|S", (3, "f|I|S|I|z")),
        ("'sx", "f|I|S", (1, "f|I|S")),
        ("' s", "f|I|S", (1, "f|I|S")),
    ],
)
def test_a_genitive_is_said_with_its_name(rest: str, names: str, said: tuple[int, str]) -> None:
    assert with_genitive(f"N{rest}", 1, names) == said
