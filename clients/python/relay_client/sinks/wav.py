"""WAV files of every encoding the relay sends."""

import contextlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO

from relay_client.errors import SinkError
from relay_client.frames import AudioFormat, Frame
from relay_client.sinks.base import Sink, check_same_format
from relay_client.sinks.wav_file import WavFile

__all__ = ["WavSink"]


class WavSink(Sink):
    """Writes a WAV file, without the padding of the last frame unless `padding` is true.

    A path appears whole, when the sink is closed: until then the audio is in a file beside it (`.NAME.XXXXXXXX.part`).
    The sizes in that one are true after every frame, so that a program that is killed leaves a WAV of what had come.
    After a turn that failed or was interrupted the path holds the good audio, and so it does after a `write` that
    raised, because the disk was full for example: then everything up to the frame that failed. Nothing is written, and
    an older file stays, if no audio came at all.

    A binary file that was given is not closed; if it cannot seek, or was opened to append, its sizes are open-ended.
    Writes go to the page cache, which is too quick to hand to a thread.
    """

    def __init__(self, target: str | os.PathLike[str] | BinaryIO, *, padding: bool = False) -> None:
        self._path = Path(target).resolve() if isinstance(target, str | os.PathLike) else None
        self._file = None if isinstance(target, str | os.PathLike) else target
        self._part: Path | None = None
        self._wav: WavFile | None = None
        self._padding = padding
        self._audio: AudioFormat | None = None
        self._closed = False

    @property
    def duration_ms(self) -> float:
        """Of the audio written so far."""
        if self._wav is None or self._audio is None:
            return 0.0
        return self._audio.duration_ms(self._wav.size_bytes // self._audio.block_align)

    async def start(self, audio: AudioFormat) -> None:
        if self._audio is not None:
            check_same_format(self._audio, audio)
            return
        try:
            self._file = self._file or self._open()
            self._wav = WavFile(self._file, audio)
        except OSError as error:
            raise self._failed(error) from error
        self._audio = audio

    async def write(self, frame: Frame) -> None:
        assert self._wav is not None, "write comes after a start that went well"
        if self._closed:
            raise SinkError(f"{self._name} is closed")
        try:
            self._wav.write(frame.payload if self._padding else frame.speech)
        except OSError as error:
            raise self._failed(error) from error

    async def aclose(self) -> None:
        if self._closed or self._wav is None:
            return
        self._closed = True
        try:
            self._wav.finish()
            self._appear()
        except OSError as error:
            raise SinkError(f"{self._complaint(error)}{self._left_over()}") from error
        finally:
            self._release()

    def _open(self) -> BinaryIO:
        assert self._path is not None, "without a file there is a path"
        # Unbuffered: a write that failed is not tried again when the file is closed.
        if self._path.exists() and not self._path.is_file():
            return self._path.open("wb", buffering=0)  # a pipe or a device is written to, not replaced
        self._part = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}.part")
        return self._part.open("xb", buffering=0)

    def _failed(self, error: OSError) -> SinkError:
        """After a failed write: makes the file whole with the frames that were written, and closes it."""
        self._closed = True
        kept = ""
        if self._part is not None and self._wav is not None and self._wav.size_bytes:
            try:
                self._wav.truncate()
                self._appear()
                kept = f"; it holds the first {self.duration_ms / 1000:.2f} s"
            except OSError:
                kept = self._left_over()
        elif self._part is not None:
            with contextlib.suppress(OSError):
                self._part.unlink()
        self._release()
        return SinkError(f"{self._complaint(error)}{kept}")

    def _appear(self) -> None:
        if self._part is not None and self._path is not None and self._file is not None:
            self._file.close()
            self._part.replace(self._path)

    def _release(self) -> None:
        """Closes a file that was opened here."""
        if self._path is not None and self._file is not None:
            with contextlib.suppress(OSError):  # what went wrong has been raised
                self._file.close()

    @property
    def _name(self) -> str:
        return f"the WAV file {self._path}" if self._path is not None else "the WAV"

    def _complaint(self, error: OSError) -> str:
        return f"cannot write {self._name}: {error.strerror or type(error).__name__}"

    def _left_over(self) -> str:
        return f"; what was written is in {self._part}" if self._part is not None and self._part.exists() else ""
