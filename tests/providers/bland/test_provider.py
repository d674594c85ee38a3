"""The Bland adapter over HTTP: golden exchanges on the wire, each with an invalid twin, and the whole error table.

A golden's `invalid` part replaces keys of its `valid` one, and must end in an error.
"""

import json
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from relay.core.formats import OUTPUT_RATES_HZ, Container
from relay.drivers.http.driver import HttpDriver, HttpSettings
from relay.errors import ClientError, Code, ProviderError, ProviderFault
from relay.providers.base.http import HttpRequest, Refusal
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.base.rates import best_rate_hz
from relay.providers.bland import samples as bland_samples
from relay.providers.bland.account import BASE_URL, Account
from relay.providers.bland.provider import Bland
from relay.testing.fake_provider import FakeProvider
from relay.testing.script import Send, Status
from tests.providers import goldens
from tests.providers.documented_errors import BLAND_FATAL, BLAND_STATUSES, bland_shapes
from tests.providers.goldens import Golden

KEY = "org_test_key"
KAREN = "29158307-9893-4149-8a75-bc9ce313d64e"
EXCHANGES = [name for name in goldens.names("bland") if name.startswith("v") and name != "voices"]
SAMPLES = ("sample", "sample_bare")


def golden(name: str) -> Golden:
    return goldens.load("bland", name)


def bland(base_url: str | None = None, **settings: Any) -> Bland:
    return Bland(ProviderSettings(**({"api_key": KEY, "base_url": base_url} | settings)))


def request_of(text: str = "Hello there", settings: Golden | None = None, **wanted: Any) -> HttpRequest:
    provider = bland(**(settings or {}))
    return provider.request(provider.resolve(SpeechRequest(**({"voice": KAREN} | wanted))), text)


def body_of(request: HttpRequest) -> Golden:
    return cast("Golden", json.loads(request.body or b""))


@pytest.mark.parametrize("name", EXCHANGES)
async def test_golden_exchange(name: str) -> None:
    await goldens.play(bland, golden(name)["valid"], secrets=(KEY,))


@pytest.mark.parametrize("name", EXCHANGES)
async def test_invalid_twin(name: str) -> None:
    await goldens.play_twin(bland, golden(name), secrets=(KEY,))


@pytest.mark.parametrize(("code", "ours"), BLAND_FATAL)
@pytest.mark.parametrize("api", ["v1", "v2"])
def test_every_fatal_code_in_every_shape_whatever_the_status(api: str, code: str, ours: Code) -> None:
    request = request_of(options={"api": api})
    for status in (200, 400, 429, 503):
        for body in bland_shapes(code, "Because."):
            error = request.refuse(Refusal(status=status, headers={}, body=body))
            assert (error.code, error.retryable) == (ours, False)
            assert error.provider == ProviderFault(name="bland", status=status, code=code, message="Because.")
            assert error.message == f"bland answered {status} {code}: Because."


@pytest.mark.parametrize(("status", "ours", "retryable"), BLAND_STATUSES)
@pytest.mark.parametrize("api", ["v1", "v2"])
def test_any_other_code_goes_by_its_status(api: str, status: int, ours: Code, retryable: bool) -> None:
    for body in bland_shapes("never_heard_of", "Because."):
        error = request_of(options={"api": api}).refuse(
            Refusal(status=status, headers={"retry-after": "7", "x-request-id": "r-1"}, body=body)
        )
        assert (error.code, error.retryable, error.retry_after_s) == (ours, retryable, 7.0)
        assert (error.provider.code, error.provider.request_id) == ("never_heard_of", "r-1")


def test_of_several_errors_the_known_one_counts_and_all_are_told() -> None:
    errors: list[Any] = [{"error": "Oops", "message": "One."}, "Two.", {"error": "ORG_SUSPENDED", "message": "Three."}]
    body = json.dumps({"data": None, "errors": errors}).encode()
    error = request_of().refuse(Refusal(status=400, headers={}, body=body))
    assert (error.code, error.provider.code) == (Code.PROVIDER_AUTH, "ORG_SUSPENDED")
    assert error.provider.message == "One.; Two.; Three."


