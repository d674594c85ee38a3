"""What the vendor's own SDK sends to a strict fake, and what the adapter does: the same, over HTTP and a WebSocket."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver, HttpSettings
from relay.drivers.ws.driver import WsDriver
from relay.errors import Code, ProviderError
from relay.providers.base.http import WordTime
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.cartesia.provider import Cartesia
from relay.testing.fake_cartesia import VOICE, FakeCartesia, clip
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.fake_socket import FakeSocket

KEY = "ca_test_key"
TEXT = "The same words, said by both."
PARTS = ("The same words, ", "said by both.")
OUTPUT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}
GENERATION = {"speed": 1.2, "volume": 0.5, "emotion": "calm"}
WANTED = SpeechRequest(model="sonic-3", language="en", options={"sample_rate": 16000, **GENERATION})
# Pydantic's old names, which the SDK calls.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def sdk() -> Any:
    """The SDK, which is heavy to import; without it a test is skipped."""
    return pytest.importorskip("cartesia", reason="the SDK cartesia is not installed")


@dataclass(kw_only=True)
class House:
    fake: FakeCartesia
    api: FakeProvider
    sockets: FakeSocket
    sdk: Any
    http: HttpDriver
    ws: WsDriver

    async def spoken(self, wanted: SpeechRequest) -> bytes:
        provider = Cartesia(ProviderSettings(api_key=KEY, base_url=self.api.url))
        async with self.http.open(provider.request(provider.resolve(wanted), TEXT), Timings()) as reply:
            return b"".join([piece async for piece in reply if isinstance(piece, bytes)])

    def conversation(self) -> Any:
        provider = Cartesia(ProviderSettings(api_key=KEY, base_url=self.sockets.url.replace("ws", "http", 1)))
        speech = provider.resolve(
            SpeechRequest(model="sonic-3", language="en", options={**WANTED.options, "transport": "socket"})
        )
        return self.ws.converse(provider.converse(speech), Timings())

    async def conversed(self) -> list[bytes | WordTime]:
        async with self.conversation() as conversation:
            for part in PARTS:
                await conversation.give(part)
            await conversation.end_text()
            return [piece async for piece in conversation]


@asynccontextmanager
async def house(**knobs: Any) -> AsyncIterator[House]:
    fake = FakeCartesia(key=KEY, **knobs)
    async with FakeProvider(fake) as api, FakeSocket(fake.converse) as sockets:
        http = HttpDriver(HttpSettings(retries=0))
        ws = WsDriver(http)
        await http.start()
        await ws.start()
        client = sdk().AsyncCartesia(api_key=KEY, base_url=api.url, websocket_base_url=sockets.url, max_retries=0)
        try:
            yield House(fake=fake, api=api, sockets=sockets, sdk=client, http=http, ws=ws)
        finally:
            await client.close()
            await ws.close()
            await http.close()


def described(request: FakeRequest) -> dict[str, Any]:
    names = ("authorization", "cartesia-version", "content-type")
    headers = {name: request.headers[name] for name in names}
    return {"line": f"{request.method} {request.target}", "body": request.json(), **headers}


async def test_a_request_is_what_the_sdk_sends() -> None:
    asked: dict[str, Any] = {"model_id": "sonic-3", "transcript": TEXT, "voice": {"id": VOICE}, "language": "en"}
    asked |= {"output_format": OUTPUT, "generation_config": GENERATION}
    async with house() as of:
        theirs = await (await of.sdk.tts.generate(**asked)).read()
        ours = await of.spoken(WANTED)
        evented = b""
        async for event in await of.sdk.tts.generate_sse(add_timestamps=True, **asked):
            evented += base64.b64decode(event.data) if event.type == "chunk" else b""
        options = {**WANTED.options, "transport": "events"}
        ours_evented = await of.spoken(SpeechRequest(model="sonic-3", language="en", options=options))
        requests = [described(exchange.request) for exchange in of.api.exchanges]
    assert requests[0] == requests[1]
    assert requests[2] == requests[3]
    assert theirs == ours == evented == ours_evented == clip(TEXT, 16000)


async def test_a_turn_on_the_socket_is_what_the_sdk_sends() -> None:
    async with house() as of:
        theirs = b""
        async with of.sdk.tts.websocket_connect() as connection:
            context = connection.context(
                model_id="sonic-3",
                voice={"id": VOICE},
                output_format=OUTPUT,
                language="en",
                generation_config=GENERATION,
                add_timestamps=True,
                max_buffer_delay_ms=3000,
            )
            for part in PARTS:
                await context.push(part)
            await context.no_more_inputs()
            async for event in context.receive():
                theirs += event.audio or b"" if event.type == "chunk" else b""
        ours = await of.conversed()
        first, second = of.sockets.links
        assert urlsplit(first.path).path == urlsplit(second.path).path
        for name in ("authorization", "cartesia-version"):
            assert first.headers[name] == second.headers[name]
        told = [[{**message, "context_id": ""} for message in link.told] for link in (first, second)]
        assert told[0] == told[1]
    assert b"".join(piece for piece in ours if isinstance(piece, bytes)) == theirs == clip(TEXT, 16000)
    assert [piece.text for piece in ours if isinstance(piece, WordTime)] == TEXT.split()


async def test_many_turns_take_one_socket_and_a_cancel_keeps_it() -> None:
    async with house(contexts=4) as of:
        first = await of.conversed()
        for _ in range(2):
            async with of.conversation() as conversation:
                await conversation.give("Never spoken.")
            while of.ws._settling:
                await asyncio.wait(of.ws._settling)
        assert await of.conversed() == first
        assert len(of.sockets.links) == 1
        assert of.fake.spoken == [TEXT, TEXT]
        with pytest.raises(ProviderError) as caught:
            await of.conversed()
        assert caught.value.code is Code.PROVIDER_RATE_LIMITED


async def test_what_the_service_refuses_is_refused_to_both() -> None:
    async with house() as of:
        with pytest.raises(sdk().NotFoundError):
            await of.sdk.tts.generate(model_id="sonic-3", transcript=TEXT, voice="nobody", output_format=OUTPUT)
        with pytest.raises(ProviderError) as caught:
            await of.spoken(SpeechRequest(voice="nobody"))
        assert caught.value.code is Code.VOICE_NOT_FOUND
        with pytest.raises(ProviderError) as caught:
            await of.spoken(SpeechRequest(model="sonic-9"))
        assert caught.value.code is Code.PROVIDER_REJECTED
        assert of.fake.spoken == []
