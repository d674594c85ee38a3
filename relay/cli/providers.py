"""`relay providers`."""

import sys
from typing import Any

import click

from relay.cli.outcome import run
from relay.cli.settings import config_option, load_config


@click.command()
@config_option
def providers(config_path: str | None) -> None:
    """List the providers, what each can do, and what is missing to use it."""
    from rich.console import Console
    from rich.table import Table

    from relay.engine.engine import Engine
    from relay.engine.setup import adapter_of

    config = load_config(config_path)
    relay = run(_made(lambda: Engine(config)))
    table = Table("provider", "adapter", "usable", "formats", "word times", "options", box=None)
    for name, provider in relay.providers.items():
        facts = provider.capabilities
        table.add_row(
            name,
            adapter_of(config, name),
            "yes (default)" if name == relay.defaults.provider else "yes",
            " ".join(facts.formats),
            "yes" if facts.word_times else "no",
            ", ".join(facts.options),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    # Apart from the table, whose columns would cut what is to be set.
    for name, reason in relay.missing.items():
        click.echo(f"{name} cannot be used: {reason}")


async def _made(make: Any) -> Any:
    return make()
