"""How a command ends: done, or failed with one clear line."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import click

__all__ = ["CommandError", "fail", "run"]

T = TypeVar("T")


class CommandError(Exception):
    """A command failed; the message is its one line."""


def run(work: Coroutine[Any, Any, T], *, plain_loop: bool = False) -> T:
    """Runs a command to its end; what went wrong becomes one clear line and exit status 1.

    `plain_loop`: on asyncio's own loop, for work that moves no audio.
    """
    from relay.config import ConfigError
    from relay.errors import RelayError

    try:
        with asyncio.Runner(loop_factory=None if plain_loop else _loop_factory()) as runner:
            return runner.run(work)
    except (ConfigError, CommandError) as error:
        fail(str(error))
    except RelayError as error:
        fail(f"{error.code}: {error.message}")
    except KeyboardInterrupt:
        fail("interrupted")
    except Exception as error:
        fail(_said_by_client(error))


def _said_by_client(error: Exception) -> str:
    """The line for an error of the Python client; any other error is raised again.

    The client is imported by the commands that use it. A server does not, and keeps the 3 MiB.
    """
    client = sys.modules.get("relay_client")
    if client is None or not isinstance(error, client.RelayClientError):
        raise error
    return f"{error.code}: {error}" if isinstance(error, client.TurnError) else str(error)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


def fail(message: str) -> NoReturn:
    click.echo(f"relay: {message}", err=True)
    sys.exit(1)
