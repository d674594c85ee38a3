"""What a turn is made of: its providers in order, each with the voice, model and options that it speaks with."""

from typing import Any

import pytest

from relay.config import Config, DefaultsConfig, ProviderConfig, VoiceConfig
from relay.core.effects import OpenTurn
from relay.core.events import Pacing, ProviderChoice, TurnRequest
from relay.core.formats import AudioRequest
from relay.core.record import TurnRecord
from relay.engine.engine import Engine
from relay.errors import ClientError, Code
from relay.providers.base.provider import Speech, SpeechRequest

NAMES: dict[str, dict[str, str | VoiceConfig]] = {
    "anna": {
        "blue": "voc_anna",
        "green": VoiceConfig(voice="voc_grün", model="m", language="de", options={"output_format": "mp3"}),
        "espeak": "de",
    },
    "fr": {"blue": "voc_french"},
}


def engine(**defaults: Any) -> Engine:
    def own(voice: str) -> ProviderConfig:
        return ProviderConfig(adapter="breeze", api_key="brz_key", base_url="http://127.0.0.1:9", voice=voice)

    providers = {"blue": own("voc_blue"), "green": own("voc_green")}
    return Engine(Config(providers=providers, voices=NAMES, defaults=DefaultsConfig(**defaults)))


def spoken(of: Engine, **request: Any) -> dict[str, Speech]:
    """How a turn would be spoken: by whom, in order, and how."""
    wanted = TurnRequest(**request)
    first = wanted.providers[0].provider if wanted.providers else wanted.provider
    opened = OpenTurn(
        turn_id="t",
        turn_index=0,
        provider=first or of.defaults.provider,
        request=wanted,
        audio=AudioRequest(),
        pacing=Pacing(),
        record=TurnRecord(turn_id="t", index=0),
    )
    return {each.provider.name: each.speech for each in of.settings(opened).candidates}


def voices(of: Engine, **request: Any) -> dict[str, str]:
    return {name: speech.voice for name, speech in spoken(of, **request).items()}


def choices(*choices: str | ProviderChoice) -> tuple[ProviderChoice, ...]:
    return tuple(each if isinstance(each, ProviderChoice) else ProviderChoice(provider=each) for each in choices)


def test_each_choice_has_its_own_voice_model_and_options() -> None:
    own = ProviderChoice(provider="green", voice="voc_7", model="m", options={"output_format": "wav"})
    made = spoken(
        engine(), providers=choices("blue", own, "espeak"), voice="voc_1", model="n", options={"enable_logging": True}
    )
    assert list(made) == ["blue", "green", "espeak"]
    assert [(each.voice, each.model) for each in made.values()] == [
        ("voc_1", "n"),
        ("voc_7", "m"),
        ("en-us", None),
    ]
    assert (made["blue"].settings.enable_logging, made["green"].settings.enable_logging) == (True, None)
    assert made["green"].settings.output_format == "wav"


def test_the_first_choice_goes_before_what_the_turn_says() -> None:
    own = ProviderChoice(provider="blue", voice="voc_7", model="m", options={"output_format": "wav"})
    options = {"output_format": "mp3", "enable_logging": True}
    made = spoken(engine(), providers=choices(own), voice="voc_1", model="n", options=options)
    assert (made["blue"].voice, made["blue"].model) == ("voc_7", "m")
    assert (made["blue"].settings.output_format, made["blue"].settings.enable_logging) == ("wav", True)


def test_one_adapter_may_be_asked_twice_by_two_names() -> None:
    assert voices(engine(), providers=choices("green", "blue")) == {"green": "voc_green", "blue": "voc_blue"}


def test_a_name_is_a_voice_at_each_provider() -> None:
    of = engine()
    assert voices(of, provider="blue", voice="anna") == {"blue": "voc_anna"}
    assert voices(of, providers=choices("blue", "green", "espeak"), voice="anna") == {
        "blue": "voc_anna",
        "green": "voc_grün",
        "espeak": "de",
    }
    made = spoken(of, provider="green", voice="anna")["green"]
    assert (made.model, made.settings.language_code, made.settings.output_format) == ("m", "de", "mp3")
    assert (made.voice_name, spoken(of, provider="blue")["blue"].voice_name) == ("anna", None)


def test_what_the_turn_says_goes_before_what_comes_with_the_name() -> None:
    options = {"output_format": "wav"}
    made = spoken(engine(), provider="green", voice="anna", model="n", language="fr", options=options)["green"]
    assert (made.model, made.settings.language_code, made.settings.output_format) == ("n", "fr", "wav")


def test_who_goes_on_without_an_entry_has_its_default_voice() -> None:
    of = engine()
    assert voices(of, providers=choices("blue", "green", "espeak"), voice="fr") == {
        "blue": "voc_french",
        "green": "voc_green",
        "espeak": "en-us",
    }
    own = ProviderChoice(provider="green", voice="anna")
    assert voices(of, providers=choices("blue", own), voice="voc_1") == {"blue": "voc_1", "green": "voc_grün"}


@pytest.mark.parametrize(
    "request_",
    [
        {"provider": "green", "voice": "fr"},
        {"providers": choices("green", "blue"), "voice": "fr"},
        {"providers": choices("blue", ProviderChoice(provider="green", voice="fr"))},
        {"voice": "fr"},
    ],
)
def test_a_name_that_the_chosen_provider_lacks_is_an_error(request_: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match=r"'fr'.*blue") as caught:
        spoken(engine(), **request_)
    assert caught.value.code is Code.VOICE_NOT_FOUND


def test_a_name_goes_before_a_voice_that_is_called_so() -> None:
    assert voices(engine(), provider="espeak", voice="anna") == {"espeak": "de"}


def test_the_default_voice_is_that_of_turns_that_name_none() -> None:
    of = engine(provider="blue", fallbacks=["green", "espeak"], voice="anna")
    assert of.defaults.voice == "anna"
    assert voices(of) == {"blue": "voc_anna", "green": "voc_grün", "espeak": "de"}
    assert voices(of, provider="green") == {"green": "voc_grün"}
    assert voices(of, voice="voc_1") == {"blue": "voc_1", "green": "voc_green", "espeak": "en-us"}
    raw = engine(provider="blue", fallbacks=["green"], voice="voc_5")
    assert voices(raw) == {"blue": "voc_5", "green": "voc_green"}
    assert voices(raw, provider="green") == {"green": "voc_green"}


def test_who_cannot_be_used_is_told_with_what_to_do() -> None:
    of = engine()
    for name, says in (
        ("breeze", "BREEZE_API_KEY"),
        ("nope", "usable are: blue, espeak, green, hibari; not configured are: br"),
    ):
        with pytest.raises(ClientError) as caught:
            of.resolve(name, SpeechRequest())
        assert caught.value.code is Code.INVALID_CONFIG
        assert says in caught.value.message


async def test_names_are_listed_with_what_is_known_of_their_voices() -> None:
    of = engine()
    async with of.drivers:
        found, failed = await of.voices("espeak")
        [named] = [voice for voice in found["espeak"] if voice.stands_for is not None]
        german = next(voice for voice in found["espeak"] if voice.id.endswith("/de"))
        assert (named.id, named.name, named.stands_for) == ("anna", "anna", "de")
        assert (named.languages, named.gender) == (german.languages, german.gender)
        assert failed == []
        found, _ = await of.voices("espeak", "de")
        assert {"anna", german.id} <= {voice.id for voice in found["espeak"]}
        found, _ = await of.voices("espeak", "fr")
        assert "anna" not in {voice.id for voice in found["espeak"]}
