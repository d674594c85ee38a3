"""What a client may name: bounded in length and number, without control characters, before anything is sent or kept."""

import asyncio
import io
import logging
import os
import threading
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from relay.core.client_strings import MAX_NAME_CHARS, MAX_PROVIDERS, check_ping, check_strings
from relay.core.events import ProviderChoice, TurnRequest
from relay.errors import MAX_MESSAGE_CHARS, ClientError, Code
from relay.log import MAX_LINE_CHARS, MAX_LINES, QueuedHandler, dropped_lines
from relay.server.access.tokens import Claims, Tokens
from relay.store.base import StoreError
from relay.testing.scenarios import scenario
from tests.server.harness import client, relay_to

CONTROL = ["a\nb", "a\r\nX: y", "a\0", "\x1b[31m", "a\x7f", "a\x85b", "\ud800"]
WRONG = [
    *(
        replace(TurnRequest(), **named)
        for name in ("voice", "model", "language", "provider")
        for value in (*CONTROL, "x" * (MAX_NAME_CHARS + 1))
        for named in [dict[str, Any]({name: value})]
    ),
    TurnRequest(instructions="a\0b"),
    TurnRequest(instructions="x" * 9000),
    TurnRequest(options={"a\nb": 1}),
    TurnRequest(options={"k" * 300: 1}),
    TurnRequest(options={"a": [{"b": ["fine", "not\0fine"]}]}),
    TurnRequest(providers=(ProviderChoice(provider="a"), ProviderChoice(provider="a"))),
    TurnRequest(providers=tuple(ProviderChoice(provider=str(n)) for n in range(MAX_PROVIDERS + 1))),
    TurnRequest(providers=(ProviderChoice(provider="a", voice="x\ny"),)),
    TurnRequest(providers=(ProviderChoice(provider="a", options={"b": "x\0"}),)),
]


@pytest.mark.parametrize("request_", WRONG)
def test_strings_that_are_refused(request_: TurnRequest) -> None:
    with pytest.raises(ClientError) as caught:
        check_strings(request_)
    assert caught.value.code is Code.INVALID_CONFIG
    assert caught.value.message.isprintable() and len(caught.value.message) < 200


def test_strings_that_are_taken() -> None:
    check_strings(
        TurnRequest(
            voice="x" * MAX_NAME_CHARS,
            language="日本語",
            instructions="Speak\nslowly.\tVery.",
            options={"a": {"b": ["line\r\nline", 1, None, 1.5, True]}},
            providers=tuple(ProviderChoice(provider=str(n), voice="v") for n in range(MAX_PROVIDERS)),
        )
    )


def test_what_is_sent_back_is_short() -> None:
    for ping_id in (None, "", "x" * 64, 0, -(1 << 63), (1 << 64) - 1):
        check_ping(ping_id)
    for wrong in ("x" * 65, "a\nb", 1 << 64, -(1 << 63) - 1):
        with pytest.raises(ClientError):
            check_ping(wrong)
    assert len(ClientError(Code.INVALID_MESSAGE, "x" * 100_000).message) == MAX_MESSAGE_CHARS + 3


async def test_a_voice_with_a_line_break_costs_nothing_and_the_next_answer_is_whole() -> None:
    async with relay_to(scenario("ok")) as (server, _), aiohttp.ClientSession() as http:
        for voice in CONTROL[:-1]:  # half of a pair is no JSON
            async with http.post(
                f"http://127.0.0.1:{server.port}/v1/speech", json={"text": "Hello.", "voice": voice}
            ) as response:
                body = await response.json()
            assert (response.status, body["error"]["code"]) == (400, "invalid_config")
        async with http.get(f"http://127.0.0.1:{server.port}/metrics", headers={"Host": "evil.com"}) as response:
            assert response.status == 403
        async with client(server) as caller:
            heard = await caller.speak(providers=["breeze"] * 5000)
            assert heard.end["code"] == "invalid_config"
            await caller.send(type="ping", id="x" * 100_000)
            assert (await caller.event("error"))["code"] == "invalid_message"
            assert (await caller.speak()).end["type"] == "turn.done"


def test_a_log_that_is_not_read_stops_nobody() -> None:
    reading, writing = os.pipe()
    handler = QueuedHandler(os.fdopen(writing, "w"))
    handler.setFormatter(logging.Formatter("%(message)s"))
    before = dropped_lines()
    record = logging.LogRecord("x", logging.INFO, "", 0, "y" * 10_000, None, None)
    for _ in range(MAX_LINES + 500):
        handler.emit(record)
    assert 400 <= dropped_lines() - before <= 500
    # Read again, it goes on, and says what is missing.
    read = threading.Thread(target=_read_until, args=(reading, b"lines of the log were dropped"), daemon=True)
    read.start()
    read.join(20)
    assert not read.is_alive()
    os.close(reading)


def _read_until(source: int, said: bytes) -> None:
    tail = b""
    while said not in tail:
        tail = tail[-1000:] + os.read(source, 65536)


def test_lines_are_bounded_and_written_at_the_end() -> None:
    written = io.StringIO()
    handler = QueuedHandler(written)
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "y" * 100_000, None, None))
    handler.flush()
    assert len(written.getvalue()) == MAX_LINE_CHARS + len("...\n")


class Failing:
    """A store that fails, as a full disk or a lock makes it."""

    def __init__(self) -> None:
        self.asked = 0

    async def open(self) -> None: ...

    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        self.asked += 1
        raise StoreError("/x: database or disk is full")

    async def close(self) -> None: ...


async def test_a_store_that_fails_is_a_retryable_refusal_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    class Counted:
        def __init__(self) -> None:
            self.reasons: list[str] = []

        def token_refused(self, reason: str) -> None:
            self.reasons.append(reason)

    store, counted = Failing(), Counted()
    tokens = Tokens("s" * 32, store, counted, now_s=lambda: 0.0)  # type: ignore[arg-type]
    errors = await asyncio.gather(*(tokens.spend(Claims(id=str(n))) for n in range(50)), return_exceptions=True)
    codes = {
        (type(error).__name__, getattr(error, "code", None), getattr(error, "retryable", None)) for error in errors
    }
    assert codes == {("LimitError", Code.OVER_CAPACITY, True)}
    with pytest.raises(Exception, match="cannot be seen now"):
        await tokens.spend(Claims(id="x"))
    assert store.asked <= 50, "it is not asked again at once"
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    assert counted.reasons == ["store"] * 51
