"""Compressed files around the audio that leaves: MP3, Opus in Ogg, FLAC and AAC, by FFmpeg through PyAV.

A listener gets each packet as soon as the encoder gives it: nothing is sought back to, so that the sizes and gapless
tags of a file that is written twice (Xing, STREAMINFO's length) are not there. Opus has its exact length all the same:
its first page tells the samples to skip, its last one those that count. `CompressedFile` writes into a file that can be
sought in, and states the exact length there also for MP3 and FLAC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from relay.codecs.base import Block, to_int16
from relay.codecs.mp3_length import state_length
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
    # Of a stream, where each packet leaves at once, and of a file.
    options: Mapping[str, str] = field(default_factory=dict)
    file_options: Mapping[str, str] = field(default_factory=dict)
    codec_options: Mapping[str, str] = field(default_factory=dict)


# Those of MPEG-1, 2 and 2.5.
_MPEG_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
# From here on a codec gets the bit rate of music.
WIDE_HZ = 32_000

FORMATS: Mapping[str, CompressedFormat] = {
    "mp3": CompressedFormat(
        media_type="audio/mpeg",
        container="mp3",
        codec="libmp3lame",
        bit_rate=64_000,
        wide_bit_rate=128_000,
        rates_hz=_MPEG_RATES_HZ,
        # Both would be in front of the first frame, and say nothing that is known by then.
        options={"flush_packets": "1", "id3v2_version": "0", "write_xing": "0"},
        # The first frame is LAME's tag: how many samples to leave out in front and at the end.
        file_options={"id3v2_version": "0", "write_xing": "1"},
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
        options={"flush_packets": "1", "page_duration": "20000", "fflags": "+bitexact"},
        file_options={"fflags": "+bitexact"},
        codec_options={"application": "audio"},
    ),
    "flac": CompressedFormat(
        media_type="audio/flac",
        container="flac",
        codec="flac",
        # Room for tags, 8 KiB of it, is for files that are edited.
        options={"flush_packets": "1", "metadata_header_padding": "0", "fflags": "+bitexact"},
        file_options={"fflags": "+bitexact"},
    ),
    "aac": CompressedFormat(
        media_type="audio/aac",
        container="adts",
        codec="aac",
        bit_rate=64_000,
        wide_bit_rate=128_000,
        rates_hz=_MPEG_RATES_HZ,
        options={"flush_packets": "1"},
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
        self._written = _Written()
        self._muxer = _Muxer(form, audio, self._written, form.options)

    def begin(self, _pcm_bytes: int | None) -> bytes:
        """What stands before the first packet."""
        self._muxer.begin()
        return self._written.take()

    def feed(self, pcm: bytes) -> bytes:
        self._muxer.feed(pcm)
        return self._written.take()

    def flush(self) -> bytes:
        """The rest of the audio and of the file. Nothing may be fed after it."""
        self._muxer.flush()
        return self._written.take()


class CompressedFile:
    """Samples of `audio`, cut anywhere, -> a compressed file in `file`, which is not closed.

    Where the file can seek, `flush` goes back to state the exact length: in MP3 by LAME's tag, in FLAC by STREAMINFO
    (with the samples' MD5). Opus states it anyway; ADTS has no place for it. MP3 is read back, so its file is open for
    both. Where the file cannot seek, what is written is a stream. All methods raise the OSError of the file.
    """

    def __init__(self, form: CompressedFormat, audio: AudioFormat, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell() if form.codec == "libmp3lame" and file.seekable() and file.readable() else None
        self._muxer = _Muxer(form, audio, file, form.file_options)
        self._muxer.begin()

    def feed(self, pcm: bytes) -> None:
        self._muxer.feed(pcm)

    def flush(self) -> None:
        """The rest of the audio and of the file. Nothing may be fed after it."""
        self._muxer.flush()
        if self._start is not None:
            state_length(self._file, self._start, self._muxer.samples, self._muxer.frame_samples)


class _Muxer:
    """Samples -> packets -> `file`."""

    def __init__(
        self, form: CompressedFormat, audio: AudioFormat, file: "BinaryIO | _Written", options: Mapping[str, str]
    ) -> None:
        self._decoder = sample_decoder(audio)
        rate_hz = audio.sample_rate_hz
        if form.rates_hz and rate_hz not in form.rates_hz:
            rate_hz = form.rates_hz[-1]
        self._rate_hz = rate_hz
        self._resampler = Resampler(rate_hz)
        self._layout = "mono" if audio.channels == 1 else "stereo"
        self._file = av.open(file, "w", format=form.container, options=dict(options))
        stream = self._file.add_stream(form.codec, rate=rate_hz, options=dict(form.codec_options))
        assert isinstance(stream, AudioStream), "a codec of audio"
        self._stream = stream
        self._stream.codec_context.layout = self._layout
        self._stream.codec_context.thread_count = 1
        bit_rate = form.wide_bit_rate if rate_hz >= WIDE_HZ else form.bit_rate
        if bit_rate is not None:
            self._stream.codec_context.bit_rate = bit_rate * audio.channels
        # Given to the encoder, at its own rate.
        self.samples = 0

    @property
    def frame_samples(self) -> int:
        """Of one packet."""
        return self._stream.codec_context.frame_size

    def begin(self) -> None:
        self._file.start_encoding()

    def feed(self, pcm: bytes) -> None:
        self._encode([block for piece in self._decoder.feed(pcm) for block in self._resampler.feed(piece)])

    def flush(self) -> None:
        self._decoder.flush()
        self._encode(self._resampler.flush())
        self._file.mux(self._stream.encode(None))
        self._file.close()

    def _encode(self, blocks: list[Block]) -> None:
        for block in blocks:
            self._file.mux(self._stream.encode(self._frame(to_int16(block.samples))))

    def _frame(self, samples: "np.ndarray[tuple[int], np.dtype[np.int16]]") -> AudioFrame:
        channels = 1 if self._layout == "mono" else 2
        packed = samples.repeat(channels) if channels == 2 else samples
        frame = AudioFrame.from_ndarray(packed.reshape(1, -1), format="s16", layout=self._layout)
        frame.sample_rate = self._rate_hz
        frame.time_base = Fraction(1, self._rate_hz)
        frame.pts = self.samples
        self.samples += len(samples)
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
