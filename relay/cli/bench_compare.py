"""`relay bench compare`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from relay.cli.outcome import fail

if TYPE_CHECKING:
    from relay.bench.record import Record


@click.command()
@click.argument("before", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("after", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--fail-above", type=click.FloatRange(0), metavar="PERCENT", help="Status 1 if a median is so much slower for sure."
)
def compare(before: Path, after: Path, fail_above: float | None) -> None:
    """Say what has changed from the record BEFORE to AFTER, and whether it is more than noise."""
    from relay.bench.compare import compare as compared

    found = compared(_record(before), _record(after))
    for caveat in found.caveats:
        click.echo(f"note: {caveat}", err=True)
    for side, cases in (("before", found.only_before), ("after", found.only_after)):
        if cases:
            click.echo(f"note: only {side}: {'; '.join(cases)}", err=True)
    if not found.sentences:
        fail("the two records have no case in common")
    click.echo("\n".join([found.verdict, "", *found.sentences]))
    if fail_above is not None and (worse := found.worse_than(fail_above)):
        fail(f"worse by more than {fail_above:g} %, and more than noise: {len(worse)} of the above")


def _record(file: Path) -> "Record":
    from relay.bench.record import UnreadableRecordError, read

    try:
        return read(file.read_bytes())
    except (OSError, UnreadableRecordError) as error:
        fail(f"{file}: {error}")
