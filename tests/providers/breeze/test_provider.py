"""The Breeze adapter: golden exchanges on the wire, each with an invalid twin, and the vendor's whole error table.

A golden's `invalid` part replaces keys of its `valid` one, and must end in an error.
"""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.drivers.http.driver import HttpDriver
from relay.errors import ClientError, Code, ProviderError, ProviderFault
from relay.providers.base.http import HttpRequest, Refusal
from relay.providers.base.provider import ProviderSettings, Query, SpeechRequest, VoiceQuery
from relay.providers.breeze.api import BASE_URL
from relay.providers.breeze.provider import MAX_TEXT_CHARS, Breeze
from relay.testing.fake_provider import FakeProvider, in_turn
from tests.providers import goldens
from tests.providers.documented_errors import BREEZE, breeze_body
from tests.providers.goldens import Golden

KEY = "brz_test"
EXCHANGES = goldens.names("breeze", but=("voices",))


def golden(name: str) -> Golden:
    return goldens.load("breeze", name)


def breeze(base_url: str | None = None, **settings: Any) -> Breeze:
    return Breeze(ProviderSettings(**({"api_key": KEY, "base_url": base_url} | settings)))


@pytest.mark.parametrize("name", EXCHANGES)
async def test_golden_exchange(name: str) -> None:
    await goldens.play(breeze, golden(name)["valid"], secrets=(KEY,))


@pytest.mark.parametrize("name", EXCHANGES)
async def test_invalid_twin(name: str) -> None:
    await goldens.play_twin(breeze, golden(name), secrets=(KEY,))


def request_of(text: str = "Hello there", **wanted: Any) -> HttpRequest:
    provider = breeze()
    request = provider.request(provider.resolve(SpeechRequest(**({"voice": "voc_1"} | wanted))), text)
    assert isinstance(request, HttpRequest)
    return request


@pytest.mark.parametrize(("status", "code", "ours", "retryable"), BREEZE)
def test_every_documented_error(status: int, code: str, ours: Code, retryable: bool) -> None:
    refusal = Refusal(status=status, headers={"retry-after": "7"}, body=breeze_body(code, "Because."))
    error = request_of().refuse(refusal)
    assert (error.code, error.retryable, error.retry_after_s) == (ours, retryable, 7.0)
    assert error.message == f"breeze answered {status} {code}: Because."
    assert error.provider == ProviderFault(name="breeze", status=status, code=code, message="Because.")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[1]",
        b'"RATE_LIMITED"',
        b'{"code": 7, "detail": {"a": 1}, "error": null}',
        b'{"code": "RATE_LIM',
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b"<html>" * 10_000,
    ],
)
def test_a_body_of_any_kind_is_a_bounded_error(body: bytes) -> None:
    error = request_of().refuse(Refusal(status=429, headers={}, body=body))
    assert (error.code, error.retryable, error.provider.code) == (Code.PROVIDER_RATE_LIMITED, True, None)
    assert len(error.message) < 400
    assert error.message.isprintable()


@pytest.mark.parametrize("where", ["code", "detail", "error"])
def test_neither_key_nor_text_nor_instructions_come_back(where: str) -> None:
    text, instructions = "The patient's name is Ada.", "whisper as if in church"
    said = f"key {KEY}, text {text!r}, began {text[:14]!r}, directions {instructions}"
    body = json.dumps({where: said}).encode()
    error = request_of(text, instructions=instructions).refuse(Refusal(status=422, headers={}, body=body))
    for secret in (KEY, text, "patient's name", "as if in church"):
        assert secret not in f"{error.message} {error.provider}"


def test_the_key_is_in_no_representation() -> None:
    request = request_of()
    assert request.secret_headers == {"xi-api-key": KEY}
    assert KEY not in f"{request.url} {request.headers} {request.body!r}"
    assert KEY not in repr(ProviderSettings(api_key=KEY))


# Settings


