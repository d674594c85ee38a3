"""The facts about a provider that the relay decides by."""

import pytest

from relay.core.formats import Container
from relay.providers.base.provider import Capabilities


@pytest.mark.parametrize(
    ("chars", "size_bytes", "longest"),
    [(None, None, None), (100, None, 100), (None, 100, 25), (100, 100, 25), (10, 100, 10), (None, 3, 0)],
)
def test_the_longest_segment_is_within_both_bounds_whatever_its_characters(
    chars: int | None, size_bytes: int | None, longest: int | None
) -> None:
    facts = Capabilities(formats=(Container.RAW,), max_segment_chars=chars, max_segment_bytes=size_bytes)
    assert facts.longest_segment_chars == longest
    if longest is not None and size_bytes is not None:
        assert len(("\U0001f600" * longest).encode()) <= size_bytes