@pytest.mark.parametrize("body", [b'{"error": {"code": "busy"}}', b'{"data": null, "errors": [{"error": "busy"}]}'])
def test_an_error_without_words_is_told_by_its_code_alone(body: bytes) -> None:
    error = request_of().refuse(Refusal(status=500, headers={}, body=body))
    assert (error.message, error.provider.message) == ("bland answered 500 busy", None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[1]",
        b'"slow down"',
        b'{"error": 7}',
        b'{"error": {"code": 7, "message": ["a"]}}',
        b'{"errors": {"a": 1}}',
        b'{"errors": []}',
        b'{"errors": [null, 3]}',
        b'{"data": null, "err',
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


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_neither_key_nor_text_come_back(api: str) -> None:
    text = "The patient's name is Ada."
    said = f"key {KEY}, text {text!r}, began {text[:14]!r}"
    for body in [*bland_shapes("invalid_request", said), *bland_shapes(said, "Because."), said.encode()]:
        error = request_of(text, options={"api": api}).refuse(Refusal(status=422, headers={}, body=body))
        for secret in (KEY, text, "patient's name", "The patient's"):
            assert secret not in f"{error.message} {error.provider}"


def test_the_key_is_in_no_representation_and_spelled_as_each_api_wants_it() -> None:
    for api, header in (("v1", KEY), ("v2", f"Bearer {KEY}"), ("socket", f"Bearer {KEY}")):
        request = request_of(options={"api": api})
        assert request.secret_headers == {"authorization": header}
        assert KEY not in f"{request.url} {request.headers} {request.body!r}"
    assert KEY not in repr(Account(api_key=KEY))


# Settings


@pytest.mark.parametrize(
    ("wanted_hz", "v1", "v2"),
    [
        (8000, 8000, 8000),
        (11025, 44100, 44100),
        (12000, 24000, 24000),
        (16000, 16000, 16000),
        (22050, 44100, 44100),
        (24000, 24000, 24000),
        (32000, 44100, 44100),
        (44100, 44100, 44100),
        (48000, 44100, 48000),
        (None, 44100, 48000),
    ],
)
def test_the_rate_that_serves_the_client_best(wanted_hz: int | None, v1: int, v2: int) -> None:
    body = body_of(request_of(sample_rate_hz=wanted_hz, options={"api": "v1"}))
    assert body["output_format"] == f"pcm_{v1}"
    assert body_of(request_of(sample_rate_hz=wanted_hz))["audio"] == {"encoding": "pcm_s16le", "sample_rate": v2}


def test_no_client_rate_is_left_out() -> None:
    assert all(best_rate_hz((8000, 16000, 24000, 44100, 48000), rate_hz) >= rate_hz for rate_hz in OUTPUT_RATES_HZ)


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [("expressiveness", 0, 1), ("consistency", 0, 32), ("boost", -1000, 1000)],
)
def test_ranges_of_v1_include_their_ends(field: str, low: int, high: int) -> None:
    for value in (low, high):
        assert body_of(request_of(options={"api": "v1", field: value}))[field] == value
    wrong: tuple[Any, ...] = (low - 1, high + 1, float("nan"), True, "1", [1])
    for value in wrong:
        with pytest.raises(ClientError, match=rf"options\.{field} is "):
            request_of(options={"api": "v1", field: value})


