"""What the vendor's own SDK sends to a strict fake, and what the adapter does: the same, over HTTP and a WebSocket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from deepgram import AsyncDeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from deepgram.speak.v1.types.speak_v1text import SpeakV1Text
from deepgram.speak.v2.types.speak_v2speak import SpeakV2Speak

from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver, HttpSettings
from relay.drivers.ws.driver import WsDriver
from relay.errors import Code, ProviderError
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.deepgram.provider import Deepgram
from relay.testing.fake_deepgram import FLUSHES, FakeDeepgram, clip
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.fake_socket import FakeSocket
from relay.testing.script import Send, Status

KEY = "dg_test_key"
TEXT = "The same words, said by both."
# Pydantic's old name for `model_dump`, which the SDK calls.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@dataclass(kw_only=True)
class House:
    fake: FakeDeepgram
    api: FakeProvider
    sockets: FakeSocket
    sdk: AsyncDeepgramClient
    http: HttpDriver
    ws: WsDriver

    def provider(self, *, socket: bool = False) -> Deepgram:
        url = self.sockets.url.replace("ws", "http", 1) if socket else self.api.url
        return Deepgram(ProviderSettings(api_key=KEY, base_url=url))

    async def spoken(self, wanted: SpeechRequest, text: str = TEXT) -> bytes:
        provider = self.provider()
        async with self.http.open(provider.request(provider.resolve(wanted), text), Timings()) as reply:
            return b"".join([piece async for piece in reply if isinstance(piece, bytes)])


@asynccontextmanager
async def house(now_s: Any = lambda: 0.0) -> AsyncIterator[House]:
    fake = FakeDeepgram(key=KEY, now_s=now_s)
    async with FakeProvider(fake) as api, FakeSocket(fake.converse) as sockets, httpx.AsyncClient() as client:
        at = DeepgramClientEnvironment(base=api.url, production=sockets.url, agent=sockets.url, agent_rest=api.url)
        http = HttpDriver(HttpSettings(retries=0))
        ws = WsDriver(http)
        await http.start()
        await ws.start()
        try:
            sdk = AsyncDeepgramClient(api_key=KEY, environment=at, httpx_client=client)
            yield House(fake=fake, api=api, sockets=sockets, sdk=sdk, http=http, ws=ws)
        finally:
            await ws.close()
            await http.close()


def described(request: FakeRequest) -> dict[str, Any]:
    query = {name: value.removesuffix(".0") for name, value in request.query.items()}
    return {
        "line": f"{request.method} {request.path}",
        "query": query,
        "body": request.json(),
        "authorization": request.headers["authorization"],
        "content-type": request.headers["content-type"],
    }


WISHES: list[dict[str, Any]] = [
    {"sample_rate": 24000},
    {"sample_rate": 48000, "container": "wav", "speed": 1.5},
    {"sample_rate": 8000, "encoding": "mulaw", "mip_opt_out": True, "tag": "calls"},
    {"sample_rate": 16000, "encoding": "alaw", "model": "aura-2-orion-en"},
]


@pytest.mark.parametrize("wish", WISHES, ids=str)
async def test_a_request_is_what_the_sdk_sends(wish: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"model": "aura-2-thalia-en", "encoding": "linear16", "container": "none", **wish}
    options = {name: value for name, value in wish.items() if name != "model"}
    async with house() as of:
        theirs = b"".join([piece async for piece in of.sdk.speak.v1.audio.generate(text=TEXT, **asked)])
        ours = await of.spoken(SpeechRequest(voice=asked["model"], options=options))
        first, second = (exchange.request for exchange in of.api.exchanges)
    assert described(second) == described(first)
    assert ours == theirs


async def test_a_request_of_flux_is_what_the_sdk_sends() -> None:
    asked: dict[str, Any] = {"encoding": "linear16", "container": "none", "sample_rate": 44100, "expressivity": 2}
    async with FakeProvider((Status(200, {"content-type": "audio/l16"}), Send(bytes(8)))) as api, house() as of:
        at = DeepgramClientEnvironment(base=api.url, production=api.url, agent=api.url, agent_rest=api.url)
        async with httpx.AsyncClient() as client:
            sdk = AsyncDeepgramClient(api_key=KEY, environment=at, httpx_client=client)
            theirs = b"".join(
                [piece async for piece in sdk.speak.v2.audio.generate(model="flux-x-en", text=TEXT, **asked)]
            )
        provider = Deepgram(ProviderSettings(api_key=KEY, base_url=api.url))
        speech = provider.resolve(SpeechRequest(voice="flux-x-en", options=asked))
        async with of.http.open(provider.request(speech, TEXT), Timings()) as reply:
            assert b"".join([piece async for piece in reply if isinstance(piece, bytes)]) == theirs
        first, second = (exchange.request for exchange in api.exchanges)
    assert described(second) == described(first)
    assert first.path == "/v2/speak"


async def test_what_the_service_refuses_is_refused_to_both() -> None:
    async with house() as of:
        with pytest.raises(ApiError):
            await anext(
                of.sdk.speak.v1.audio.generate(text=TEXT, model="aura-9", encoding="linear16", sample_rate=24000)
            )
        with pytest.raises(ProviderError) as caught:
            await of.spoken(SpeechRequest(voice="aura-9"))
        assert caught.value.code is Code.VOICE_NOT_FOUND
        assert of.fake.spoken == []


async def test_a_turn_on_the_socket_is_what_the_sdk_sends() -> None:
    parts = ("The same words, ", "said by both.")
    async with house() as of:
        asked: dict[str, Any] = {"model": "aura-2-thalia-en", "encoding": "linear16", "sample_rate": 24000}
        theirs = b""
        async with of.sdk.speak.v1.connect(**asked) as sdk:
            for part in parts:
                await sdk.send_text(SpeakV1Text(type="Speak", text=part))
            await sdk.send_flush()
            async for message in sdk:
                if isinstance(message, bytes):
                    theirs += message
                elif message.type == "Flushed":
                    break
        provider = of.provider(socket=True)
        speech = provider.resolve(SpeechRequest(options={"transport": "socket", "sample_rate": 24000}))
        ours = b""
        async with of.ws.converse(provider.converse(speech), Timings()) as conversation:
            for part in parts:
                await conversation.give(part)
            await conversation.end_text()
            async for piece in conversation:
                ours += piece if isinstance(piece, bytes) else b""
        first, second = of.sockets.links
        assert [urlsplit(link.path).path for link in (first, second)] == ["/v1/speak"] * 2
        queries = [
            {name: value.removesuffix(".0") for name, value in parse_qsl(urlsplit(link.path).query)}
            for link in (first, second)
        ]
        assert queries[0] == queries[1]
        assert first.headers["authorization"] == second.headers["authorization"]
        assert second.told == first.told[: len(second.told)]
    assert ours == theirs == clip(TEXT)


async def test_a_turn_of_flux_on_the_socket_is_what_the_sdk_sends() -> None:
    asked: dict[str, Any] = {"encoding": "linear16", "sample_rate": 24000}
    async with house() as of, FakeSocket(of.fake.converse_flux) as sockets, httpx.AsyncClient() as client:
        at = DeepgramClientEnvironment(base="", production=sockets.url, agent="", agent_rest="")
        sdk = AsyncDeepgramClient(api_key=KEY, environment=at, httpx_client=client)
        theirs = ours = b""
        async with sdk.speak.v2.connect(model="flux-x-en", **asked) as speaking:
            await speaking.send_speak(SpeakV2Speak(type="Speak", text=TEXT))
            await speaking.send_flush()
            async for message in speaking:
                if isinstance(message, bytes):
                    theirs += message
                elif message.type == "SpeechMetadata":
                    break
        provider = Deepgram(ProviderSettings(api_key=KEY, base_url=sockets.url.replace("ws", "http", 1)))
        speech = provider.resolve(SpeechRequest(voice="flux-x-en", options={"transport": "socket", **asked}))
        for _ in range(2):  # the second turn over the same socket
            ours = b""
            async with of.ws.converse(provider.converse(speech), Timings()) as conversation:
                await conversation.give(TEXT)
                await conversation.end_text()
                async for piece in conversation:
                    ours += piece if isinstance(piece, bytes) else b""
        first, second = sockets.links
        assert parse_qsl(urlsplit(first.path).query) == parse_qsl(urlsplit(second.path).query)
        assert urlsplit(first.path).path == urlsplit(second.path).path == "/v2/speak"
        assert first.headers["authorization"] == second.headers["authorization"]
        assert second.told[:2] == first.told[:2]
    assert ours == theirs == clip(TEXT)


async def test_flushes_beyond_the_limit_are_warned_of_and_spoken() -> None:
    async with house() as of:
        provider = of.provider(socket=True)
        speech = provider.resolve(SpeechRequest(options={"transport": "socket"}))
        heard = b""
        async with of.ws.converse(provider.converse(speech), Timings()) as conversation:
            for _ in range(FLUSHES + 1):
                await conversation.give("Word. ")
                await conversation.flush()
            await conversation.end_text()
            async for piece in conversation:
                heard += piece if isinstance(piece, bytes) else b""
        assert of.fake.spoken == ["Word. "] * (FLUSHES + 1)
    assert heard == clip("Word. ") * (FLUSHES + 1)


def test_the_fake_is_strict() -> None:
    fake = FakeDeepgram(key=KEY)
    good = {"model": "aura-2-thalia-en", "encoding": "linear16", "sample_rate": "24000", "container": "none"}

    def status(body: str, **query: str) -> int:
        target = "/v1/speak?" + "&".join(f"{name}={value}" for name, value in {**good, **query}.items())
        headers = {"authorization": f"Token {KEY}"}
        step = fake(FakeRequest(method="POST", target=target, headers=headers, body=body.encode()))[0]
        return int(getattr(step, "status"))  # noqa: B009

    assert status('{"text": "Hi"}') == 200
    for odd in ({"voice": "x"}, {"model": "aura-9"}, {"sample_rate": "44100"}, {"container": "ogg"}, {"speed": "2"}):
        assert status('{"text": "Hi"}', **odd) == 400
    for body in ('{"text": ""}', '{"text": "Hi", "model": "x"}', "[]"):
        assert status(body) == 400
    assert status('{"text": "%s"}' % ("x" * 2001)) == 413
    assert fake.spoken == ["Hi"]
