"""Provider, relay and client in processes of their own, so that none's work is counted as another's."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from relay.bench.processes import CORES, Running, listening

__all__ = ["MANY", "SERVE", "Running", "keep_punctual", "provider", "relay", "stay_off_the_relays_core"]

SERVE = ("-m", "relay", "serve", "--port", "0")
# More sessions from one client than anybody would allow.
MANY: dict[str, Any] = {"RELAY_LIMITS_MAX_SESSIONS": "100000", "RELAY_LIMITS_MAX_SESSIONS_PER_CLIENT": "100000"}


@asynccontextmanager
async def relay(
    provider_url: str, *, cpu: int | None = 0, command: tuple[str, ...] = SERVE, **settings: str
) -> AsyncIterator[Running]:
    """A relay whose Breeze is at `provider_url`, pinned to one core."""
    # Started as where it is installed, with what was compiled before: whoever measures may have forbidden that.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {
        **inherited,
        "BREEZE_API_KEY": "bench",
        "BREEZE_BASE_URL": provider_url,
        "BREEZE_VOICE": "bench",
        "RELAY_DEFAULTS_PROVIDER": "breeze",
        "OPENBLAS_NUM_THREADS": "1",
        **settings,
    }
    async with listening(*command, cpu=cpu, environment=environment) as running:
        yield running


@asynccontextmanager
async def provider(*arguments: str, module: str = "bench.provider", cpu: int | None = 1) -> AsyncIterator[Running]:
    """`python -m MODULE ARGUMENTS`."""
    async with listening("-m", module, *arguments, cpu=cpu, environment=dict(os.environ)) as running:
        yield running


def stay_off_the_relays_core() -> None:
    """Listeners and provider share the other one, where there is another."""
    if 1 in CORES:
        os.sched_setaffinity(0, {1})


def keep_punctual() -> bool:
    """Lets this process run before others on its core whenever it has something to do; False where that is forbidden.

    For one whose clock is the measure and that has little to do: what it waits for its core would count as the relay's.
    The processes that it starts are not meant.
    """
    if not hasattr(os, "SCHED_FIFO"):
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        return False
    return True
