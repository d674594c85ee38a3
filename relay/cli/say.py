"""`relay say`."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relay.cli.outcome import run
from relay.cli.pronunciation import read_lexicon
from relay.cli.settings import config_option
from relay.cli.speaking import engine_turn

if TYPE_CHECKING:
    from relay_client import Event, Sink, Turn

READ_BYTES = 4096
# Text that came and was not yet taken: a pipe that gives more waits.
MAX_PENDING_READS = 64
# What the name of a file ends with -> a name of `codecs.compressed`. Any other file is a WAV, pipes and devices too,
# but not one whose name says that it is something else.
COMPRESSED = {".mp3": "mp3", ".ogg": "ogg", ".opus": "ogg", ".flac": "flac", ".aac": "aac"}
WITHOUT_ENCODER = (".aif", ".aiff", ".au", ".caf", ".m4a", ".mp4", ".webm", ".wma")


@click.command()
@click.argument("text")
@click.option(
    "--out",
    metavar="FILE",
    help="Write a file: .wav, .mp3, .ogg or .opus, .flac, .aac; - writes raw frames to standard output. Default: this "
    "machine's speaker.",
)
@click.option(
    "--url",
    help="Speak through a running relay, such as ws://127.0.0.1:8765/v1/stream. Default: a relay in this process.",
)
@click.option("--key", envvar="RELAY_KEY", help="The running relay's key.  [$RELAY_KEY]")
@click.option("--provider", help="Who speaks; see `relay providers`.")
@click.option("--voice", help="Which voice; see `relay voices`.")
@click.option("--model", help="The provider's model.")
@click.option("--language", help="Language tag, such as en or de.")
@click.option("--encoding", type=click.Choice(["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]), help="[pcm_s16le]")
@click.option("--sample-rate", metavar="HZ|native", help="Samples per second, or the provider's own.  [24000]")
@click.option("--frame-ms", type=int, help="Length of a frame.  [20]")
@click.option("--gain-db", type=float, help="Louder or softer, -60 to 30, with a limiter.  [0]")
@click.option(
    "--max-leading-silence-ms",
    type=int,
    help="Leave out longer silence before the first sound, 0 to 2000.  [none is left out]",
)
@click.option(
    "--text-filter",
    metavar="NAME[,NAME]",
    multiple=True,
    help="Do not speak this of the text: markdown, emoji, urls, code. Several with commas, or given again.",
)
@click.option(
    "--lexicon",
    metavar="FILE.toml",
    help="Words and how they are said: the table [lexicon] of a file, such as relay.toml.",
)
@config_option
def say(text: str, out: str | None, url: str | None, key: str | None, config_path: str | None, **wanted: Any) -> None:
    """Speak TEXT, or with - the text on standard input as it arrives.

    The time to first audio (TTFA) is printed on standard error, and before it how far a provider's job is.

    \b
    relay say "Hello there." --out hello.wav
    relay say "Guten Tag." --language de --out -  | aplay -f S16_LE -r 24000
    ollama run llama3 "Tell me a story" | relay say - --text-filter markdown,emoji
    """
    names = [name.strip() for given in wanted.pop("text_filter") for name in given.split(",")]
    wanted["text_filter"] = names or None
    if (file := wanted.pop("lexicon")) is not None:
        wanted["lexicon"] = read_lexicon(file)
    run(_say(text, out, url, key, config_path, {name: value for name, value in wanted.items() if value is not None}))


async def _say(
    text: str, out: str | None, url: str | None, key: str | None, config_path: str | None, wanted: dict[str, Any]
) -> None:
    from relay_client import RelayClientError, play

    options: dict[str, Any] = {
        name: wanted.pop(name)
        for name in ("provider", "voice", "model", "language", "text_filter", "lexicon")
        if name in wanted
    }
    if rate := wanted.get("sample_rate"):
        wanted["sample_rate"] = _rate(rate)
    sink = _sink(out)
    source = _standard_input() if text == "-" else text
    try:
        with _cancelled_by_signals():
            async with _turn(source, url, key, config_path, wanted, options) as turn, sink:
                await play(turn, sink, Telling())
                _report(turn, out)
    except asyncio.CancelledError:
        raise RelayClientError(f"interrupted{_written(sink, out)}") from None


@asynccontextmanager
async def _turn(
    source: str | AsyncIterator[str],
    url: str | None,
    key: str | None,
    config_path: str | None,
    audio: dict[str, Any],
    options: dict[str, Any],
) -> "AsyncIterator[Any]":
    """The turn that speaks: at the relay at `url`, or in this process."""
    if url is None:
        async with engine_turn(source, config_path, audio=audio, **options) as turn:
            yield turn
        return
    from relay_client import Audio, connect

    async with connect(url, key=key) as session:
        yield await session.speak(source, audio=Audio(**audio), **options)


@contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """SIGTERM (as `timeout` sends it) and SIGHUP (a terminal that is closed) cancel the task, as SIGINT does, so that
    a file is completed. Signals that are ignored, as SIGHUP is under `nohup`, stay ignored."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "called in a coroutine"
    handled: list[signal.Signals] = []
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP, and loops without handlers
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, task.cancel)
                handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


