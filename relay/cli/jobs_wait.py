"""Waiting for a job: a bar on a terminal, lines elsewhere, both on standard error."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import click

from relay.cli.jobs_client import JobsClient, UnreachableError

__all__ = ["ENDED", "ended", "line_of"]

ENDED = ("succeeded", "failed", "cancelled")
# Between two looks: short jobs take less than a second, and long ones minutes.
FIRST_LOOK_S, LOOK_S = 0.2, 1.0
# A relay that is restarted is there again by then.
RETURN_S = 60.0
# Between two lines, where there is no terminal.
LINE_S = 5.0


class _Shown(Protocol):
    def show(self, job: dict[str, Any]) -> None: ...


async def ended(client: JobsClient, job: dict[str, Any]) -> dict[str, Any]:
    """The job when it has ended. A relay that is away is waited for. Raises CommandError."""
    with _shown() as shown:
        look_s, lost_at_s = FIRST_LOOK_S, None
        while True:
            shown.show(job)
            if job["status"] in ENDED:
                return job
            await asyncio.sleep(look_s)
            look_s = min(2 * look_s, LOOK_S)
            try:
                job = await client.get(job["id"])
                lost_at_s = None
            except UnreachableError:
                lost_at_s = lost_at_s or time.monotonic()
                if time.monotonic() - lost_at_s > RETURN_S:
                    raise


def line_of(job: dict[str, Any]) -> str:
    progress = job["progress"]
    came = f"{progress['chars_done']} of {progress['chars']} characters, {progress['seconds']:.1f} s of speech"
    failure = job.get("error")
    return f"{job['id']}: {job['status']}, {came}" + (f"; {failure['code']}: {failure['message']}" if failure else "")


@contextmanager
def _shown() -> Iterator[_Shown]:
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[seconds]:.0f} s of speech"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("queued", total=None, seconds=0.0)

        class Bar:
            def show(self, job: dict[str, Any]) -> None:
                progress = job["progress"]
                bar.update(
                    task,
                    description=job["status"],
                    completed=progress["chars_done"],
                    total=progress["chars"] or None,
                    seconds=progress["seconds"],
                )

        yield Bar()


class _Lines:
    """One line at each change of status, and every LINE_S while it runs."""

    def __init__(self) -> None:
        self._status: str | None = None
        self._at_s = 0.0

    def show(self, job: dict[str, Any]) -> None:
        now_s = time.monotonic()
        if job["status"] != self._status or now_s - self._at_s >= LINE_S:
            self._status, self._at_s = job["status"], now_s
            if job["status"] not in ENDED:  # the command says how it ended
                click.echo(line_of(job), err=True)
