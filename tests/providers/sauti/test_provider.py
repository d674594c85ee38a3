"""The Sauti adapter: golden exchanges on the wire, each with an invalid twin, and what the goldens leave out."""

import json
from typing import Any

import pytest

from relay.drivers.http.driver import HttpDriver
from relay.errors import ClientError, Code, ProviderError
from relay.providers.base.http import Refusal
from relay.providers.base.poll import Answer, Ask, PollRequest
from relay.providers.base.provider import ProviderSettings, SpeechRequest, VoiceQuery
from relay.providers.sauti.job import TIMEOUT_S
from relay.providers.sauti.provider import BASE_URL, MAX_TEXT_CHARS, TARGET_SEGMENT_CHARS, Sauti
from relay.testing.fake_provider import FakeProvider
from relay.testing.script import Send, Status
from tests.providers import goldens

KEY = "sau_test"
EXCHANGES = goldens.names("sauti", but=("voices",))


def sauti(base_url: str | None = None, **settings: Any) -> Sauti:
    return Sauti(ProviderSettings(**({"api_key": KEY, "base_url": base_url} | settings)))


def first_ask(text: str = "Habari", **wanted: Any) -> Ask:
    provider = sauti()
    upstream = provider.request(provider.resolve(SpeechRequest(**({"voice": "v"} | wanted))), text)
    return upstream.job().start()


@pytest.mark.parametrize("name", EXCHANGES)
async def test_golden_exchange(name: str) -> None:
    await goldens.play(sauti, goldens.load("sauti", name)["valid"], secrets=(KEY,))


@pytest.mark.parametrize("name", EXCHANGES)
async def test_invalid_twin(name: str) -> None:
    await goldens.play_twin(sauti, goldens.load("sauti", name), secrets=(KEY,))


# Requests


def test_the_address_and_the_key() -> None:
    request = first_ask().request
    assert request.url == f"{BASE_URL}/v1/text-to-speech/v"
    assert request.secret_headers == {"xi-api-key": KEY}
    assert KEY not in f"{request.url} {request.headers} {request.body!r}"
    behind = sauti("http://gateway.internal:8080/sauti//")
    upstream = behind.request(behind.resolve(SpeechRequest(voice="v", options={"delivery": "job"})), "Habari")
    assert upstream.job().start().request.url == "http://gateway.internal:8080/sauti/v1/tts/jobs"


def test_nothing_holds_the_key_or_the_text_in_its_representation() -> None:
    provider = sauti()
    upstream = provider.request(provider.resolve(SpeechRequest(voice="v")), "A secret text.")
    job: Any = upstream.job()
    assert KEY not in repr(job._api)
    assert "secret text" not in repr(job._api)


def test_the_longest_text_and_any_character() -> None:
    facts = Sauti.capabilities
    assert (
        (facts.max_segment_chars, facts.target_segment_chars) == (MAX_TEXT_CHARS, TARGET_SEGMENT_CHARS) == (5000, 600)
    )
    text = "\ud800\u0000 مرحبا 🙂".ljust(MAX_TEXT_CHARS, "x")
    assert json.loads(first_ask(text).request.body or b"") == {"text": text}
    with pytest.raises(AssertionError):
        first_ask("x" * (MAX_TEXT_CHARS + 1))


def test_null_is_as_good_as_absent() -> None:
    options = {"delivery": None, "voice_settings": {"speaking_rate": None}}
    assert json.loads(first_ask(options=options, model="", instructions="").request.body or b"") == {"text": "Habari"}
    assert first_ask(options={"voice_settings": None}).request.body == first_ask().request.body


def test_every_job_is_its_own() -> None:
    provider = sauti()
    upstream = provider.request(provider.resolve(SpeechRequest(voice="v")), "Habari")
    assert isinstance(upstream, PollRequest)
    first, second = upstream.job(), upstream.job()
    made = Answer(status=202, headers={}, body=b'{"job_id": "j1"}')
    assert isinstance(first.receive(made), Ask)
    with pytest.raises(ProviderError, match="neither audio nor a job"):
        second.receive(Answer(status=200, headers={}, body=b'{"status": "running"}'))
    assert first.withdraw() is None


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"options": {"voice_settings": [1]}}, "options.voice_settings is [1]; it must be an object"),
        ({"options": {"voice_settings": {"pitch": 1}}}, "has no field 'pitch'; it has speaking_rate"),
        ({"options": {"delivery": "stream"}}, "options.delivery is 'stream'; it must be one of sync, job"),
        ({"options": {"output_format": "mp3"}}, "options has no field 'output_format'"),
        ({"voice": "v" * 201}, "voice has 201 characters"),
        ({"model": "m"}, "sauti has no model"),
        ({"instructions": "calm"}, "sauti has no instructions"),
        *(
            ({"options": {"voice_settings": {"noise_scale": wrong}}}, "options.voice_settings.noise_scale is")
            for wrong in (-0.1, float("nan"), float("inf"), 10**400, True, "1", [1])
        ),
        *(
            ({"options": {"voice_settings": {"speaking_rate": wrong}}}, "it must be a number above 0")
            for wrong in (-1, 0.0, float("nan"))
        ),
    ],
)
def test_what_is_refused_says_why(wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError) as caught:
        first_ask(**wanted)
    assert caught.value.code is Code.INVALID_CONFIG
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"base_url": "ftp://host"}, "sauti.base_url is 'ftp://host'"),
        ({"api_key": "sau_a\nb"}, "sauti.api_key"),
        ({"model": "m"}, "sauti has no model"),
        ({"options": {"voice": "v"}}, "sauti.options has no field 'voice'"),
        ({"options": {"voice_settings": {"speaking_rate": 0}}}, "sauti.options.voice_settings.speaking_rate is 0"),
    ],
)
def test_an_operators_mistake_is_found_at_the_start(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError) as caught:
        sauti(**settings)
    assert says in caught.value.message
    assert "sau_a" not in caught.value.message