@pytest.mark.parametrize("field", ["expressiveness", "stability"])
def test_ranges_of_v2_include_their_ends(field: str) -> None:
    for value in (0, 0.5, 1):
        assert body_of(request_of(options={"controls": {field: value}}))["controls"] == {field: value}
    wrong: tuple[Any, ...] = (-0.001, 1.001, float("nan"), True, "1")
    for value in wrong:
        with pytest.raises(ClientError, match=rf"options\.controls\.{field} is .* from 0 to 1$"):
            request_of(options={"controls": {field: value}})


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"options": {"api": "v3"}}, "options.api is 'v3'; it must be one of v1, v2, socket"),
        ({"options": {"api": 2}}, "options.api is 2; it must be one of v1, v2, socket"),
        ({"options": {"pitch": 1}}, "has no field 'pitch'; it has api, audio, controls, auto_formatting where"),
        ({"options": {"output_format": "pcm_8000"}}, "has no field 'output_format'"),
        ({"options": {"api": "v1", "controls": {}}}, "it has api, output_format, stream, consistency, expressiveness,"),
        ({"options": {"audio": [1]}}, "options.audio is [1]; it must be an object"),
        ({"options": {"audio": {"bits": 8}}}, "has no field 'bits'; it has encoding, sample_rate, container"),
        ({"options": {"audio": {"encoding": "alaw"}}}, "'alaw'; it must be one of pcm_s16le, mulaw"),
        ({"options": {"audio": {"sample_rate": 22050}}}, "22050; it must be one of 8000, 16000, 24000, 44100, 48000"),
        ({"options": {"audio": {"sample_rate": True}}}, "options.audio.sample_rate is True"),
        ({"options": {"audio": {"sample_rate": [8000]}}}, "options.audio.sample_rate is [8000]"),
        ({"options": {"controls": {"speed": 1}}}, "has no field 'speed'; it has expressiveness, stability"),
        ({"options": {"auto_formatting": 1}}, "options.auto_formatting is 1; it must be true or false"),
        ({"options": {"api": "socket", "audio": {"container": "wav"}}}, "the socket sends audio without a header"),
        ({"options": {"api": "v1", "boost": 1.5}}, "options.boost is 1.5; it must be a whole number"),
        ({"options": {"api": "v1"}, "voice": "v" * 201}, "voice has 201 characters; it must have 1 to 200"),
        ({"options": {"api": "v1"}, "language": "l" * 36}, "language has 36 characters"),
        ({"voice": KAREN[:-1]}, "takes the voice's UUID"),
        ({"voice": f" {KAREN}"}, "takes the voice's UUID"),
        ({"model": "BTTS_V3"}, "model is 'BTTS_V3'; bland has none to choose"),
        ({"instructions": "whisper"}, "instructions are given, and bland takes none"),
        ({"options": {"api": "socket"}, "language": "en"}, "language is 'en'; socket of bland speaks the voice's"),
    ],
)
def test_what_is_refused_says_why(wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError) as caught:
        request_of(**wanted)
    assert caught.value.code is Code.INVALID_CONFIG
    assert says in caught.value.message
    assert "whisper" not in caught.value.message


def test_null_is_as_good_as_absent() -> None:
    audio = {"encoding": None, "sample_rate": None, "container": None}
    options = {"api": None, "audio": audio, "controls": {"stability": None}, "auto_formatting": None}
    assert request_of(options=options, language="", instructions="", model="").body == request_of().body
    assert request_of(options={"audio": None, "controls": None}).body == request_of().body
    none = dict.fromkeys(("output_format", "stream", "consistency", "expressiveness", "boost"))
    assert request_of(options={"api": "v1", **none}).body == request_of(options={"api": "v1"}).body


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"base_url": "ftp://host"}, "bland.base_url is 'ftp://host'"),
        ({"api_key": "org_a\nb"}, "bland.api_key"),
        ({"options": {"api": "v4"}}, "bland.options.api is 'v4'"),
        ({"options": {"stream": True}}, "bland.options has no field 'stream'"),
        ({"options": {"api": "v1", "boost": "x"}}, "bland.options.boost is 'x'"),
        ({"options": {"controls": {"stability": 9}}}, "bland.options.controls.stability is 9"),
        ({"options": {"audio": {"encoding": "mulaw", "sample_rate": 48000}}}, "for mulaw it must be 8000"),
        ({"options": {"api": "socket", "audio": {"container": "wav"}}}, "the socket sends audio without a header"),
        ({"voice": "Karen"}, "bland.voice is 'Karen'"),
        ({"language": "en"}, "bland.language is 'en'"),
        ({"model": "BTTS_V3"}, "bland.model is 'BTTS_V3'"),
    ],
)
def test_an_operators_mistake_is_found_at_the_start(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError) as caught:
        bland(**settings)
    assert says in caught.value.message
    assert "org_a" not in caught.value.message


