"""Bland's APIs as a door: both envelopes, its WebSocket, and our own adapter as its client."""

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from relay.config import DoorConfig, ProviderConfig, ServerConfig
from relay.core import events
from relay.errors import ClientError, Code
from relay.protocols.base import Handshake
from relay.protocols.bland.socket import BlandSession
from relay.protocols.bland.v1 import BlandV1
from relay.protocols.bland.v2 import BlandSpeech, BlandV2
from relay.protocols.door import Door
from relay.server import whole_speech
from relay.testing.conformance.protocol import check_protocol
from relay.testing.conformance.speech_protocol import check_speech_protocol
from relay.testing.scenarios import PCM_CLIP, scenario
from tests.server.harness import PATIENCE_S, client, config, relay_to, serving

UUID = "29158307-9893-4149-8a75-bc9ce313d64e"
DOOR = Door(
    name="bland",
    voices={"Karen": f"bland:{UUID}"},
    providers=("bland", "espeak"),
    adapters={"bland": "bland", "espeak": "espeak"},
    default_provider="espeak",
)
INIT = {"type": "init", "voice": "Karen", "audio": {"encoding": "pcm_s16le", "sample_rate": 24000}}
V2 = {"text": "Hello there.", "voice": "voc_1", "audio": {"sample_rate": 24000}}


def said(*fields: Any, **more: Any) -> bytes:
    return json.dumps(dict(*fields) | more).encode()


def session() -> BlandSession:
    return BlandSession(DOOR, "s")


def test_they_keep_what_every_protocol_has_to() -> None:
    v1 = [
        said(text="Hi.", voice_id="Karen", output_format="ulaw_8000", language="sw", consistency=0.5, stream=True),
        said(text="Hi.", voice="a", expressiveness=1, boost=2),
    ]
    for route in BlandV1.speech_paths:
        check_speech_protocol(BlandV1(DOOR), valid=v1, text_field="text", handshake=Handshake(route=route))
    controls = {"expressiveness": 0.5, "stability": 1}
    v2 = [said(V2), said(V2, voice="Karen", audio={"container": "wav"}, controls=controls, auto_formatting=True)]
    check_speech_protocol(BlandV2(DOOR), valid=v2, text_field="text")
    openai = [said(model="btts-3", voice="coral", input="Hi.", response_format="pcm")]
    check_speech_protocol(BlandSpeech(DOOR), valid=openai, text_field="input")
    check_protocol(session, valid=[json.dumps(INIT), json.dumps(INIT | {"controls": controls}), '{"type":"close"}'])


@pytest.mark.parametrize("shown", ["k", "Bearer k", "bearer  k "])
def test_a_key_is_bare_or_a_bearer(shown: str) -> None:
    for protocol in (BlandV1(DOOR), BlandV2(DOOR), BlandSpeech(DOOR)):
        credential = protocol.credential(Handshake(headers={"authorization": shown}))
        assert credential is not None
        assert credential.value == "k"


def test_other_ways_to_show_a_credential() -> None:
    by_subprotocol = BlandV2(DOOR).credential(Handshake(headers={"sec-websocket-protocol": "x, bland.api_key.k"}))
    assert by_subprotocol is not None
    assert by_subprotocol.value == "k"
    by_query = BlandV2(DOOR).credential(Handshake(query={"token": "t"}, headers={"authorization": "k"}))
    assert by_query == ("t", True), "a token goes before a key"


def test_what_only_blands_voices_have_goes_to_them_alone() -> None:
    for voice, v1_options, v2_options in (
        ("Karen", {"api": "v1", "consistency": 2.0}, {"controls": {"stability": 0.5}, "auto_formatting": False}),
        ("heart", {}, {}),
    ):
        v1 = BlandV1(DOOR).parse(Handshake(), said(text="Hi.", voice_id=voice, consistency=2)).request
        v2 = BlandV2(DOOR).parse(Handshake(), said(V2, voice=voice, controls={"stability": 0.5}, auto_formatting=False))
        assert (v1.options, v2.request.options) == (v1_options, v2_options)


def test_errors_have_the_envelope_of_their_generation() -> None:
    error = ClientError(Code.INVALID_MESSAGE, "no text")
    [v1] = json.loads(BlandV1(DOOR).refusal(error).body)["errors"]
    assert v1 == {"error": "Invalid input", "message": "no text"}
    v2 = json.loads(BlandV2(DOOR).refusal(error).body)
    assert v2 == {"error": {"code": "invalid_request", "message": "no text"}}
    for audio, code in (
        ({"encoding": "opus"}, "unsupported_encoding"),
        ({"sample_rate": 1}, "unsupported_sample_rate"),
    ):
        with pytest.raises(ClientError) as caught:
            BlandV2(DOOR).parse(Handshake(), said(V2, audio=audio))
        assert json.loads(BlandV2(DOOR).refusal(caught.value).body)["error"]["code"] == code


