"""The OpenAI-shaped adapter: golden exchanges with invalid twins, and the vendor's own SDK against the same fake."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver, HttpSettings
from relay.errors import ClientError, Code, ProviderError
from relay.providers.base.http import HttpRequest
from relay.providers.base.provider import ProviderSettings, SpeechRequest, VoiceQuery
from relay.providers.openai.presets import PRESETS, VOICES, preset_at
from relay.providers.openai.provider import OpenAI
from relay.testing.fake_openai import MEDIA_TYPES, FakeOpenAI
from relay.testing.fake_provider import FakeProvider, FakeRequest
from tests.providers import goldens

KEY = "sk-test_key"
EXCHANGES = goldens.names("openai", but=("voices",))
TEXT = "The same words, said by both."


def made(base_url: str | None = None, **settings: Any) -> OpenAI:
    return OpenAI(ProviderSettings(**({"api_key": KEY, "base_url": base_url} | settings)))


@pytest.mark.parametrize("name", EXCHANGES)
async def test_golden_exchange_and_its_invalid_twin(name: str) -> None:
    both = goldens.load("openai", name)
    await goldens.play(made, both["valid"], secrets=(KEY,))
    await goldens.play_twin(made, both, secrets=(KEY,))


def test_every_preset_has_its_golden() -> None:
    assert {name.replace("-", "_") for name in PRESETS} - {"openai"} <= set(EXCHANGES)


def test_a_list_of_voices_of_names_and_objects() -> None:
    both = goldens.load("openai", "voices")
    query = made(preset="kokoro").voices()
    assert isinstance(query, VoiceQuery)
    assert isinstance(query.request, HttpRequest)
    assert query.request.url == "http://127.0.0.1:8880/v1/audio/voices"
    found, following = query.parse(json.dumps(both["valid"]["reply"]["json"]).encode())
    assert (goldens.told(found), following) == (both["valid"]["voices"], None)
    with pytest.raises(ProviderError) as caught:
        query.parse(json.dumps(both["invalid"]["json"]).encode())
    goldens.check_error(caught.value, both["invalid"]["error"])


# Beside the vendor's SDK


def asked(options: dict[str, Any]) -> tuple[SpeechRequest, dict[str, Any]]:
    """A wish, and the same as arguments of the SDK."""
    options = dict(options)
    wanted: dict[str, Any] = {name: options.pop(name) for name in ("voice", "model", "instructions") if name in options}
    voice = wanted.get("voice", "alloy")
    arguments = {"model": "gpt-4o-mini-tts", "response_format": "pcm", "input": TEXT, **wanted, **options}
    arguments["voice"] = {"id": voice} if voice.startswith("voice_") else voice
    return SpeechRequest(**wanted, options=options), arguments


WISHES: list[dict[str, Any]] = [
    *({"response_format": name} for name in MEDIA_TYPES),
    {"stream_format": "sse"},
    {"stream_format": "audio", "speed": 0.25},
    {"speed": 4.0, "instructions": "Calm, as at night."},
    {"voice": "voice_1234"},
    {"model": "tts-1-hd", "voice": "nova", "response_format": "mp3"},
]


def described(request: FakeRequest) -> dict[str, Any]:
    return {
        "line": f"{request.method} {request.target}",
        "body": request.json(),
        "content-type": request.headers["content-type"],
        "authorization": request.headers["authorization"],
    }


@pytest.mark.parametrize("wish", WISHES, ids=str)
async def test_a_request_is_what_the_sdk_sends_and_the_audio_what_it_gets(wish: dict[str, Any]) -> None:
    import openai  # it takes a second, which only the worker that runs these is to spend

    wanted, arguments = asked(wish)
    async with (
        FakeProvider(FakeOpenAI(key=KEY)) as fake,
        openai.AsyncOpenAI(api_key=KEY, base_url=f"{fake.url}/v1", max_retries=0) as sdk,
    ):
        theirs = (await sdk.audio.speech.create(**arguments)).content
        ours = await spoken(made(f"{fake.url}/v1", preset="openai"), wanted)
        first, second = (exchange.request for exchange in fake.exchanges)
        assert described(second) == described(first)
    if wish.get("stream_format") == "sse":
        assert theirs.count(b"data: ") == -(-len(ours) // 1001) + 1
    else:
        assert ours == theirs


async def spoken(provider: OpenAI, wanted: SpeechRequest, text: str = TEXT) -> bytes:
    http = HttpDriver(HttpSettings(retries=0))
    await http.start()
    try:
        async with http.open(provider.request(provider.resolve(wanted), text), Timings()) as reply:
            return b"".join([piece async for piece in reply if isinstance(piece, bytes)])
    finally:
        await http.close()


@pytest.mark.parametrize(
    ("settings", "wanted", "theirs", "code"),
    [
        ({"api_key": "sk-other"}, {}, "AuthenticationError", Code.PROVIDER_AUTH),
        ({}, {"voice": "nobody"}, "BadRequestError", Code.VOICE_NOT_FOUND),
        ({}, {"model": "gpt-4"}, "NotFoundError", Code.PROVIDER_REJECTED),
        ({}, {"model": "tts-1", "options": {"stream_format": "sse"}}, "BadRequestError", Code.PROVIDER_REJECTED),
    ],
)
async def test_what_the_service_refuses_is_refused_to_both(
    settings: dict[str, Any], wanted: dict[str, Any], theirs: str, code: Code
) -> None:
    import openai

    async with (
        FakeProvider(FakeOpenAI(key=KEY)) as fake,
        openai.AsyncOpenAI(api_key=settings.get("api_key", KEY), base_url=f"{fake.url}/v1", max_retries=0) as sdk,
    ):
        wish = SpeechRequest(**wanted)
        _, arguments = asked(
            {"voice": "alloy", **wanted.get("options", {}), **{k: wanted[k] for k in wanted if k != "options"}}
        )
        with pytest.raises(getattr(openai, theirs)):
            await sdk.audio.speech.create(**arguments)
        with pytest.raises(ProviderError) as caught:
            await spoken(made(f"{fake.url}/v1", preset="openai", **settings), wish)
        assert (caught.value.code, caught.value.retryable) == (code, False)


def test_the_fake_is_strict() -> None:
    """Each of these is refused; a good request has none of them."""
    good = {"input": "Hi", "model": "tts-1", "voice": "alloy"}
    fake = FakeOpenAI(key=KEY)

    def status(body: Any) -> int:
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        script = fake(
            FakeRequest(method="POST", target="/v1/audio/speech", headers=headers, body=json.dumps(body).encode())
        )
        return script[0].status  # type: ignore[union-attr]

    assert status(good) == 200
    odd: Iterator[Any] = iter(
        [
            {**good, "language": "en"},
            {**good, "input": ""},
            {**good, "input": "x" * 4097},
            {**good, "voice": {"id": "a", "b": 1}},
            {**good, "speed": 0.2},
            {**good, "speed": True},
            {**good, "response_format": "raw"},
            {**good, "stream_format": "sse"},
            {"input": "Hi", "model": "tts-1"},
            [],
        ]
    )
    assert {status(body) for body in odd} == {400}
    assert fake.spoken == ["Hi"]


# Which server it is


def test_an_address_is_that_of_a_preset_or_of_a_compatible_server() -> None:
    assert preset_at(None) == "openai"
    assert preset_at("https://api.openai.com/v1/") == "openai"
    assert preset_at("https://api.groq.com/openai/v1") == "groq"
    assert preset_at("http://tts.internal/v1") == "compatible"
    request = made().request(made().resolve(SpeechRequest()), "Hi")
    assert request.url == "https://api.openai.com/v1/audio/speech"
    assert KEY not in f"{request.url} {request.headers} {request.body!r} {made()._api!r}"


@pytest.mark.parametrize(
    ("settings", "wanted", "says"),
    [
        ({"preset": "grog"}, {}, "openai.preset is 'grog'; it must be one of openai, compatible"),
        ({"preset": "groq", "api_key": None}, {}, "openai has no API key; set GROQ_API_KEY"),
        ({"api_key": None}, {}, "openai has no API key; set OPENAI_API_KEY"),
        ({"base_url": "http://tts.internal/v1"}, {}, "voice is missing"),
        ({"options": {"speed": 9}}, {}, "openai.options.speed is 9"),
        ({}, {"options": {"sample_rate": 8000}}, "options has no field 'sample_rate'"),
        ({"preset": "groq"}, {"instructions": "Calm."}, "openai has none"),
        ({}, {"voice": "v" * 201}, "voice has 201 characters"),
    ],
)
def test_what_is_refused_says_why(settings: dict[str, Any], wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError) as caught:
        made(**settings).resolve(SpeechRequest(**wanted))
    assert caught.value.code is Code.INVALID_CONFIG
    assert says in caught.value.message


def test_a_whole_clip_is_waited_for_and_speech_in_a_stream_is_not() -> None:
    patience = {
        name: (each := made("http://127.0.0.1:9", preset=name))
        .request(each.resolve(SpeechRequest(voice="v")), "Hi")
        .first_byte_timeout_s
        for name in PRESETS
    }
    assert {name for name, seconds in patience.items() if seconds} == {"localai", "chatterbox", "orpheus", "coqui"}


def test_a_speed_of_its_own_cannot_be_streamed_by_vllm() -> None:
    provider = made(preset="vllm-omni")
    slow = provider.resolve(SpeechRequest(voice="v", options={"speed": 0.5})).settings.body
    assert "stream_format" not in slow
    assert provider.resolve(SpeechRequest(voice="v", options={"speed": 1.0})).settings.body["stream_format"] == "audio"


def test_the_voices_of_the_vendor_and_those_of_an_account() -> None:
    provider = made()
    listed = provider.voices()
    assert isinstance(listed, list)
    assert tuple(voice.id for voice in listed) == VOICES
    assert provider.is_named("voice_1234", listed[0])
    assert not provider.is_named("nobody", listed[0])
