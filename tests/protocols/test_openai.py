"""OpenAI's API as a door: its words, its errors, and whose voices its names stand for."""

import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import av
import pytest

from relay.config import Config, ConfigError, DoorConfig, LimitsConfig, ServerConfig
from relay.errors import ClientError, Code, LimitError
from relay.protocols.base import Handshake
from relay.protocols.door import Door
from relay.protocols.openai import FORMATS, OpenAI
from relay.server.app import Server
from relay.testing.conformance.speech_protocol import check_speech_protocol
from relay.testing.scenarios import PCM_CLIP, scenario
from tests.server.harness import relay_to

DOOR = Door(
    name="openai",
    voices={"alloy": "breeze:voc_2", "ash": "breeze:", "anna": "anna"},
    models={"tts-1": "flash"},
    providers=("breeze", "espeak"),
    known_models=("eleven",),
)
BODY: dict[str, Any] = {"model": "gpt-4o-mini-tts", "input": "Hello.", "voice": "alloy", "response_format": "pcm"}


def body(**fields: Any) -> bytes:
    return json.dumps(BODY | fields).encode()


def test_it_keeps_what_every_protocol_of_one_turn_has_to() -> None:
    valid = [body(), body(voice={"id": "v"}, speed=2, instructions="Calm."), body(stream_format="sse")]
    check_speech_protocol(OpenAI(DOOR), valid=valid, text_field="input")


@pytest.mark.parametrize(
    ("voice", "provider", "meant"),
    [
        ("alloy", "breeze", "voc_2"),
        ("ash", "breeze", None),
        ("anna", None, "anna"),
        ("espeak:en-us+f3", "espeak", "en-us+f3"),
        ("fable", None, "fable"),
        ("urn:voice:1", None, "urn:voice:1"),
        ({"id": "alloy"}, "breeze", "voc_2"),
    ],
)
def test_a_name_stands_for_a_voice(voice: object, provider: str | None, meant: str | None) -> None:
    request = OpenAI(DOOR).parse(Handshake(), body(voice=voice)).request
    assert (request.provider, request.voice) == (provider, meant)


def test_every_other_name_may_stand_for_one_voice() -> None:
    door = OpenAI(
        Door(name="openai", default_voice="espeak:de", voices={"ash": "breeze:v"}, providers=("espeak", "breeze"))
    )
    found = [door.parse(Handshake(), body(voice=voice)).request for voice in ("fable", "ash")]
    assert [(request.provider, request.voice) for request in found] == [("espeak", "de"), ("breeze", "v")]


def test_a_model_is_the_operators_a_providers_or_ignored() -> None:
    models = [
        OpenAI(DOOR).parse(Handshake(), body(model=model)).request.model for model in ("tts-1", "eleven", "gpt-4o")
    ]
    assert models == ["flash", "eleven", None]


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"speed": 0.2}, "speed"),
        ({"response_format": "ogg"}, "response_format"),
        ({"input": ""}, "input"),
        ({"voice": 3}, "voice"),
        ({"odd": 1}, None),
        ({"voice": {"id": 3}}, "voice"),
    ],
)
def test_a_wrong_field_is_named_as_this_api_names_it(wrong: dict[str, Any], param: str | None) -> None:
    door = OpenAI(DOOR)
    with pytest.raises(ClientError) as caught:
        door.parse(Handshake(), body(**wrong))
    answer = door.refusal(caught.value)
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["type"], error["param"]) == (400, "invalid_request_error", param)


def test_errors_have_this_apis_kinds() -> None:
    door = OpenAI(DOOR)
    limited = door.refusal(LimitError(Code.RATE_LIMITED, "too many", retry_after_s=2.4))
    assert (limited.status, limited.headers["Retry-After"]) == (429, "2")
    assert json.loads(limited.body)["error"]["type"] == "rate_limit_error"


