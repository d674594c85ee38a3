"""The texts that are said."""

import pytest

from relay.bench.texts import BUILT_IN, from_lines, named


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_text_changes_each_time_and_not_in_length(name: str) -> None:
    text = BUILT_IN[name]
    said = [text.said(time) for time in range(len(text.details))]
    assert len(set(said)) == len(said) == 450
    assert {len(each) for each in said} == {text.chars}
    assert text.said(len(said)) == said[0]
    assert not any("{}" in each for each in said)


def test_each_is_chosen_once_by_its_name() -> None:
    assert [text.name for text in named(["german", "short", "german"])] == ["german", "short"]
    with pytest.raises(KeyError, match="klingon"):
        named(["klingon"])


def test_a_file_has_a_text_a_line() -> None:
    texts = from_lines("# ours\nHello there.\n\n  Good bye {}. \n")
    assert [(text.name, text.said(0), text.chars) for text in texts] == [
        ("line-2", "Hello there.", 12),
        ("line-4", "Good bye {}.", 12),
    ]
    assert not any(text.built_in for text in texts)
    with pytest.raises(ValueError, match="no text"):
        from_lines("# nothing\n\n")
