"""Two instances of one adapter, and names for voices, through a whole relay."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from relay.config import Config, DefaultsConfig, HttpConfig, ProviderConfig, ServerConfig, VoiceConfig
from relay.errors import Code
from relay.server.app import Server
from relay.testing.fake_provider import Chooser, FakeProvider
from relay.testing.scenarios import PCM_CLIP, error_reply, scenario
from relay.testing.script import Script
from tests.server.harness import client, serving

OK = scenario("ok")
VOICES: dict[str, dict[str, str | VoiceConfig]] = {
    "anna": {"blue": "voc_anna", "green": VoiceConfig(voice="voc_anna_2", model="m2"), "espeak": "de"},
    "ben": {"blue": "voc_ben"},
}


@dataclass
class House:
    server: Server
    blue: FakeProvider
    green: FakeProvider


@asynccontextmanager
async def house(blue: Script | Chooser = OK, green: Script | Chooser = OK, **defaults: Any) -> AsyncIterator[House]:
    """A relay with two accounts at Breeze, each with an address, a key and a voice of its own."""
    async with FakeProvider(blue) as one, FakeProvider(green) as two:
        providers = {
            "blue": ProviderConfig(
                adapter="breeze", api_key="key_of_blue", base_url=one.url, voice="voc_blue", max_concurrent=9
            ),
            "green": ProviderConfig(
                adapter="breeze", api_key="key_of_green", base_url=two.url, voice="voc_green", max_concurrent=9
            ),
        }
        settings = Config(
            server=ServerConfig(port=0),
            http=HttpConfig(retries=0),
            providers=providers,
            voices=VOICES,
            defaults=DefaultsConfig(**({"provider": "blue"} | defaults)),
        )
        async with serving(settings) as server:
            yield House(server, one, two)


def asked(fake: FakeProvider) -> list[tuple[str, str]]:
    """Voice and key of each request."""
    return [
        (exchange.request.path.split("/")[3], exchange.request.headers["xi-api-key"]) for exchange in fake.exchanges
    ]


async def get(house: House, path: str) -> Any:
    address = f"http://127.0.0.1:{house.server.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(address) as response:
        return await response.text() if path == "/metrics" else await response.json()


async def test_two_accounts_speak_side_by_side() -> None:
    async with house() as of, client(of.server) as one, client(of.server) as two:
        ends = await asyncio.gather(
            one.speak("Hello.", provider="blue"), two.speak("Hello.", provider="green", voice="voc_7")
        )
        assert [heard.end["type"] for heard in ends] == ["turn.done", "turn.done"]
        started = [heard.of("turn.started")[0] for heard in ends]
        assert [(each["provider"], each["voice"]) for each in started] == [("blue", "voc_blue"), ("green", "voc_7")]
        assert (asked(of.blue), asked(of.green)) == ([("voc_blue", "key_of_blue")], [("voc_7", "key_of_green")])
        metrics = await get(of, "/metrics")
    for name in ("blue", "green"):
        assert f'relay_ttfa_seconds_count{{format="pcm_s16le_24000",model="default",provider="{name}"}} 1.0' in metrics
    assert 'provider="breeze"' not in metrics


async def test_one_account_goes_on_where_the_other_fails() -> None:
    async with house(error_reply(402), fallbacks=["green"]) as of, client(of.server) as caller:
        heard = await caller.speak("Hello.")
        assert (heard.end["type"], heard.audio.startswith(PCM_CLIP.data)) == ("turn.done", True)
        [told] = heard.of("turn.failover")
        assert (told["from"], told["to"], told["voice"], told["code"]) == (
            *("blue", "green", "voc_green"),
            Code.PROVIDER_AUTH,
        )
        assert (asked(of.blue), asked(of.green)) == ([("voc_blue", "key_of_blue")], [("voc_green", "key_of_green")])


async def test_an_error_names_the_instance() -> None:
    async with house(error_reply(402)) as of, client(of.server) as caller:
        error = (await caller.speak("Hello.")).end
    assert (error["code"], error["provider"]["name"]) == (Code.PROVIDER_AUTH, "blue")
    assert error["message"].startswith("blue answered 402")
    assert "breeze" not in str(error)


async def test_an_address_where_nobody_is_is_told_by_the_instances_name() -> None:
    async with house() as of:
        await of.blue.idle()
        own = ProviderConfig(adapter="breeze", api_key="k", base_url="http://127.0.0.1:9", voice="v", max_concurrent=1)
        settings = Config(server=ServerConfig(port=0), http=HttpConfig(retries=0), providers={"red": own})
        async with serving(settings) as server, client(server) as caller:
            error = (await caller.speak("Hello.", provider="red")).end
    assert (error["code"], error["provider"]["name"]) == (Code.PROVIDER_UNAVAILABLE, "red")
    assert error["message"].startswith("red (127.0.0.1:9)")


async def test_a_name_is_a_voice_at_each_of_them() -> None:
    async with house(error_reply(503)) as of, client(of.server) as caller:
        heard = await caller.speak("Hello.", providers=["blue", "green", "espeak"], voice="anna")
        assert heard.end["type"] == "turn.done"
        assert heard.of("turn.failover")[0]["voice"] == "voc_anna_2"
        assert ([voice for voice, _ in asked(of.blue)], [voice for voice, _ in asked(of.green)]) == (
            ["voc_anna"],
            ["voc_anna_2"],
        )
        assert of.green.exchanges[0].request.json()["model_id"] == "m2"


async def test_a_name_may_stand_wherever_a_voice_may() -> None:
    async with house(error_reply(503)) as of, client(of.server) as caller:
        chosen = [{"provider": "blue", "voice": "ben"}, {"provider": "green", "voice": "anna"}]
        heard = await caller.speak("Hello.", providers=chosen)
        assert heard.of("turn.failover")[0]["voice"] == "voc_anna_2"
        await caller.send(type="turn.start", turn_id="typed", provider="green", voice="anna")
        assert (await caller.event("turn.started"))["voice"] == "voc_anna_2"
        await caller.send(type="turn.end", turn_id="typed")
        await caller.turn("typed")
        body = {"text": "Hello.", "provider": "green", "voice": "anna"}
        address = f"http://127.0.0.1:{of.server.port}/v1/speech"
        async with aiohttp.ClientSession() as session, session.post(address, json=body) as response:
            assert (response.status, response.headers["X-Relay-Voice"]) == (200, "voc_anna_2")
        assert [voice for voice, _ in asked(of.blue)] == ["voc_ben"]
        assert [voice for voice, _ in asked(of.green)] == ["voc_anna_2"] * 2


async def test_each_instance_names_its_adapter() -> None:
    async with house() as of:
        listed = {each["name"]: each for each in (await get(of, "/v1/providers"))["providers"]}
    assert {listed[name]["adapter"] for name in ("blue", "green", "breeze")} == {"breeze"}
    assert (listed["espeak"]["adapter"], listed["breeze"]["usable"]) == ("espeak", False)


async def test_who_goes_on_may_have_settings_of_its_own() -> None:
    async with house(error_reply(503)) as of, client(of.server) as caller:
        green = {"provider": "green", "voice": "voc_7", "model": "m7", "options": {"output_format": "wav"}}
        heard = await caller.speak("Hello.", providers=["blue", green], voice="ben", options={"output_format": "pcm"})
        assert heard.of("turn.failover")[0]["voice"] == "voc_7"
        request = of.green.exchanges[0].request
        assert (request.path.split("/")[3], request.json()["model_id"]) == ("voc_7", "m7")
        assert "output_format=wav" in request.target


async def test_a_name_that_the_provider_lacks_is_told() -> None:
    async with house() as of, client(of.server) as caller:
        error = (await caller.speak("Hello.", provider="green", voice="ben")).end
        assert (error["type"], error["code"]) == ("error", Code.VOICE_NOT_FOUND)
        assert "'ben'" in error["message"]
        assert "blue" in error["message"]
        assert of.green.exchanges == []


async def test_the_default_may_be_a_name() -> None:
    async with house(voice="anna") as of, client(of.server) as caller:
        assert caller.ready["defaults"]["voice"] == "anna"
        assert (await caller.speak("Hello.")).of("turn.started")[0]["voice"] == "voc_anna"
        assert (await caller.speak("Hello.", provider="green")).of("turn.started")[0]["voice"] == "voc_anna_2"


async def test_names_are_listed() -> None:
    async with house() as of:
        listed = await get(of, "/v1/voices?provider=espeak")
    named = [voice for voice in listed["voices"] if voice["stands_for"]]
    assert [(voice["provider"], voice["id"], voice["stands_for"]) for voice in named] == [("espeak", "anna", "de")]
    assert named[0]["languages"] == ["de"]


@pytest.mark.parametrize(
    ("bound", "asked_for", "code"),
    [
        ({"provider": "blue", "voice": "anna"}, {}, None),
        ({"provider": "blue", "voice": "anna"}, {"voice": "anna"}, None),
        ({"provider": "blue", "voice": "anna"}, {"voice": "ben"}, Code.FORBIDDEN),
        ({"provider": "blue", "voice": "anna"}, {"voice": "voc_blue"}, Code.FORBIDDEN),
        ({"provider": "blue", "voice": "anna"}, {"provider": "green", "voice": "anna"}, Code.FORBIDDEN),
        ({"provider": "blue", "voice": "voc_anna"}, {"voice": "anna"}, None),
    ],
)
async def test_a_token_may_be_for_a_name(bound: dict[str, str], asked_for: dict[str, str], code: Code | None) -> None:
    async with house() as of:
        address = f"http://127.0.0.1:{of.server.port}/v1/tokens"
        async with aiohttp.ClientSession() as session, session.post(address, json=bound) as response:
            assert response.status == 201, await response.text()
            token = (await response.json())["token"]
        async with client(of.server, subprotocols=["relay.v1", f"relay-token.{token}"]) as caller:
            end = (await caller.speak("Hello.", **asked_for)).end
        assert end.get("code") == code, end
        if code is None:
            assert [voice for voice, _ in asked(of.blue)] == ["voc_anna"]


async def test_a_token_for_a_name_that_the_provider_lacks_is_not_made() -> None:
    async with house() as of:
        address = f"http://127.0.0.1:{of.server.port}/v1/tokens"
        bound = {"provider": "green", "voice": "ben"}
        async with aiohttp.ClientSession() as session, session.post(address, json=bound) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (404, Code.VOICE_NOT_FOUND)


async def test_a_worker_that_several_instances_share_answers_each_by_its_name() -> None:
    low = ProviderConfig(adapter="espeak", voice="de")
    settings = Config(server=ServerConfig(port=0), providers={"low": low})
    async with serving(settings) as server, client(server) as caller:
        for name in ("low", "espeak"):
            assert (await caller.speak("Hallo.", provider=name)).of("turn.started")[0]["provider"] == name
            error = (await caller.speak("Hallo.", provider=name, voice="nope")).end
            assert (error["code"], error["provider"]["name"]) == (Code.VOICE_NOT_FOUND, name)
            assert error["message"].startswith(f"{name} has no voice 'nope'")
        assert len(server.engine.drivers.local._pools) == 1
