"""Opus packets -> samples at 48 kHz. RFC 6716 for packets, RFC 7845 for the header; Ogg, WebM and MP4 carry both."""

import struct
from typing import NamedTuple

import numpy as np

from relay.codecs.av_codec import AvCodec, check_shape
from relay.codecs.base import Block, CorruptAudioError

RATE_HZ = 48_000

_HEAD = struct.Struct("<8sBBHIhB")  # magic, version, channels, pre-skip, input rate, output gain, mapping family

# "Encapsulation of Opus in ISO Base Media File Format", 4.3.2.
_DOPS = struct.Struct(">BBHIhB")

# RFC 6716 3.1, table 2: milliseconds of a frame by the upper five bits, in eighths of 20 ms.
_SILK = (480, 960, 1920, 2880)
_HYBRID = (480, 960)
_CELT = (120, 240, 480, 960)
_FRAME_SAMPLES = (*_SILK * 3, *_HYBRID * 2, *_CELT * 4)
_PACKET_SAMPLES_MAX = 5760  # RFC 6716 3.2.5: 120 ms


class OpusHead(NamedTuple):
    """What the identification header says. `gain_q8` is applied by FFmpeg."""

    channels: int
    pre_skip_samples: int
    gain_q8: int


def read_head(packet: bytes) -> OpusHead:
    """Raises CorruptAudioError for a header that is none, and for more than two channels."""
    if len(packet) < _HEAD.size or not packet.startswith(b"OpusHead"):
        raise CorruptAudioError("an Opus stream without a header")
    _, version, channels, pre_skip, _, gain_q8, family = _HEAD.unpack_from(packet)
    if version >> 4:
        raise CorruptAudioError(f"Opus of version {version}, which has no decoder here")
    check_shape(RATE_HZ, channels)
    if family not in (0, 1):
        raise CorruptAudioError(f"Opus of channel mapping {family}, which has no decoder here")
    return OpusHead(channels, pre_skip, gain_q8)


def head_of_mp4(box: bytes) -> OpusHead:
    """The same in MP4's `dOps`: most significant byte first, no magic, a version of its own."""
    if len(box) < _DOPS.size:
        raise CorruptAudioError("an Opus stream without a header")
    _, channels, pre_skip, rate_hz, gain_q8, family = _DOPS.unpack_from(box)
    return read_head(_HEAD.pack(b"OpusHead", 1, channels, pre_skip, rate_hz, gain_q8, family))


def packet_samples(packet: bytes) -> int:
    """How long a packet says it is; 0 if it cannot be one."""
    samples = _frames(packet) * _FRAME_SAMPLES[packet[0] >> 3] if packet else 0
    return samples if samples <= _PACKET_SAMPLES_MAX else 0


def _frames(packet: bytes) -> int:
    code = packet[0] & 3
    if code == 3:
        return packet[1] & 63 if len(packet) > 1 else 0
    return 2 if code else 1


class OpusPackets:
    """A decoder of packets. Pre-skip and trimming are the container's; a broken packet is silence of its length."""

    def __init__(self, head: OpusHead) -> None:
        # No pre-skip: FFmpeg would trim it too. Mapping family 0: the order of two channels is the same in both.
        extradata = _HEAD.pack(b"OpusHead", 1, head.channels, 0, RATE_HZ, head.gain_q8, 0)
        self._codec = AvCodec("libopus", "opus", extradata=extradata)
        self.rate_hz = RATE_HZ
        self.damaged_samples = 0
        self.work = 0
        self.is_broken = False

    def decode(self, packet: bytes) -> list[Block]:
        blocks = self._codec.decode(packet)
        # A frame of at most one byte is concealed; sound costs up to four times as much.
        self.work = packet_samples(packet)
        if self.work and len(packet) > 2 + _frames(packet):
            self.work *= 4
        self.is_broken = blocks is None
        if blocks is None:
            samples = packet_samples(packet)
            self.damaged_samples += samples
            return [Block(np.zeros(samples, np.int16), RATE_HZ)] if samples else []
        return blocks
