"""Both drivers that speak HTTP keep what one of others has to keep, in every scenario."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver, HttpSettings
from relay.drivers.poll.driver import PollDriver
from relay.errors import ProviderError
from relay.providers.base.http import HttpRequest
from relay.providers.base.poll import PollRequest
from relay.providers.base.provider import Reply, SpeechRequest, Upstream
from relay.testing.conformance.driver import check_leaving, check_scenario
from relay.testing.fake_provider import FakeRequest
from relay.testing.scenarios import SCENARIOS
from relay.testing.script import Script, Send, Status
from tests.covering import each
from tests.providers.breeze.test_provider import breeze
from tests.providers.sauti.test_provider import sauti

HASTY = HttpSettings(retries=0, first_byte_timeout_s=0.2, stall_timeout_s=0.2, connect_timeout_s=1, open_timeout_s=1)
DRIVERS = ["http", "poll"]


async def at_once(seconds: float) -> None:
    """Between the questions about a job."""


@asynccontextmanager
async def driving(kind: str) -> AsyncIterator[Any]:
    http = HttpDriver(HASTY)
    polls = PollDriver(http, sleep=at_once)
    await http.start()
    await polls.start()
    try:
        yield http if kind == "http" else polls
    finally:
        await polls.close()
        await http.close()


def streamed(url: str) -> Upstream:
    provider = breeze(url)
    upstream = provider.request(provider.resolve(SpeechRequest(voice="v")), "Hello.")
    assert isinstance(upstream, HttpRequest)
    return upstream


def polled(url: str) -> Upstream:
    provider = sauti(url)
    upstream = provider.request(provider.resolve(SpeechRequest(voice="v", options={"delivery": "job"})), "Habari.")
    assert isinstance(upstream, PollRequest)
    return upstream


DESCRIBE = {"http": streamed, "poll": polled}


def job(request: FakeRequest) -> Script | None:
    """A job that is made and has succeeded; its audio is the scenario's."""
    if request.path.endswith("/audio") or "jobs" not in request.path:
        return None
    body = json.dumps({"job_id": "j", "status": "succeeded"}).encode()
    return Status(200, {"content-type": "application/json"}, len(body)), Send(body)


@each("name", SCENARIOS)
@each("kind", DRIVERS)
async def test_scenario(kind: str, name: str) -> None:
    async with driving(kind) as driver:
        await check_scenario(driver, DESCRIBE[kind], name, before=job)


@pytest.mark.parametrize("kind", DRIVERS)
async def test_leaving(kind: str) -> None:
    async with driving(kind) as driver:
        await check_leaving(driver, DESCRIBE[kind], before=job)


class Broken:
    """Passes on what a real driver does, but for one thing."""

    def __init__(self, driver: HttpDriver) -> None:
        self.driver = driver


class TakesCutsForEnds(Broken):
    @asynccontextmanager
    async def open(self, upstream: Any, timings: Timings) -> AsyncIterator[Any]:
        async with self.driver.open(upstream, timings) as reply:
            yield _until_error(reply)


class MarksNothing(Broken):
    @asynccontextmanager
    async def open(self, upstream: Any, timings: Timings) -> AsyncIterator[Any]:
        async with self.driver.open(upstream, Timings()) as reply:
            yield reply


class LosesTheFirstPiece(Broken):
    @asynccontextmanager
    async def open(self, upstream: Any, timings: Timings) -> AsyncIterator[Any]:
        async with self.driver.open(upstream, timings) as reply:
            yield _but_the_first(reply)


async def _until_error(reply: Reply) -> AsyncIterator[Any]:
    try:
        async for piece in reply:
            yield piece
    except ProviderError:
        return


async def _but_the_first(reply: Reply) -> AsyncIterator[Any]:
    number = 0
    async for piece in reply:
        number += 1
        if number > 1:
            yield piece


@pytest.mark.parametrize(
    ("make", "name", "says"),
    [
        (TakesCutsForEnds, "cut_chunked_fin", "passes for success"),
        (MarksNothing, "ok", "is marked"),
        (LosesTheFirstPiece, "slow_drip", "does not give what was sent"),
    ],
)
async def test_a_broken_driver_is_found(make: type[Broken], name: str, says: str) -> None:
    async with driving("http") as driver:
        with pytest.raises(AssertionError, match=says):
            await check_scenario(make(driver), streamed, name)  # type: ignore[arg-type]
