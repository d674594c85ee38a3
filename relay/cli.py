"""The command line: serve, say, voices, providers, check, fake.

Exit status: 0 done, 1 failed with one clear line, 2 wrong usage. Libraries that take long to import are imported by
the command that needs them, so that `--help` is instant.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from relay import __version__

if TYPE_CHECKING:
    from relay_client import Turn

    from relay.config import Config

T = TypeVar("T")

READ_BYTES = 4096
# Text that came and was not yet taken: a pipe that gives more waits.
MAX_PENDING_READS = 64

TRY_NEXT = """
Listening on {url}

Hear it (in another terminal):
  relay say "The relay speaks. It streams as it goes." --url {ws}/v1/stream{key} --out hello.wav

Over HTTP:
  curl{header} {url}/v1/speech -d '{{"text":"Hello there.","container":"wav"}}' -o hello.wav

Voices: {url}/v1/voices   Providers: {url}/v1/providers   Metrics: {url}/metrics
Ctrl-C lets what is being spoken finish, then stops.
"""

config_option = click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="Settings file. Default: $RELAY_CONFIG, or relay.toml if it is here.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="relay")
def main() -> None:
    """Any speech provider in, exact PCM frames out.

    \b
    relay serve                          the server, on 127.0.0.1:8765
    relay say "Hello." --out hello.wav   speech into a file, no server needed
    relay say - --out - | aplay -f S16_LE -r 24000   text from a pipe, spoken as it comes

    Settings come from relay.toml and the environment: [server] port is RELAY_SERVER_PORT, and a provider's key and
    address are, for example, BREEZE_API_KEY and BREEZE_BASE_URL.
    """


@main.command()
@click.option("--host", help="Address to listen on. Other than loopback needs server.keys.  [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [8765]")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[info]")
@click.option("--workers", type=click.IntRange(1, 256), default=1, help="Processes that share the port.  [1]")
@click.option("--listen-fd", type=int, hidden=True, help="A worker's listening socket.")
@click.option("--ready-fd", type=int, hidden=True, help="Where a worker says that it is ready.")
@config_option
def serve(
    host: str | None,
    port: int | None,
    log_level: str | None,
    workers: int,
    listen_fd: int | None,
    ready_fd: int | None,
    config_path: str | None,
) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is being spoken and exit.

    WebSocket at /v1/stream, one turn over HTTP at /v1/speech, /v1/voices, /v1/providers, /healthz, /readyz, /metrics.
    """
    import socket

    from relay import log
    from relay.server import app

    config = _load(config_path, RELAY_SERVER_HOST=host, RELAY_SERVER_PORT=port, RELAY_LOG_LEVEL=log_level)
    log.configure(config.log.level, config.log.format)

    def on_ready(port: int) -> None:
        if ready_fd is not None:
            os.write(ready_fd, b"ready")
            os.close(ready_fd)
            return
        click.echo(_try_next(config, port), err=True)

    async def several() -> int:
        from relay.server.workers import Supervisor, command

        return await Supervisor(config, command(config_path, log_level), workers).run(on_ready=on_ready)

    if workers > 1:
        sys.exit(_run(several()))
    listener = socket.socket(fileno=listen_fd) if listen_fd is not None else None
    sys.exit(_run(app.serve(config, on_ready=on_ready, listener=listener)))