@pytest.mark.parametrize(("field", "low", "high"), [("guidance_scale", 1, 10), ("speed", 0.5, 2), ("volume", 0.01, 2)])
def test_ranges_include_their_ends(field: str, low: float, high: float) -> None:
    for value in (low, high):
        sent = json.loads(request_of(options={"voice_settings": {field: value}}).body or b"")
        assert sent["voice_settings"] == {field: value}
    wrong: tuple[Any, ...] = (low - 0.001, high + 0.001, float("nan"), float("inf"), True, "1", [1])
    for value in wrong:
        with pytest.raises(ClientError, match=rf"options\.voice_settings\.{field} is .* from {low:g} to {high:g}$"):
            request_of(options={"voice_settings": {field: value}})


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"options": {"voice_settings": [1]}}, "options.voice_settings is [1]; it must be an object"),
        ({"options": {"voice_settings": {"pitch": 1}}}, "has no field 'pitch'; it has use_speaker_boost"),
        ({"options": {"enable_logging": "no"}}, "options.enable_logging is 'no'; it must be true or false"),
        ({"options": {"output_format": 1}}, "options.output_format is 1; it must be one of pcm, mp3, wav"),
        ({"options": {"model_id": "m"}}, "model, language and instructions are fields of their own"),
        ({"model": "m" * 121}, "model has 121 characters; it must have 1 to 120"),
        ({"voice": "v" * 201}, "voice has 201 characters"),
        ({"voice": "."}, "voice is '.'"),
        ({"language": "e"}, "language is 'e'"),
        ({"language": "en-" + "x" * 14}, "language is"),
        ({"instructions": "i" * 1001}, "instructions has 1001 characters; it must have 1 to 1000"),
    ],
)
def test_what_is_refused_says_why(wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError) as caught:
        request_of(**wanted)
    assert caught.value.code is Code.INVALID_CONFIG
    assert says in caught.value.message


def test_null_is_as_good_as_absent() -> None:
    options = {"output_format": None, "enable_logging": None, "voice_settings": {"speed": None}}
    request = request_of(options=options, instructions="", model="")
    assert json.loads(request.body or b"") == {"text": "Hello there"}
    assert request.url.endswith("/stream?output_format=pcm")
    assert request_of(options={"voice_settings": None}).body == request.body


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"base_url": "ftp://host"}, "breeze.base_url is 'ftp://host'"),
        ({"base_url": "api.breeze.blue"}, "it must be like https://"),
        ({"base_url": "https://api.breeze.blue?key=1"}, "must not hold a query"),
        ({"base_url": "https://me:pw@api.breeze.blue"}, "must not hold"),
        ({"base_url": "https://api.breeze.blue:port"}, "breeze.base_url is not a URL"),
        ({"api_key": "brz_a\nb"}, "breeze.api_key"),
        ({"api_key": ""}, "breeze.api_key"),
        ({"options": {"speed": 1}}, "breeze.options has no field 'speed'"),
        ({"options": {"voice_settings": {"speed": 9}}}, "breeze.options.voice_settings.speed is 9"),
    ],
)
def test_an_operators_mistake_is_found_at_the_start(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError) as caught:
        breeze(**settings)
    assert says in caught.value.message
    assert "brz_a" not in caught.value.message


def test_without_a_key_nothing_is_spoken() -> None:
    with pytest.raises(ClientError, match="BREEZE_API_KEY"):
        breeze(api_key=None).resolve(SpeechRequest(voice="voc_1"))


def test_addresses() -> None:
    assert request_of().url == f"{BASE_URL}/v1/text-to-speech/voc_1/stream?output_format=pcm"
    provider = breeze("http://gateway.internal:8080/breeze//")
    request = provider.request(provider.resolve(SpeechRequest(voice="voc_1")), "Hi")
    assert isinstance(request, HttpRequest)
    assert urlsplit(request.url).path == "/breeze/v1/text-to-speech/voc_1/stream"


def test_the_longest_text_and_any_character() -> None:
    assert Breeze.capabilities.max_segment_chars == MAX_TEXT_CHARS == 1000
    text = "\ud800\u0000 مرحبا 🙂".ljust(MAX_TEXT_CHARS, "x")
    assert json.loads(request_of(text).body or b"")["text"] == text
    with pytest.raises(AssertionError):
        request_of("x" * (MAX_TEXT_CHARS + 1))


def test_what_is_resolved_names_voice_and_model() -> None:
    speech = breeze(model="breeze-tts-2").resolve(SpeechRequest(voice="voc_1"))
    assert (speech.voice, speech.model) == ("voc_1", "breeze-tts-2")
    assert (
        breeze(model="breeze-tts-2").resolve(SpeechRequest(voice="voc_1", model="bluebell-v1-en")).model
        == "bluebell-v1-en"
    )


@pytest.mark.parametrize(
    ("headers", "encoding"),
    [
        ({"x-breeze-sample-width-bytes": "1"}, Encoding.PCM_U8),
        ({"x-breeze-sample-width-bytes": "3"}, Encoding.PCM_S24LE),
        ({"x-breeze-audio-codec": "f32le"}, Encoding.PCM_F32LE),
        ({"x-breeze-audio-codec": "PCM_F32LE", "x-breeze-sample-width-bytes": "4"}, Encoding.PCM_F32LE),
        ({"x-breeze-audio-codec": "unheard of"}, Encoding.PCM_S16LE),
        ({}, Encoding.PCM_S16LE),
    ],
)
def test_shape_headers(headers: dict[str, str], encoding: Encoding) -> None:
    assert request_of().accept(headers).source == SourceFormat(
        container=Container.RAW, pcm=AudioFormat(encoding=encoding, sample_rate_hz=24000)
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"x-breeze-sample-rate": "0"},
        {"x-breeze-sample-rate": "384001"},
        {"x-breeze-sample-rate": "24000.0"},
        {"x-breeze-sample-rate": "٢٤٠٠٠"},
        {"x-breeze-channels": "-1"},
        {"x-breeze-channels": "9"},
        {"x-breeze-sample-width-bytes": "5"},
    ],
)
def test_a_shape_that_cannot_be_is_no_audio(headers: dict[str, str]) -> None:
    with pytest.raises(ProviderError) as caught:
        request_of().accept(headers)
    assert caught.value.code is Code.BAD_AUDIO
    assert next(iter(headers)) in caught.value.message


