"""The voices on this machine, where the operator names no provider: who speaks what."""

import pytest

from relay.config import Config, ConfigError, DefaultsConfig, ProviderConfig, ServerConfig
from relay.engine.engine import Engine
from relay.engine.setup import build_providers, defaults_of
from tests.server.harness import client, serving


async def test_each_turn_goes_to_the_voice_that_can_speak_it() -> None:
    async with serving(Config(server=ServerConfig(port=0))) as server, client(server) as caller:
        for asked, provider, voice in (
            ({"text": "Hello."}, "hibari", "heart"),
            ({"text": "Hello.", "language": "en-GB"}, "hibari", "heart"),
            ({"text": "Guten Tag.", "language": "de"}, "espeak", "de"),
            ({"text": "Hello.", "voice": "en-us+f3"}, "espeak", "en-us+f3"),
            ({"text": "Hello.", "options": {"rate": 300}}, "espeak", "en-us"),
        ):
            heard = await caller.speak(**asked)
            assert heard.end["type"] == "turn.done", heard.end
            [started] = heard.of("turn.started")
            assert (started["provider"], started["voice"]) == (provider, voice), asked


async def test_text_in_another_script_goes_on_with_the_next_voice() -> None:
    async with serving(Config(server=ServerConfig(port=0))) as server, client(server) as caller:
        heard = await caller.speak(text="Say it. Привет!")
        assert heard.end["type"] == "turn.done", heard.end
        [change] = heard.of("turn.failover")
        assert (change["from"], change["to"], change["code"]) == ("hibari", "espeak", "provider_rejected")
        assert "".join(segment["text"] for segment in heard.of("text.segment")) == "Say it. Привет!"


def test_what_the_operator_chose_is_not_passed_on() -> None:
    chosen = Engine(Config(defaults=DefaultsConfig(provider="hibari")))
    assert (chosen.defaults.provider, chosen.defaults.fallbacks) == ("hibari", ())
    german = Engine(Config(defaults=DefaultsConfig(voice="de")))
    assert (german.defaults.provider, german.defaults.voice) == ("espeak", "de")


def test_a_relay_without_a_voice_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config = Config()
    usable, missing = build_providers(config)
    assert not usable
    with pytest.raises(ConfigError, match=r"pip install 'speech-relay\[voice\]'"):
        defaults_of(config, usable, missing)
    other = Config(
        defaults=DefaultsConfig(provider="breeze"), providers={"breeze": ProviderConfig(api_key="k", voice="v")}
    )
    assert Engine(other).defaults.provider == "breeze"
