"""The configuration -> what a relay is made of."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay.config import (
    Config,
    ConfigError,
    DefaultsConfig,
    HttpConfig,
    ProviderConfig,
    VoiceConfig,
    WebSocketConfig,
    WrongProvider,
    load,
)
from relay.core.formats import AudioFormat, Encoding
from relay.core.text.filters import TextFilter
from relay.drivers.http.settings import HttpSettings
from relay.drivers.ws.settings import WsSettings
from relay.engine.engine import Engine
from relay.engine.setup import (
    build_listable,
    build_providers,
    dialogue_patience,
    limiters_of,
    models_of,
    patience,
    rewriting_of,
    shapes_of,
)
from relay.providers.base.provider import SpeechRequest
from relay.providers.catalog import BUILT_IN, PROVIDERS


def test_the_drivers_wait_as_long_as_was_configured() -> None:
    assert patience(Config(http=HttpConfig(retries=0, open_timeout_s=1.0))) == HttpSettings(
        retries=0, open_timeout_s=1.0
    )
    own = WebSocketConfig(first_audio_timeout_s=1.5, idle_sockets=4)
    assert dialogue_patience(Config(websocket=own)) == WsSettings(first_audio_timeout_s=1.5, idle_sockets=4)


def test_what_is_not_configured_is_the_drivers_own() -> None:
    assert patience(Config()) == HttpSettings()
    assert dialogue_patience(Config()) == WsSettings()


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
@pytest.mark.parametrize("key", WebSocketConfig.__struct_fields__)
def test_an_impossible_patience_is_named(key: str, value: Any) -> None:
    config = Config(websocket=msgspec.structs.replace(WebSocketConfig(), **{key: value}))
    with pytest.raises(ConfigError, match=rf"^websocket\.{key} is "):
        dialogue_patience(config)


def test_the_shape_of_an_instances_audio_is_the_operators(tmp_path: Path) -> None:
    (file := tmp_path / "relay.toml").write_text(
        "[providers.blue]\nadapter = 'breeze'\napi_key = 'k'\naudio = { encoding = 'pcm_s16be', channels = 2 }\n"
        "[providers.green]\nadapter = 'breeze'\napi_key = 'k'\naudio = { encoding = 'pcm' }\n"
    )
    config = load(str(file), environ={})
    expected = AudioFormat(encoding=Encoding.PCM_S16BE, sample_rate_hz=24000, channels=2)
    assert shapes_of(config) == {"blue": expected}
    wrong = config.providers["green"]
    assert isinstance(wrong, WrongProvider)
    assert "providers.green" in wrong.reason
    assert "audio.encoding" in wrong.reason


# Instances of providers.

KEY = "brz_secret_key"


def instances(**providers: ProviderConfig) -> Config:
    return Config(providers=providers)


def test_there_is_an_instance_for_each_adapter_and_for_each_that_is_configured() -> None:
    two = instances(
        blue=ProviderConfig(adapter="breeze", api_key=KEY, base_url="http://one.test", voice="voc_1"),
        green=ProviderConfig(adapter="breeze", api_key="other", base_url="http://two.test", voice="voc_2"),
    )
    usable, missing = build_providers(two)
    assert list(usable) == [*BUILT_IN, "blue", "green"]
    assert [provider.name for provider in usable.values()] == [*BUILT_IN, "blue", "green"]
    assert missing.keys() == PROVIDERS.keys() - BUILT_IN
    blue, green = (usable[name] for name in ("blue", "green"))
    assert (blue.resolve(SpeechRequest()).voice, green.resolve(SpeechRequest()).voice) == ("voc_1", "voc_2")
    requests = [each.request(each.resolve(SpeechRequest()), "Hello.") for each in (blue, green)]
    assert [request.provider for request in requests] == ["blue", "green"]
    assert {name: limiter.provider for name, limiter in limiters_of(two, usable).items()} == {
        name: name for name in usable
    }


@pytest.mark.parametrize(
    ("own", "says"),
    [
        (ProviderConfig(adapter="breeze"), "no key: set providers.blue.api_key in the configuration"),
        (ProviderConfig(adapter="breeze", api_key_env="BLUE_KEY"), "no key: set BLUE_KEY, which"),
        (ProviderConfig(adapter="breeze", api_key="a b"), "wrong settings: blue.api_key"),
        (ProviderConfig(adapter="breeze", api_key=KEY, base_url="ftp://x"), "wrong settings: blue.base_url"),
        (ProviderConfig(adapter="breeze", api_key=KEY, options={"odd": 1}), "wrong settings: blue.options"),
        (ProviderConfig(adapter="bland", api_key=KEY, voice="any"), "wrong settings: blue.voice is 'any'"),
        (ProviderConfig(adapter="sauti", api_key=KEY, model="m"), "wrong settings: model"),
        (ProviderConfig(adapter="playai", api_key=KEY), "no user id: set providers.blue.user_id"),
        (ProviderConfig(adapter="espeak", options={"rate": 0}), "wrong settings: options.rate"),
        (ProviderConfig(adapter="breeze", api_key=KEY, preset="groq"), "wrong settings: blue.preset is 'groq'; breeze"),
        (ProviderConfig(adapter="openai", preset="groq"), "no key: set GROQ_API_KEY, or providers.blue.api_key"),
        (ProviderConfig(adapter="openai", preset="localai"), "no address of a server: set LOCALAI_BASE_URL"),
        (ProviderConfig(adapter="espeak", voice="anna"), "wrong settings: voice is 'anna'"),
        (WrongProvider(adapter="espeak", reason="relay.toml: odd"), "wrong settings: relay.toml: odd"),
    ],
)
def test_what_is_wrong_with_one_does_not_concern_the_others(own: ProviderConfig, says: str) -> None:
    usable, missing = build_providers(Config(providers={"blue": own}, voices={"anna": {"breeze": "voc_1"}}))
    assert list(usable) == [*BUILT_IN]
    assert missing["blue"].startswith(says), missing["blue"]
    assert KEY not in str(missing)


@pytest.mark.parametrize("own", [ProviderConfig(adapter="breeze"), WrongProvider(adapter="breeze", reason="odd")])
def test_the_default_one_must_be_right_and_a_fallback_may_be_wrong(own: ProviderConfig) -> None:
    with pytest.raises(ConfigError, match=r"^defaults\.provider: blue cannot be used .*usable are: espeak"):
        Engine(Config(providers={"blue": own}, defaults=DefaultsConfig(provider="blue")))
    engine = Engine(Config(providers={"blue": own}, defaults=DefaultsConfig(fallbacks=["blue", "espeak"])))
    assert (engine.defaults.provider, engine.defaults.fallbacks) == ("hibari", ("espeak",))


@pytest.mark.parametrize(
    ("defaults", "says"),
    [
        (
            DefaultsConfig(provider="nobody"),
            "there is no provider 'nobody'; usable are: espeak, hibari; not configured are: br",
        ),
        (DefaultsConfig(fallbacks=["nobody"]), "defaults.fallbacks: there is no provider 'nobody'"),
        (DefaultsConfig(provider="breeze"), "BREEZE_API_KEY"),
    ],
)
def test_who_is_not_there_is_told_with_who_is(defaults: DefaultsConfig, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Engine(Config(defaults=defaults))
    assert says in str(caught.value)


def test_a_configuration_that_names_no_adapter_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"providers\.blue: blue is no provider; there are hibari, espeak"):
        build_providers(instances(blue=ProviderConfig()))


def test_a_default_voice_may_be_a_name() -> None:
    names: dict[str, dict[str, str | VoiceConfig]] = {
        "anna": {"blue": VoiceConfig(voice="voc_9", model="m", options={"enable_logging": False})}
    }
    own = ProviderConfig(adapter="breeze", api_key=KEY, voice="anna", options={"output_format": "mp3"})
    usable, _ = build_providers(Config(providers={"blue": own}, voices=names))
    speech = usable["blue"].resolve(SpeechRequest())
    assert (speech.voice, speech.model) == ("voc_9", "m")
    assert (speech.settings.enable_logging, speech.settings.output_format) == (False, "mp3")
    assert models_of(Config(providers={"blue": own}, voices=names), usable)["blue"] == {"breeze-tts-2", "m"}


def test_the_voices_of_one_with_a_wrong_voice_can_be_listed() -> None:
    wrong = Config(providers={"bland": ProviderConfig(api_key=KEY, voice="any", options={"odd": 1})})
    assert "bland" in build_providers(wrong)[1]
    listable = build_listable(wrong, "bland")
    assert listable is not None
    assert listable.name == "bland"
    assert build_listable(Config(), "bland") is None


def test_what_is_left_out_and_respelled_is_checked_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('[lexicon]\nsql = "sequel"\n"Siobhan" = { alias = "Shivawn", ipa = "x" }\n', "utf-8")
    rewriting = rewriting_of(load(str(file), environ={"RELAY_DEFAULTS_TEXT_FILTER": "emoji,urls"}))
    assert rewriting.filters == (TextFilter.EMOJI, TextFilter.URLS)
    spoken = rewriting.begin()
    assert spoken.feed("Siobhan likes SQL. ") + spoken.flush() == "Shivawn likes sequel. "
    assert rewriting_of(Config()).over(None, None) is None


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (Config(defaults=DefaultsConfig(text_filter=["html"])), "defaults.text_filter is 'html'; it must be one of"),
        (Config(lexicon={"sql": 3}), "entry 1 of lexicon: must be a string or an object"),
        (Config(lexicon={"": "x"}), "entry 1 of lexicon"),
    ],
)
def test_a_wrong_filter_or_word_stops_the_start(config: Config, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        rewriting_of(config)
