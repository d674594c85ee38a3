"""AAC: ADTS as a stream (ISO/IEC 13818-7, 6.2; 14496-3, 1.A.2.2) -> mono blocks, each frame at its last byte.

And the decoder of bare access units, which MP4 and Matroska carry. Both through FFmpeg, which finds the spectral band
replication of HE-AAC in the first frame: blocks then have twice the rate that the header states.
"""

from typing import NamedTuple

import numpy as np

from relay.codecs.av_codec import AvCodec, check_shape
from relay.codecs.base import Block, CorruptAudioError, TruncatedAudioError
from relay.codecs.pull import Output, PullDecoder, Reading, Source, Trim

FRAME_SAMPLES = 1024
# In one run: as for MP3, more than any hiccup.
JUNK_RUN_BYTES_MAX = 16 * 1024

_HEADER_BYTES = 7
_CRC_BYTES = 2
_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_CHANNELS = (0, 1, 2, 3, 4, 5, 6, 8)
_EXPLICIT_RATE = 15
_ESCAPED_TYPE = 31
# Main, LC, LTP, with SBR, with SBR and parametric stereo; error-resilient LC, LTP, LD and ELD.
_OBJECT_TYPES = (1, 2, 4, 5, 29, 17, 19, 23, 39)


class AacConfig(NamedTuple):
    """An AudioSpecificConfig, and what it begins with. Channels are 0 where only the stream itself says them."""

    data: bytes
    object_type: int
    sample_rate_hz: int
    channels: int


def read_config(data: bytes) -> AacConfig:
    """Raises CorruptAudioError for a shape that is not played. HE-AAC states the rate of its core first."""
    bits = int.from_bytes(data[:8].ljust(8, b"\0"), "big")
    at = 64

    def take(count: int) -> int:
        nonlocal at
        at -= count
        return bits >> at & (1 << count) - 1

    object_type = take(5)
    if object_type == _ESCAPED_TYPE:
        object_type = 32 + take(6)
    index = take(4)
    rate_hz = take(24) if index == _EXPLICIT_RATE else _RATES_HZ[index] if index < len(_RATES_HZ) else 0
    layout = take(4)
    if len(data) < 2 or layout >= len(_CHANNELS):
        raise CorruptAudioError("AAC whose configuration does not decode")
    if object_type not in _OBJECT_TYPES:
        raise CorruptAudioError(f"AAC of object type {object_type}, which has no decoder here")
    channels = _CHANNELS[layout]
    check_shape(rate_hz, channels or 1)
    return AacConfig(data, object_type, rate_hz, channels)


class AacPackets:
    """A decoder of access units. A broken one is silence of the usual length, and counted.

    So is one with no sound in it, only an encoder's name, as some begin with; it is not broken: `is_empty`.
    """

    def __init__(self, config: AacConfig) -> None:
        self._codec = AvCodec("aac", extradata=config.data)
        self._usual_samples = FRAME_SAMPLES
        self.rate_hz = config.sample_rate_hz
        self.damaged_samples = 0
        self.work = 0
        self.is_broken = False
        self.is_empty = False

    def decode(self, packet: bytes) -> list[Block]:
        blocks = self._codec.decode(packet)
        self.is_broken = blocks is None
        self.is_empty = blocks == []
        if blocks:
            self._usual_samples, self.rate_hz = blocks[0].samples.size, blocks[0].sample_rate_hz
        samples = self._usual_samples
        self.work = 2 * samples
        if blocks:
            return blocks
        self.damaged_samples += samples if self.is_broken else 0
        return [Block(np.zeros(samples, np.int16), self.rate_hz)]


class AdtsHeader(NamedTuple):
    """The header of a frame. `config` is the AudioSpecificConfig that says the same."""

    config: bytes
    header_bytes: int
    frame_bytes: int
    raw_blocks: int


