"""Sinks, judged by an independent reader of WAV files, real pipes and a fake speaker."""

import asyncio
import io
import os
import stat
import struct
import sys
import threading
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, cast

import pytest
import soundfile
import uvloop
from relay_client import (
    AudioFormat,
    AudioStarted,
    Event,
    Frame,
    RawSink,
    Sink,
    SinkError,
    SpeakerSink,
    Turn,
    TurnError,
    TurnProgress,
    TurnStarted,
    WavSink,
    connect,
    play,
)
from relay_client.sinks.wav_file import wav_header
from relay_client.sinks.writing import write_all as write_bytes

from tests.clients.scripted import Peer, frames_of, samples_of, scripted_relay

WIDTHS = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
SUBTYPES = {"pcm_s16le": "PCM_16", "pcm_f32le": "FLOAT", "mulaw": "ULAW", "alaw": "ALAW"}


def audio(encoding: str = "pcm_s16le", rate: int = 8000, channels: int = 1) -> AudioFormat:
    samples = rate // 50
    return AudioFormat(
        encoding=encoding,
        sample_rate=rate,
        channels=channels,
        frame_ms=20,
        frame_samples=samples,
        frame_bytes=samples * WIDTHS[encoding] * channels,
    )


def speech(form: AudioFormat, samples: int) -> bytes:
    """Valid audio of the encoding, every sample its own."""
    count = samples * form.channels
    if form.encoding == "pcm_f32le":
        return struct.pack(f"<{count}f", *(i / count for i in range(count)))
    if form.encoding == "pcm_s16le":
        return samples_of(0, count)
    return bytes(i % 251 for i in range(count))


