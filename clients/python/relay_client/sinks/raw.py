"""Bare audio bytes to a pipe or a file, frame by frame."""

import asyncio
import sys
from typing import BinaryIO

from relay_client.errors import SinkError
from relay_client.frames import AudioFormat, Frame
from relay_client.sinks.base import Sink, check_same_format
from relay_client.sinks.writing import write_all

__all__ = ["RawSink"]


class RawSink(Sink):
    """Writes frames to a binary stream, by default standard output, each flushed so that it is heard at once.

    The last frame's padding is left out unless `padding` is true. Writing happens in a thread, since a pipe may stay
    full for as long as its reader likes. When that reader has gone `write` raises SinkError with a BrokenPipeError as
    its cause: for a command in a pipeline a reason to stop quietly. The stream is not closed.
    """

    def __init__(self, stream: BinaryIO | None = None, *, padding: bool = False) -> None:
        self._stream = sys.stdout.buffer if stream is None else stream
        self._padding = padding
        self._audio: AudioFormat | None = None

    async def start(self, audio: AudioFormat) -> None:
        if self._audio is not None:
            check_same_format(self._audio, audio)
        self._audio = audio

    async def write(self, frame: Frame) -> None:
        try:
            await asyncio.to_thread(self._write, frame.payload if self._padding else frame.speech)
        except BrokenPipeError as error:
            raise SinkError("the reader of the audio has gone") from error
        except OSError as error:
            raise SinkError(f"cannot write the audio: {error.strerror or type(error).__name__}") from error

    async def aclose(self) -> None:
        """Nothing is left to do: every frame was flushed."""

    def _write(self, data: bytes) -> None:
        write_all(self._stream, data)
        self._stream.flush()
