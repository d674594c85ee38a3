"""Requests to the fake worker, and what a test wants to know of a driver's inside."""

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.core.timings import Timings
from relay.drivers.local.driver import LocalDriver, Pool, provider_of
from relay.drivers.local.process import WorkerTimeouts
from relay.errors import ProviderError
from relay.providers.base.http import Piece
from relay.providers.base.provider import LocalRequest

WORKER = "tests.providers.fake_worker"
SOURCE = SourceFormat(container=Container.RAW, pcm=AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=22050))
# Short where a test waits for them to pass, and far longer than a well-behaved worker takes.
HASTY = WorkerTimeouts(start_s=5.0, job_s=0.3, stop_s=0.3)


def job(do: str, *, module: str = WORKER, **details: Any) -> LocalRequest:
    return LocalRequest(module=module, job={"do": do, **details}, source=SOURCE)


async def take(driver: LocalDriver, request: LocalRequest, into: list[Piece] | None = None) -> list[Piece]:
    """Everything of the reply; `into` keeps what came before a fault."""
    pieces: list[Piece] = [] if into is None else into
    async with driver.open(request, Timings()) as reply:
        async for piece in reply:
            pieces.append(piece)  # noqa: PERF401 - what came before a fault must be kept
    return pieces


async def refusal(driver: LocalDriver, request: LocalRequest, into: list[Piece] | None = None) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await take(driver, request, into)
    assert caught.value.provider.name == provider_of(request.module)
    return caught.value


async def pid_of_worker(driver: LocalDriver) -> int:
    """Which worker answers; with one worker, the only one."""
    facts = json.loads(b"".join(piece for piece in await take(driver, job("look_around")) if isinstance(piece, bytes)))
    assert isinstance(facts["pid"], int)
    return facts["pid"]


def pool_of(driver: LocalDriver) -> Pool:
    return driver._pools[WORKER]


def exists(pid: int) -> bool:
    """Whether there is such a process, a zombie included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(condition: Callable[[], bool]) -> None:
    """Gives way until `condition` holds of the driver's inside, which announces nothing."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)
