"""FFmpeg's decoders through PyAV, one packet at a time: no container, no probe, no look-ahead, no thread.

This file does not know where the packets come from.
"""

from typing import Any

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.packet import Packet
from numpy.typing import NDArray

from relay.codecs.base import Block, CorruptAudioError, to_int16, to_mono

# Outside these a header is damaged, and the work of a resampler would have no bound. As for headerless audio and WAV.
RATES_HZ = range(2_000, 384_001)
CHANNELS = (1, 2)

# Codecs overshoot a little, and are clipped once, after the mean of two channels. Beyond this it is no sound.
_LOUDEST = np.float32(256)
_SILENCE = np.float32(0)

_INTEGER_STEP = np.array(1 / (1 << 31), np.float32)


def check_shape(sample_rate_hz: int, channels: int) -> None:
    """Raises CorruptAudioError for audio that is not played whatever its codec."""
    if sample_rate_hz not in RATES_HZ:
        raise CorruptAudioError(f"audio at {sample_rate_hz} Hz; from {RATES_HZ[0]} to {RATES_HZ[-1]} are played")
    if channels not in CHANNELS:
        raise CorruptAudioError(f"audio of {channels} channels; one and two are played")


class AvCodec:
    """One FFmpeg decoder: one packet in, at most one mono block out, as soon as the call returns.

    It is opened at once, and raises CorruptAudioError if `extradata` is not what its packets need.

    `names` are FFmpeg's decoders in order of preference; the first that this PyAV was built with is used. Lossy codecs
    give int16 (rounded once, after the mean of two channels); lossless ones give int16 up to 16 bits, float32 above.

    `decode` gives None for a packet that FFmpeg refuses; the next packet decodes as if nothing had happened. It raises
    CorruptAudioError only where the audio itself has a shape that is not played (three channels, 500 kHz).
    """

    def __init__(self, *names: str, extradata: bytes = b"") -> None:
        codec = av.CodecContext.create(next(name for name in names if name in av.codecs_available), "r")
        assert isinstance(codec, AudioCodecContext), "a decoder of audio"
        codec.thread_count = 1
        # Opus only: 32-bit floats instead of 16-bit integers, so that there is one rounding and not two.
        codec.options = {"request_sample_fmt": "flt"} if codec.name == "libopus" else {}
        if extradata:
            codec.extradata = extradata
        try:
            codec.open()
        except (av.FFmpegError, ValueError) as error:
            raise CorruptAudioError(f"{codec.name} audio whose header does not decode") from error
        self._codec = codec

    def decode(self, packet: bytes) -> list[Block] | None:
        """The block of a packet, none while the codec only fills its overlap; None if the packet is broken."""
        if not packet:
            return None  # FFmpeg takes an empty packet for the end of the stream
        try:
            frames = self._codec.decode(Packet(packet))
        except (av.FFmpegError, ValueError):
            return None
        return [_block(frame) for frame in frames if frame.samples]


def _block(frame: AudioFrame) -> Block:
    """A copy: FFmpeg reuses the memory of a frame."""
    channels = frame.layout.nb_channels
    check_shape(frame.sample_rate, channels)
    plain = _interleaved(frame, channels)
    if plain.dtype == np.int32:
        # 24 bits fit a float exactly; the least significant of 32 are rounded.
        plain = np.multiply(plain, _INTEGER_STEP, dtype=np.float32)
        samples = plain if channels == 1 else to_mono(plain)
    elif plain.dtype == np.int16:
        samples = plain if channels == 1 else to_mono(plain)
    else:
        # A broken packet may hold anything. The greatest of anything and NaN is NaN, which is not <= _LOUDEST.
        if not np.abs(plain).max() <= _LOUDEST:
            plain = np.where(np.isnan(plain), _SILENCE, plain).clip(-_LOUDEST, _LOUDEST)
        samples = to_int16(plain if channels == 1 else to_mono(plain))
    return Block(samples, frame.sample_rate)


_DTYPES: dict[str, "np.dtype[Any]"] = {
    "s16": np.dtype(np.int16),
    "s32": np.dtype(np.int32),
    "flt": np.dtype(np.float32),
}


def _interleaved(frame: AudioFrame, channels: int) -> NDArray[Any]:
    name, count = frame.format.name, frame.samples
    dtype = _DTYPES[name.removesuffix("p")]
    if channels == 1 or not name.endswith("p"):
        return np.frombuffer(memoryview(frame.planes[0]), dtype, count * channels).copy()
    plain = np.empty(count * channels, dtype)
    for channel, plane in enumerate(frame.planes):
        plain[channel::channels] = np.frombuffer(memoryview(plane), dtype, count)
    return plain
