"""Where a command's settings come from."""

import os
from typing import TYPE_CHECKING

import click

from relay.cli.outcome import fail

if TYPE_CHECKING:
    from relay.config import Config

__all__ = ["config_option", "load_config", "read_config"]

config_option = click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="Settings file. Default: $RELAY_CONFIG, or relay.toml if it is here.",
)


def load_config(path: str | None, **overrides: object) -> "Config":
    """As `read_config`; a wrong setting ends the command."""
    from relay.config import ConfigError

    try:
        return read_config(path, **overrides)
    except ConfigError as error:
        fail(str(error))


def read_config(path: str | None, **overrides: object) -> "Config":
    """The settings, with those of the command line (named as in the environment; None: not given) over all others.

    Raises ConfigError.
    """
    from relay.config import load
    from relay.providers.catalog import PROVIDERS

    environ = {**os.environ, **{name: str(value) for name, value in overrides.items() if value is not None}}
    return load(path, environ=environ, providers=tuple(PROVIDERS))
