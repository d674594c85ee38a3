"""A loop in place of parameters must fail where they would have."""

import pytest

from tests.covering import FULL, base_choices, each, firsts


@each("left", [1, 2])
@each("right, third", [(3, 4), (5, 6)])
def add_up(seen: list[tuple[int, int, int]], left: int, right: int, third: int) -> None:
    seen.append((left, right, third))
    assert right < 5 or left < 2


def test_each_case_is_played_and_a_failure_names_its_own() -> None:
    seen: list[tuple[int, int, int]] = []
    with pytest.raises(AssertionError) as failed:
        add_up(seen)
    assert seen == [(1, 3, 4), (1, 5, 6), (2, 3, 4), (2, 5, 6)]
    assert failed.value.__notes__ == ["with right=5, third=6", "with left=2"]


@each("name", ["a", "b"])
async def test_coroutines_are_awaited_and_fixtures_given(name: str, request: pytest.FixtureRequest) -> None:
    seen = request.node.user_properties
    seen.append(("name", name))
    assert seen == [("name", "a"), ("name", "b")][: len(seen)]


@pytest.mark.skipif(FULL, reason="all combinations are played")
def test_each_case_of_each_axis_is_among_those_chosen() -> None:
    assert list(base_choices("ab", "123")) == [("a", "1"), ("b", "1"), ("a", "2"), ("a", "3")]
    assert firsts(["ape", "bear", "ant", "bee"], lambda word: word[0]) == ("ape", "bear")
