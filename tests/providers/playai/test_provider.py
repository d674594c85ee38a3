"""The PlayAI adapter: golden exchanges on the wire, each with an invalid twin, and what the goldens leave out."""

import json
from typing import Any

import pytest

from relay.core.formats import Container, SourceFormat
from relay.core.languages import ENGLISH_NAMES
from relay.errors import ClientError, Code, ProviderError
from relay.providers.base.http import HttpRequest, Refusal
from relay.providers.base.poll import Answer, Ask, PollRequest
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.playai.job import LONGEST_POLL_S
from relay.providers.playai.languages import language_name
from relay.providers.playai.provider import TEXT_CHARS, PlayAI
from tests.providers import goldens

KEY, USER = "pk_test", "user_test"
SERVER = "http://tts.internal:8080/play"
EXCHANGES = goldens.names("playai")


def playai(base_url: str | None = SERVER, **settings: Any) -> PlayAI:
    return PlayAI(ProviderSettings(**({"api_key": KEY, "user_id": USER, "base_url": base_url} | settings)))


def request_of(text: str = "Hello there", **wanted: Any) -> HttpRequest | PollRequest:
    provider = playai()
    return provider.request(provider.resolve(SpeechRequest(**({"voice": "v"} | wanted))), text)


def sent(text: str = "Hello there", **wanted: Any) -> dict[str, Any]:
    """The body of a streamed request."""
    request = request_of(text, **wanted)
    assert isinstance(request, HttpRequest)
    body = json.loads(request.body or b"")
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize("name", EXCHANGES)
async def test_golden_exchange(name: str) -> None:
    await goldens.play(playai, goldens.load("playai", name)["valid"], secrets=(KEY, USER))


@pytest.mark.parametrize("name", EXCHANGES)
async def test_invalid_twin(name: str) -> None:
    await goldens.play_twin(playai, goldens.load("playai", name), secrets=(KEY, USER))


# Requests


def test_the_address_and_both_credentials() -> None:
    request = request_of()
    assert isinstance(request, HttpRequest)
    assert request.url == f"{SERVER}/api/v1/tts/stream"
    assert request.secret_headers == {"authorization": f"Bearer {KEY}", "x-user-id": USER}
    for secret in (KEY, USER):
        assert secret not in f"{request.url} {request.headers} {request.body!r}"
        assert secret not in repr(ProviderSettings(api_key=KEY, user_id=USER))


def test_nothing_holds_a_secret_or_the_text_in_its_representation() -> None:
    upstream = request_of("A secret text.", options={"delivery": "job", "prompt": "whisper"})
    assert isinstance(upstream, PollRequest)
    job: Any = upstream.job()
    for secret in (KEY, USER, "secret text", "whisper"):
        assert secret not in repr(job._api)


@pytest.mark.parametrize("missing", ["api_key", "user_id", "base_url"])
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(ClientError, match=f"PLAYAI_{missing.upper()}"):
        playai(**{missing: None}).resolve(SpeechRequest(voice="v"))


def test_the_longest_text_of_each_model_and_any_character() -> None:
    assert PlayAI.capabilities.max_segment_chars == min(TEXT_CHARS.values()) == 20_000
    assert PlayAI.capabilities.models == ("PlayDialog", "Play3.0-mini", "PlayDialog-turbo")
    for model, longest in {"PlayDialog": 50_000, "Play3.0-mini": 20_000, "PlayDialog-turbo": 20_000}.items():
        text = "\ud800\u0000 مرحبا 🙂".ljust(longest, "x")
        assert sent(text, model=model)["text"] == text
        with pytest.raises(AssertionError):
            sent("x" * (longest + 1), model=model)


def test_null_is_as_good_as_absent() -> None:
    options = dict.fromkeys(PlayAI.capabilities.options)
    assert sent(options=options, instructions="", model="", language="") == sent()


RANGES = [
    ("PlayDialog", "speed", (0.1, 5), (0.09, 5.1, float("nan"), True, "1"), "from 0.1 to 5"),
    ("PlayDialog", "temperature", (0, 2), (-0.1, 2.1, None.__class__, "0"), "from 0 to 2"),
    ("PlayDialog", "sampleRate", (8000, 48000), (7999, 48001, 8000.0, True, "8000"), "whole number from 8000 to 48000"),
    ("PlayDialog", "seed", (0, 2**40), (-1, 1.0, True, "1"), "whole number from 0"),
    ("PlayDialog", "voiceConditioningSeconds", (0, 20.5), (-1, float("inf"), 10**400, True), "a number from 0"),
    ("PlayDialog", "voiceConditioningSeconds2", (0, 20.5), (-1, "1"), "a number from 0"),
    ("Play3.0-mini", "voiceGuidance", (0, 6), (-1, [1]), "a number from 0"),
    ("Play3.0-mini", "styleGuidance", (0, 30), (-1, [1]), "a number from 0"),
    ("Play3.0-mini", "textGuidance", (0, 2.5), (-1, [1]), "a number from 0"),
    ("Play3.0-mini", "quality", ("draft", "premium"), ("best", 1), "draft, low, medium, high, premium"),
]


