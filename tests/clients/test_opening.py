"""Trying again: which failures, how often, how long between."""

import asyncio
import json
from typing import Any

import pytest
from relay_client import ConnectError, HandshakeError, backoff, connect_with_retries
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.clients.scripted import Peer, scripted_relay


def test_delays_double_up_to_a_bound_with_half_of_each_left_to_chance() -> None:
    bounds = {"attempts": 7, "first_delay_s": 0.5, "max_delay_s": 5.0}
    assert list(backoff(**bounds, jitter=lambda: 1.0)) == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]  # type: ignore[arg-type]
    assert list(backoff(**bounds, jitter=lambda: 0.0)) == [0.25, 0.5, 1.0, 2.0, 2.5, 2.5]  # type: ignore[arg-type]
    assert list(backoff(attempts=1)) == []
    assert len(set(backoff(attempts=50, first_delay_s=5.0, max_delay_s=5.0))) > 1


class Waits:
    """Stands in for the clock: remembers how long was slept, and does not sleep."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slept_s: list[float] = []

        async def note(delay_s: float) -> None:
            self.slept_s.append(delay_s)

        monkeypatch.setattr("relay_client.opening.sleep", note)


class Refusing:
    """Refuses the first `times` handshakes."""

    def __init__(self, times: int, status: int, **fields: Any) -> None:
        self.seen = 0
        self._times = times
        self._status = status
        self._body = json.dumps({"error": {"code": "c", "message": "m", "retryable": True, **fields}}).encode()

    def __call__(self, _: ServerConnection, __: Request) -> Response | None:
        self.seen += 1
        if self.seen > self._times:
            return None
        return Response(self._status, "x", Headers({"Content-Length": str(len(self._body))}), self._body)


async def script(relay: Peer) -> None:
    await relay.closed()


async def test_a_refusal_that_will_pass_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, refusal = Waits(monkeypatch), Refusing(3, 503, retry_after_s=0.9)
    async with (
        scripted_relay(script, refusal=refusal) as url,
        connect_with_retries(url, attempts=4, first_delay_s=1.0) as session,
    ):
        assert session.ready.session_id == "s1"
    assert refusal.seen == 4
    first_s, second_s, third_s = waits.slept_s
    assert 0.9 <= first_s <= 1.0, "what the relay asked for, if it is longer"
    assert 1.0 <= second_s <= 2.0
    assert 2.0 <= third_s <= 4.0


async def test_attempts_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, refusal = Waits(monkeypatch), Refusing(99, 429)
    async with scripted_relay(refusal=refusal) as url:
        with pytest.raises(HandshakeError, match="m"):
            async with connect_with_retries(url, attempts=3):
                raise AssertionError("there is no session")
    assert refusal.seen == 3
    assert len(waits.slept_s) == 2


@pytest.mark.parametrize("fields", [{"retryable": False}, {"retry_after_s": 3600}], ids=["final", "not for an hour"])
async def test_what_cannot_be_waited_out_is_raised_at_once(fields: dict[str, Any]) -> None:
    refusal = Refusing(99, 429, **fields)
    async with scripted_relay(refusal=refusal) as url:
        with pytest.raises(HandshakeError):
            async with connect_with_retries(url):
                raise AssertionError("there is no session")
    assert refusal.seen == 1


async def test_a_relay_that_is_not_up_yet_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch)
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    with pytest.raises(ConnectError):
        async with connect_with_retries(f"ws://127.0.0.1:{port}/v1/stream", attempts=2):
            raise AssertionError("there is no session")
    assert len(waits.slept_s) == 1


async def test_what_happens_inside_is_not_retried() -> None:
    refusal = Refusing(0, 503)
    async with scripted_relay(script, refusal=refusal) as url:
        with pytest.raises(ConnectError, match="mine"):
            async with connect_with_retries(url):
                raise ConnectError("mine", retryable=True)
    assert refusal.seen == 1