def test_text_for_another_turn_takes_the_place_of_the_one_before() -> None:
    opened = session()

    def receive(kind: str, **fields: str) -> list[str]:
        return [type(each).__name__ for each in opened.receive(json.dumps({"type": kind, **fields}))]

    def told(event: Any) -> list[dict[str, Any]]:
        return [json.loads(message.payload) for message in opened.send(event)]

    assert receive("speak", context_id="a", text="x") == ["Unreadable"], "init is required"
    opened.receive(json.dumps(INIT))
    [wrong] = opened.receive(json.dumps(INIT))
    assert isinstance(wrong, events.Unreadable)
    assert told(events.Failed(error=wrong.error))[0]["code"] == "already_initialized"
    assert receive("speak", context_id="a", text="x") == ["StartTurn", "AppendText"]
    assert receive("speak", context_id="b", text="x") == ["CancelTurn", "StartTurn", "AppendText"]
    cancelled = events.TurnCancelled(
        turn_id="s_0", frames=0, samples_sent=0, samples_played=None, text_sent="", text_played=None, timings={}
    )
    assert told(cancelled) == [{"type": "utterance_end", "context_id": "a", "reason": "preempted"}]
    assert receive("end_of_turn", context_id="a") == []
    failed = events.Failed(error=ClientError(Code.INVALID_CONFIG, "no"), turn_id="s_1")
    assert [each["type"] for each in told(failed)] == ["error", "utterance_end"]
    assert receive("speak", context_id="b", text="more of what has failed") == []
    assert receive("speak", context_id="c", text="x") == ["StartTurn", "AppendText"]


@asynccontextmanager
async def door_to(name: str = "ok", **sections: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    sections = {"server": ServerConfig(port=0, keys=["k"]), **sections}
    headers = {"Authorization": "k"}
    async with relay_to(scenario(name), **sections) as (server, _), aiohttp.ClientSession(headers=headers) as http:
        yield http, f"http://127.0.0.1:{server.port}/bland"


async def test_every_route_has_the_whole_speech() -> None:
    v1 = {"text": "Hello there.", "voice_id": "voc_1", "output_format": "pcm_24000"}
    async with door_to() as (http, url):
        async with http.post(f"{url}/v1/speak", json=v1) as response:
            whole = await response.read()
        assert (response.headers["Content-Type"], "Content-Length" in response.headers) == ("audio/x-wav", True)
        assert int(response.headers["x-latency"]) >= 0
        with wave.open(io.BytesIO(whole)) as file:
            assert (file.getframerate(), file.readframes(file.getnframes())) == (24000, PCM_CLIP.data)
        for path, more in (("/v1/speak", {"stream": True}), ("/v1/speak/stream", {})):
            async with http.post(url + path, json=v1 | more) as response:
                streamed = await response.read()
            assert (streamed[4:8], streamed[40:44], streamed[44:]) == (b"\xff" * 4, b"\xff" * 4, PCM_CLIP.data)
        async with http.post(f"{url}/v1/speak", json=v1 | {"output_format": "ulaw_8000"}) as response:
            ulaw = await response.read()
        assert int.from_bytes(ulaw[20:22], "little") == 7
        async with http.post(f"{url}/v2/tts", json=V2) as response:
            assert (await response.read(), response.headers["x-model"]) == (PCM_CLIP.data, "breeze")
        async with http.post(
            f"{url}/v2/tts", json=V2 | {"audio": {"sample_rate": 24000, "container": "wav"}}
        ) as response:
            assert (await response.read())[44:] == PCM_CLIP.data
        speech = {"model": "btts-3", "voice": "voc_1", "input": "Hello there.", "response_format": "pcm"}
        async with http.post(f"{url}/v2/audio/speech", json=speech) as response:
            assert await response.read() == PCM_CLIP.data


async def test_a_whole_reply_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_speech, "MAX_WHOLE_BYTES", 100_000)
    async with door_to("endless_body") as (http, url):
        async with http.post(f"{url}/v1/speak", json={"text": "On and on.", "voice_id": "voc_1"}) as response:
            [error] = (await response.json())["errors"]
        assert (response.status, error["error"]) == (413, "context_overflow")
        assert "100000 bytes" in error["message"]


