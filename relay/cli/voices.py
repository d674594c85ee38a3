"""`relay voices`."""

import sys
from typing import Any

import click

from relay.cli.outcome import fail, run
from relay.cli.settings import config_option, load_config


@click.command()
@click.option("--provider", help="Of this provider only.")
@click.option("--language", help="For this language tag only: en also finds en-GB.")
@config_option
def voices(provider: str | None, language: str | None, config_path: str | None) -> None:
    """List the voices of the providers that are configured."""
    from rich.console import Console
    from rich.table import Table

    from relay.engine.engine import Engine

    async def find() -> Any:
        relay = Engine(load_config(config_path))
        async with relay.running():
            return await relay.voices(provider, language)

    found, failed = run(find())
    for error in failed:
        click.echo(f"relay: {error.code}: {error.message}", err=True)
    table = Table("provider", "voice", "name", "languages", "gender", box=None)
    for name, of_provider in found.items():
        for voice in of_provider:
            told = voice.name if voice.stands_for is None else f"stands for {voice.stands_for}"
            table.add_row(name, voice.id, told, " ".join(voice.languages), voice.gender or "")
    if not table.row_count:
        fail("no voices found" + (f" for language {language}" if language else ""))
    # Wide enough that no id is cut when the list goes to a pipe.
    Console(width=None if sys.stdout.isatty() else 200).print(table)
