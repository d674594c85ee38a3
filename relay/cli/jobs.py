"""`relay jobs`: long text as jobs of a running relay."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from relay.cli.outcome import CommandError, run
from relay.cli.pronunciation import read_lexicon

if TYPE_CHECKING:
    from relay.cli.jobs_client import JobsClient

__all__ = ["jobs"]

URL = "http://127.0.0.1:8765"
# What the name of a file ends with -> the container of the job, and the other way round.
CONTAINERS = {
    ".wav": "wav",
    ".flac": "flac",
    ".mp3": "mp3",
    ".ogg": "ogg",
    ".opus": "ogg",
    ".aac": "aac",
    ".pcm": "raw",
}
SUFFIXES = {"wav": ".wav", "flac": ".flac", "mp3": ".mp3", "ogg": ".ogg", "aac": ".aac", "raw": ".pcm"}
# More than any relay takes by its own settings, ten times over.
MAX_TEXT_BYTES = 64 * 1024 * 1024
STATUSES = ("queued", "running", "succeeded", "failed", "cancelled")


def _id(_context: click.Context, _param: click.Parameter, value: str) -> str:
    # It becomes a part of an address and the name of a file.
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", value):
        raise click.BadParameter(f"{value!r} is no id of a job; `relay jobs list` has them")
    return value


def _at_a_relay(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say whose jobs are meant."""
    url = click.option("--url", default=URL, help=f"The running relay.  [{URL}]")
    key = click.option("--key", envvar="RELAY_KEY", help="Its key; a job is its key's alone.  [$RELAY_KEY]")
    return url(key(command))


@click.group()
def jobs() -> None:
    """Speak long texts as jobs of a running relay: submit, poll, download.

    A job needs no connection while it is spoken, and goes on after a restart of the relay.

    \b
    relay jobs submit --file chapter-1.txt --out chapter-1.flac    wait for the file
    relay jobs submit "A short text."                              print the job's id and return
    relay jobs list --status running
    relay jobs fetch JOB --out chapter-1.wav
    """