async def test_refusals_and_lists_in_each_form() -> None:
    doors = {"bland": DoorConfig(voices={"Karen": "espeak:gmw/en-US"}, models={"btts-3": "m"})}
    async with door_to("status_402", doors=doors) as (http, url):
        for method, path, body, status, v1, v2 in (
            ("POST", "/v1/speak", {"text": "Hi."}, 400, "Invalid input", None),
            ("POST", "/v1/speak", {"text": "Hi.", "voice_id": "voc_1"}, 502, "provider_auth", None),
            ("GET", "/v1/speak/samples/x", None, 404, "not_found", None),
            ("GET", "/v1/voices/nobody", None, 404, "voice_not_found", None),
            ("POST", "/v2/tts", V2, 502, None, "provider_auth"),
            ("POST", "/v2/tts", V2 | {"voice": "espeak:nobody"}, 404, None, "voice_not_found"),
            ("GET", "/v2/nothing", None, 404, None, "not_found"),
            ("POST", "/v2/audio/speech", {"input": "Hi.", "voice": "v", "speed": 9}, 400, None, "invalid_message"),
        ):
            async with http.request(method, url + path, json=body) as response:
                error = await response.json()
            assert response.status == status, error
            assert (error["errors"][0]["error"] if v1 else error["error"]["code"]) == (v1 or v2)
        async with http.get(f"{url}/v1/voices", headers={"authorization": "wrong"}) as response:
            assert (response.status, (await response.json())["errors"][0]["error"]) == (401, "AUTH_FAILED")
        async with http.get(f"{url}/v1/voices/Karen") as response:
            assert (await response.json())["voice"]["service"] == "BTTS_V3"
        async with http.get(f"{url}/v1/models") as response:
            assert (await response.json())["data"][0] == {"id": "btts-3", "name": "btts-3"}
        async with http.get(f"{url}/v1/speak/samples?limit=5") as response:
            assert await response.json() == {"data": [], "errors": None, "total": 0, "limit": 5, "offset": 0}


async def until(socket: ClientConnection, kind: str) -> tuple[dict[str, Any], bytes]:
    audio = b""
    while True:
        message = await socket.recv()
        if isinstance(message, bytes):
            audio += message
        elif (fields := json.loads(message))["type"] == kind:
            return fields, audio


async def test_a_token_opens_one_session_of_turns_and_cancels() -> None:
    async with door_to("endless_body") as (http, url):
        async with http.post(f"{url}/v1/speak/stream-input-token", json={"voice_id": "voc_1"}) as response:
            minted = (await response.json())["data"]
        assert minted["expires_in_seconds"] == 300
        target = f"{url.replace('http', 'ws')}/v2/tts/ws?token={minted['token']}"
        async with asyncio.timeout(PATIENCE_S), connect(target) as socket:
            await socket.send(json.dumps(INIT | {"voice": "voc_1"}))
            ready, _ = await until(socket, "ready")
            assert (ready["encoding"], ready["sample_rate"]) == ("pcm_s16le", 24000)
            await socket.send('{"type":"speak","context_id":"a","text":"On and on. And on."}')
            await until(socket, "utterance_start")
            await socket.send('{"type":"cancel","context_id":"a"}')
            ended, _ = await until(socket, "utterance_end")
            assert (ended["context_id"], ended["reason"]) == ("a", "cancelled")
            await socket.send('{"type":"close"}')
            done, audio = await until(socket, "done")
            assert (done["session_id"], audio) == (ready["session_id"], b""), "no audio follows a cancel"
        with pytest.raises(InvalidStatus) as caught:
            await connect(target)
        assert json.loads(caught.value.response.body or b"")["error"]["code"] == "AUTH_FAILED"


@pytest.mark.parametrize("api", ["v1", "v2", "socket"])
async def test_our_own_adapter_gets_every_sample_through_the_door(api: str) -> None:
    async with door_to(doors={"bland": DoorConfig(voices={UUID: "breeze:voc_1"})}) as (_, url):
        bland = ProviderConfig(api_key="k", base_url=url, voice=UUID, options={"api": api})
        outer = config(providers={"bland": bland})
        async with serving(replace(outer, defaults=replace(outer.defaults, provider="bland"))) as server:
            async with client(server) as caller:
                for _ in range(2):
                    heard = await caller.speak("Hello there.", audio={"tail": "short"})
                    assert heard.end["type"] == "turn.done", heard.end
                    assert heard.audio == PCM_CLIP.data
