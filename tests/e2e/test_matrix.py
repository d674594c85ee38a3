"""What a client hears is the provider's audio, sample for sample: every provider in every form that it is asked for.

Each product of `products.py` speaks a short text, one longer than a request may be, and one that is typed, its bytes
cut in every way; what arrives in the frames is compared with what libsndfile makes of the same clips.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.config import Config, DefaultsConfig, ServerConfig
from relay.core.timings import Timings
from relay.providers.base.http import Piece
from relay.providers.base.provider import LocalRequest, Reply
from relay.providers.bland import v1 as bland_v1
from relay.providers.bland import v2 as bland_v2
from relay.providers.breeze.api import FORMATS
from relay.providers.breeze.settings import TRANSPORTS
from relay.providers.cartesia import provider as cartesia
from relay.providers.catalog import BUILT_IN, PROVIDERS
from relay.providers.deepgram import provider as deepgram
from relay.providers.openai import presets as openai
from relay.providers.playai import provider as playai
from relay.server.app import Server
from relay.testing.cuts import Cut, byte_by_byte, empty_between, odd_sizes, seeded_random, whole
from tests.covering import FULL, firsts
from tests.cuts import cuts_of
from tests.e2e.products import LOSSY, PRODUCTS, Product, Samples, Service, at_once, relay_to_service
from tests.server.harness import Client, Heard, client, serving

SHORT = "Did every sample come through?"
SENTENCE = "Here is sentence number {}, and it is long enough to stand alone. "
TYPED = "".join(SENTENCE.format(number) for number in range(8)).rstrip()
DELTA_CHARS = 7
# Rates of the client are the product's own: what a resampler makes of them is compared elsewhere.
NATIVE: dict[str, Any] = {"sample_rate": "native", "tail": "short"}
every_product = pytest.mark.parametrize("product", PRODUCTS, ids=str)
# Audio is taken out of each delivery and packing by the same code for every provider.
BY_DELIVERY = firsts(PRODUCTS, lambda product: (product.delivery, product.packing, product.encoding))
every_delivery = pytest.mark.parametrize("product", BY_DELIVERY, ids=str)
# The bound of a request belongs to the provider and the API that is asked.
BY_LIMIT = firsts(PRODUCTS, lambda product: (product.provider, product.longest_chars))
every_limit = pytest.mark.parametrize("product", BY_LIMIT, ids=str)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch)


def long_text(product: Product) -> str:
    """Longer than a request may be, by a sentence."""
    longest = product.longest_chars or 6000
    text = "".join(SENTENCE.format(number) for number in range(longest // len(SENTENCE) + 2))
    assert len(text) > longest
    return text


def check(product: Product, service: Service, heard: Heard, text: str, encoding: str = "pcm_s16le") -> None:
    """The turn was spoken whole, in segments that the provider takes, joined without a gap."""
    assert heard.end["type"] == "turn.done", heard.end
    spoken = [segment["text"] for segment in heard.of("text.segment")]
    assert "".join(spoken) == text
    # A segment is asked for while the one before it is spoken, over another connection.
    assert sorted(service.texts) == sorted(spoken)
    if product.longest_chars:
        assert max(map(len, spoken)) <= product.longest_chars
    elif product.delivery == "socket":
        assert len(spoken) == 1
    samples = np.concatenate([product.samples(each) for each in spoken])
    assert heard.end["samples"] == len(samples)
    (begun,) = heard.of("turn.started")
    form = begun["audio"]
    assert (form["sample_rate"], form["encoding"]) == (product.rate_hz, encoding)
    sizes = [len(frame) for frame in heard.frames]
    assert set(sizes[:-1]) <= {form["frame_bytes"]}
    assert 0 < sizes[-1] <= form["frame_bytes"]
    check_audio(heard.audio, samples, encoding, within=1 if product.packing in LOSSY else 0)


def check_audio(data: bytes, expected: Samples, encoding: str, *, within: int) -> None:
    """libsndfile's coding of the expected samples; another MP3 decoder may be a step apart."""
    subtype = {"pcm_s16le": "PCM_16", "mulaw": "ULAW", "alaw": "ALAW"}.get(encoding)
    if encoding == "pcm_f32le":
        got = np.frombuffer(data, "<f4") * 32768
    elif within:
        assert encoding == "pcm_s16le", "a step apart may be a code apart"
        got = np.frombuffer(data, "<i2").astype(np.float32)
    else:
        coded = io.BytesIO()
        soundfile.write(coded, expected, 8000, subtype=subtype, format="RAW")
        assert data == coded.getvalue()
        return
    assert len(got) == len(expected)
    assert np.abs(got - expected).max() <= within