@asynccontextmanager
async def spoken_to(name: str = "ok", **sections: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    async with relay_to(scenario(name), **sections) as (server, _), aiohttp.ClientSession() as http:
        yield http, f"http://127.0.0.1:{server.port}"


async def test_every_format_on_every_route_is_the_whole_speech() -> None:
    doors = {"openai": DoorConfig(voices={"alloy": "breeze:voc_1"})}
    async with spoken_to(doors=doors) as (http, url):
        routes = ("/v1/audio/speech", "/openai/v1/audio/speech", "/openai/audio/speech")
        for route in routes:
            async with http.post(url + route, data=body()) as response:
                assert (response.status, response.headers["Content-Type"]) == (200, "audio/pcm")
                assert await response.read() == PCM_CLIP.data
                assert response.headers["x-request-id"]
        for form, (_, media_type) in FORMATS.items():
            async with http.post(url + routes[0], data=body(response_format=form)) as response:
                audio = await response.read()
            assert response.headers["Content-Type"] == media_type
            if form != "pcm":
                with av.open(io.BytesIO(audio), "r") as file:
                    assert sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0)) > 0.2


async def test_events_carry_all_of_it_and_end() -> None:
    async with spoken_to() as (http, url):
        async with http.post(f"{url}/v1/audio/speech", data=body(voice="voc_1", stream_format="sse")) as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            lines = (await response.text()).split("\n\n")
    told = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    assert [each["type"] for each in told] == ["speech.audio.delta"] * (len(told) - 1) + ["speech.audio.done"]
    assert b"".join(base64.b64decode(each["audio"]) for each in told[:-1]) == PCM_CLIP.data


async def test_a_failure_before_the_audio_is_a_status_and_after_it_no_clean_end() -> None:
    async with spoken_to("status_402") as (http, url):
        async with http.post(f"{url}/v1/audio/speech", data=body(voice="voc_1")) as response:
            error = (await response.json())["error"]
        assert (response.status, error["type"], error["code"]) == (502, "server_error", "provider_auth")
    async with spoken_to("cut_chunked_rst") as (http, url):
        with pytest.raises(aiohttp.ClientPayloadError):
            async with http.post(f"{url}/v1/audio/speech", data=body(voice="voc_1")) as response:
                await response.read()


async def test_keys_limits_and_lists_in_this_apis_form() -> None:
    doors = {"openai": DoorConfig(models={"tts-1": "flash"})}
    server, limits = ServerConfig(port=0, keys=["k"]), LimitsConfig(max_turn_chars=10)
    async with spoken_to(server=server, limits=limits, doors=doors) as (http, url):
        async with http.post(f"{url}/v1/audio/speech", data=body()) as response:
            error = (await response.json())["error"]
        assert (response.status, error["type"], error["code"]) == (401, "authentication_error", "invalid_api_key")
        key = {"Authorization": "Bearer k"}
        async with http.post(f"{url}/v1/audio/speech", data=body(input="a" * 11), headers=key) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (413, "string_above_max_length")
        async with http.get(f"{url}/v1/models", headers=key) as response:
            assert (await response.json())["data"][0]["id"] == "tts-1"
        async with http.get(f"{url}/openai/v1/audio/voices", headers=key) as response:
            assert any(each["id"] == "espeak:gmw/en-US" for each in (await response.json())["voices"])
        async with http.get(f"{url}/v1/models") as response:
            assert response.status == 401


@pytest.mark.parametrize(
    ("doors", "says"),
    [
        ({"opnai": DoorConfig()}, "doors.opnai: there is no such door; there are openai, breeze, bland"),
        ({"openai": DoorConfig(voices={"alloy": "voc_1"})}, "doors.openai.voices.alloy is 'voc_1'"),
        ({"openai": DoorConfig(voices={"alloy": "breze:voc_1"})}, "one of hibari, espeak, "),
        ({"openai": DoorConfig(default_voice="nobody")}, "doors.openai.default_voice"),
    ],
)
def test_a_wrong_setting_of_a_door_is_named(doors: dict[str, DoorConfig], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Server(Config(doors=doors))
    assert says in str(caught.value)


async def test_a_door_can_be_shut() -> None:
    async with spoken_to(doors={"openai": DoorConfig(enabled=False)}) as (http, url):
        async with http.post(f"{url}/v1/audio/speech", data=body()) as response:
            assert response.status == 404