def cut(form: AudioFormat, data: bytes) -> list[Frame]:
    """Frames of the form, the last one padded."""
    frames = []
    for at in range(0, len(data), form.frame_bytes):
        piece = data[at : at + form.frame_bytes]
        samples = len(piece) // form.block_align
        last = at + form.frame_bytes >= len(data)
        payload = piece.ljust(form.frame_bytes, b"\xff")
        frames.append(Frame(payload, at // form.block_align, samples, form.frame_samples - samples, last))
    return frames


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


async def write_all(sink: Sink, form: AudioFormat, frames: list[Frame]) -> None:
    async with sink:
        await sink.start(form)
        for frame in frames:
            await sink.write(frame)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("samples", [0, 1, 160, 481])
@pytest.mark.parametrize("encoding", WIDTHS)
async def test_a_wav_file_is_read_back_sample_for_sample(
    encoding: str, samples: int, channels: int, tmp_path: Path
) -> None:
    form = audio(encoding, 8000, channels)
    data = speech(form, samples)
    path = tmp_path / "out.wav"
    await write_all(WavSink(path), form, cut(form, data))
    with soundfile.SoundFile(path) as file:
        assert (file.samplerate, file.channels, file.subtype, file.frames) == (
            8000,
            channels,
            SUBTYPES[encoding],
            samples,
        )
    content = path.read_bytes()
    assert struct.unpack_from("<I", content, 4)[0] == len(content) - 8
    start = content.index(b"data") + 8
    assert content[start : start + len(data)] == data
    assert len(content) == start + len(data) + len(data) % 2
    assert names(tmp_path) == ["out.wav"]


def test_the_fmt_chunk_says_what_the_samples_are() -> None:
    head = wav_header(audio("mulaw", 8000), 8001)
    tag, channels, rate, byte_rate, align, bits, extra = struct.unpack_from("<HHIIHHH", head, 20)
    assert (tag, channels, rate, byte_rate, align, bits, extra) == (7, 1, 8000, 8000, 1, 8, 0)
    assert head[38:50] == b"fact" + struct.pack("<II", 4, 8001)
    assert [struct.unpack_from("<H", wav_header(audio(e), 0), 20)[0] for e in WIDTHS] == [1, 3, 7, 6]
    assert struct.unpack_from("<I", head, 4)[0] == len(head) - 8 + 8002
    assert b"fact" not in wav_header(audio("pcm_s16le"), 0)
    assert wav_header(audio("mulaw"), None)[46:50] == bytes(4), "readers take other samples of `fact` for the duration"


def test_a_file_too_long_for_its_sizes_says_to_the_end() -> None:
    head = wav_header(audio("pcm_s16le"), 2**32 + 10)
    assert struct.unpack_from("<I", head, 4)[0] == struct.unpack("<I", head[-4:])[0] == 0xFFFFFFFF


async def test_padding_is_kept_on_demand(tmp_path: Path) -> None:
    form = audio()
    await write_all(WavSink(tmp_path / "out.wav", padding=True), form, cut(form, speech(form, 200)))
    assert soundfile.info(tmp_path / "out.wav").frames == 320


async def test_a_binary_file_is_patched_where_it_began_and_left_open() -> None:
    form = audio()
    file = io.BytesIO()
    file.write(b"before")
    await write_all(WavSink(file), form, cut(form, speech(form, 500)))
    file.write(b"after")
    content = file.getvalue()
    assert content.startswith(b"before")
    assert content.endswith(b"after")
    samples, _ = soundfile.read(io.BytesIO(content[6:-5]), dtype="int16")
    assert samples.tobytes() == speech(form, 500)


async def test_a_file_that_cannot_seek_has_open_ended_sizes() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: Any) -> int:
            raise OSError("a pipe cannot seek")

        tell = seek

    form = audio()
    pipe = Pipe()
    await write_all(WavSink(pipe), form, cut(form, speech(form, 500)))
    content = pipe.getvalue()
    assert struct.unpack_from("<I", content, 4)[0] == struct.unpack_from("<I", content, 40)[0] == 0xFFFFFFFF
    samples, _ = soundfile.read(io.BytesIO(content), dtype="int16")
    assert samples.tobytes() == speech(form, 500)


async def test_a_named_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    form = audio()
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    await write_all(WavSink(path), form, cut(form, speech(form, 500)))
    reader.join(5)
    assert read[0][44:] == speech(form, 500)
    assert stat.S_ISFIFO(path.stat().st_mode)


async def test_a_path_appears_whole_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    path.write_bytes(b"older")
    form = audio()
    async with WavSink(path) as sink:
        assert names(tmp_path) == ["out.wav"]
        await sink.start(form)
        for frame in cut(form, speech(form, 320)):
            await sink.write(frame)
        assert path.read_bytes() == b"older"
    assert soundfile.info(path).frames == 320


async def test_a_directory_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    form = audio()
    with pytest.raises(SinkError, match="No such file or directory"):
        await write_all(WavSink(tmp_path / "missing" / "out.wav"), form, [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
async def test_a_full_disk_is_a_clear_error() -> None:
    form = audio()
    with pytest.raises(SinkError, match="No space left"):
        await write_all(WavSink("/dev/full"), form, cut(form, speech(form, 16000)))


def check_file(path: Path, form: AudioFormat, data: bytes) -> None:
    """A whole WAV of `data`, and nothing else, by its sizes and by readers that are not ours."""
    content = path.read_bytes()
    assert struct.unpack_from("<I", content, 4)[0] == len(content) - 8
    start = content.index(b"data") + 8
    assert struct.unpack_from("<I", content, start - 4)[0] == len(data)
    assert content[start:] == data + bytes(len(data) % 2)
    samples = len(data) // form.block_align
    assert soundfile.info(path).frames == samples
    if form.encoding == "pcm_s16le":
        with wave.open(str(path), "rb") as file:
            assert file.getnframes() == samples
            assert file.readframes(samples + 1) == data


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", WIDTHS)
async def test_sizes_are_true_after_every_frame(encoding: str, channels: int, tmp_path: Path) -> None:
    """A program that is killed leaves what had come: the part is read while it is written. Frames of odd sizes."""
    form = audio(encoding, 8000, channels)
    data = speech(form, 31 * 17 + 7)
    async with WavSink(tmp_path / "out.wav") as sink:
        await sink.start(form)
        [part] = tmp_path.iterdir()
        check_file(part, form, b"")
        step = 31 * form.block_align
        for at in range(0, len(data), step):
            piece = data[at : at + step]
            await sink.write(Frame(piece, at // form.block_align, len(piece) // form.block_align, 0, False))
            check_file(part, form, data[: at + step])
            assert sink.duration_ms == pytest.approx(len(data[: at + step]) / form.block_align / 8)
    assert names(tmp_path) == ["out.wav"]
    check_file(tmp_path / "out.wav", form, data)


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond: a write does what it can, then fails, as on a disk that is full."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits of a process")
@pytest.mark.parametrize("room", [0, 1, 100, 319, 320, 321])
@pytest.mark.parametrize("encoding", ["pcm_s16le", "mulaw"])
async def test_a_disk_that_fills_leaves_the_frames_that_fitted(encoding: str, room: int, tmp_path: Path) -> None:
    form = audio(encoding)
    head = len(wav_header(form, 0))
    data = speech(form, 160 * 10)
    whole_frames = (10 * form.frame_bytes + room) // form.frame_bytes
    path = tmp_path / "out.wav"
    sink = WavSink(path)
    with largest_file(head + 10 * form.frame_bytes + room), pytest.raises(SinkError) as caught:
        await write_all(sink, form, cut(form, data * 2))
    kept = f"it holds the first {whole_frames * 0.02:.2f} s"
    assert str(caught.value) == f"cannot write the WAV file {path}: File too large; {kept}"
    assert names(tmp_path) == ["out.wav"]
    check_file(path, form, (data * 2)[: whole_frames * form.frame_bytes])
    with pytest.raises(SinkError, match="is closed"):
        await sink.write(cut(form, data)[0])


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits of a process")
@pytest.mark.parametrize("room", [0, 20, 100])
async def test_a_disk_without_room_for_a_frame_leaves_an_older_file(room: int, tmp_path: Path) -> None:
    form = audio()
    (tmp_path / "out.wav").write_bytes(b"older")
    with largest_file(room), pytest.raises(SinkError, match=r"out\.wav: File too large$"):
        await write_all(WavSink(tmp_path / "out.wav"), form, cut(form, speech(form, 320)))
    assert names(tmp_path) == ["out.wav"]
    assert (tmp_path / "out.wav").read_bytes() == b"older"


async def test_a_folder_that_goes_away_is_a_clear_error_that_says_where_the_audio_is(tmp_path: Path) -> None:
    form = audio()
    folder = tmp_path / "folder"
    folder.mkdir()
    sink = WavSink(folder / "out.wav")
    await sink.start(form)
    await sink.write(cut(form, speech(form, 160))[0])
    (folder / "out.wav").mkdir()  # a file cannot replace it
    with pytest.raises(SinkError, match=r"Is a directory; what was written is in .*\.part$"):
        await sink.aclose()
    [part] = folder.glob(".*.part")
    check_file(part, form, speech(form, 160))


async def test_a_file_that_appends_has_open_ended_sizes(tmp_path: Path) -> None:
    form = audio()
    with (tmp_path / "out.wav").open("ab") as file:
        await write_all(WavSink(file), form, cut(form, speech(form, 320)))
    content = (tmp_path / "out.wav").read_bytes()
    assert content == wav_header(form, None) + speech(form, 320)


async def test_a_file_is_on_the_disk_with_every_frame_however_it_is_buffered(tmp_path: Path) -> None:
    form = audio()
    data = speech(form, 320)
    with (tmp_path / "out.wav").open("w+b") as file:
        sink = WavSink(file)
        await sink.start(form)
        for at, frame in enumerate(cut(form, data)):
            await sink.write(frame)
            check_file(tmp_path / "out.wav", form, data[: (at + 1) * form.frame_bytes])


async def test_a_named_pipe_whose_reader_goes_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    form = audio()

    def read_a_little() -> None:
        with path.open("rb", buffering=0) as pipe:
            pipe.read(100)

    reader = threading.Thread(target=read_a_little)
    reader.start()
    with pytest.raises(SinkError, match=r"Broken pipe$"):
        await write_all(WavSink(path), form, cut(form, speech(form, 160 * 1000)))
    reader.join(5)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_full_file_that_does_not_block_is_an_error_and_no_loop() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0) as pipe, pytest.raises(BlockingIOError):
        write_bytes(cast("BinaryIO", pipe), bytes(10_000_000))


@pytest.mark.parametrize("make", [lambda: WavSink(io.BytesIO()), lambda: RawSink(io.BytesIO())], ids=["wav", "raw"])
async def test_audio_of_two_formats_is_not_joined(make: Any) -> None:
    sink = make()
    await sink.start(audio(rate=8000))
    await sink.start(audio(rate=8000))
    with pytest.raises(SinkError, match="at 8000 Hz in 1 channel"):
        await sink.start(audio(rate=16000))


@asynccontextmanager
async def one_turn(*steps: str) -> AsyncIterator[Turn]:
    """A turn of 500 samples, told in steps: audio, done, error, nothing."""

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        if "progress" in steps:
            await relay.tell("turn.progress", turn_id=turn_id, provider="p", state="queued", waited_ms=5)
        if "audio" in steps:
            await relay.speaking(turn_id)
            await relay.send(*frames_of(500))
        if "done" in steps:
            await relay.done(turn_id, 500 if "audio" in steps else 0)
        if "error" in steps:
            await relay.tell("error", turn_id=turn_id, code="provider_cut", message="cut", retryable=True)
        await relay.closed()

    async with scripted_relay(script) as url, connect(url) as session:
        yield await session.speak("Hello.")


async def test_a_turn_is_played_into_a_file(tmp_path: Path) -> None:
    async with one_turn("audio", "done") as turn, WavSink(tmp_path / "out.wav") as sink:
        summary = await play(turn, sink)
        assert summary is not None
        assert summary.samples == 500
    samples, rate = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert (samples.tobytes(), rate) == (samples_of(0, 500), 8000)


async def test_who_plays_a_turn_hears_what_else_is_told_of_it(tmp_path: Path) -> None:
    told: list[Event] = []
    async with one_turn("progress", "audio", "done") as turn, WavSink(tmp_path / "out.wav") as sink:
        await play(turn, sink, told.append)
    assert [type(event) for event in told] == [TurnStarted, TurnProgress, AudioStarted]
    assert told[1] == TurnProgress(turn_id=turn.turn_id, provider="p", state="queued", waited_ms=5)
    assert soundfile.info(tmp_path / "out.wav").frames == 500


async def test_a_failed_turn_leaves_a_valid_file_of_the_good_audio(tmp_path: Path) -> None:
    with pytest.raises(TurnError, match="cut"):
        async with one_turn("audio", "error") as turn, WavSink(tmp_path / "out.wav") as sink:
            await play(turn, sink)
    samples, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert samples.tobytes() == samples_of(0, 500)
    assert names(tmp_path) == ["out.wav"]


async def test_a_turn_that_failed_without_audio_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TurnError, match="cut"):
        async with one_turn("error") as turn, WavSink(tmp_path / "out.wav") as sink:
            await play(turn, sink)
    assert names(tmp_path) == []


async def test_a_turn_without_text_makes_an_empty_file(tmp_path: Path) -> None:
    async with one_turn("done") as turn, WavSink(tmp_path / "out.wav") as sink:
        await play(turn, sink)
    assert soundfile.info(tmp_path / "out.wav").frames == 0


async def test_a_cancelled_turn_is_played_as_far_as_it_came(tmp_path: Path) -> None:
    async with one_turn("audio", "done") as turn, WavSink(tmp_path / "out.wav") as sink:
        await sink.start(audio())
        await sink.write(await anext(turn))
        await turn.cancel()
        await play(turn, sink)
    assert soundfile.info(tmp_path / "out.wav").frames == 160


async def test_raw_audio_goes_through_a_pipe_as_it_comes() -> None:
    reading, writing = os.pipe()
    form = audio()
    frames = cut(form, speech(form, 200))
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb") as writer:
        async with RawSink(cast("BinaryIO", writer)) as sink:
            await sink.start(form)
            await sink.write(frames[0])
            assert os.read(reader.fileno(), 10_000) == speech(form, 160), "it does not wait for the next frame"
            await sink.write(frames[1])
        assert os.read(reader.fileno(), 10_000) == speech(form, 200)[320:]


async def test_raw_audio_with_padding_and_partial_writes() -> None:
    class Narrow(io.BytesIO):
        def write(self, data: Any) -> int:
            return super().write(data[:7])

    form = audio()
    stream = Narrow()
    await write_all(RawSink(stream, padding=True), form, cut(form, speech(form, 200)))
    assert stream.getvalue() == speech(form, 200) + b"\xff" * 240


async def test_a_full_pipe_does_not_stop_the_program() -> None:
    reading, writing = os.pipe()
    form = audio()
    data = speech(form, 160 * 1000)
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb") as writer:
        wrote = asyncio.create_task(write_all(RawSink(cast("BinaryIO", writer)), form, cut(form, data)))
        got = b""
        while len(got) < len(data):
            assert not wrote.done(), "a pipe holds 64 KiB"
            got += await asyncio.to_thread(os.read, reader.fileno(), 4096)
            if len(got) >= len(data) - 65536:
                break
        await asyncio.gather(wrote, asyncio.to_thread(drain, reader, len(data) - len(got)))


def drain(reader: BinaryIO, count: int) -> None:
    assert len(reader.read(count)) == count


async def test_a_reader_that_has_gone_is_told_apart() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    form = audio()
    sink = RawSink(cast("BinaryIO", os.fdopen(writing, "wb", buffering=0)))
    with pytest.raises(SinkError, match="has gone") as caught:
        await write_all(sink, form, cut(form, speech(form, 160)))
    assert isinstance(caught.value.__cause__, BrokenPipeError)
    cast("Any", sink)._stream.close()


async def test_standard_output_stays_quiet_at_exit_after_a_broken_pipe() -> None:
    program = """
import asyncio
from relay_client import AudioFormat, Frame, RawSink, SinkError

async def main():
    sink = RawSink()
    await sink.start(AudioFormat(
        encoding="mulaw", sample_rate=8000, channels=1, frame_ms=20, frame_samples=160, frame_bytes=160))
    try:
        while True:
            await sink.write(Frame(bytes(160), 0, 160, 0, False))
    except SinkError:
        pass

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readexactly(160)
    cast("Any", process)._transport.get_pipe_transport(1).close()
    async with asyncio.timeout(5):
        assert await process.stderr.read() == b""
        assert await process.wait() == 0


# The speaker.


class FakeDevice(ModuleType):
    """A sounddevice with knobs: what was played, and where it fails."""

    class PortAudioError(Exception):
        pass

    def __init__(self, *, fails: str = "") -> None:
        super().__init__("sounddevice")
        self.calls: list[str] = []
        self.played = b""
        self.settings: dict[str, Any] = {}
        self._fails = fails

    def RawOutputStream(self, **settings: Any) -> "FakeDevice":  # noqa: N802 - its name
        self.settings = settings
        return self._called("open")

    def start(self) -> None:
        self._called("start")

    def write(self, data: bytes) -> bool:
        self._called("write")
        assert threading.current_thread() is not threading.main_thread(), "it blocks"
        self.played += data
        return False

    def stop(self) -> None:
        self._called("stop")

    def abort(self) -> None:
        self._called("abort")

    def close(self) -> None:
        self._called("close")

    def _called(self, name: str) -> "FakeDevice":
        self.calls.append(name)
        if name == self._fails:
            raise self.PortAudioError(f"no {name}")
        return self


@pytest.mark.parametrize(("encoding", "dtype"), [("pcm_s16le", "int16"), ("pcm_f32le", "float32")])
async def test_a_speaker_hears_every_sample_and_the_end(
    encoding: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = FakeDevice()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    form = audio(encoding, 24000, 2)
    frames = cut(form, speech(form, 1000))
    await write_all(SpeakerSink(), form, frames)
    assert device.settings == {"samplerate": 24000, "channels": 2, "dtype": dtype}
    assert device.played == b"".join(frame.payload for frame in frames)
    assert device.calls == ["open", "start", *["write"] * 3, "stop", "close"]


async def test_a_cancelled_listener_stops_the_sound_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeDevice()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    form = audio()
    started = asyncio.Event()

    async def listen() -> None:
        async with SpeakerSink() as sink:
            await sink.start(form)
            started.set()
            await asyncio.Event().wait()

    listener = asyncio.create_task(listen())
    await started.wait()
    listener.cancel()
    await asyncio.wait([listener])
    assert device.calls == ["open", "start", "abort", "close"]


@pytest.mark.parametrize("fails", ["open", "start", "write", "stop"])
async def test_a_device_that_fails_is_a_sink_error(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", FakeDevice(fails=fails))
    form = audio()
    with pytest.raises(SinkError, match=f"no {fails}"):
        await write_all(SpeakerSink(), form, cut(form, speech(form, 160)))


async def test_a_device_takes_no_telephone_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", FakeDevice())
    with pytest.raises(SinkError, match="not mulaw"):
        await write_all(SpeakerSink(), audio("mulaw"), [])


def player(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without sounddevice, and a PATH on which a test may put players."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


ARGUMENTS = {
    "aplay": "-q -t raw -f MU_LAW -r 8000 -c 1 -",
    "pacat": "--playback --raw --format=ulaw --rate=8000 --channels=1",
    "ffplay": "-loglevel error -nodisp -autoexit -f mulaw -ar 8000 -ch_layout mono -i -",
}


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_a_player_on_the_path_plays_instead(name: str, no_device: Path) -> None:
    player(no_device / "bin", name, f'echo "$@" > {no_device}/arguments; exec /bin/cat > {no_device}/played')
    form = audio("mulaw")
    frames = cut(form, speech(form, 1000))
    await write_all(SpeakerSink(), form, frames)
    assert (no_device / "played").read_bytes() == b"".join(frame.payload for frame in frames)
    assert (no_device / "arguments").read_text().strip() == ARGUMENTS[name]


async def test_a_player_that_fails_is_a_sink_error(no_device: Path) -> None:
    player(no_device / "bin", "aplay", "/bin/cat > /dev/null; exit 3")
    form = audio()
    with pytest.raises(SinkError, match="aplay failed with exit status 3"):
        await write_all(SpeakerSink(), form, cut(form, speech(form, 160)))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_player_that_stops_is_a_sink_error(run: Any, no_device: Path) -> None:
    """The two loops say differently that a pipe is closed."""
    player(no_device / "bin", "aplay", "exit 0")
    form = audio()

    async def listen() -> None:
        sink = SpeakerSink()
        await sink.start(form)
        with pytest.raises(SinkError, match="has stopped playing"):
            for frame in cut(form, speech(form, 160 * 1000)):
                await sink.write(frame)
        await sink.abort()

    run(listen())


async def test_a_player_that_hangs_is_stopped(no_device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay_client.sinks.speaker.PLAYOUT_TIMEOUT_S", 0.05)
    player(no_device / "bin", "aplay", "exec /bin/sleep 60")
    form = audio()
    with pytest.raises(SinkError, match=r"within 0\.05 s"):
        await write_all(SpeakerSink(), form, cut(form, speech(form, 160)))


async def test_a_machine_without_sound_says_what_to_install(no_device: Path) -> None:
    with pytest.raises(SinkError, match=r"pip install 'speech-relay\[speaker\]'"):
        await write_all(SpeakerSink(), audio(), [])