def test_a_turn_chooses_its_api_and_leaves_the_other_ones_settings_behind() -> None:
    configured: Golden = {"options": {"controls": {"stability": 0.5}, "auto_formatting": True}}
    speech = bland(**configured).resolve(SpeechRequest(voice="Karen", options={"api": "v1"}))
    assert not speech.streaming_text
    request = bland(**configured).request(speech, "Hi")
    assert request.url == f"{BASE_URL}/v1/speak/stream"
    assert body_of(request) == {"text": "Hi", "voice_id": "Karen", "output_format": "pcm_44100"}
    # v2 and its socket have the same settings.
    speech = bland(**configured).resolve(SpeechRequest(voice=KAREN, options={"api": "socket"}))
    assert speech.streaming_text
    request = bland(**configured).request(speech, "Hi")
    assert request.url == f"{BASE_URL}/v2/tts"
    assert body_of(request)["controls"] == {"stability": 0.5}
    # A language is v1's alone.
    assert "language" not in body_of(
        request_of(settings={"language": "es", "options": {"api": "v1"}}, options={"api": "v2"})
    )


def test_without_a_key_nothing_is_spoken() -> None:
    with pytest.raises(ClientError, match="BLAND_API_KEY"):
        bland(api_key=None).resolve(SpeechRequest(voice=KAREN))


def test_addresses() -> None:
    assert request_of().url == f"{BASE_URL}/v2/tts"
    request = request_of(settings={"base_url": "http://gateway.internal:8080/bland//"}, options={"api": "v1"})
    assert urlsplit(request.url).path == "/bland/v1/speak/stream"


def test_only_the_whole_clip_is_waited_for() -> None:
    assert request_of(options={"api": "v1", "stream": False}).first_byte_timeout_s == 60
    assert request_of(options={"api": "v1", "stream": True}).first_byte_timeout_s is None
    assert request_of().first_byte_timeout_s is None


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_the_longest_text_and_any_character(api: str) -> None:
    longest = Bland.capabilities.max_segment_chars
    assert longest == 5000
    text = "\ud800\u0000 <|0.8|> مرحبا 🙂".ljust(longest, "x")
    assert body_of(request_of(text, options={"api": api}))["text"] == text
    for wrong in ("", "x" * (longest + 1)):
        with pytest.raises(AssertionError):
            request_of(wrong, options={"api": api})


def test_the_options_that_are_listed_are_those_that_are_taken() -> None:
    listed = Bland.capabilities.options
    assert len(set(listed)) == len(listed)
    taken = {"api"}
    for api in ("v1", "v2"):
        for name in listed[1:]:
            try:
                bland().resolve(SpeechRequest(voice=KAREN, options={"api": api, name: None}))
            except ClientError:
                continue
            taken.add(name)
    assert taken == set(listed)


# Voices


async def fetched(query: HttpRequest, fake: FakeProvider) -> bytes:
    driver = HttpDriver(HttpSettings(retries=0))
    await driver.start()
    try:
        return await driver.fetch(query)
    finally:
        await driver.close()


@pytest.mark.parametrize("field", ["voices", "data"])
async def test_voices_golden(field: str) -> None:
    valid = golden("voices")["valid"]
    reply = {"status": 200, "headers": {}, "json": {field: valid["reply"]["voices"], "errors": None}}
    async with FakeProvider(goldens.script(reply)) as fake:
        query = bland(fake.url).voices()
        assert isinstance(query.request, HttpRequest)
        voices, following = query.parse(await fetched(query.request, fake))
        goldens.check_request(fake.exchanges[0].request, valid["request"])
    assert following is None
    assert goldens.told(voices) == valid["voices"]


def test_the_twin_of_the_voices() -> None:
    case = goldens.twin(golden("voices"))
    with pytest.raises(ProviderError) as caught:
        bland().voices().parse(json.dumps(case["reply"]).encode())
    goldens.check_error(caught.value, case["error"])


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"voices": null}', b'{"voices": {"a": {}}}'])
def test_a_list_of_voices_that_is_none(body: bytes) -> None:
    with pytest.raises(ProviderError, match="voices") as caught:
        bland().voices().parse(body)
    assert not caught.value.retryable


def test_an_account_without_voices_has_none() -> None:
    assert bland().voices().parse(b'{"voices": []}') == ([], None)


def test_a_missing_voices_route_is_not_a_missing_voice() -> None:
    request = bland().voices().request
    assert isinstance(request, HttpRequest)
    for body in bland_shapes("voice_not_found", "Gone."):
        error = request.refuse(Refusal(status=404, headers={}, body=body))
        assert (error.code, error.retryable) == (Code.PROVIDER_REJECTED, False)


# Stored samples


