import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.frames import HEADER_BYTES, FrameHeader, pack_header, unpack_header
from tests.covering import each

HEADER = pack_header(turn_index=0, pts=0, padding=0, last=False)


def test_the_layout_is_that_of_the_protocol() -> None:
    header = pack_header(turn_index=0xA1B2C3D4, pts=0x1122334455667788, padding=0x0101, last=True)
    assert header == bytes.fromhex("01 03 0101 d4c3b2a1 8877665544332211")


@pytest.mark.parametrize(
    ("padding", "last", "flags"),
    [(0, False, 0b00), (0, True, 0b01), (7, False, 0b10), (7, True, 0b11)],
)
def test_flags(padding: int, last: bool, flags: int) -> None:
    assert pack_header(turn_index=0, pts=0, padding=padding, last=last)[1] == flags


@given(
    turn_index=st.integers(0, 2**32 - 1),
    pts=st.integers(0, 2**64 - 1),
    padding=st.integers(0, 65535),
    last=st.booleans(),
)
def test_a_reader_gets_back_what_was_packed(turn_index: int, pts: int, padding: int, last: bool) -> None:
    header = pack_header(turn_index=turn_index, pts=pts, padding=padding, last=last)
    assert len(header) == HEADER_BYTES
    expected = FrameHeader(turn_index=turn_index, pts=pts, padding=padding, last=last)
    assert unpack_header(header + b"audio") == expected


@each("length", range(HEADER_BYTES))
def test_a_short_message_is_refused(length: int) -> None:
    message = HEADER[:length]
    with pytest.raises(ValueError, match=f"16 bytes, this message {length}"):
        unpack_header(message)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused(version: int) -> None:
    message = bytes([version]) + HEADER[1:]
    with pytest.raises(ValueError, match=f"version {version}, expected 1"):
        unpack_header(message)