@jobs.command()
@click.argument("text", required=False)
@click.option("--file", "file", metavar="FILE", help="Read the text from a file (UTF-8) instead.")
@click.option("--wait", is_flag=True, help="Wait until the job has ended, and show its progress.")
@click.option("--out", metavar="FILE", help="Wait, and write the audio; - writes it to standard output.")
@click.option(
    "--container",
    type=click.Choice(list(SUFFIXES)),
    help="What the file is.  [what the name of --out ends with, or wav]",
)
@click.option("--provider", help="Who speaks; see `relay providers`.")
@click.option("--voice", help="Which voice; see `relay voices`.")
@click.option("--model", help="The provider's model.")
@click.option("--language", help="Language tag, such as en or de.")
@click.option("--encoding", type=click.Choice(["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]), help="[pcm_s16le]")
@click.option("--sample-rate", metavar="HZ|native", help="Samples per second, or the provider's own.  [24000]")
@click.option("--gain-db", type=float, help="Louder or softer, -60 to 30, with a limiter.  [0]")
@click.option("--text-filter", metavar="NAME[,NAME]", multiple=True, help="Do not speak markdown, emoji, urls, code.")
@click.option("--lexicon", metavar="FILE.toml", help="Words and how they are said: the table [lexicon] of a file.")
@click.option("--idempotency-key", metavar="KEY", help="Submitting again with the same key returns the same job.")
@_at_a_relay
def submit(
    text: str | None, file: str | None, wait: bool, out: str | None, url: str, key: str | None, **asked: Any
) -> None:
    """Submit TEXT, a file, or with - the text on standard input, and print the job's id.

    \b
    relay jobs submit --file book.txt --out book.mp3 --voice anna
    relay jobs submit - --wait < chapter.txt
    """
    _check_folder(out)
    body = _body(_text(text, file), out, asked)
    run(_submit(url, key, body, out, wait or out is not None), plain_loop=True)


@jobs.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=20, help="How many, newest first.  [20]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@_at_a_relay
def list_(status: str | None, limit: int, as_json: bool, url: str, key: str | None) -> None:
    """List jobs, newest first."""
    run(_list(url, key, status, limit, as_json), plain_loop=True)


@jobs.command()
@click.argument("job", callback=_id)
@click.option("--wait", is_flag=True, help="Wait until it has ended, and show its progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the job as JSON.")
@_at_a_relay
def show(job: str, wait: bool, as_json: bool, url: str, key: str | None) -> None:
    """Say how far JOB is; with --wait, exit 1 unless it succeeds."""
    run(_show(url, key, job, wait, as_json), plain_loop=True)


@jobs.command()
@click.argument("job", callback=_id)
@click.option("--out", metavar="FILE", help="Where to write it; - is standard output.  [JOB.wav, as its container is]")
@click.option("--wait", is_flag=True, help="Wait until it has ended, and show its progress.")
@_at_a_relay
def fetch(job: str, out: str | None, wait: bool, url: str, key: str | None) -> None:
    """Download the audio of JOB, whole or not at all."""
    _check_folder(out)
    run(_fetch(url, key, job, out, wait), plain_loop=True)


@jobs.command()
@click.argument("job", callback=_id)
@click.option("--forget", is_flag=True, help="Forget the job and its audio too, also if it has ended.")
@_at_a_relay
def cancel(job: str, forget: bool, url: str, key: str | None) -> None:
    """End JOB, unless it has ended."""
    run(_cancel(url, key, job, forget), plain_loop=True)


async def _submit(url: str, key: str | None, body: dict[str, Any], out: str | None, wait: bool) -> None:
    from relay.cli.jobs_client import JobsClient

    async with JobsClient.connected(url, key) as client:
        job = await client.submit(body)
        click.echo(job["id"], err=out == "-")
        if wait:
            job = await _ended(client, job)
        if out is not None:
            await _download(client, job, out)
        elif wait:
            _report(job)


async def _list(url: str, key: str | None, status: str | None, limit: int, as_json: bool) -> None:
    from relay.cli.jobs_client import JobsClient

    found: list[dict[str, Any]] = []
    query = {"status": status} if status else {}
    async with JobsClient.connected(url, key) as client:
        while len(found) < limit:
            page = await client.page(**query, limit=str(min(limit - len(found), 100)))
            found += page["jobs"]
            if not (cursor := page.get("next_cursor")):
                break
            query["cursor"] = cursor
    if as_json:
        for job in found:
            click.echo(_json(job))
    else:
        _print_table(found)


async def _show(url: str, key: str | None, job_id: str, wait: bool, as_json: bool) -> None:
    from relay.cli.jobs_client import JobsClient

    async with JobsClient.connected(url, key) as client:
        job = await client.get(job_id)
        if wait:
            job = await _ended(client, job)
    if as_json:
        click.echo(_json(job))
    else:
        _print_job(job)
    if wait and job["status"] != "succeeded":
        raise _no_audio(job)


async def _fetch(url: str, key: str | None, job_id: str, out: str | None, wait: bool) -> None:
    from relay.cli.jobs_client import JobsClient

    async with JobsClient.connected(url, key) as client:
        job = await client.get(job_id)
        if wait:
            job = await _ended(client, job)
        await _download(client, job, out or f"{job_id}{SUFFIXES.get(job['container'], '.audio')}")


async def _cancel(url: str, key: str | None, job_id: str, forget: bool) -> None:
    from relay.cli.jobs_client import JobsClient

    async with JobsClient.connected(url, key) as client:
        job = await client.cancel(job_id)
        if forget:
            await client.forget(job_id)
            click.echo(f"{job_id}: forgotten", err=True)
            return
    if job["status"] != "cancelled":
        raise CommandError(f"{job_id} has {job['status']} already; --forget removes it with its audio")
    click.echo(f"{job_id}: cancelled", err=True)


async def _ended(client: "JobsClient", job: dict[str, Any]) -> dict[str, Any]:
    from relay.cli.jobs_wait import ended

    try:
        return await ended(client, job)
    except asyncio.CancelledError:
        raise CommandError(f"interrupted; the job goes on: relay jobs fetch {job['id']} --wait") from None


async def _download(client: "JobsClient", job: dict[str, Any], out: str) -> None:
    """Whole, or not there; a pipe or device, which has no name to be renamed to, is written as it comes."""
    if job["status"] != "succeeded":
        raise _no_audio(job)
    try:
        async with client.audio(job["id"]) as pieces:
            if out == "-":
                await _write(sys.stdout.buffer, pieces)
                return
            with _whole(Path(out)) as file:
                await _write(file, pieces)
    except OSError as error:
        raise CommandError(f"cannot write {out}: {error.strerror}") from None
    _report(job, f" -> {out}")


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


async def _write(file: BinaryIO, pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        file.write(piece)
    file.flush()


def _check_folder(out: str | None) -> None:
    """Before anything is spoken, which may cost money."""
    if out is not None and out != "-" and not Path(out).parent.is_dir():
        raise click.BadParameter(f"there is no folder {Path(out).parent}", param_hint="--out")


def _text(text: str | None, file: str | None) -> str:
    if (text is None) == (file is None):
        raise click.UsageError("give either TEXT (- for standard input) or --file FILE")
    if text is not None and text != "-":
        return text
    name = file if file is not None else "standard input"
    try:
        if file is not None:
            with Path(file).open("rb") as opened:
                data = opened.read(MAX_TEXT_BYTES + 1)
        else:
            data = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"cannot read {name}: {error.strerror}") from None
    if len(data) > MAX_TEXT_BYTES:
        raise click.UsageError(f"{name} is longer than {MAX_TEXT_BYTES // 1024 // 1024} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{name} is not UTF-8 at byte {error.start}") from None


def _body(text: str, out: str | None, asked: dict[str, Any]) -> dict[str, Any]:
    from uuid import uuid4

    audio = {name: asked.pop(name) for name in ("encoding", "sample_rate", "gain_db")}
    if (rate := audio["sample_rate"]) is not None and rate != "native":
        if not rate.isdecimal():
            raise click.BadParameter(f"{rate!r} is neither a number nor native", param_hint="--sample-rate")
        audio["sample_rate"] = int(rate)
    names = [name.strip() for given in asked.pop("text_filter") for name in given.split(",")]
    lexicon = asked.pop("lexicon")
    # A connection that broke while the job was submitted must not make a second one.
    asked["idempotency_key"] = asked["idempotency_key"] or str(uuid4())
    asked["container"] = asked["container"] or _container(out)
    asked["audio"] = {name: value for name, value in audio.items() if value is not None} or None
    asked["text_filter"] = names or None
    asked["lexicon"] = read_lexicon(lexicon) if lexicon is not None else None
    return {"text": text, **{name: value for name, value in asked.items() if value is not None}}


def _container(out: str | None) -> str:
    if out is None or out == "-":
        return "wav"
    suffix = Path(out).suffix.lower()
    if suffix not in CONTAINERS and suffix:
        known = ", ".join(CONTAINERS)
        raise click.BadParameter(f"{suffix} is none of {known}; or give --container", param_hint="--out")
    return CONTAINERS.get(suffix, "wav")


def _no_audio(job: dict[str, Any]) -> CommandError:
    failure = job.get("error")
    if failure:
        return CommandError(f"{failure['code']}: {failure['message']}")
    wait = "; --wait waits for it" if job["status"] in ("queued", "running") else ""
    return CommandError(f"{job['id']} is {job['status']} and has no audio{wait}")


def _report(job: dict[str, Any], where: str = "") -> None:
    if job["status"] != "succeeded":
        raise _no_audio(job)
    audio = job["audio"]
    click.echo(f"{job['id']}: {audio['duration_ms'] / 1000:.2f} s, {audio['bytes']} bytes{where}", err=True)


def _print_job(job: dict[str, Any]) -> None:
    from relay.cli.jobs_wait import line_of

    click.echo(line_of(job))
    if audio := job.get("audio"):
        click.echo(f"audio: {audio['content_type']}, {audio['duration_ms'] / 1000:.2f} s, {audio['bytes']} bytes")
    for name in ("provider", "voice", "created_at", "started_at", "completed_at"):
        if job.get(name):
            click.echo(f"{name}: {job[name]}")


def _print_table(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("job", "status", "created", "characters", "speech", "container", "error", box=None)
    for job in found:
        progress = job["progress"]
        table.add_row(
            *(job["id"], job["status"], job["created_at"][:19].replace("T", " ")),
            *(f"{progress['chars_done']}/{progress['chars']}", f"{progress['seconds']:.1f} s", job["container"]),
            job["error"]["code"] if job.get("error") else "",
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _json(job: dict[str, Any]) -> str:
    import json

    return json.dumps(job, ensure_ascii=False)
