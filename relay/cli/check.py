"""`relay check`."""

import sys

import click

from relay.cli.outcome import run
from relay.cli.settings import config_option, load_config


@click.command()
@config_option
def check(config_path: str | None) -> None:
    """Validate the configuration and reach every provider that is configured (a list of voices; nothing is spoken)."""
    from relay.errors import RelayError
    from relay.server.app import Server

    async def reach() -> bool:
        config = load_config(config_path)
        relay = Server(config).engine
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

    if not run(reach()):
        sys.exit(1)
