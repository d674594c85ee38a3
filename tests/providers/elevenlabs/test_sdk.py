"""What the vendor's own SDK sends to a strict fake, and what the adapter does: the same, over HTTP and a WebSocket."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver, HttpSettings
from relay.drivers.ws.driver import WsDriver
from relay.errors import Code, ProviderError
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.elevenlabs.provider import ElevenLabs
from relay.testing.fake_elevenlabs import MAX_CONTEXTS, VOICE, FakeElevenLabs, clip
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.fake_socket import FakeSocket, Scene

KEY = "el_test_key"
TEXT = "The same words, said by both."
PARTS = ("The same words, ", "said by both.")
# Pydantic's old names, which the SDK calls.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def sdk() -> Any:
    """The SDK, which is heavy to import; without it a test is skipped."""
    return pytest.importorskip("elevenlabs.client", reason="the SDK elevenlabs is not installed")


@dataclass(kw_only=True)
class House:
    fake: FakeElevenLabs
    api: FakeProvider
    sockets: FakeSocket
    http: HttpDriver
    ws: WsDriver

    async def spoken(self, wanted: SpeechRequest) -> bytes:
        provider = ElevenLabs(ProviderSettings(api_key=KEY, base_url=self.api.url))
        async with self.http.open(provider.request(provider.resolve(wanted), TEXT), Timings()) as reply:
            return b"".join([piece async for piece in reply if isinstance(piece, bytes)])

    async def conversed(self, transport: str) -> bytes:
        provider = ElevenLabs(ProviderSettings(api_key=KEY, base_url=self.sockets.url.replace("ws", "http", 1)))
        speech = provider.resolve(SpeechRequest(options={"transport": transport}))
        async with self.ws.converse(provider.converse(speech), Timings()) as conversation:
            for part in PARTS:
                await conversation.give(part)
            await conversation.end_text()
            return b"".join([piece async for piece in conversation if isinstance(piece, bytes)])


@asynccontextmanager
async def house(scene: str = "converse") -> AsyncIterator[House]:
    fake = FakeElevenLabs(key=KEY)
    play: Scene = getattr(fake, scene)
    async with FakeProvider(fake) as api, FakeSocket(play) as sockets:
        http = HttpDriver(HttpSettings(retries=0))
        ws = WsDriver(http)
        await http.start()
        await ws.start()
        try:
            yield House(fake=fake, api=api, sockets=sockets, http=http, ws=ws)
        finally:
            await ws.close()
            await http.close()


def described(request: FakeRequest) -> dict[str, Any]:
    return {
        "line": f"{request.method} {request.path}",
        "query": request.query,
        "body": request.json(),
        "key": request.headers["xi-api-key"],
        "content-type": request.headers["content-type"],
    }


@pytest.mark.parametrize("timed", [False, True])
async def test_a_request_is_what_the_sdk_sends(timed: bool) -> None:
    settings = {"stability": 0.5, "similarity_boost": 0.75, "style": 0.0, "use_speaker_boost": True, "speed": 1.1}
    asked: dict[str, Any] = {"output_format": "pcm_16000", "enable_logging": False, "seed": 7}
    asked |= {"apply_text_normalization": "off"}
    theirs = b""
    async with house() as of, httpx.AsyncClient() as client:
        speech = sdk().AsyncElevenLabs(api_key=KEY, base_url=of.api.url, httpx_client=client).text_to_speech
        told = {"voice_id": VOICE, "text": TEXT, "model_id": "eleven_multilingual_v2", "language_code": "en", **asked}
        if timed:
            async for line in speech.stream_with_timestamps(voice_settings=settings, **told):
                theirs += base64.b64decode(line.audio_base_64)
        else:
            async for piece in speech.stream(voice_settings=settings, **told):
                theirs += piece
        options = {**asked, "voice_settings": settings, "transport": "timestamps" if timed else "http"}
        ours = await of.spoken(SpeechRequest(model="eleven_multilingual_v2", language="en", options=options))
        first, second = (exchange.request for exchange in of.api.exchanges)
    assert described(second) == described(first)
    assert ours == theirs == clip(TEXT, 16000)


async def test_a_turn_on_the_socket_of_one_turn_is_what_the_sdk_sends() -> None:
    async with house("converse_once") as of:
        client = sdk().ElevenLabs(api_key=KEY, base_url="http://127.0.0.1:9")
        client.text_to_speech._ws_base_url = of.sockets.url  # its own address is always of TLS

        def speak() -> bytes:
            pieces = client.text_to_speech.convert_realtime(
                VOICE, text=iter(PARTS), model_id="eleven_flash_v2_5", output_format="pcm_24000"
            )
            return b"".join(pieces)

        theirs = await asyncio.to_thread(speak)
        ours = await of.conversed("single")
        first, second = of.sockets.links
        paths = [urlsplit(link.path) for link in (first, second)]
        assert paths[0].path == paths[1].path
        asked, ours_asked = (dict(parse_qsl(path.query)) for path in paths)
        assert ours_asked == asked | {"inactivity_timeout": "180"}
        assert first.headers["xi-api-key"] == second.headers["xi-api-key"] == KEY
        # Of the SDK's, `try_trigger_generation` is a hint that is of no use beside the shortest schedule.
        opening = {name: value for name, value in first.told[0].items() if value is not None}
        assert second.told[0] | {"try_trigger_generation": True} == opening
        texts = ["".join(message["text"] for message in link.told).strip() for link in (first, second)]
        assert texts == [TEXT, TEXT]
        assert first.told[-1] == second.told[-1] == {"text": ""}
        # The SDK ends its text with a space.
        assert [text.strip() for text in of.fake.spoken] == [TEXT, TEXT]
    assert (ours, len(theirs)) == (clip(TEXT), len(ours))


async def test_many_turns_take_one_socket_and_a_cancel_keeps_it() -> None:
    async with house() as of:
        assert await of.conversed("multi") == clip(TEXT)
        provider = ElevenLabs(ProviderSettings(api_key=KEY, base_url=of.sockets.url.replace("ws", "http", 1)))
        speech = provider.resolve(SpeechRequest(options={"transport": "multi"}))
        for _ in range(MAX_CONTEXTS + 1):
            async with of.ws.converse(provider.converse(speech), Timings()) as conversation:
                await conversation.give("Never spoken.")
            while of.ws._settling:
                await asyncio.wait(of.ws._settling)
        assert await of.conversed("multi") == clip(TEXT)
        assert len(of.sockets.links) == 1
        assert of.fake.spoken == [TEXT, TEXT]


async def test_what_the_service_refuses_is_refused_to_both() -> None:
    async with house() as of, httpx.AsyncClient() as client:
        speech = sdk().AsyncElevenLabs(api_key=KEY, base_url=of.api.url, httpx_client=client).text_to_speech
        with pytest.raises(Exception, match="voice_not_found"):
            await anext(speech.stream("nobody", text=TEXT, model_id="eleven_flash_v2_5", output_format="pcm_24000"))
        with pytest.raises(ProviderError) as caught:
            await of.spoken(SpeechRequest(voice="nobody"))
        assert caught.value.code is Code.VOICE_NOT_FOUND
        with pytest.raises(ProviderError) as caught:
            await of.spoken(SpeechRequest(model="eleven_9"))
        assert caught.value.code is Code.PROVIDER_REJECTED
        assert of.fake.spoken == []