# Voices


async def test_voices_golden() -> None:
    valid = golden("voices")["valid"]
    pages = [goldens.script({"status": 200, "headers": {}, "json": page}) for page in valid["pages"]]
    driver = HttpDriver()
    await driver.start()
    try:
        async with FakeProvider(in_turn(*pages)) as fake:
            voices, query = [], breeze(fake.url).voices()
            following: VoiceQuery | None = query
            while following:
                assert isinstance(following.request, HttpRequest)
                page, following = following.parse(await driver.fetch(following.request))
                voices += page
            goldens.check_request(fake.exchanges[0].request, valid["request"])
            goldens.check_request(fake.exchanges[1].request, valid["request"] | {"query": valid["next_query"]})
            assert len(fake.exchanges) == 2
    finally:
        await driver.close()
    assert goldens.told(voices) == valid["voices"]


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"voices": null}'])
def test_a_list_of_voices_that_is_none(body: bytes) -> None:
    with pytest.raises(ProviderError, match="voices") as caught:
        breeze().voices().parse(body)
    assert not caught.value.retryable


def test_the_twin_of_the_voices() -> None:
    invalid = golden("voices")["invalid"]
    with pytest.raises(ProviderError) as caught:
        breeze().voices().parse(json.dumps(invalid["pages"][0]).encode())
    goldens.check_error(caught.value, invalid["error"])


def test_pages_without_end_end() -> None:
    body = json.dumps({"voices": [{"voice_id": "voc_1", "name": "Again"}], "has_more": True}).encode()
    query: VoiceQuery | None = breeze().voices()
    pages = 0
    while query:
        voices, query = query.parse(body)
        assert len(voices) == 1
        pages += 1
    assert pages == 40
    assert breeze().voices().parse(b'{"voices": [], "has_more": true}') == ([], None)


def test_a_missing_voices_route_is_not_a_missing_voice() -> None:
    request = breeze().voices().request
    assert isinstance(request, HttpRequest)
    error = request.refuse(Refusal(status=404, headers={}, body=b'{"code": "RESOURCE_NOT_FOUND"}'))
    assert (error.code, error.retryable) == (Code.PROVIDER_REJECTED, False)


# The account


@pytest.mark.parametrize("twin", ["valid", "invalid"])
@pytest.mark.parametrize("name", ["models", "limits", "balance"])
def test_what_an_account_has(name: str, twin: str) -> None:
    both = golden(f"account/{name}")
    case = both["valid"] | both["invalid"] if twin == "invalid" else both["valid"]
    provider = breeze()
    query: Query[Any] | None = getattr(provider, name)()
    assert query is not None
    assert (query.request.method, query.request.url) == ("GET", BASE_URL + case["url"])
    assert query.request.secret_headers == {"xi-api-key": KEY}
    body = json.dumps(case["reply"]).encode()
    if says := case.get("says"):
        with pytest.raises(ProviderError) as caught:
            query.parse(body)
        assert all(said in caught.value.message for said in says)
        return
    parsed = query.parse(body)
    if name == "models":
        parsed = [[model.id, model.name, list(model.languages), model.description] for model in parsed]
    assert parsed == case["parsed"]


def test_without_a_key_no_limit_is_asked_for() -> None:
    assert breeze(api_key=None).limits() is None


def test_past_audio_is_fetched_by_its_id() -> None:
    request = breeze().history_audio("hist/1")
    assert (request.method, request.url) == ("GET", f"{BASE_URL}/v1/history/hist%2F1/audio")
    assert request.accept({"content-type": "audio/wav"}).source.container is Container.WAV
    refusal = Refusal(status=425, headers={"retry-after": "3"}, body=b'{"code": "GENERATION_NOT_READY"}')
    error = request.refuse(refusal)
    assert (error.code, error.retryable, error.retry_after_s) == (Code.PROVIDER_UNAVAILABLE, True, 3.0)


def test_a_whole_clip_may_take_its_time() -> None:
    assert request_of(options={"transport": "sync"}).first_byte_timeout_s == 60
    assert request_of().first_byte_timeout_s is None
