"""Vorbis packets -> samples (Vorbis I specification, Xiph.Org 2020). Ogg and WebM carry them."""

import struct

from relay.codecs.av_codec import AvCodec, check_shape
from relay.codecs.base import Block, CorruptAudioError

# Codebooks take 3 to 8 KB. FFmpeg reads them in a millisecond or two.
SETUP_BYTES_MAX = 64 * 1024

_IDENTIFICATION = struct.Struct("<7sIBIiiiBB")  # magic, version, channels, rate, three bit rates, block sizes, framing
# Titles and cover pictures are of no use here, but FFmpeg wants a comment header: an empty one.
_NO_COMMENT = b"\x03vorbis" + bytes(8) + b"\x01"


class VorbisHeaders:
    """The three headers, as they come."""

    def __init__(self) -> None:
        self._identification = b""
        self._setup = b""

    def feed(self, packet: bytes) -> "VorbisPackets | None":
        """The decoder once the last header is there. Raises CorruptAudioError for what is no header."""
        if packet.startswith(b"\x01vorbis"):
            if len(packet) < _IDENTIFICATION.size:
                raise CorruptAudioError("a Vorbis header cut short")
            _, _, channels, rate_hz, *_, blocks, _ = _IDENTIFICATION.unpack_from(packet)
            check_shape(rate_hz, channels)
            if not 6 <= blocks & 15 <= blocks >> 4 <= 13:
                raise CorruptAudioError("a Vorbis header of block sizes that do not exist")
            self._identification = packet
        elif packet.startswith(b"\x05vorbis"):
            if len(packet) > SETUP_BYTES_MAX:
                raise CorruptAudioError(f"Vorbis codebooks of more than {SETUP_BYTES_MAX} bytes")
            self._setup = packet
        elif not packet.startswith(b"\x03vorbis"):
            raise CorruptAudioError("Vorbis audio before its codebooks")
        if not (self._identification and self._setup):
            return None
        return VorbisPackets(self._identification, self._setup)


class VorbisPackets:
    """A decoder of packets. The first gives nothing: each gives the overlap with the one before.

    A broken packet gives nothing either, as the length of one is not known without decoding it; it counts as long as
    the packet before.
    """

    def __init__(self, identification: bytes, setup: bytes) -> None:
        sizes = bytes([2, *_lacing(len(identification)), *_lacing(len(_NO_COMMENT))])
        self._codec = AvCodec("vorbis", extradata=sizes + identification + _NO_COMMENT + setup)
        self.rate_hz: int = _IDENTIFICATION.unpack_from(identification)[3]
        self.damaged_samples = 0
        self.work = 0
        self.is_broken = False
        self._usual_samples = 0

    def decode(self, packet: bytes) -> list[Block]:
        blocks = self._codec.decode(packet)
        self.work = 2 * self._usual_samples
        self.is_broken = blocks is None
        if blocks is None:
            self.damaged_samples += self._usual_samples
            return []
        if blocks:
            self._usual_samples = blocks[0].samples.size
        return blocks


def xiph_lacing(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """`count` sizes written as runs of 255, and where they end. Raises CorruptAudioError beyond the end of `data`."""
    sizes = []
    for _ in range(count):
        size = 0
        while True:
            if at >= len(data):
                raise CorruptAudioError("sizes that go beyond the end of what they are sizes of")
            size += data[at]
            at += 1
            if data[at - 1] != 255:
                break
        sizes.append(size)
    return sizes, at


def _lacing(size: int) -> bytes:
    return b"\xff" * (size // 255) + bytes([size % 255])
