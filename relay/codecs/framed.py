"""Codecs without a container: frames one behind the other, each with a short header that says how long it is.

Two to four bytes of a header are no proof: headerless audio may begin so. A second header where the first frame ends,
with the same fixed fields, is. This file does not know what was asked for.
"""

from collections.abc import Callable
from typing import NamedTuple

from relay.codecs.mp3_frames import HEADER_BYTES, read_header
from relay.core.formats import Container

# Free format does not say how long a frame is. The longest one that players take: 640 kbit/s at 44.1 kHz, layer III.
_FREE_BYTES_MAX = 2048
# The shortest: 8 kbit/s at 48 kHz.
_FREE_BYTES_MIN = 24
_GSM_BYTES = 33

_MPEG1 = 0b11
_LAYER_II, _LAYER_I = 0b10, 0b11
_RATES_HZ = {0b11: (44100, 48000, 32000), 0b10: (22050, 24000, 16000), 0b00: (11025, 12000, 8000)}
# By (is MPEG-1, layer bits); ISO/IEC 11172-3 2.4.2.3 and 13818-3 2.4.2.3.
_KBPS = {
    (True, _LAYER_I): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, _LAYER_II): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (False, _LAYER_I): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, _LAYER_II): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
# ATSC A/52, table 5.18, by frmsizecod / 2.
_AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AC3_RATES_HZ = (48000, 44100, 32000)


class Framing(NamedTuple):
    """How frames of a codec are found. `size(data)` reads the header that `data` begins with: the bytes of its frame,
    0 if it is none, None if it takes more bytes to tell. `fixed` masks the bits that all headers of a stream share."""

    name: str
    container: Container
    header_bytes: int
    # Mask and value of the first two bytes.
    sync: tuple[int, int]
    fixed: int
    size: Callable[[bytes], int | None]
    # Headers in a row that are proof where headerless audio may come.
    proof: int = 2
    # Whether fewer are, where the input ends with a frame.
    is_told_by_end: bool = True
    # Whether all frames are as long as the first, but for a byte of padding.
    is_even: bool = False


def frames_begin(data: bytes, framing: Framing, count: int, *, ended: bool) -> bool | None:
    """Whether `data` begins with so many frames of a kind, the last one's header being enough; None when it does so
    far. Where the input has ended, frames that end with it are enough."""
    mask, value = framing.sync
    missing = 8 * max(0, 2 - len(data))
    if int.from_bytes(data[:2], "big") & mask >> missing != value >> missing:
        return False
    fixed: int | None = None
    at = even_size = 0
    for left in range(count, 0, -1):
        header = data[at : at + framing.header_bytes]
        if len(header) < framing.header_bytes:
            return _so_far(header, fixed, framing, ended=ended, exact=framing.is_told_by_end and 0 < at == len(data))
        size = framing.size(data[at:] if left > 1 else header)
        bits = int.from_bytes(header, "big") & framing.fixed
        if size == 0 or bits != (bits if fixed is None else fixed):
            return False
        if left == 1:
            return True
        if size is None:
            return False if ended else None
        if framing.is_even and even_size and abs(size - even_size) > 1:
            return False
        fixed, even_size = bits, even_size or size
        at += size
    raise AssertionError("the last header has answered")


def _so_far(header: bytes, fixed: int | None, framing: Framing, *, ended: bool, exact: bool) -> bool | None:
    """The same, where the input so far ends inside `header`."""
    if ended:
        return exact
    missing = 8 * (framing.header_bytes - len(header))
    if fixed is not None and int.from_bytes(header, "big") & framing.fixed >> missing != fixed >> missing:
        return False
    return None


def _mp3_size(data: bytes) -> int:
    header = read_header(data[:HEADER_BYTES])
    return header.size_bytes if header else 0


def _free_size(data: bytes) -> int | None:
    """To the next header with the same fixed fields."""
    four = data[:HEADER_BYTES]
    if four[0] != 0xFF or four[1] & 0xE6 != 0xE2 or four[1] & 0x18 == 0x08 or four[2] & 0xF0 or four[2] & 0x0C == 0x0C:
        return 0
    at = _FREE_BYTES_MIN
    while (at := data.find(four[:2], at, _FREE_BYTES_MAX + 2)) >= 0:
        if at + 2 < len(data) and data[at + 2] & 0xFC == four[2] & 0xFC:
            return at
        at += 1
    return 0 if len(data) > _FREE_BYTES_MAX + 2 else None


