"""PlayAI's WebSocket and the streams of play.ht: an address with a token first, then turns in snake case."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect

from relay.core import events
from relay.errors import ClientError
from relay.protocols.base import Handshake
from relay.protocols.playai_live import PlayAILive, PlayAISession
from relay.testing.conformance.protocol import check_protocol
from relay.testing.conformance.speech_protocol import check_speech_protocol
from tests.protocols.spelling import spelled
from tests.protocols.test_playai import DOOR, KEYS, VOICE, door

# What pyht 0.1.14 sends.
SENT: dict[str, Any] = {
    "text": "Hello.",
    "voice": VOICE,
    "output_format": "pcm",
    "speed": 1.0,
    "sample_rate": 24000,
    "voice_engine": "PlayDialog",
    "language": "english",
    "version": "ldm",
    "voice_2": None,
    "turn_prefix": None,
    "turn_prefix_2": None,
    "voice_conditioning_seconds": None,
    "voice_conditioning_seconds_2": None,
    "scene_description": None,
    "turn_clip_description": None,
    "num_candidates": None,
    "candidate_ranking_method": None,
}


def test_it_keeps_what_every_protocol_has_to() -> None:
    check_protocol(lambda: PlayAISession(DOOR), valid=[json.dumps(SENT), json.dumps(SENT | {"request_id": 7})])
    check_speech_protocol(PlayAILive(DOOR), valid=[json.dumps(SENT).encode()], text_field="text")


def test_what_the_library_sends_is_a_turn() -> None:
    protocol = PlayAILive(DOOR)
    fields = SENT | {"text": ["One.", "Two."], "voice_conditioning_seconds_2": 5, "sample_rate": None}
    call = protocol.parse(Handshake(), json.dumps(fields).encode())
    assert (call.text, call.request.options, call.whole) == ("One. Two.", {"voiceConditioningSeconds2": 5}, False)
    assert call.request.audio["encoding"] == "pcm_s16le"
    assert protocol.parse(Handshake(route="/playai/playht/"), json.dumps(fields).encode()).whole
    refused_fields: list[dict[str, Any]] = [{"text": []}, {"output_format": "opus"}, {"sample_rate": 1}, {"odd": 1}]
    for wrong in (*refused_fields, {"text": "a" * 50_001}):
        with pytest.raises(ClientError):
            protocol.parse(Handshake(), json.dumps(SENT | wrong).encode())
    [refused] = PlayAISession(DOOR).receive(json.dumps(SENT | {"output_format": "mp3"}))
    assert isinstance(refused, events.Unreadable) and "output_format" in refused.error.message


async def test_an_address_is_good_for_one_connection_with_turns_one_after_the_other(tmp_path: Path) -> None:
    async with door(tmp_path) as url, aiohttp.ClientSession() as http:
        async with http.post(f"{url}/api/v1/tts/websocket-auth") as response:
            assert (response.status, (await response.json())["errorId"]) == (401, "UNAUTHORIZED")
        async with http.post(f"{url}/api/v1/tts/websocket-auth", headers=KEYS) as response:
            addresses = await response.json()
        assert sorted(addresses) == ["expiresAt", "webSocketUrls"]
        address = addresses["webSocketUrls"]["PlayDialog"]
        async with connect(address) as socket:
            await socket.send(json.dumps(SENT | {"output_format": "mp3", "request_id": "early"}))
            assert "output_format" in json.loads(await socket.recv())["error"]
            for number, form in enumerate(("wav", "pcm", "mulaw")):
                await socket.send(json.dumps(SENT | {"output_format": form, "request_id": number}))
            for number, header_bytes in enumerate((44, 0, 0)):
                assert json.loads(await socket.recv()) == {"type": "start", "request_id": number}
                heard = b""
                while isinstance(piece := await socket.recv(), bytes):
                    assert heard or not header_bytes or (len(piece), piece[:4]) == (44, b"RIFF")
                    heard += piece
                assert json.loads(piece) == {"type": "end", "request_id": number}
                if number < 2:
                    assert heard[header_bytes:] == spelled("Hello.")
                else:
                    assert len(heard) == len(spelled("Hello.")) // 2
        async with http.get(address.replace("ws://", "http://"), headers={"Upgrade": "websocket"}) as response:
            assert (response.status, (await response.json())["errorId"]) == (401, "UNAUTHORIZED")
        async with http.post(f"{url}/api/v4/sdk-auth", headers=KEYS) as response:
            stream = (await response.json())["PlayDialog"]["http_streaming_url"]
        for status in (200, 401):
            async with http.post(stream.replace("stream", ""), json=SENT) as response:
                assert response.status == status
                assert status != 200 or await response.read() == spelled("Hello.")