def read_adts_header(data: bytes) -> AdtsHeader | None:
    """What seven bytes say; None if they begin no frame."""
    if len(data) < _HEADER_BYTES or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return None
    profile, rate_index = data[2] >> 6, data[2] >> 2 & 15
    layout = (data[2] & 1) << 2 | data[3] >> 6
    frame_bytes = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    header_bytes = _HEADER_BYTES if data[1] & 1 else _HEADER_BYTES + _CRC_BYTES
    if rate_index >= len(_RATES_HZ) or frame_bytes <= header_bytes:
        return None
    config = (profile + 1) << 11 | rate_index << 7 | layout << 3
    return AdtsHeader(config.to_bytes(2, "big"), header_bytes, frame_bytes, (data[6] & 3) + 1)


class AacDecoder(PullDecoder):
    """A decoder of ADTS; profile, rate and channels may change from frame to frame.

    * A frame that does not decode is silence of its length, counted in `damaged_samples`.
    * Bytes that belong to no frame are skipped and counted. Among them, and where profile, rate or channels change, a
      header is believed once another like it stands where the frame ends, as for MP3.
    * ADTS does not state the encoder's delay: `encoder_delay_samples` is trimmed, at the rate that is heard.
    * An input that ends inside a frame is truncated.

    Memory: one frame, at most 8,191 bytes.
    """

    def __init__(self, *, encoder_delay_samples: int = 0) -> None:
        self._trim = Trim(encoder_delay_samples)
        super().__init__()

    def _read(self, source: Source, out: Output) -> Reading[None]:
        packets: AacPackets | None = None
        config = b""
        in_step, run = True, 0
        while start := (yield from source.upto(_HEADER_BYTES)):
            header = read_adts_header(start)
            if header is None and in_step and len(start) < _HEADER_BYTES and _may_begin(start):
                raise TruncatedAudioError("the input ended inside the header of an ADTS frame")
            if header is not None and config and header.config != config:
                in_step = False
            if header is not None and not in_step:
                # The end of the frame, and as much of the next one as shows that it is one.
                more = yield from source.upto(header.frame_bytes)
                in_step = _vouched_for(start, (start + more)[header.frame_bytes :])
                source.unread(more)
            if header is None or not in_step:
                in_step = False
                junk = start.find(b"\xff", 1)
                junk = len(start) if junk < 0 else junk
                source.unread(start[junk:])
                out.skip(start[:junk])
                run += junk
                if run > JUNK_RUN_BYTES_MAX:
                    raise CorruptAudioError(f"more than {JUNK_RUN_BYTES_MAX} bytes in a row are not AAC")
                continue
            run = 0
            body = yield from source.need(header.frame_bytes - _HEADER_BYTES, "an ADTS frame")
            if packets is None or header.config != config:
                config = header.config
                packets = _open(header)
            unit = body[header.header_bytes - _HEADER_BYTES :]
            blocks = out.decode(packets, unit, source.taken)
            for block in blocks if not packets.is_empty else ():
                out.put(self._trim.feed(block.samples), block.sample_rate_hz)
        if not out.packets and out.junk_bytes:
            raise CorruptAudioError(f"{out.junk_bytes} bytes without a frame of AAC")


def _open(header: AdtsHeader) -> AacPackets:
    if header.raw_blocks > 1:
        raise CorruptAudioError("ADTS with several AAC frames in one, which has no decoder here")
    config = read_config(header.config)
    if not config.channels:
        raise CorruptAudioError("ADTS whose header does not say how many channels there are")
    return AacPackets(config)


def _may_begin(start: bytes) -> bool:
    return start[0] == 0xFF and (len(start) == 1 or start[1] & 0xF6 == 0xF0)


def _vouched_for(start: bytes, following: bytes) -> bool:
    """Whether the frame that begins with `start` is followed by one like it: the same version, profile, rate and
    channels."""
    return following[:2] == start[:2] and following[2:3] == start[2:3] and _same_layout(start, following)


def _same_layout(one: bytes, other: bytes) -> bool:
    return len(other) > 3 and one[3] & 0xC0 == other[3] & 0xC0
