"""Two servers of OpenAI's API side by side through a whole relay, and what `relay check` says of one."""

import json
from typing import Any

import aiohttp
import pytest

from relay.config import Config, DefaultsConfig, HttpConfig, ProviderConfig, ServerConfig
from relay.drivers.dispatch import Drivers
from relay.drivers.http.settings import HttpSettings
from relay.drivers.ws.settings import WsSettings
from relay.engine.check import Reached, reach
from relay.engine.setup import build_providers
from relay.errors import Code
from relay.testing.fake_openai import FakeOpenAI, clip
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.script import Script, Send, Status
from tests.server.harness import client, serving

KEY = "sk-4f9d2c71b8e6a035"
NATIVE: dict[str, Any] = {"sample_rate": "native", "tail": "short"}


def own(fake: FakeProvider, **settings: Any) -> ProviderConfig:
    return ProviderConfig(**({"adapter": "openai", "preset": "openai", "base_url": f"{fake.url}/v1"} | settings))


async def test_two_instances_side_by_side_and_from_one_to_the_other() -> None:
    one, two = FakeOpenAI(key="sk-one"), FakeOpenAI(key="sk-two")
    async with FakeProvider(one) as blue, FakeProvider(two) as green:
        settings = Config(
            server=ServerConfig(port=0),
            http=HttpConfig(retries=0),
            providers={
                "blue": own(blue, api_key="sk-one", voice="nova"),
                "green": own(green, api_key="sk-two", voice="ash", options={"response_format": "wav"}),
            },
            defaults=DefaultsConfig(provider="blue", fallbacks=["green"]),
        )
        async with serving(settings) as server, client(server) as caller:
            for name, fake in (("blue", blue), ("green", green)):
                heard = await caller.speak("Hello there.", provider=name, audio=NATIVE)
                assert (heard.end["type"], heard.audio) == ("turn.done", clip("Hello there."))
                assert fake.exchanges[-1].request.json()["voice"] == {"blue": "nova", "green": "ash"}[name]
            # Blue does not know the model, which is its own affair.
            heard = await caller.speak(
                "And on.", model="gpt-9", audio=NATIVE, providers=["blue", {"provider": "green", "model": "tts-1"}]
            )
            [told] = heard.of("turn.failover")
            assert (told["from"], told["to"], told["code"]) == ("blue", "green", Code.PROVIDER_REJECTED)
            assert heard.audio == clip("And on.")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{server.port}/metrics") as answer:
                    metrics = await answer.text()
        assert (one.spoken, two.spoken) == (["Hello there."], ["Hello there.", "And on."])
    for name in ("blue", "green"):
        assert f'provider="{name}"' in metrics
    assert 'provider="openai"' not in metrics


# What a check says


def lists(models: tuple[str, ...] = ("tts-1", "gpt-4o-mini-tts"), voices: Any = None) -> Any:
    """A server with these lists; None: it has no such list."""

    def choose(request: FakeRequest) -> Script:
        found = (
            voices
            if request.path.endswith("/voices")
            else {"data": [{"id": name} for name in models]}
            if models
            else None
        )
        data = json.dumps({"detail": "Not Found"} if found is None else found).encode()
        return (Status(404 if found is None else 200, {"content-type": "application/json"}, len(data)), Send(data))

    return choose


async def asked(settings: ProviderConfig) -> Reached:
    usable, missing = build_providers(Config(providers={"blue": settings}))
    assert "blue" in usable, missing["blue"]
    async with Drivers(HttpSettings(retries=0, connect_timeout_s=5.0), WsSettings()) as drivers:
        return await reach(drivers, usable["blue"], {}, has_default=settings.voice is not None)


@pytest.mark.parametrize(
    ("server", "settings", "known", "wrong"),
    [
        (FakeOpenAI(key=KEY), {"voice": "alloy"}, ["13 voices"], []),
        (FakeOpenAI(key=KEY), {"voice": "voice_12"}, ["13 voices"], []),
        (FakeOpenAI(key="sk-0"), {}, [], ["blue answered 401 invalid_api_key: Incorrect API key provided."]),
        (FakeOpenAI(key=KEY), {"voice": "aloy"}, ["13 voices"], ["its default voice is 'aloy', which is not among"]),
        (FakeOpenAI(key=KEY), {"model": "tts-2"}, [], ["blue has no model 'tts-2'; it has tts-1, tts-1-hd"]),
        (lists(()), {}, [], ["blue answered 404; is base_url right?"]),
        (lists(), {"preset": "together", "voice": "tara"}, ["2 models"], []),
        (lists(()), {"preset": "compatible", "voice": "a"}, ["it answers, but lists no models"], []),
        (lists((), {"voices": ["af_sky", "af_bella"]}), {"preset": "kokoro"}, ["2 voices"], []),
        (lists((), {"voices": ["af_sky"]}), {"preset": "kokoro", "voice": "af_sky(2)+af_x"}, ["1 voice"], []),
        (
            lists((), {"voices": ["af_sky"]}),
            {"preset": "kokoro", "voice": "x"},
            ["1 voice"],
            ["its default voice is 'x'"],
        ),
    ],
    ids=range(11),
)
async def test_a_check_says_what_is_wrong_in_a_line(
    server: Any, settings: dict[str, Any], known: list[str], wrong: list[str]
) -> None:
    async with FakeProvider(server) as fake:
        found = await asked(own(fake, **({"api_key": KEY} | settings)))
    assert len(found.wrong) == len(wrong)
    assert [said[: len(expected)] for said, expected in zip(found.wrong, wrong, strict=True)] == wrong
    assert [said[: len(expected)] for said, expected in zip(found.known, known, strict=True)] == known
    assert KEY not in str(found)
