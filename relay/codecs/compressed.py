"""Compressed files around the audio that leaves: MP3, Opus in Ogg, FLAC and AAC, by FFmpeg through PyAV.

A listener gets each packet as soon as the encoder gives it: nothing is sought back to, so that the sizes and gapless
tags of a file that is written twice (Xing, STREAMINFO's length) are not there. Opus has its exact length all the same:
its first page tells the samples to skip, its last one those that count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from relay.codecs.base import Block, to_int16
from relay.codecs.raw import sample_decoder
from relay.codecs.resample import Resampler
from relay.core.formats import AudioFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedFormat:
    """A codec in its container, by FFmpeg's names; `rates_hz` empty: any. What has another rate is resampled to the
    last one."""

    media_type: str
    container: str
    codec: str
    # Of one channel, below and above WIDE_HZ.
    bit_rate: int | None = None
    wide_bit_rate: int | None = None
    rates_hz: tuple[int, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    codec_options: Mapping[str, str] = field(default_factory=dict)


# From here on a codec gets the bit rate of music.
WIDE_HZ = 32_000

FORMATS: Mapping[str, CompressedFormat] = {
    "mp3": CompressedFormat(
        media_type="audio/mpeg",
        container="mp3",
        codec="libmp3lame",
        bit_rate=64_000,
        wide_bit_rate=128_000,
        # Both would be in front of the first frame, and say nothing that is known by then.
        options={"id3v2_version": "0", "write_xing": "0"},
    ),
    "ogg": CompressedFormat(
        media_type="audio/ogg",
        container="ogg",
        codec="libopus",
        bit_rate=48_000,
        wide_bit_rate=64_000,
        rates_hz=(8_000, 12_000, 16_000, 24_000, 48_000),
        # A page for each packet of 20 ms, in microseconds: the default page waits for a second of audio.
        # `bitexact`: the same audio is the same bytes; else each stream has a serial number of chance.
        options={"page_duration": "20000", "fflags": "+bitexact"},
        codec_options={"application": "audio"},
    ),
    "flac": CompressedFormat(
        media_type="audio/flac",
        container="flac",
        codec="flac",
        # Room for tags, 8 KiB of it, is for files that are edited.
        options={"metadata_header_padding": "0", "fflags": "+bitexact"},
    ),
    "aac": CompressedFormat(
        media_type="audio/aac", container="adts", codec="aac", bit_rate=64_000, wide_bit_rate=128_000
    ),
}


# Of one `feed`, in milliseconds of audio: the slowest encoder takes a hundredth of that time, on a busy machine more.
SLICE_MS = 100


class Compressed:
    """A `containers.ContainerEncoder`: samples of `audio`, cut anywhere, -> the bytes of a compressed file.

    The two channels of stereo are the same samples. The encoder holds less than two of its frames (48 ms of MP3 at
    24 kHz).
    """

    def __init__(self, form: CompressedFormat, audio: AudioFormat) -> None:
        self.media_type = form.media_type
        self.slice_bytes: int | None = audio.sample_rate_hz * SLICE_MS // 1000 * audio.block_align
        self._decoder = sample_decoder(audio)
        rate_hz = audio.sample_rate_hz
        if form.rates_hz and rate_hz not in form.rates_hz:
            rate_hz = form.rates_hz[-1]
        self._rate_hz = rate_hz
        self._resampler = Resampler(rate_hz)
        self._layout = "mono" if audio.channels == 1 else "stereo"
        self._written = _Written()
        self._file = av.open(self._written, "w", format=form.container, options={"flush_packets": "1", **form.options})
        stream = self._file.add_stream(form.codec, rate=rate_hz, options=dict(form.codec_options))
        assert isinstance(stream, AudioStream), "a codec of audio"
        self._stream = stream
        self._stream.codec_context.layout = self._layout
        self._stream.codec_context.thread_count = 1
        bit_rate = form.wide_bit_rate if rate_hz >= WIDE_HZ else form.bit_rate
        if bit_rate is not None:
            self._stream.codec_context.bit_rate = bit_rate * audio.channels
        self._position = 0

    def begin(self, _pcm_bytes: int | None) -> bytes:
        """What stands before the first packet."""
        self._file.start_encoding()
        return self._written.take()

    def feed(self, pcm: bytes) -> bytes:
        self._encode([block for piece in self._decoder.feed(pcm) for block in self._resampler.feed(piece)])
        return self._written.take()

    def flush(self) -> bytes:
        """The rest of the audio and of the file. Nothing may be fed after it."""
        self._decoder.flush()
        self._encode(self._resampler.flush())
        self._file.mux(self._stream.encode(None))
        self._file.close()
        return self._written.take()

    def _encode(self, blocks: list[Block]) -> None:
        for block in blocks:
            self._file.mux(self._stream.encode(self._frame(to_int16(block.samples))))

    def _frame(self, samples: "np.ndarray[tuple[int], np.dtype[np.int16]]") -> AudioFrame:
        channels = 1 if self._layout == "mono" else 2
        packed = samples.repeat(channels) if channels == 2 else samples
        frame = AudioFrame.from_ndarray(packed.reshape(1, -1), format="s16", layout=self._layout)
        frame.sample_rate = self._rate_hz
        frame.time_base = Fraction(1, self._rate_hz)
        frame.pts = self._position
        self._position += len(samples)
        return frame


class _Written:
    """A file that cannot be sought in; what is written waits to be taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
