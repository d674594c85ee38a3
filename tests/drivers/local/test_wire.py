from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.drivers.local.wire import MAX_PAYLOAD_BYTES, Kind, Unpacker, WireError, pack
from tests.cuts import CUTS, Cut, cuts_of

MESSAGES = [
    (Kind.READY, 0, b""),
    (Kind.HEAD, 1, b'{"sample_rate_hz": 22050}'),
    (Kind.BYTES, 1, bytes(range(256)) * 4),
    (Kind.WORD, 4_294_967_295, "wörd".encode()),
    (Kind.END, 1, b""),
]
WIRE = b"".join(pack(*message) for message in MESSAGES)


def unpacked(pieces: Iterable[bytes]) -> list[tuple[Kind, int, bytes]]:
    unpacker = Unpacker()
    return [message for piece in pieces for message in unpacker.feed(piece)]


@pytest.mark.parametrize("cut", CUTS)
def test_messages_survive_every_cut(cut: Cut) -> None:
    assert unpacked(cut(WIRE)) == MESSAGES


@given(cuts_of(WIRE))
def test_messages_survive_any_cut(pieces: list[bytes]) -> None:
    assert unpacked(pieces) == MESSAGES


def test_header_is_nine_bytes_little_endian() -> None:
    assert pack(Kind.WORD, 0x01020304, b"abc") == bytes([19, 4, 3, 2, 1, 3, 0, 0, 0]) + b"abc"


@pytest.mark.parametrize("cut", CUTS)
def test_messages_before_noise_come_out_before_the_error(cut: Cut) -> None:
    got: list[object] = []
    unpacker = Unpacker()
    with pytest.raises(WireError, match="kind 80"):
        for piece in cut(WIRE + b"Python is printing something"):
            got.extend(unpacker.feed(piece))
    assert got == MESSAGES


def test_longest_message_passes_and_one_byte_more_does_not() -> None:
    longest = (Kind.BYTES, 7, bytes(MAX_PAYLOAD_BYTES))
    wire = pack(*longest)
    assert unpacked([wire]) == [longest]
    too_long = bytearray(wire)
    too_long[5:9] = (MAX_PAYLOAD_BYTES + 1).to_bytes(4, "little")
    with pytest.raises(WireError):
        unpacked([bytes(too_long[:9])])


@given(st.binary(max_size=64))
def test_noise_is_refused_or_waited_for_never_anything_else(noise: bytes) -> None:
    try:
        messages = unpacked([noise])
    except WireError:
        return
    assert b"".join(pack(*message) for message in messages) == noise[: sum(9 + len(m[2]) for m in messages)]
