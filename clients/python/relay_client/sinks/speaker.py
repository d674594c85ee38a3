"""Sound on this machine: the sounddevice package, or else a player that is on the PATH."""

import asyncio
import contextlib
import importlib
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

from relay_client.errors import SinkError
from relay_client.frames import AudioFormat, Frame
from relay_client.sinks.base import Sink, check_same_format

__all__ = ["SpeakerSink"]

# What is still in a player's pipe (64 KiB, 8 s of telephone audio) and its own buffer when the last frame was written.
PLAYOUT_TIMEOUT_S = 15.0

_DEVICE_TYPES = {"pcm_s16le": "int16", "pcm_f32le": "float32"}

# Players that take raw audio on standard input; afplay is none of them, it wants a file. Names of the encodings as
# in their manuals: aplay(1), pacat(1), ffmpeg-formats(1).
_APLAY = {"pcm_s16le": "S16_LE", "pcm_f32le": "FLOAT_LE", "mulaw": "MU_LAW", "alaw": "A_LAW"}
_PACAT = {"pcm_s16le": "s16le", "pcm_f32le": "float32le", "mulaw": "ulaw", "alaw": "alaw"}
_FFPLAY = {"pcm_s16le": "s16le", "pcm_f32le": "f32le", "mulaw": "mulaw", "alaw": "alaw"}
_PLAYERS: dict[str, Callable[[AudioFormat], list[str]]] = {
    "aplay": lambda audio: [
        *("-q", "-t", "raw", "-f", _APLAY[audio.encoding]),
        *("-r", str(audio.sample_rate), "-c", str(audio.channels), "-"),
    ],
    "pacat": lambda audio: [
        *("--playback", "--raw", f"--format={_PACAT[audio.encoding]}"),
        *(f"--rate={audio.sample_rate}", f"--channels={audio.channels}"),
    ],
    "ffplay": lambda audio: [
        *("-loglevel", "error", "-nodisp", "-autoexit", "-f", _FFPLAY[audio.encoding]),
        *("-ar", str(audio.sample_rate), "-ch_layout", "mono" if audio.channels == 1 else "stereo", "-i", "-"),
    ],
}


class SpeakerSink(Sink):
    """Plays what is written, padding included, and waits for it: `write` keeps pace with the ear.

    Leaving ``async with`` waits until the last sample was played, unless the task is being cancelled: then, and with
    `abort`, the sound stops at once.
    """

    def __init__(self) -> None:
        self._output: _Output | None = None
        self._audio: AudioFormat | None = None

    async def start(self, audio: AudioFormat) -> None:
        if self._audio is not None:
            check_same_format(self._audio, audio)
        if self._output is None:
            self._output = await _open_output(audio)
            self._audio = audio

    async def write(self, frame: Frame) -> None:
        assert self._output is not None, "write comes after start"
        await self._output.write(frame.payload)

    async def abort(self) -> None:
        """Stops the sound now; `start` begins anew."""
        if self._output is not None:
            output, self._output = self._output, None
            await output.abort()

    async def aclose(self) -> None:
        if self._output is not None:
            output, self._output = self._output, None
            await output.play_out()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError):
            await self.abort()
        await self.aclose()


class _Output(Protocol):
    async def write(self, data: bytes) -> None: ...
    async def play_out(self) -> None: ...
    async def abort(self) -> None: ...


async def _open_output(audio: AudioFormat) -> _Output:
    try:
        sounddevice = importlib.import_module("sounddevice")
    except (ImportError, OSError):  # OSError: the package is there, its PortAudio library is not
        return await _open_player(audio)
    if audio.encoding not in _DEVICE_TYPES:
        raise SinkError(f"a speaker takes {' or '.join(_DEVICE_TYPES)}, not {audio.encoding}; ask the relay for one")
    return await _Device.open(sounddevice, audio)


async def _open_player(audio: AudioFormat) -> _Output:
    for name, arguments in _PLAYERS.items():
        program = shutil.which(name)
        if program is not None:
            process = await asyncio.create_subprocess_exec(
                program, *arguments(audio), stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL
            )
            return _Player(name, process)
    raise SinkError(
        "no way to play sound on this machine: pip install 'speech-relay[speaker]', or put one of "
        f"{', '.join(_PLAYERS)} on the PATH"
    )


class _Device:
    """A PortAudio stream. Its calls block until the device takes the samples, so they run in threads."""

    def __init__(self, stream: Any, failure: type[Exception]) -> None:
        self._stream = stream
        self._failure = failure

    @classmethod
    async def open(cls, sounddevice: Any, audio: AudioFormat) -> "_Device":
        def begin() -> Any:
            stream = sounddevice.RawOutputStream(
                samplerate=audio.sample_rate, channels=audio.channels, dtype=_DEVICE_TYPES[audio.encoding]
            )
            stream.start()
            return stream

        try:
            return cls(await asyncio.to_thread(begin), sounddevice.PortAudioError)
        except sounddevice.PortAudioError as error:
            raise SinkError(f"the sound device cannot be opened: {error}") from error

    async def write(self, data: bytes) -> None:
        await self._call(self._stream.write, data)

    async def play_out(self) -> None:
        await self._call(self._stream.stop)
        await self._call(self._stream.close)

    async def abort(self) -> None:
        await self._call(self._stream.abort)
        await self._call(self._stream.close)

    async def _call(self, method: Callable[..., Any], *arguments: Any) -> None:
        try:
            await asyncio.to_thread(method, *arguments)
        except self._failure as error:
            raise SinkError(f"the sound device failed: {error}") from error


class _Player:
    """A program that plays its standard input."""

    def __init__(self, name: str, process: Process) -> None:
        assert process.stdin is not None, "started with a pipe"
        self._name = name
        self._process = process
        self._stdin = process.stdin
        # The pipe itself is buffer enough: wait until a frame is in it. A player that has ended already is told by
        # the first write; uvloop refuses even this.
        with contextlib.suppress(RuntimeError):
            self._stdin.transport.set_write_buffer_limits(high=0)

    async def write(self, data: bytes) -> None:
        if self._stdin.is_closing():
            raise SinkError(f"{self._name} has stopped playing")
        try:
            self._stdin.write(data)
            await self._stdin.drain()
        except ConnectionError as error:
            raise SinkError(f"{self._name} has stopped playing") from error

    async def play_out(self) -> None:
        self._stdin.close()
        try:
            async with asyncio.timeout(PLAYOUT_TIMEOUT_S):
                status = await self._process.wait()
        except TimeoutError:
            await self.abort()
            raise SinkError(f"{self._name} did not finish within {PLAYOUT_TIMEOUT_S:g} s") from None
        finally:
            if self._process.returncode is None:
                await self.abort()
        if status:
            raise SinkError(f"{self._name} failed with exit status {status}")

    async def abort(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