@pytest.mark.parametrize(("model", "field", "right", "wrong", "says"), RANGES)
def test_ranges_include_their_ends(model: str, field: str, right: Any, wrong: Any, says: str) -> None:
    for value in right:
        assert sent(model=model, options={field: value})[field] == value
    for value in wrong:
        with pytest.raises(ClientError) as caught:
            sent(model=model, options={field: value})
        assert caught.value.message.startswith(f"options.{field} is ")
        assert says in caught.value.message


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"options": {"model": "m"}}, "model, voice and language are fields of their own"),
        ({"options": {"delivery": "sync"}}, "options.delivery is 'sync'; it must be one of stream, job"),
        ({"options": {"outputFormat": "ogg"}}, "it must be one of mp3, wav, mulaw, raw"),
        ({"options": {"prompt": "p" * 2001}}, "options.prompt has 2001 characters"),
        ({"options": {"voice2": 7}}, "options.voice2 is not a string"),
        ({"voice": "v" * 1001}, "voice has 1001 characters"),
        ({"instructions": "calm"}, "PlayDialog takes options.prompt"),
        ({"options": {"delivery": "job", "webHookUrl": "ftp://example.com"}}, "options.webHookUrl is no address"),
        ({"options": {"delivery": "job", "webHookUrl": "http://example.com/\n"}}, "options.webHookUrl is no address"),
    ],
)
def test_what_is_refused_says_why(wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError) as caught:
        request_of(**wanted)
    assert caught.value.code is Code.INVALID_CONFIG
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"base_url": "ftp://host"}, "playai.base_url is 'ftp://host'"),
        ({"api_key": "pk_a\nb"}, "playai.api_key"),
        ({"user_id": "pk_a b"}, "playai.user_id"),
        ({"options": {"speed": 9}}, "playai.options.speed is 9"),
    ],
)
def test_an_operators_mistake_is_found_at_the_start(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError) as caught:
        playai(**settings)
    assert says in caught.value.message
    assert "pk_a" not in caught.value.message


def test_what_raw_is_does_not_matter_to_other_formats() -> None:
    assert sent(options={"raw_encoding": "pcm_f32le"}) == sent()
    request = request_of(options={"raw_encoding": "pcm_f32le", "outputFormat": "wav"})
    assert isinstance(request, HttpRequest)
    assert request.accept({}).source == SourceFormat(container=Container.WAV)


def test_languages() -> None:
    for code, name in ENGLISH_NAMES.items():
        assert {language_name(each, "playai") for each in (code, code.upper(), f"{code}-XX", f"{code}_xx", name)} == {
            name
        }
    for wrong in ("", "e", "klingon", "-en"):
        with pytest.raises(ClientError, match="language is"):
            language_name(wrong, "playai")


# Replies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[1]",
        b'{"errorMessage": {"a": 1}, "errorId": 7}',
        b'{"errorMessage": "half',
        b'"',
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b"<html>" * 10_000,
        json.dumps("x" * 60_000).encode(),
    ],
)
def test_a_body_of_any_kind_is_a_bounded_error(body: bytes) -> None:
    request = request_of()
    assert isinstance(request, HttpRequest)
    error = request.refuse(Refusal(status=429, headers={}, body=body))
    assert (error.code, error.retryable, error.provider.code) == (Code.PROVIDER_RATE_LIMITED, True, None)
    assert len(error.message) < 400
    assert error.message.isprintable()


def test_neither_credentials_nor_words_of_people_come_back() -> None:
    text, prompt = "The patient's name is Ada.", "whisper as if in church"
    request = request_of(text, options={"prompt": prompt})
    assert isinstance(request, HttpRequest)
    said = f"{KEY} {USER} {text} {prompt}"
    for body in (json.dumps(said), json.dumps({"errorMessage": said, "errorId": said})):
        error = request.refuse(Refusal(status=400, headers={}, body=body.encode()))
        for secret in (KEY, USER, text, "patient's name", "as if in church"):
            assert secret not in f"{error.message} {error.provider}"


def job_of() -> Any:
    upstream = request_of(options={"delivery": "job"})
    assert isinstance(upstream, PollRequest)
    return upstream.job()


def test_too_many_polls_double_the_wait_to_a_bound() -> None:
    job = job_of()
    job.receive(Answer(status=201, headers={}, body=b'{"id": "j", "output": {"status": "IN_PROGRESS"}}'))
    limited = Answer(status=429, headers={}, body=b'"Rate limit exceeded."')
    waits = [step.after_s for step in (job.receive(limited) for _ in range(7)) if isinstance(step, Ask)]
    assert waits == [2, 4, 8, 16, 16, 16, 16]
    assert LONGEST_POLL_S == 16
    assert job.withdraw() is None


@pytest.mark.parametrize("status", [301, 302, 500, 503])
def test_a_refused_download(status: int) -> None:
    job = job_of()
    done = b'{"id": "j", "output": {"status": "COMPLETED", "url": "https://files.example/1?sig=abc"}}'
    download = job.receive(Answer(status=201, headers={}, body=done)).request
    assert (download.secret_headers, dict(download.headers)) == ({}, {})
    error = download.refuse(Refusal(status=status, headers={"retry-after": "3"}, body=b"sig=abc"))
    assert (error.code, error.retryable) == (Code.PROVIDER_UNAVAILABLE, status >= 400)
    assert error.retry_after_s == 3.0
    assert "abc" not in f"{error.message} {error.provider}"


def test_a_list_that_is_not_documented_is_not_invented() -> None:
    assert playai().voices() == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"id": 7, "output": {}}', b'{"id": "j", "output": []}', b'"done"'])
def test_an_answer_that_is_no_job(body: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        job_of().receive(Answer(status=201, headers={}, body=body))
    assert (caught.value.code, caught.value.retryable) == (Code.BAD_AUDIO, False)
