"""What `relay say` tells while it speaks, and what it leaves when it is interrupted."""

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner
from relay_client import AudioFormat, Frame, TurnFailover, TurnProgress, TurnWaiting
from relay_client.events import TextSegment

from relay.cli import main
from relay.cli.compressed_sink import CompressedSink
from relay.cli.say import Telling
from relay.testing.fake_provider import FakeProvider
from relay.testing.scenarios import PCM_CLIP
from relay.testing.script import Send, Stall, Status
from tests.e2e.process import PATIENCE_S, environment, service_at

# Of 250 ms, the frames of 20 ms that are whole.
WHOLE_FRAMES_SAMPLES = 12 * 480


def test_why_nothing_is_heard_yet_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    tell = Telling()
    tell(TurnWaiting(turn_id="t", provider="sauti"))
    for waited_ms, state in enumerate(("queued", "queued", "running", "running", "downloading")):
        tell(TurnProgress(turn_id="t", provider="sauti", state=state, waited_ms=waited_ms))
    tell(TextSegment(turn_id="t", index=0, text="A secret.", start_sample=0))
    tell(
        TurnFailover(
            turn_id="t", from_provider="sauti", to_provider="espeak", voice="v", code="provider_cut", at_sample=9
        )
    )
    told = capsys.readouterr()
    assert told.out == "", "standard output may be audio"
    assert told.err.splitlines() == [
        "sauti is busy: waiting for a place",
        "sauti: queued",
        "sauti: running",
        "sauti: downloading",
        "sauti failed (provider_cut): espeak goes on",
    ]


def test_a_name_of_a_voice_is_spoken_with_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("relay.toml").write_text('[voices.anna]\nespeak = "de"\n')
    listed = CliRunner().invoke(main, ["voices", "--provider", "espeak", "--language", "de"])
    assert "stands for de" in next(line for line in listed.output.splitlines() if " anna " in line)
    spoken = CliRunner().invoke(main, ["say", "Hallo.", "--provider=espeak", "--voice=anna", "--out=hallo.wav"])
    assert spoken.exit_code == 0, "espeak itself has no voice of that name: " + spoken.output


async def interrupted(folder: Path, *numbers: signal.Signals, audio: bool = True) -> tuple[int | None, bytes]:
    """`relay say --out`, stopped in the middle of its turn: exit status and standard error."""
    script = (Status(200, {"content-type": "audio/pcm"}), *((Send(PCM_CLIP.data),) if audio else ()), Stall())
    async with FakeProvider(script) as fake:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relay", "say", "Hello.", "--provider", "breeze", "--out", "hello.wav"),
            cwd=folder,
            env=environment(**service_at(fake)),
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_S):
            await fake.exchange(0, PATIENCE_S)
            while audio and written_samples(folder) < WHOLE_FRAMES_SAMPLES:
                await asyncio.sleep(0.01)
            for number in numbers:
                process.send_signal(number)
            _, said = await process.communicate()
    return process.returncode, said


