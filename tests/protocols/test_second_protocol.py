"""A protocol that is not ours, spoken by the same server: nothing but its file and its line in the table."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from relay.config import ServerConfig
from relay.protocols import table
from relay.server import doors
from relay.testing.conformance.protocol import check_carries, check_keeps_text, check_reads, check_sends
from relay.testing.scenarios import PCM_CLIP, scenario
from tests.protocols.drafts.deepgram import Deepgram, DeepgramSession
from tests.server.harness import relay_to

VALID = ['{"type":"Speak","text":"Hi."}', '{"type":"Flush"}', '{"type":"Clear"}', '{"type":"Close"}']


def test_it_keeps_what_every_protocol_has_to() -> None:
    def opened() -> DeepgramSession:
        return DeepgramSession({})

    check_sends(opened)
    check_carries(opened)
    check_reads(opened, VALID)
    check_keeps_text(opened, [])


@asynccontextmanager
async def spoken(
    monkeypatch: pytest.MonkeyPatch, query: str = "", key: str = "k", chosen: str = "ok"
) -> AsyncIterator[ClientConnection]:
    monkeypatch.setattr(doors, "DOORS", {**table.DOORS, "draft": (lambda _: Deepgram(),)})
    async with relay_to(scenario(chosen), server=ServerConfig(port=0, keys=["k"])) as (server, _):
        url = f"ws://127.0.0.1:{server.port}/v1/speak{query}"
        headers = {"Authorization": f"Token {key}"}
        async with asyncio.timeout(20), connect(url, additional_headers=headers) as socket:
            yield socket


async def until(socket: ClientConnection, kind: str) -> tuple[dict[str, Any], bytes]:
    audio = b""
    while True:
        message = await socket.recv()
        if isinstance(message, bytes):
            audio += message
        elif (fields := json.loads(message))["type"] == kind:
            return fields, audio


async def test_speak_flush_and_speak_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with spoken(monkeypatch) as socket:
        await until(socket, "Metadata")
        for sequence in range(2):
            await socket.send('{"type":"Speak","text":"Hello "}')
            await socket.send('{"type":"Speak","text":"there."}')
            await socket.send('{"type":"Flush"}')
            flushed, audio = await until(socket, "Flushed")
            assert flushed["sequence_id"] == sequence
            assert audio == PCM_CLIP.data
        await socket.send('{"type":"Speak","text":"Bye."}')
        await socket.send('{"type":"Close"}')
        _, audio = await until(socket, "Flushed")
        assert audio == PCM_CLIP.data
        await socket.wait_closed()
        assert socket.close_code == 1000


async def test_after_cleared_there_is_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with spoken(monkeypatch, chosen="endless_body") as socket:
        await socket.send('{"type":"Speak","text":"Hello there."}')
        await socket.send('{"type":"Flush"}')
        while not isinstance(await socket.recv(), bytes):
            pass
        await socket.send('{"type":"Clear"}')
        await until(socket, "Cleared")
        await socket.send('{"type":"Nonsense"}')
        _, audio = await until(socket, "Error")
        assert audio == b""


async def test_refusals_have_its_own_form(monkeypatch: pytest.MonkeyPatch) -> None:
    for query, key, status in (("", "wrong", 401), ("?encoding=opus", "k", 400)):
        with pytest.raises(InvalidStatus) as caught:
            async with spoken(monkeypatch, query, key):
                pass
        response = caught.value.response
        assert response.status_code == status
        assert set(json.loads(response.body or b"")) == {"err_code", "err_msg"}
        assert response.headers["dg-error"]
