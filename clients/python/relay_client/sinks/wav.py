"""WAV files of every encoding the relay sends."""

import contextlib
import os
import secrets
import struct
from pathlib import Path
from typing import BinaryIO

from relay_client.errors import SinkError
from relay_client.frames import AudioFormat, Frame
from relay_client.sinks.base import Sink, check_same_format

__all__ = ["WavSink", "wav_header"]

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
        samples = UNKNOWN_SIZE if size_bytes is None else min(size_bytes // audio.block_align, UNKNOWN_SIZE)
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


class WavSink(Sink):
    """Writes a WAV file, without the padding of the last frame unless `padding` is true.

    A path appears when the sink is closed, whole: until then the audio is in a file beside it, and that one is
    readable too, with sizes that say "to the end". After a failed turn it holds the good audio. Nothing is written,
    and an older file stays, if no audio came at all. A binary file that was given is not closed; where it cannot seek
    its sizes stay open-ended. Writes go to the page cache, which is too quick to hand to a thread.
    """

    def __init__(self, target: str | os.PathLike[str] | BinaryIO, *, padding: bool = False) -> None:
        self._path = Path(target).resolve() if isinstance(target, str | os.PathLike) else None
        self._file = None if isinstance(target, str | os.PathLike) else target
        self._part: Path | None = None
        self._padding = padding
        self._audio: AudioFormat | None = None
        self._origin = 0
        self._size_bytes = 0
        self._closed = False

    async def start(self, audio: AudioFormat) -> None:
        if self._audio is not None:
            check_same_format(self._audio, audio)
            return
        self._audio = audio
        try:
            file = self._file = self._file or self._open()
            if file.seekable():
                self._origin = file.tell()
            file.write(wav_header(audio, None))
        except OSError as error:
            raise self._failed(error) from error

    async def write(self, frame: Frame) -> None:
        assert self._file is not None, "write comes after a start that went well"
        data = frame.payload if self._padding else frame.speech
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error
        self._size_bytes += len(data)

    async def aclose(self) -> None:
        if self._closed or self._audio is None or self._file is None:
            return
        self._closed = True
        try:
            self._complete(self._file, self._audio)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            if self._path is not None:
                with contextlib.suppress(OSError):  # said above, or by the write that failed
                    self._file.close()

    def _open(self) -> BinaryIO:
        assert self._path is not None, "without a file there is a path"
        if self._path.exists() and not self._path.is_file():
            return self._path.open("wb")  # a pipe or a device is written to, not replaced
        self._part = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}.part")
        return self._part.open("xb")

    def _complete(self, file: BinaryIO, audio: AudioFormat) -> None:
        if self._size_bytes % 2:
            file.write(b"\0")  # chunks have even sizes; this byte is not counted
        if file.seekable():
            end = file.tell()
            file.seek(self._origin)
            file.write(wav_header(audio, self._size_bytes))
            file.seek(end)
        file.flush()
        if self._path is not None:
            file.close()
        if self._part is not None and self._path is not None:
            self._part.replace(self._path)

    def _failed(self, error: OSError) -> SinkError:
        reason = error.strerror or type(error).__name__
        kept = f"; what was written is in {self._part}" if self._part is not None and self._part.exists() else ""
        name = f"the WAV file {self._path}" if self._path is not None else "the WAV"
        return SinkError(f"cannot write {name}: {reason}{kept}")
