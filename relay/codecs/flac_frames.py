"""FLAC: the stream's shape, the header of a frame, its two checksums (RFC 9639), and FFmpeg's decoder of whole frames.

This file does not look for frames; Ogg hands them out whole, and `flac` finds their ends.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relay.codecs.av_codec import AvCodec, check_shape
from relay.codecs.base import Block, CorruptAudioError, to_float32

MAGIC = b"fLaC"
STREAM_INFO_BYTES = 34
# Sync, four fields, a number of up to 7 bytes, block size and rate of up to 2 each, checksum.
HEADER_BYTES_MAX = 16
# A header and its checksum, the smallest subframe, the frame's checksum.
FRAME_BYTES_MIN = 6 + 2 + 2

_SUBFRAME_BYTES_MAX = 64  # beyond its samples: header, predictor


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """The STREAMINFO block. `total_samples` is 0 where the encoder did not know it; `block_samples` is the most."""

    data: bytes
    block_samples: int
    sample_rate_hz: int
    channels: int
    bits: int
    total_samples: int


def read_stream_info(data: bytes) -> StreamInfo:
    """Raises CorruptAudioError for a shape that is not played."""
    if len(data) < STREAM_INFO_BYTES:
        raise CorruptAudioError("a FLAC file whose first block is no STREAMINFO")
    data = data[:STREAM_INFO_BYTES]
    word = int.from_bytes(data[10:18], "big")
    info = StreamInfo(
        data=data,
        block_samples=int.from_bytes(data[2:4], "big"),
        sample_rate_hz=word >> 44,
        channels=(word >> 41 & 7) + 1,
        bits=(word >> 36 & 31) + 1,
        total_samples=word & (1 << 36) - 1,
    )
    check_shape(info.sample_rate_hz, info.channels)
    return info


class FrameHeader(NamedTuple):
    """The header of a frame. `position` is that of its first sample."""

    position: int
    samples: int
    size_bytes: int

    def frame_bytes_max(self, info: StreamInfo) -> int:
        """No encoder makes more of so many samples: verbatim, the side channel has a bit more."""
        channel = _SUBFRAME_BYTES_MAX + -(-self.samples * (info.bits + 1) // 8)
        return HEADER_BYTES_MAX + info.channels * channel + 2


def read_frame_header(data: bytes, info: StreamInfo) -> FrameHeader | None:
    """What up to 16 bytes say; None if they begin no frame of this stream, or are too few to tell."""
    if len(data) < 6 or data[0] != 0xFF or data[1] & 0xFE != 0xF8 or data[3] & 1:
        return None
    size_code, rate_code, channel_code, bits_code = data[2] >> 4, data[2] & 15, data[3] >> 4, data[3] >> 1 & 7
    if size_code == 0 or rate_code == 15 or bits_code == 3 or channel_code > 10:
        return None
    if (channel_code + 1 if channel_code < 8 else 2) != info.channels or _BITS[bits_code] not in (0, info.bits):
        return None
    number, at = _coded_number(data)
    extra = (size_code == 7) + (size_code in (6, 7)), (rate_code > 12) + (rate_code >= 12)
    end = at + sum(extra)
    if not at or end >= len(data) or _crc8(data[:end]) != data[end]:
        return None
    stated = int.from_bytes(data[at : at + extra[0]], "big") + 1
    samples = stated if extra[0] else 192 if size_code == 1 else 144 << size_code if size_code < 6 else 1 << size_code
    # Either the number of the sample, or of the frame where all but the last have the same size.
    position = number if data[1] & 1 else number * (info.block_samples or samples)
    return FrameHeader(position, samples, end + 1)


_BITS = (0, 8, 12, -1, 16, 20, 24, 32)


def _coded_number(data: bytes) -> tuple[int, int]:
    """The frame or sample number, coded as UTF-8 codes a character but up to 36 bits, and where it ends; 0 if none."""
    first = data[4]
    if first < 0x80:
        return first, 5
    length = 8 - (first ^ 0xFF).bit_length()
    rest = data[5 : 4 + length]
    if not 2 <= length <= 7 or len(rest) < length - 1:
        return 0, 0
    number = first & 0x7F >> length
    for byte in rest:
        if byte & 0xC0 != 0x80:
            return 0, 0
        number = number << 6 | byte & 0x3F
    return number, 4 + length


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def crc16(data: bytes, crc: int = 0) -> int:
    """The checksum of a frame, going on from `crc`: polynomial 0x8005, most significant bit first."""
    return crc16_zeros(data, crc)[1]


def crc16_zeros(data: bytes, crc: int) -> tuple[list[int], int]:
    """After how many bytes of `data` the checksum is zero, and what it is after all of them.

    It is linear: every byte adds, by exclusive or, what depends on it and on how many bytes follow. So numpy looks up
    a row of bytes at a time, as they count at the end of the row, where zero is zero as well: 10 ns a byte, not 80.
    """
    zeros: list[int] = []
    done = 0
    if len(data) >= _CRC16_ROW:
        shares, (high, low) = _crc16_tables()
        rows = len(data) // _CRC16_ROW
        done = rows * _CRC16_ROW
        table = np.frombuffer(data, np.uint8, done).reshape(rows, _CRC16_ROW)
        sums = np.bitwise_xor.accumulate(shares[_CRC16_PLACES, table], axis=1)
        before = np.empty((rows, 1), np.uint16)
        for row, end in enumerate(sums[:, -1].tolist()):
            moved = high[crc >> 8] ^ low[crc & 0xFF]
            before[row] = moved
            crc = moved ^ end
        zeros = (np.flatnonzero(sums == before) + 1).tolist()
    for at, byte in enumerate(data[done:], done + 1):
        crc = (crc << 8 & 0xFFFF) ^ _CRC16[crc >> 8 ^ byte]
        if not crc:
            zeros.append(at)
    return zeros, crc


def _table(polynomial: int, bits: int) -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << bits - 8
        for _ in range(8):
            crc = crc << 1 ^ (polynomial if crc >> bits - 1 else 0)
            crc &= (1 << bits) - 1
        table.append(crc)
    return table


_CRC8 = _table(0x07, 8)
_CRC16 = _table(0x8005, 16)
_CRC16_ROW = 256
_CRC16_PLACES = np.arange(_CRC16_ROW)


@lru_cache(maxsize=1)
def _crc16_tables() -> tuple[NDArray[np.uint16], tuple[list[int], list[int]]]:
    """What a byte adds by its place in a row; and what becomes of the two bytes of a checksum when a row follows."""
    one = np.array(_CRC16, np.uint16)
    shares = np.empty((_CRC16_ROW, 256), np.uint16)
    shares[-1] = one
    for place in range(_CRC16_ROW - 2, -1, -1):
        after = shares[place + 1]
        shares[place] = after << 8 ^ one[after >> 8]
    # A checksum is as if its bytes stood in the place of the row's first two.
    return shares, (shares[0].tolist(), shares[1].tolist())


class FlacPackets:
    """A decoder of whole frames. A broken one is silence of its length."""

    def __init__(self, info: StreamInfo) -> None:
        self._info = info
        self._codec = AvCodec("flac", extradata=info.data)
        self.rate_hz = info.sample_rate_hz
        self.damaged_samples = 0
        self.work = 0
        self.is_broken = False

    def try_decode(self, frame: bytes) -> list[Block] | None:
        """None if FFmpeg cannot decode it, as it cannot when the end is missing."""
        blocks = self._codec.decode(frame)
        self.work = sum(block.samples.size for block in blocks or ())
        return blocks

    def decode(self, frame: bytes) -> list[Block]:
        header = read_frame_header(frame[:HEADER_BYTES_MAX], self._info)
        blocks = self.try_decode(frame) if header and crc16(frame) == 0 else None
        self.is_broken = blocks is None
        if blocks is None:
            return self.silence(header.samples) if header else []
        return blocks

    def silence(self, samples: int) -> list[Block]:
        """In place of a frame that is broken."""
        self.damaged_samples += samples
        self.work = samples
        silence = np.zeros(samples, np.int16)
        return [Block(silence if self._info.bits <= 16 else to_float32(silence), self._info.sample_rate_hz)]
