"""`relay bench load`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relay.cli.outcome import fail, run

if TYPE_CHECKING:
    from relay.bench.load_plan import Level, LoadRecord
    from relay.bench.load_run import Load


@click.command()
@click.option("--url", help="A running relay, such as ws://127.0.0.1:8765/v1/stream. Default: one of its own.")
@click.option("--key", envvar="RELAY_KEY", help="The running relay's key.  [$RELAY_KEY]")
@click.option("--provider", help="Of the running relay, who speaks; it may cost money.")
@click.option("--max-turns", type=click.IntRange(1, 20_000), default=1000, help="Try no more at a time.  [1000]")
@click.option("--seconds", type=click.FloatRange(1, 600), default=8.0, help="Length of a turn.  [8]")
@click.option("--frame-ms", type=click.IntRange(5, 1000), default=20, help="[20]")
@click.option("--lead-ms", type=click.IntRange(0, 10_000), default=200, help="Audio sent ahead of its time.  [200]")
@click.option("--yes", is_flag=True, help="Do not ask before having a running relay speak.")
@click.option("--out", metavar="NAME", help="Write NAME.json and .html.  [relay-load-DATE-TIME]")
def load(out: str | None, yes: bool, **asked: Any) -> None:
    """Find out how many turns at real time this machine carries.

    The number of turns is doubled until frames come late, gaps are heard, turns fail or the relay's core is full, and
    then narrowed down. Without --url, a relay, a fake provider and the listeners run in processes of their own here.
    """
    from datetime import datetime

    from relay.bench.load_run import Load

    put = Load(**asked)
    if put.url is None and put.provider is not None:
        raise click.UsageError("--provider is of a running relay: give its --url")
    if put.url is not None and not yes:
        question = f"up to {put.max_turns} turns at a time will be spoken through {put.url}, which may cost money"
        if not sys.stdin.isatty():
            fail(f"{question}; say --yes to do so")
        if not click.confirm(f"{question}. Go on?", err=True):
            fail("nothing was sent")
    name = out or f"relay-load-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    record = run(_measured(put))
    _tell(record, name)
    if record.interrupted:
        fail("not finished; what was measured is reported")


async def _measured(put: "Load") -> "LoadRecord":
    """Runs the ramp; being cancelled (Ctrl-C) ends it early, with the levels that were measured."""
    import asyncio
    from datetime import UTC, datetime

    from relay.bench.figures import ms
    from relay.bench.load_plan import LoadRecord, LoadSettings, reasons
    from relay.bench.load_run import ramp
    from relay.bench.machine import this_machine

    levels: list[Level] = []
    started_at, machine, interrupted = datetime.now(UTC), this_machine(), False

    def on_level(level: "Level") -> None:
        levels.append(level)
        late = "" if level.late_p99_ms is None else f"p99 of lateness {ms(level.late_p99_ms)} ms"
        click.echo(f"  {late or 'no audio'}; {'; '.join(reasons(level)) or 'carried'}", err=True)

    try:
        await ramp(put, on_level=on_level, on_next=lambda turns: click.echo(f"{turns} turns at a time ...", err=True))
    except asyncio.CancelledError:
        interrupted = True
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
    except (RuntimeError, OSError) as error:
        if not levels:
            fail(f"the load could not be put on: {error or type(error).__name__}")
        click.echo(f"ended early: {error or type(error).__name__}", err=True)
        interrupted = True
    settings = LoadSettings(
        relay="own process" if put.url is None else "remote",
        provider=put.provider or ("fake" if put.url is None else "the relay's default"),
        seconds=put.seconds,
        spread_s=put.spread_s,
        frame_ms=put.frame_ms,
        lead_ms=put.lead_ms,
        clients=put.clients,
        max_turns=put.max_turns,
    )
    return LoadRecord(
        started_at=started_at.isoformat(timespec="seconds"),
        settings=settings,
        machine=machine,
        interrupted=interrupted,
        levels=levels,
    )


def _tell(record: "LoadRecord", name: str) -> None:
    from rich.console import Console

    from relay.bench.load_page import load_page, load_report

    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(load_report(record))
    for suffix, content in {".json": record.to_json(), ".html": load_page(record).encode()}.items():
        file = Path(f"{name}{suffix}")
        try:
            file.write_bytes(content)
        except OSError as error:
            fail(f"{file}: cannot be written: {error.strerror}")
    click.echo(f"written: {name}.json, {name}.html", err=True)
