from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.transform import Chain
from tests.cuts import cuts_of, run


class Pairs:
    """Bytes -> pieces of two; an odd one is held until the flush."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> list[bytes]:
        held = self._held + piece
        even = len(held) // 2 * 2
        self._held = held[even:]
        return [held[at : at + 2] for at in range(0, even, 2)]

    def flush(self) -> list[bytes]:
        return [self._held] if self._held else []


class LateByOne:
    """Gives each piece when the next one comes."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        given, self._held = self._held, [piece]
        return given

    def flush(self) -> tuple[bytes, ...]:
        return tuple(self._held)


class Recorder:
    """Gives nothing; notes what is done to it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def feed(self, piece: bytes) -> Sequence[bytes]:
        self.calls.append(f"feed {piece.decode()}")
        return ()

    def flush(self) -> Sequence[bytes]:
        self.calls.append("flush")
        return ()


def test_a_chain_of_one_is_that_one() -> None:
    assert run(Chain(Pairs()), [b"abc", b"d", b"e"]) == run(Pairs(), [b"abc", b"d", b"e"]) == [b"ab", b"cd", b"e"]


def test_what_a_stage_holds_goes_through_the_next_one_before_that_is_flushed() -> None:
    last = Recorder()
    chain = Chain[bytes, bytes](Pairs(), LateByOne(), last)
    chain.feed(b"abcde")
    assert last.calls == ["feed ab"]
    chain.flush()
    assert last.calls == ["feed ab", "feed cd", "feed e", "flush"]


def test_a_stage_that_gives_nothing_stops_the_piece() -> None:
    last = Recorder()
    assert Chain[bytes, bytes](Pairs(), last).feed(b"a") == []
    assert last.calls == []


@given(data=st.data(), audio=st.binary(max_size=40))
def test_a_chain_is_its_stages_one_after_the_other(data: st.DataObject, audio: bytes) -> None:
    pieces = data.draw(cuts_of(audio))
    by_hand = run(LateByOne(), run(Pairs(), run(LateByOne(), pieces)))
    assert run(Chain(LateByOne(), Pairs(), LateByOne()), pieces) == by_hand
    assert run(Chain(LateByOne(), Chain(Pairs(), LateByOne())), pieces) == by_hand
    assert b"".join(by_hand) == audio


def test_a_chain_of_none_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="at least one stage"):
        Chain()