def test_without_a_key_nothing_is_spoken() -> None:
    with pytest.raises(ClientError, match="SAUTI_API_KEY"):
        sauti(api_key=None).resolve(SpeechRequest(voice="v"))


# Replies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[1]",
        b'"rate_limit_exceeded"',
        b'{"type": 7, "detail": {"a": 1}}',
        b'{"type": "http://[", "title": null}',
        b'{"type": "https://sauti.finiflowlabs.com/errors/"',
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b"<html>" * 10_000,
    ],
)
def test_a_body_of_any_kind_is_a_bounded_error(body: bytes) -> None:
    error = first_ask().request.refuse(Refusal(status=429, headers={}, body=body))
    assert (error.code, error.retryable, error.provider.code) == (Code.PROVIDER_RATE_LIMITED, True, None)
    assert len(error.message) < 400
    assert error.message.isprintable()


@pytest.mark.parametrize("type_", ["errors/made_up", "https://elsewhere.example/errors/made_up/", "made_up"])
def test_an_unknown_type_goes_by_its_status(type_: str) -> None:
    body = json.dumps({"type": type_, "title": "Odd"}).encode()
    error = first_ask().request.refuse(Refusal(status=418, headers={}, body=body))
    assert (error.code, error.provider.code) == (Code.PROVIDER_REJECTED, "made_up")


@pytest.mark.parametrize("audio", [7, None, "not base64!", "AAA", "AAAA\nAAAA", "é"])
def test_audio_that_is_no_base64_is_no_audio(audio: object) -> None:
    provider = sauti()
    job = provider.request(provider.resolve(SpeechRequest(voice="v")), "Habari").job()
    with pytest.raises(ProviderError) as caught:
        job.receive(Answer(status=200, headers={}, body=json.dumps({"audio_base64": audio}).encode()))
    assert (caught.value.code, caught.value.retryable) == (Code.BAD_AUDIO, False)


def job_of(text: str = "A secret text.") -> Any:
    provider = sauti()
    return provider.request(provider.resolve(SpeechRequest(voice="v")), text).job()


def test_why_a_job_failed_is_passed_on_without_secrets() -> None:
    body = json.dumps({"job_id": "j", "status": "failed", "error": f"{KEY}: A secret text. has no vowels"}).encode()
    with pytest.raises(ProviderError) as caught:
        job_of().receive(Answer(status=202, headers={}, body=body))
    assert caught.value.message == "sauti failed to make the speech: [redacted]: [redacted] has no vowels"
    assert caught.value.provider.message == "[redacted]: [redacted] has no vowels"


@pytest.mark.parametrize(
    ("left", "reset", "pause_s"),
    # Ten seconds past the epoch is now; a budget is of one minute, whatever its headers say.
    [("0", "40", 30.0), ("0", "1e300", 60.0), ("0", "99999", 60.0), ("5", "99999", 12.0), ("0", "5", 2.0)],
)
def test_a_pause_is_never_longer_than_the_budgets_minute(left: str, reset: str, pause_s: float) -> None:
    job = job_of()
    job.receive(Answer(status=202, headers={}, body=b'{"job_id": "j"}'))
    headers = {"date": "Thu, 01 Jan 1970 00:00:10 GMT", "x-ratelimit-remaining": left, "x-ratelimit-reset": reset}
    step = job.receive(Answer(status=200, headers=headers, body=b'{"status": "running"}'))
    assert step.after_s == pause_s


def test_a_clip_has_the_time_of_a_job() -> None:
    """It comes in the first byte of its answer: a driver's patience with a stream would end it half made."""
    provider = sauti()
    upstream = provider.request(provider.resolve(SpeechRequest(voice="v")), "Habari")
    assert upstream.job().start().request.first_byte_timeout_s == upstream.timeout_s == TIMEOUT_S == 120.0


# Voices


async def test_voices() -> None:
    both = goldens.load("sauti", "voices")
    valid = both["valid"]
    body = json.dumps(valid["reply"]).encode()
    driver = HttpDriver()
    await driver.start()
    try:
        async with FakeProvider((Status(200, {}, len(body)), Send(body))) as fake:
            for settings, query in (({}, {}), (valid["settings"], valid["language_query"])):
                asked: VoiceQuery = sauti(fake.url, **settings).voices()
                voices, following = asked.parse(await driver.fetch(asked.request))  # type: ignore[arg-type]
                assert following is None
                goldens.check_request(fake.exchanges[-1].request, valid["request"] | {"query": query})
                assert goldens.told(voices) == valid["voices"]
    finally:
        await driver.close()
    with pytest.raises(ProviderError) as caught:
        sauti().voices().parse(json.dumps(both["invalid"]["reply"]).encode())
    goldens.check_error(caught.value, both["invalid"]["error"])


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"voices": null}'])
def test_a_list_of_voices_that_is_none(body: bytes) -> None:
    with pytest.raises(ProviderError, match="voices"):
        sauti().voices().parse(body)
