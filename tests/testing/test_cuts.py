"""Cuts join to what was cut, and are what their names say."""

import pytest

from relay.testing.cuts import CUTS, Cut, byte_by_byte, empty_between, run, seeded_random

DATA = bytes(range(256)) * 11


@pytest.mark.parametrize("data", [b"", b"x", DATA])
@pytest.mark.parametrize("cut", CUTS)
def test_pieces_join_to_the_data(cut: Cut, data: bytes) -> None:
    assert b"".join(cut(data)) == data


def test_they_differ() -> None:
    assert len({tuple(cut(DATA)) for cut in CUTS}) == len(CUTS)
    assert len(byte_by_byte(DATA)) == len(DATA)
    assert b"" in empty_between(DATA)


def test_random_is_the_same_at_every_run() -> None:
    assert seeded_random(DATA) == seeded_random(DATA) != seeded_random(DATA, seed=21)


def test_run_gives_the_flush_too() -> None:
    class Holds:
        def __init__(self) -> None:
            self.held = b""

        def feed(self, piece: bytes) -> list[bytes]:
            given, self.held = [self.held], piece
            return given

        def flush(self) -> list[bytes]:
            return [self.held]

    assert run(Holds(), [b"a", b"b"]) == [b"", b"a", b"b"]
