"""How a command ends: done, or failed with one clear line."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import click

__all__ = ["fail", "run"]

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command to its end; what went wrong becomes one clear line and exit status 1."""
    from relay_client import RelayClientError, TurnError

    from relay.config import ConfigError
    from relay.errors import RelayError

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(work)
    except TurnError as error:
        fail(f"{error.code}: {error}")
    except (ConfigError, RelayClientError) as error:
        fail(str(error))
    except RelayError as error:
        fail(f"{error.code}: {error.message}")
    except KeyboardInterrupt:
        fail("interrupted")


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


def fail(message: str) -> NoReturn:
    click.echo(f"relay: {message}", err=True)
    sys.exit(1)
