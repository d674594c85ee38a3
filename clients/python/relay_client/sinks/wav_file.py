"""A WAV in a binary file: its header, and sizes that are true from the first byte on.

Why not a library. The standard library's `wave` names integer PCM only, where the relay also sends floats and G.711.
libsndfile (the `soundfile` package) has no codes of G.711 as they came: it decodes and encodes them again, and the
negative zero of mu-law (0x7F) becomes 0xFF; it leaves the sizes at 0 until the file is closed; and it would bring numpy
and a binary library to a client that needs neither. Both are independent readers of these files in the tests.
"""

import struct
from typing import BinaryIO

from relay_client.frames import AudioFormat
from relay_client.sinks.writing import write_all

__all__ = ["WavFile", "wav_header"]

# Format tags of RFC 2361 (WAVE_FORMAT_PCM, _IEEE_FLOAT, _ALAW, _MULAW).
_TAGS = {"pcm_s16le": 1, "pcm_f32le": 3, "alaw": 6, "mulaw": 7}
# Readers take it as "to the end of the file"; it is also all that four bytes can say of a longer file.
UNKNOWN_SIZE = 0xFFFFFFFF


def wav_header(audio: AudioFormat, size_bytes: int | None) -> bytes:
    """Everything before the audio. `size_bytes` of audio will follow; None where that is not known and never will be.

    PCM has the short `fmt ` chunk; the others have its extension size and a `fact` chunk, as the format asks of
    everything that is not PCM (Multimedia Data Standards Update 3.0, 1994).
    """
    tag = _TAGS[audio.encoding]
    fmt = struct.pack(
        "<HHIIHH",
        tag,
        audio.channels,
        audio.sample_rate,
        audio.sample_rate * audio.block_align,
        audio.block_align,
        audio.sample_width * 8,
    )
    if tag != 1:
        # Without a size 0, not UNKNOWN_SIZE: ffmpeg and Chromium would take that for the duration.
        samples = 0 if size_bytes is None else min(size_bytes // audio.block_align, UNKNOWN_SIZE)
        fmt += struct.pack("<H", 0)
        chunks = _chunk(b"fmt ", fmt) + _chunk(b"fact", struct.pack("<I", samples))
    else:
        chunks = _chunk(b"fmt ", fmt)
    if size_bytes is None:
        riff_bytes = data_bytes = UNKNOWN_SIZE
    else:
        # "WAVE", the chunks, the head of the data chunk, the data and its padding to an even size.
        riff_bytes = min(4 + len(chunks) + 8 + size_bytes + size_bytes % 2, UNKNOWN_SIZE)
        data_bytes = min(size_bytes, UNKNOWN_SIZE)
    return struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE") + chunks + struct.pack("<4sI", b"data", data_bytes)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body


class WavFile:
    """Writes a WAV into `file` from where it stands. The file stays open.

    In a file that can seek the sizes are true after every call: `write` adds the audio, then states its size, so that
    a program that is killed between the two leaves the size of what it wrote before. If `write` raises, the file says
    what was there before that call. Where the file cannot seek, or appends whatever is written (mode "a"), the sizes
    are open-ended. All methods raise OSError.
    """

    def __init__(self, file: BinaryIO, audio: AudioFormat) -> None:
        self._file = file
        self._audio = audio
        self._can_seek = file.seekable() and "a" not in str(getattr(file, "mode", ""))
        self._origin = file.tell() if self._can_seek else 0
        header = wav_header(audio, 0 if self._can_seek else None)
        self._header_bytes = len(header)
        # Of audio, as the sizes have it.
        self.size_bytes = 0
        write_all(file, header)

    def write(self, data: bytes) -> None:
        size_bytes = self.size_bytes + len(data)
        if self._can_seek:
            self._file.seek(self._origin + self._header_bytes + self.size_bytes)
            # Chunks have even sizes: a zero that is not counted, and that the next audio is written over.
            write_all(self._file, data + bytes(size_bytes % 2))
            self._file.seek(self._origin)
            write_all(self._file, wav_header(self._audio, size_bytes))
            self._file.flush()
        else:
            write_all(self._file, data)
        self.size_bytes = size_bytes

    def finish(self) -> None:
        """Leaves the file behind the WAV."""
        if self._can_seek:
            self._file.seek(self._origin + self._header_bytes + self.size_bytes + self.size_bytes % 2)
        elif self.size_bytes % 2:
            write_all(self._file, b"\0")
        self._file.flush()

    def truncate(self) -> None:
        """Removes what a `write` that raised has left behind the WAV. Only for a file that ends with it."""
        self.finish()
        self._file.truncate()
