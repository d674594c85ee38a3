"""The adapter alone: what is checked, and what is sent to the worker."""

from typing import Any

import pytest

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.errors import ClientError, Code
from relay.providers.base.provider import LocalRequest, ProviderSettings, SpeechRequest
from relay.providers.hibari.provider import Hibari

PROVIDER = Hibari(ProviderSettings())


def refused(provider: Hibari = PROVIDER, **wanted: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        provider.resolve(SpeechRequest(**wanted))
    return caught.value


def test_a_request_is_complete() -> None:
    assert PROVIDER.request(PROVIDER.resolve(SpeechRequest()), "Hello.") == LocalRequest(
        provider="hibari",
        module="relay.providers.hibari.worker",
        processes=1,
        job={"do": "speak", "text": "Hello.", "speed": 1.0, "phonemes": []},
        source=SourceFormat(
            container=Container.RAW, pcm=AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)
        ),
    )


@pytest.mark.parametrize("language", ["en", "en-US", "EN_gb", "en-AU-x-any"])
def test_every_english_is_spoken(language: str) -> None:
    assert PROVIDER.resolve(SpeechRequest(language=language, voice="Heart")).voice == "heart"


def test_what_it_cannot_do_is_refused_by_name() -> None:
    assert "language is 'de'; hibari speaks English only" in refused(language="de").message
    wrong_voice = refused(voice="emma")
    assert (wrong_voice.code, "hibari has one voice, heart" in wrong_voice.message) == (Code.VOICE_NOT_FOUND, True)
    for field in ("model", "instructions"):
        assert f"{field} is given, but hibari has no {field}" in refused(PROVIDER, **{field: "any"}).message
    with pytest.raises(ClientError, match="one voice, heart"):
        Hibari(ProviderSettings(voice="kore"))


def test_speed_has_a_range_and_the_client_chooses_before_the_operator() -> None:
    slow = Hibari(ProviderSettings(options={"speed": 0.5}))
    assert slow.resolve(SpeechRequest()).settings == {"speed": 0.5}
    assert slow.resolve(SpeechRequest(options={"speed": 2})).settings == {"speed": 2.0}
    for wrong in (0.49, 2.01, "1", True, None, float("nan")):
        assert "options.speed is " in refused(options={"speed": wrong}).message
    assert "speed" in refused(options={"rate": 1}).message