async def type_in(caller: Client, text: str, **fields: Any) -> Heard:
    await caller.send(type="turn.start", **fields)
    for start in range(0, len(text), DELTA_CHARS):
        await caller.send(type="text.append", text=text[start : start + DELTA_CHARS])
    await caller.send(type="turn.end")
    return await caller.turn()


@every_product
async def test_every_product_speaks_what_is_said_and_what_is_typed(product: Product) -> None:
    async with relay_to_service(product) as (service, _, caller):
        service.cut = odd_sizes
        heard = await caller.speak(SHORT, audio=NATIVE, options=product.options)
        check(product, service, heard, SHORT)
        for service.cut in (whole, odd_sizes) if FULL else (whole,):
            service.texts.clear()
            heard = await type_in(caller, TYPED, audio=NATIVE, options=product.options)
            check(product, service, heard, TYPED)


@every_delivery
async def test_a_short_text_in_every_cut_and_every_encoding(product: Product) -> None:
    encodings = ("pcm_s16le", "pcm_f32le") + (("mulaw", "alaw") if product.packing not in LOSSY else ())
    cuts: list[tuple[Cut, str]] = [(cut, "pcm_s16le") for cut in (byte_by_byte, empty_between)]
    cuts += [(whole, encoding) for encoding in encodings]
    async with relay_to_service(product) as (service, _, caller):
        for service.cut, encoding in cuts:
            service.texts.clear()
            heard = await caller.speak(SHORT, audio={**NATIVE, "encoding": encoding}, options=product.options)
            check(product, service, heard, SHORT, encoding)


@every_limit
async def test_a_text_longer_than_a_request_may_be(product: Product) -> None:
    text = long_text(product)
    async with relay_to_service(product) as (service, _, caller):
        service.cut = seeded_random
        heard = await caller.speak(text, audio=NATIVE, options=product.options)
    check(product, service, heard, text)
    assert all(each.rstrip().endswith(".") for each in service.texts), "cut where a sentence ends"


def test_no_form_that_an_adapter_can_ask_for_is_left_out() -> None:
    asked = {
        name: [product.options for product in PRODUCTS if product.provider == name]
        for name in {product.provider for product in PRODUCTS}
    }
    assert set(asked) == set(PROVIDERS) - set(BUILT_IN), "which have a test of their own"
    breeze_forms = {(each["transport"], each["output_format"]) for each in asked["breeze"]}
    assert breeze_forms == {
        *((transport, form) for transport in TRANSPORTS if transport != "realtime" for form in FORMATS),
        ("realtime", "pcm"),
    }
    assert {each["output_format"] for each in asked["bland"] if each["api"] == "v1"} == set(bland_v1.FORMATS)
    bland_forms = {
        (each["api"], each["audio"]["encoding"], each["audio"].get("container", "raw"))
        for each in asked["bland"]
        if each["api"] != "v1"
    }
    assert bland_forms == {
        *(("v2", encoding, container) for encoding in bland_v2.ENCODINGS for container in ("raw", "wav")),
        *(("socket", encoding, "raw") for encoding in bland_v2.ENCODINGS),
    }
    assert {each.get("delivery", "sync") for each in asked["sauti"]} == {"sync", "job"}
    playai_forms = {(each.get("delivery", "stream"), each["outputFormat"]) for each in asked["playai"]}
    assert playai_forms == {(delivery, form) for delivery in playai._DELIVERIES for form in playai._FORMATS}
    assert {each["response_format"] for each in asked["openai"]} == {
        *(form for preset in openai.PRESETS.values() for form in preset.formats)
    } - {"ogg", "alaw"}, "which are as opus and mulaw"
    deepgram_forms = {(each["transport"], each["encoding"], each.get("container")) for each in asked["deepgram"]}
    assert deepgram_forms == {
        *(("http", each, None) for each in (*deepgram.RAW, *deepgram.PACKED) if each != "alaw"),
        *(("socket", each, None) for each in deepgram.RAW if each != "alaw"),
        ("http", "linear16", "wav"),
    }, "a-law is as mu-law"
    assert {each["transport"] for each in asked["elevenlabs"]} == {"http", "timestamps"}, "and sockets, elsewhere"
    assert {(each["transport"], each["encoding"]) for each in asked["cartesia"]} == {
        *(("http", each) for each in cartesia.RAW if each != "pcm_alaw"),
        ("events", "pcm_s16le"),
    }, "and the socket, elsewhere"