def written_samples(folder: Path) -> int:
    """As the size in the header has it; 0 while there is no header."""
    parts = [part.read_bytes() for part in folder.glob(".hello.wav.*.part")]
    return sum(int.from_bytes(part[40:44], "little") // 2 for part in parts)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_an_interruption_leaves_a_whole_file_of_what_had_come(number: signal.Signals, tmp_path: Path) -> None:
    status, said = await interrupted(tmp_path, number)
    assert (status, said.decode()) == (1, "relay: interrupted; hello.wav holds the first 0.24 s\n")
    assert [path.name for path in tmp_path.iterdir()] == ["hello.wav"]
    samples, _ = soundfile.read(tmp_path / "hello.wav", dtype="int16")
    assert samples.tobytes() == PCM_CLIP.data[: 2 * WHOLE_FRAMES_SAMPLES]
    assert (tmp_path / "hello.wav").stat().st_size == 44 + 2 * WHOLE_FRAMES_SAMPLES


async def test_an_interruption_before_the_first_audio_leaves_no_file(tmp_path: Path) -> None:
    assert await interrupted(tmp_path, signal.SIGINT, audio=False) == (1, b"relay: interrupted; no audio was written\n")
    assert list(tmp_path.iterdir()) == []


async def test_a_process_that_is_killed_leaves_sizes_that_are_true(tmp_path: Path) -> None:
    status, said = await interrupted(tmp_path, signal.SIGKILL)
    assert (status, said) == (-signal.SIGKILL, b"")
    [part] = tmp_path.iterdir()
    samples, _ = soundfile.read(part, dtype="int16")
    assert samples.tobytes() == PCM_CLIP.data[: 2 * WHOLE_FRAMES_SAMPLES]
    assert part.read_bytes()[4:8] == (part.stat().st_size - 8).to_bytes(4, "little")


@contextmanager
def breeze_in_a_thread() -> Iterator[dict[str, str]]:
    """What points a command that has an event loop of its own at a service that answers with a clip."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        fake = runner.run(FakeProvider((Status(200, {"content-type": "audio/pcm"}), Send(PCM_CLIP.data))).__aenter__())
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield service_at(fake)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(PATIENCE_S)
            runner.run(fake.__aexit__(None, None, None))


def test_the_name_of_the_file_chooses_its_format(tmp_path: Path) -> None:
    with breeze_in_a_thread() as settings:
        check_formats(tmp_path, CliRunner(env=settings))


def check_formats(tmp_path: Path, runner: CliRunner) -> None:
    def say(name: str) -> tuple[int, str]:
        ended = runner.invoke(main, ["say", "Hello there.", "--provider=breeze", f"--out={tmp_path / name}"])
        return ended.exit_code, ended.output

    plain = tmp_path / "a.wav"
    assert say(plain.name)[0] == 0
    said, _ = soundfile.read(plain, dtype="int16")
    for name, kind in (("a.mp3", "MP3"), ("a.FLAC", "FLAC"), ("a.ogg", "OGG"), ("a.opus", "OGG"), ("a", "WAV")):
        status, told = say(name)
        assert status == 0, told
        info = soundfile.info(tmp_path / name)
        assert (info.format, info.frames) == (kind, len(said)), name
    assert say("a.aac")[0] == 0
    assert (tmp_path / "a.aac").read_bytes()[0] == 0xFF
    status, told = say("a.m4a")
    assert (status, ".m4a cannot be written; there are .wav, .mp3" in told) == (2, True)
    status, told = say("none/a.mp3")
    assert (status, "No such file or directory" in told) == (1, True)
    (tmp_path / "full.mp3").symlink_to("/dev/full")
    status, told = say("full.mp3")
    assert (status, told) == (1, "relay: cannot write /dev/full: No space left on device\n")
    assert not list(tmp_path.glob(".*.part"))


async def test_an_interruption_leaves_a_whole_compressed_file(tmp_path: Path) -> None:
    out = tmp_path / "a.flac"
    audio = AudioFormat(
        encoding="pcm_s16le", sample_rate=24000, channels=1, frame_ms=20, frame_samples=480, frame_bytes=960
    )
    sink = CompressedSink(out, "flac")
    with pytest.raises(asyncio.CancelledError):
        async with sink:
            await sink.start(audio)
            await sink.write(Frame(PCM_CLIP.data[:960], 0, 480, 0, False))
            await sink.write(Frame(PCM_CLIP.data[960:1920], 480, 400, 80, False))
            assert not out.exists()
            raise asyncio.CancelledError
    assert sink.duration_ms == 880 / 24
    samples, _ = soundfile.read(out, dtype="int16")
    assert samples.tobytes() == PCM_CLIP.data[:1760]
    assert [path.name for path in tmp_path.iterdir()] == ["a.flac"]


def test_what_is_asked_of_text_and_loudness_reaches_the_provider_or_is_refused(tmp_path: Path) -> None:
    lexicon = tmp_path / "words.toml"
    lexicon.write_text('[lexicon]\nhello = "good day"\n', "utf-8")
    out = tmp_path / "a.wav"

    def say(*options: str) -> tuple[int, str]:
        ended = CliRunner().invoke(main, ["say", "**Hello**", "--provider=espeak", "--out", str(out), *options])
        return ended.exit_code, ended.output

    status, plain = say()
    status, said = say("--text-filter", "markdown,emoji", "--lexicon", str(lexicon), "--gain-db", "-30")
    assert status == 0, said
    samples, _ = soundfile.read(out, dtype="int16")
    assert 0 < max(abs(samples)) < 1500
    assert said.split(",")[1] != plain.split(",")[1], "other words take other time"
    for options, status, line in (
        (("--gain-db", "31"), 1, "relay: invalid_config: audio.gain_db"),
        (("--text-filter", "html"), 1, "relay: invalid_config: entry 1 of text_filter is 'html'; it must be one of"),
        (("--lexicon", str(tmp_path / "none.toml")), 2, "--lexicon: cannot read"),
        (("--lexicon", str(out)), 2, "is not UTF-8"),
    ):
        ended, told = say(*options)
        assert (ended, line in told) == (status, True), told
    lexicon.write_text("[words]\n", "utf-8")
    assert "has no table [lexicon]" in say("--lexicon", str(lexicon))[1]
