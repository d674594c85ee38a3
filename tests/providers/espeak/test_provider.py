"""The adapter alone: what is checked, what is sent to a worker, what its list of voices becomes."""

import json
from typing import Any

import pytest

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.errors import ClientError, Code
from relay.providers.base.provider import LocalRequest, Provider, ProviderSettings, SpeechRequest, Voice
from relay.providers.espeak.provider import LANGUAGES, OPTIONS, WORKER_MODULE, Espeak

PROVIDER = Espeak(ProviderSettings())


def job_of(provider: Espeak = PROVIDER, text: str = "Hello.", **wanted: Any) -> dict[str, Any]:
    request = provider.request(provider.resolve(SpeechRequest(**wanted)), text)
    assert isinstance(request, LocalRequest)
    return dict(request.job)


def refused(provider: Espeak = PROVIDER, **wanted: Any) -> str:
    with pytest.raises(ClientError) as caught:
        provider.resolve(SpeechRequest(**wanted))
    assert caught.value.code is Code.INVALID_CONFIG
    return caught.value.message


def test_it_is_a_provider_that_needs_no_key() -> None:
    provider: Provider = PROVIDER
    assert provider.name == "espeak"
    assert not provider.capabilities.needs_key
    assert provider.capabilities.word_times
    assert not provider.capabilities.streaming_text
    assert provider.capabilities.formats == (Container.RAW,)
    assert provider.capabilities.max_segment_chars == 200
    assert provider.capabilities.options == ("rate", "pitch", "range", "volume", "word_gap")


def test_a_request_is_complete_and_can_be_sent() -> None:
    request = PROVIDER.request(PROVIDER.resolve(SpeechRequest()), "Hello.")
    assert request == LocalRequest(
        provider="espeak",
        module="relay.providers.espeak.worker",
        job={
            "do": "speak",
            "text": "Hello.",
            "voice": "en-us",
            "options": {"rate": 175, "pitch": 50, "range": 50, "volume": 100, "word_gap": 0},
            "end_pause": True,
            "phonemes": [],
        },
        source=SourceFormat(
            container=Container.RAW, pcm=AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=22050)
        ),
    )
    assert json.loads(json.dumps(dict(request.job))) == request.job


def test_the_client_chooses_before_the_operator_and_the_operator_before_the_default() -> None:
    operators = Espeak(ProviderSettings(voice="de", options={"rate": 200, "pitch": 40}))
    assert job_of(operators)["voice"] == "de"
    assert job_of(operators, voice="fr")["voice"] == "fr"
    assert job_of(operators, language="cmn")["voice"] == "cmn"
    assert job_of(operators, voice="fr", language="cmn")["voice"] == "fr"
    assert job_of(operators, options={"rate": 300})["options"] == {
        "rate": 300, "pitch": 40, "range": 50, "volume": 100, "word_gap": 0,
    }  # fmt: skip
    assert job_of(Espeak(ProviderSettings(language="pt-BR")))["voice"] == "pt-br"
    assert job_of(operators)["options"]["rate"] == 200, "a client's choice is its own"


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("de", "de"),
        ("de-DE", "de"),
        ("EN_us", "en-us"),
        ("en-AU", "en"),
        ("zh-CN", "zh"),
        ("zh-Hant-TW", "zh"),
        ("zh-HK", "yue"),
        ("nn-NO", "nb"),
        ("vi-VN-x-south", "vi-vn-x-south"),
    ],
)
def test_a_language_finds_its_voice(language: str, voice: str) -> None:
    assert PROVIDER.resolve(SpeechRequest(language=language)).voice == voice


@pytest.mark.parametrize("language", ["", "xx", "tlh-Latn", "-", "deutsch", "x" * 1000])
def test_a_language_that_is_not_spoken_is_named_with_those_that_are(language: str) -> None:
    message = refused(language=language)
    assert "language is " in message
    assert language[:20] in message
    assert "de, el, en," in message
    assert len(message) < 1200


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_has_its_range(name: str) -> None:
    low, default, high = OPTIONS[name]
    for value in (low, default, high):
        assert job_of(options={name: value})["options"][name] == value
    for wrong in (low - 1, high + 1, float(default), str(default), True, None, [low], float("nan")):
        message = refused(options={name: wrong})
        assert f"options.{name} is {wrong!r}" in message
        assert f"from {low} to {high}" in message


def test_an_unknown_option_is_named_with_those_there_are() -> None:
    message = refused(options={"speed": 1})
    assert "'speed'" in message
    assert "rate, pitch, range, volume, word_gap" in message


@pytest.mark.parametrize("field", ["model", "instructions"])
def test_what_espeak_does_not_have_is_refused(field: str) -> None:
    assert f"{field} is given, but espeak has no {field}" in refused(PROVIDER, **{field: "anything"})


@pytest.mark.parametrize("voice", ["", "v" * 81])
def test_a_voice_that_cannot_be_one_is_refused(voice: str) -> None:
    assert "voice" in refused(voice=voice)


@pytest.mark.parametrize(
    "settings",
    [
        ProviderSettings(options={"rate": 1000}),
        ProviderSettings(options={"speed": 1}),
        ProviderSettings(language="xx"),
        ProviderSettings(model="tts-1"),
        ProviderSettings(voice=""),
    ],
)
def test_an_operators_mistake_is_found_when_the_relay_starts(settings: ProviderSettings) -> None:
    with pytest.raises(ClientError):
        Espeak(settings)


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("Hello.", True),
        ("Hello!”  ", True),
        ("well,", True),
        ("(Really?)\n", True),
        ("你好。", True),
        ("क्या?", True),
        ("نعم؟", True),
        ("to be continued…", True),
        ("cut in the middle of", False),
        ("a “quotation”", False),
        ("", False),
    ],
)
def test_a_pause_follows_what_ends_a_clause(text: str, pause: bool) -> None:
    assert job_of(text=text)["end_pause"] is pause


def test_the_list_of_voices_is_asked_for_and_read() -> None:
    query = PROVIDER.voices()
    assert isinstance(query.request, LocalRequest)
    assert query.request.module == WORKER_MODULE
    assert query.request.job == {"do": "voices"}
    listed = [
        {"id": "gmw/en-US", "name": "English (America)", "languages": [[2, "en-us"], [3, "en"]], "gender": "male"},
        {"id": "x/y", "name": "Y", "languages": [], "gender": None},
    ]
    assert query.parse(json.dumps(listed).encode()) == (
        [
            Voice(
                id="gmw/en-US",
                name="English (America)",
                languages=("en-us", "en"),
                gender="male",
                description="formant synthesis: sounds like a robot",
            ),
            Voice(id="x/y", name="Y", description="formant synthesis: sounds like a robot"),
        ],
        None,
    )


def test_languages_are_listed_once_in_order() -> None:
    assert list(LANGUAGES) == sorted(set(LANGUAGES))