def _mp2_size(data: bytes) -> int:
    word = int.from_bytes(data[:4], "big")
    version, layer = word >> 19 & 3, word >> 17 & 3
    kbps_index, rate_index, padding = word >> 12 & 15, word >> 10 & 3, word >> 9 & 1
    if word >> 21 != 0x7FF or version not in _RATES_HZ or layer not in (_LAYER_I, _LAYER_II):
        return 0
    if kbps_index in (0, 15) or rate_index == 3:
        return 0
    bits = _KBPS[version == _MPEG1, layer][kbps_index] * 1000
    rate_hz = _RATES_HZ[version][rate_index]
    return (12 * bits // rate_hz + padding) * 4 if layer == _LAYER_I else 144 * bits // rate_hz + padding


def _adts_size(data: bytes) -> int:
    """ISO/IEC 13818-7, 6.2: the size includes the header, of seven bytes or nine."""
    if data[0] != 0xFF or data[1] & 0xF6 != 0xF0 or data[2] >> 2 & 15 > 12:
        return 0
    size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    return size if size > (7 if data[1] & 1 else 9) else 0


def _latm_size(data: bytes) -> int:
    """LOAS, AudioSyncStream (ISO/IEC 14496-3, 1.7.2): eleven bits of 0x2B7, thirteen of length."""
    if data[0] != 0x56 or data[1] & 0xE0 != 0xE0:
        return 0
    size = (data[1] & 0x1F) << 8 | data[2]
    return 3 + size if size else 0


def _ac3_size(data: bytes) -> int:
    """AC-3, and E-AC-3 by its bit stream number (annex E), which counts its words itself."""
    if data[:2] == b"\x0b\x77" and 11 <= data[5] >> 3 <= 16:
        return 2 * (((data[2] & 7) << 8 | data[3]) + 1)
    rate_index, size_code = data[4] >> 6, data[4] & 63
    if data[:2] != b"\x0b\x77" or rate_index == 3 or size_code >= 2 * len(_AC3_KBPS) or data[5] >> 3 > 10:
        return 0
    words = _AC3_KBPS[size_code >> 1] * 96_000 // _AC3_RATES_HZ[rate_index]
    return 2 * (words + (size_code & 1 if rate_index == 1 else 0))


def _gsm_size(data: bytes) -> int | None:
    """GSM 06.10, as its reference code and RFC 3551, 4.5.8.1 pack it: 33 bytes, the first four bits are 0xD. Those of
    near silence in A-law are too, whose bytes mostly begin with 0xD or 0x5; a frame's seldom do."""
    frame = data[:_GSM_BYTES]
    if sum(byte & 0x7F in range(0x50, 0x60) for byte in frame) > _GSM_BYTES // 2:
        return 0
    return _GSM_BYTES if len(frame) == _GSM_BYTES else None


# In the order in which they are tried; no header is one of two.
FRAMINGS = (
    # Sync, version, layer, rate; bit rate, padding, mode and protection change within a stream.
    Framing("MP3", Container.MP3, 4, (0xFFE6, 0xFFE2), 0xFFFE0C00, _mp3_size),
    Framing("AAC", Container.AAC, 7, (0xFFF6, 0xFFF0), 0xFFFFFDC0000000, _adts_size),
    Framing("MPEG audio of layer I or II", Container.MP2, 4, (0xFFE4, 0xFFE4), 0xFFFE0C00, _mp2_size),
    Framing(
        "MP3 of free format", Container.FREE_MP3, 4, (0xFFE6, 0xFFE2), 0xFFFEFC00, _free_size, proof=5, is_even=True
    ),
    Framing("AAC in LATM", Container.LATM, 3, (0xFFE0, 0x56E0), 0xFFE000, _latm_size, proof=3),
    Framing("AC-3", Container.AC3, 6, (0xFFFF, 0x0B77), 0xFFFF000000F8, _ac3_size),
    Framing("GSM 06.10", Container.GSM, 1, (0xF000, 0xD000), 0xF0, _gsm_size, proof=8, is_told_by_end=False),
)
FIRST_BYTES = frozenset(b"\xff\x56\x0b") | frozenset(range(0xD0, 0xE0))

# The longest frame of each is bounded by its header; 13 bits of size are the most. Where headerless audio begins like a
# frame, one in 16,000 streams of noise, so much waits for the next header at most.
FRAME_BYTES_MAX = 1 << 13