def told(sample: bland_samples.Sample) -> Golden:
    names = ("id", "voice_id", "text", "output_format", "latency_ms", "cost_usd", "created_at")
    return {name: getattr(sample, name) for name in names}


@pytest.mark.parametrize("name", SAMPLES)
async def test_a_sample_golden(name: str) -> None:
    valid = golden(name)["valid"]
    async with FakeProvider(goldens.script({"status": 200, "headers": {}, "json": valid["reply"]})) as fake:
        request = bland_samples.sample_request(Account(base_url=fake.url, api_key=KEY), valid["sample"]["id"])
        sample = bland_samples.parse_sample(await fetched(request, fake))
        goldens.check_request(fake.exchanges[0].request, valid["request"])
    assert told(sample) == valid["sample"]
    assert (sample.audio or b"").hex() == valid["hex"]
    assert sample.source == goldens.source_of(valid["source"])
    assert valid["sample"]["text"] not in repr(sample)


async def test_the_list_of_samples_golden() -> None:
    valid = golden("samples")["valid"]
    async with FakeProvider(goldens.script({"status": 200, "headers": {}, "json": valid["reply"]})) as fake:
        account = Account(base_url=fake.url, api_key=KEY)
        request = bland_samples.list_request(account, limit=10, voice_id="v 1")
        page = bland_samples.parse_list(await fetched(request, fake))
        goldens.check_request(fake.exchanges[0].request, valid["request"])
    assert [told(sample) for sample in page.samples] == valid["samples"]
    assert [(sample.audio, sample.source) for sample in page.samples] == [(None, None)]
    assert page.total == valid["total"]


@pytest.mark.parametrize("name", [*SAMPLES, "samples"])
def test_the_twins_of_samples(name: str) -> None:
    case = goldens.twin(golden(name))
    parse = bland_samples.parse_list if name == "samples" else bland_samples.parse_sample
    with pytest.raises(ProviderError) as caught:
        parse(json.dumps(case["reply"]).encode())
    goldens.check_error(caught.value, case["error"])


async def test_a_samples_audio_is_read_as_it_comes() -> None:
    wav = bytes.fromhex(golden("sample")["valid"]["hex"])
    async with FakeProvider((Status(200, {"content-type": "audio/x-wav"}), Send(wav[:50]), Send(wav[50:]))) as fake:
        request = bland_samples.audio_request(Account(base_url=fake.url, api_key=KEY), "a/b c")
        assert await fetched(request, fake) == wav
        sent = fake.exchanges[0].request
        assert (sent.path, sent.query) == ("/v1/speak/samples/a%2Fb%20c", {"format": "audio"})
    assert request.accept({}).source.container is Container.WAV


@pytest.mark.parametrize("status", [200, 404])
def test_a_missing_sample_is_no_missing_voice(status: int) -> None:
    body = b'{"data": null, "errors": [{"error": "NOT_FOUND", "message": "No such sample."}]}'
    if status == 200:
        with pytest.raises(ProviderError) as caught:
            bland_samples.parse_sample(body)
        error = caught.value
    else:
        request = bland_samples.sample_request(Account(api_key=KEY), "a3f8")
        error = request.refuse(Refusal(status=status, headers={}, body=body))
    assert (error.code, error.retryable) == (Code.PROVIDER_REJECTED, False)
    assert error.provider == ProviderFault(name="bland", status=status, code="NOT_FOUND", message="No such sample.")


@pytest.mark.parametrize("data", [b"{}", b'{"id": ""}', b'{"id": "a"}', b'{"id": "a", "audio_data": 1}'])
def test_a_sample_without_audio_is_none(data: bytes) -> None:
    with pytest.raises(ProviderError, match="without an id or without audio") as caught:
        bland_samples.parse_sample(b'{"data": %b}' % data)
    assert caught.value.code is Code.BAD_AUDIO


@pytest.mark.parametrize("sample_id", ["", ".", "..", "x" * 201])
def test_ids_that_are_none(sample_id: str) -> None:
    for request in (bland_samples.sample_request, bland_samples.audio_request):
        with pytest.raises(ClientError, match="sample_id"):
            request(Account(), sample_id)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 101}, {"offset": -1}, {"voice_id": ""}])
def test_pages_are_bounded(wrong: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match=next(iter(wrong))):
        bland_samples.list_request(Account(), **wrong)