class Cuts:
    """A relay to a product, for tests that are no coroutines."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()

    def open(self) -> None:
        self.service, _, self.caller = self._runner.run(self._stack.enter_async_context(relay_to_service(self.product)))

    def heard(self, cut: Cut) -> Heard:
        self.service.cut = cut
        self.service.texts.clear()
        return self._runner.run(self.caller.speak(SHORT, audio=NATIVE, options=self.product.options))

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


@pytest.fixture
def cuts(product: Product) -> Iterator[Cuts]:
    opened = Cuts(product)
    opened.open()
    yield opened
    opened.close()


@every_delivery
def test_a_body_that_is_cut_anywhere(product: Product, cuts: Cuts) -> None:
    @settings(max_examples=8)
    @given(st.data())
    def cut_anywhere(data: st.DataObject) -> None:
        heard = cuts.heard(lambda body: data.draw(cuts_of(body)))
        check(product, cuts.service, heard, SHORT)

    cut_anywhere()


# eSpeak NG: its own output varies by a few samples from call to call, so what its worker sends is written down.


class Overheard:
    """A reply, and the bytes of audio that were taken from it."""

    def __init__(self, reply: Reply, heard: bytearray) -> None:
        self.facts = reply.facts
        self.content_type = reply.content_type
        self.refuse = reply.refuse
        self._reply = reply
        self._heard = heard

    async def __aiter__(self) -> AsyncIterator[Piece]:
        async for piece in self._reply:
            if isinstance(piece, bytes):
                self._heard += piece
            yield piece


def overhear(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[bytearray]:
    """All audio of the workers, by segment, in the order in which the segments were asked for."""
    segments: list[bytearray] = []
    local = server.engine.drivers.local
    open_reply = local.open

    @asynccontextmanager
    async def opened(upstream: LocalRequest, timings: Timings) -> AsyncIterator[Reply]:
        segments.append(bytearray())
        heard = segments[-1]
        async with open_reply(upstream, timings) as reply:
            yield Overheard(reply, heard)

    monkeypatch.setattr(local, "open", opened)
    return segments


@pytest.mark.parametrize("voice", BUILT_IN)
async def test_a_built_in_voice_in_every_encoding_also_as_it_is_typed(
    voice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Config(server=ServerConfig(port=0), defaults=DefaultsConfig(provider=voice))
    async with serving(settings) as server, client(server) as caller:
        segments = overhear(server, monkeypatch)
        for text in (SHORT, TYPED):
            for encoding in ("pcm_s16le", "pcm_f32le", "mulaw", "alaw"):
                segments.clear()
                heard = await type_in(caller, text, audio={**NATIVE, "encoding": encoding})
                assert heard.end["type"] == "turn.done", heard.end
                told = [segment["text"] for segment in heard.of("text.segment")]
                assert "".join(told) == text
                assert len(told) == len(segments)
                check_audio(heard.audio, np.frombuffer(b"".join(segments), "<i2"), encoding, within=0)
