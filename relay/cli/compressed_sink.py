"""A compressed file that `relay say` writes: MP3, Opus in Ogg, FLAC or AAC."""

import contextlib
import secrets
from pathlib import Path
from typing import BinaryIO

from relay_client import AudioFormat, Frame, Sink, SinkError

from relay.codecs.compressed import FORMATS, CompressedFile
from relay.core.formats import AudioFormat as Samples
from relay.core.formats import Encoding


class CompressedSink(Sink):
    """Writes one turn into a file of a format of `codecs.compressed`, without the padding of the last frame.

    The file appears whole, with its exact length, when the sink is closed: until then it is beside it
    (`.NAME.XXXXXXXX.part`). So it does after a turn that failed or was interrupted, with the good audio. What was
    written before a `write` that raised, because the disk was full for example, stays in the part. Nothing is written,
    and an older file stays, if no audio came at all. A pipe or a device is written to, not replaced.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path.resolve()
        self._form = FORMATS[name]
        self._part: Path | None = None
        self._file: BinaryIO | None = None
        self._encoder: CompressedFile | None = None
        self._audio: AudioFormat | None = None
        self._taken_bytes = 0

    @property
    def duration_ms(self) -> float:
        """Of the audio taken so far."""
        return 0.0 if self._audio is None else self._audio.duration_ms(self._taken_bytes // self._audio.block_align)

    async def start(self, audio: AudioFormat) -> None:
        if self._file is not None:
            raise SinkError(f"{self._path} holds one turn")
        samples = Samples(encoding=Encoding(audio.encoding), sample_rate_hz=audio.sample_rate, channels=audio.channels)
        try:
            self._file = self._open()
            self._encoder = CompressedFile(self._form, samples, self._file)
        except OSError as error:
            raise self._failed(error) from error
        self._audio = audio

    async def write(self, frame: Frame) -> None:
        assert self._encoder is not None, "write comes after a start that went well"
        try:
            self._encoder.feed(frame.speech)
        except OSError as error:
            raise self._failed(error) from error
        self._taken_bytes += len(frame.speech)

    async def aclose(self) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is None or self._file is None:
            return
        try:
            encoder.flush()
            self._file.close()
            if self._part is not None:
                self._part.replace(self._path)
        except OSError as error:
            raise self._failed(error) from error

    def _open(self) -> BinaryIO:
        # Unbuffered: FFmpeg has a buffer of its own. Read, too: an MP3 states its length at its end.
        if self._path.exists() and not self._path.is_file():
            return self._path.open("wb", buffering=0)
        self._part = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}.part")
        return self._part.open("x+b", buffering=0)

    def _failed(self, error: OSError) -> SinkError:
        """Closes the file. A part that holds nothing is removed."""
        self._encoder = None
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        kept = ""
        if self._part is not None:
            with contextlib.suppress(OSError):
                if self._part.stat().st_size:
                    kept = f"; what was written is in {self._part}"
                else:
                    self._part.unlink()
        return SinkError(f"cannot write {self._path}: {error.strerror or type(error).__name__}{kept}")