def _written(sink: "Sink", out: str | None) -> str:
    from relay_client import WavSink

    from relay.cli.compressed_sink import CompressedSink

    if not isinstance(sink, WavSink | CompressedSink):
        return ""
    if not sink.duration_ms:
        return "; no audio was written"
    return f"; {out} holds the first {sink.duration_ms / 1000:.2f} s"


class Telling:
    """Tells on standard error why nothing is heard yet, and who speaks instead; each news once."""

    def __init__(self) -> None:
        self._told: str | None = None

    def __call__(self, event: "Event") -> None:
        from relay_client import TurnFailover, TurnProgress, TurnWaiting

        match event:
            case TurnWaiting():
                news = f"{event.provider} is busy: waiting for a place"
            case TurnProgress():
                news = f"{event.provider}: {event.state}"
            case TurnFailover():
                news = f"{event.from_provider} failed ({event.code}): {event.to_provider} goes on"
            case _:
                return
        if news != self._told:
            self._told = news
            click.echo(news, err=True)


def _report(turn: "Turn", out: str | None) -> None:
    done, audio = turn.summary, turn.audio
    ttfa_ms = done.timings.ttfa_ms
    heard = f"TTFA {ttfa_ms:.1f} ms" if ttfa_ms is not None else "no audio"
    where = f" -> {out}" if out and out != "-" else ""
    click.echo(
        f"{heard}, {done.duration_ms / 1000:.2f} s of {audio.encoding} at {audio.sample_rate} Hz "
        f"in {done.frames} frames of {audio.frame_bytes} bytes{where}",
        err=True,
    )


def _sink(out: str | None) -> "Sink":
    from relay_client import RawSink, SpeakerSink, WavSink

    if out is None:
        return SpeakerSink()
    if out == "-":
        return RawSink()
    path = Path(out)
    suffix = path.suffix.lower()
    if suffix in COMPRESSED:
        from relay.cli.compressed_sink import CompressedSink

        return CompressedSink(path, COMPRESSED[suffix])
    if suffix in WITHOUT_ENCODER:
        known = ", ".join((".wav", *COMPRESSED))
        raise click.BadParameter(f"{suffix} cannot be written; there are {known}", param_hint="--out")
    return WavSink(path)


async def _standard_input() -> AsyncIterator[str]:
    """Text as it arrives, whole characters only. A thread reads: not every standard input can be polled."""
    from codecs import getincrementaldecoder

    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(MAX_PENDING_READS)

    def read() -> None:
        while True:
            room.acquire()
            data = os.read(sys.stdin.fileno(), READ_BYTES)
            loop.call_soon_threadsafe(arrived.put_nowait, data)
            if not data:
                return

    # A daemon: nothing can wake a thread that waits for a terminal, and nothing of it is worth waiting for.
    threading.Thread(target=read, name="stdin", daemon=True).start()
    decoder = getincrementaldecoder("utf-8")(errors="replace")
    while data := await arrived.get():
        room.release()
        if text := decoder.decode(data):
            yield text
    if rest := decoder.decode(b"", final=True):
        yield rest


def _rate(value: str) -> int | str:
    if value == "native":
        return value
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number nor native", param_hint="--sample-rate") from None