@main.command()
@click.argument("text")
@click.option(
    "--out",
    metavar="FILE.wav",
    help="Write a WAV file; - writes raw frames to standard output. Default: this machine's speaker.",
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
@config_option
def say(text: str, out: str | None, url: str | None, key: str | None, config_path: str | None, **wanted: Any) -> None:
    """Speak TEXT, or with - the text on standard input as it arrives.

    The time to first audio (TTFA) is printed on standard error.

    \b
    relay say "Hello there." --out hello.wav
    relay say "Guten Tag." --language de --out -  | aplay -f S16_LE -r 24000
    ollama run llama3 "Tell me a story" | relay say -
    """
    _run(_say(text, out, url, key, config_path, {name: value for name, value in wanted.items() if value is not None}))


@main.command()
@click.option("--provider", help="Of this provider only.")
@click.option("--language", help="For this language tag only: en also finds en-GB.")
@config_option
def voices(provider: str | None, language: str | None, config_path: str | None) -> None:
    """List the voices of the providers that are configured."""
    from rich.console import Console
    from rich.table import Table

    from relay.server.relay import Relay

    async def find() -> Any:
        relay = Relay(_load(config_path))
        async with relay.running():
            return await relay.voices(provider, language)

    found, failed = _run(find())
    for error in failed:
        click.echo(f"relay: {error.code}: {error.message}", err=True)
    table = Table("provider", "voice", "name", "languages", "gender", box=None)
    for name, of_provider in found.items():
        for voice in of_provider:
            table.add_row(name, voice.id, voice.name, " ".join(voice.languages), voice.gender or "")
    if not table.row_count:
        _fail("no voices found" + (f" for language {language}" if language else ""))
    # Wide enough that no id is cut when the list goes to a pipe.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@main.command()
@config_option
def providers(config_path: str | None) -> None:
    """List the providers, what each can do, and what is missing to use it."""
    from rich.console import Console
    from rich.table import Table

    from relay.server.relay import Relay

    config = _load(config_path)
    relay = _run(_made(lambda: Relay(config)))
    table = Table("provider", "usable", "formats", "word times", "options", box=None)
    for name, provider in relay.providers.items():
        facts = provider.capabilities
        mark = "yes (default)" if name == relay.defaults.provider else "yes"
        table.add_row(
            name, mark, " ".join(facts.formats), "yes" if facts.word_times else "no", ", ".join(facts.options)
        )
    for name, reason in relay.missing.items():
        table.add_row(name, f"no: {reason}", "", "", "")
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@main.command()
@config_option
def check(config_path: str | None) -> None:
    """Validate the configuration and reach every provider that is configured (a list of voices; nothing is spoken)."""
    from relay.errors import RelayError
    from relay.server.app import Server

    async def reach() -> bool:
        config = _load(config_path)
        relay = Server(config).relay
        click.echo("configuration: ok")
        everything = True
        async with relay.running():
            for name in relay.providers:
                try:
                    found, _ = await relay.voices(name)
                    click.echo(f"{name}: ok, {len(found[name])} voices")
                except RelayError as error:
                    everything = False
                    click.echo(f"{name}: {error.code}: {error.message}")
        for name, reason in relay.missing.items():
            click.echo(f"{name}: not configured: {reason}")
        return everything

    if not _run(reach()):
        sys.exit(1)


async def _say(
    text: str, out: str | None, url: str | None, key: str | None, config_path: str | None, wanted: dict[str, Any]
) -> None:
    from relay_client import Audio, connect, play

    options = {name: wanted.pop(name) for name in ("provider", "voice", "model", "language") if name in wanted}
    if rate := wanted.get("sample_rate"):
        wanted["sample_rate"] = _rate(rate)
    async with (
        _relay_at(url, key, config_path) as (address, credential),
        connect(address, key=credential) as session,
        _sink(out) as sink,
    ):
        source = _standard_input() if text == "-" else text
        turn = await session.speak(source, audio=Audio(**wanted), **options)
        await play(turn, sink)
        _report(turn, out)


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


@asynccontextmanager
async def _relay_at(url: str | None, key: str | None, config_path: str | None) -> AsyncIterator[tuple[str, str | None]]:
    """The relay to speak through: the one at `url`, or one in this process that only this process can use."""
    if url is not None:
        yield url, key
        return
    import msgspec

    from relay import log
    from relay.server.app import Server

    config = _load(config_path)
    log.configure("warning", "text")
    own_key = token_urlsafe(32)
    private = msgspec.structs.replace(config.server, host="127.0.0.1", port=0, keys=[own_key])
    server = Server(msgspec.structs.replace(config, server=private))
    async with server.serving():
        yield f"ws://127.0.0.1:{server.port}/v1/stream", own_key


def _sink(out: str | None) -> Any:
    from relay_client import RawSink, SpeakerSink, WavSink

    if out is None:
        return SpeakerSink()
    return RawSink() if out == "-" else WavSink(Path(out))


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


def _try_next(config: "Config", port: int) -> str:
    """What to do with a relay that has just started; with keys, how to show one."""
    # Bound to every address, it is found at this machine's own.
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.server.host, config.server.host)
    address = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
    locked = bool(config.server.keys)
    return TRY_NEXT.format(
        url=f"http://{address}",
        ws=f"ws://{address}",
        key=" --key YOUR_KEY" if locked else "",
        header=" -H 'Authorization: Bearer YOUR_KEY'" if locked else "",
    )


def _rate(value: str) -> int | str:
    if value == "native":
        return value
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number nor native", param_hint="--sample-rate") from None


def _load(path: str | None, **overrides: object) -> "Config":
    from relay.config import ConfigError, load
    from relay.providers.catalog import PROVIDERS

    environ = {**os.environ, **{name: str(value) for name, value in overrides.items() if value is not None}}
    try:
        return load(path, environ=environ, providers=tuple(PROVIDERS))
    except ConfigError as error:
        _fail(str(error))


async def _made(make: Any) -> Any:
    return make()


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command to its end; what went wrong becomes one clear line and exit status 1."""
    from relay_client import RelayClientError, TurnError

    from relay.config import ConfigError
    from relay.errors import RelayError

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(work)
    except TurnError as error:
        _fail(f"{error.code}: {error}")
    except (ConfigError, RelayClientError) as error:
        _fail(str(error))
    except RelayError as error:
        _fail(f"{error.code}: {error.message}")
    except KeyboardInterrupt:
        _fail("interrupted")


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


def _fail(message: str) -> NoReturn:
    click.echo(f"relay: {message}", err=True)
    sys.exit(1)


@main.command()
@click.option("--scenario", "name", default="ok", help="What it does with every request; see --list.  [ok]")
@click.option("--list", "listed", is_flag=True, help="List the scenarios and exit.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; 0 takes a free one.  [0]")
@click.option(
    "--audio",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .wav or .mp3 file to send.  [something like speech, as PCM]",
)
@click.option("--seconds", type=click.FloatRange(0.05, 600), help="Length of the audio without --audio.  [2]")
def fake(name: str, listed: bool, port: int, audio: Path | None, seconds: float | None) -> None:
    """Run a speech provider that misbehaves on purpose, to see what a relay, or a bot behind one, makes of it.

    \b
    relay fake --scenario cut_chunked_rst
    relay fake --scenario slow_drip --audio hello.mp3
    """
    from relay.testing.run_fake import made_clip, read_clip, run_fake
    from relay.testing.scenarios import SCENARIOS

    if listed:
        click.echo("\n".join(SCENARIOS))
        return
    if name not in SCENARIOS:
        raise click.BadParameter(f"there is no {name!r}; --list names those there are", param_hint="--scenario")
    if audio is not None and seconds is not None:
        raise click.UsageError("--audio and --seconds exclude each other: a file has its own length")
    try:
        clip = read_clip(audio) if audio else made_clip(seconds or 2.0)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--audio") from None
    try:
        _run(run_fake(name, clip, say=click.echo, port=port))
    except OSError as error:
        _fail(f"cannot listen on port {port}: {error.strerror}")
