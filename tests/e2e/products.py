"""Every way to ask a provider for speech, and a service on loopback that speaks what it is asked, in each of them.

A product is one of them: a provider, the options that choose it, and the bytes that its audio comes in. Its service
answers with `product.clip(text)`, other audio for every text, and remembers the texts that it was asked to speak.
"""

import asyncio
import base64
import io
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from relay.config import Config, DefaultsConfig, HttpConfig, LimitsConfig, ProviderConfig, ServerConfig
from relay.core.formats import AudioFormat, Encoding
from relay.drivers.poll.driver import PollDriver
from relay.server.app import Server
from relay.testing.audio import UNKNOWN_SIZE, riff_chunk, speech_like, wav
from relay.testing.cuts import Cut, whole
from relay.testing.fake_breeze import greet as greet_as_breeze
from relay.testing.fake_provider import Chooser, FakeProvider, FakeRequest
from relay.testing.fake_socket import FakeSocket, Link, Refuse, Scene
from relay.testing.script import Drip, Script, Send, Status
from tests.server.harness import Client, client, serving

KEY, USER = "key_4f9d2c71b8e6a035", "user_93b1d7c2e8f4"
VOICES = {
    "breeze": "voc_1",
    "bland": "29158307-9893-4149-8a75-bc9ce313d64e",
    "sauti": "sauti-swahili-v1",
    "playai": "s3://voices/v/manifest.json",
    "openai": "alloy",
    "deepgram": "aura-2-thalia-en",
    "elevenlabs": "JBFqnCBsd6RMkjVDRZzb",
    "cartesia": "6ccbfb76-1fc6-48f7-b71d-91ac6298247b",
}
# Longest text of a request, as the providers' pages say; None for what is told to a socket as it is typed.
# Cartesia states none.
LONGEST_CHARS = {
    "breeze": 1000,
    "bland": 5000,
    "sauti": 5000,
    "playai": 20_000,
    "openai": 4096,
    "deepgram": 2000,
    "elevenlabs": 3000,
}
MP3 = (Path(__file__).parent.parent / "golden" / "mp3" / "bare_24k.mp3").read_bytes()
MP3_FRAME_BYTES = 192
# Whole, with what faad makes of it: libsndfile reads no AAC.
AAC, AAC_DECODED = (
    (Path(__file__).parent.parent / "golden" / "codecs" / name).read_bytes() for name in ("mono.aac", "mono.aac.flac")
)
CLIP_S = 0.04

Samples: TypeAlias = NDArray[np.int16]
# How the audio is packed, and how it gets here: as the body of the answer, within its JSON, as a file that a job has
# made, or over a WebSocket.
Packing: TypeAlias = Literal["bare", "wav", "unsized wav", "mp3", "flac", "opus", "aac"]
Delivery: TypeAlias = Literal["body", "json", "lines", "events", "job", "socket"]
# Two decoders of these may be a step apart.
LOSSY = ("mp3", "opus", "aac")


@dataclass(frozen=True, kw_only=True)
class Product:
    """`encoding` and `rate_hz` are what the samples are (of MP3: are decoded to); `preset` is the instance's."""

    provider: str
    options: Mapping[str, Any] = field(default_factory=dict)
    packing: Packing = "bare"
    delivery: Delivery = "body"
    encoding: Encoding = Encoding.PCM_S16LE
    rate_hz: int = 24000
    # A job's file on another host.
    elsewhere: bool = False
    preset: str | None = None
    voice: str | None = None

    def __str__(self) -> str:
        words = (self.packing, self.encoding, f"{self.rate_hz // 1000}k", "elsewhere" if self.elsewhere else "")
        said = [value for value in self.options.values() if isinstance(value, str)]
        named = (self.provider, self.preset, self.delivery, *words, *said)
        return "-".join(dict.fromkeys(word for word in named if word))

    @property
    def longest_chars(self) -> int | None:
        return None if self.delivery == "socket" else LONGEST_CHARS.get(self.provider)

    def clip(self, text: str) -> bytes:
        """The audio of a text, packed."""
        seed = sum(text.encode())
        if self.packing == "mp3":
            return MP3[: (4 + seed % 7) * MP3_FRAME_BYTES]
        if self.packing == "aac":
            return AAC
        data = _coded(self.encoding, self.rate_hz, seed)
        if self.packing == "bare":
            return data
        if self.packing in ("flac", "opus"):
            return _packed(self.packing, data, self.rate_hz)
        form = AudioFormat(encoding=self.encoding, sample_rate_hz=self.rate_hz)
        if self.packing == "unsized wav":
            return wav(data, form, size=UNKNOWN_SIZE)
        return wav(data, form, before_data=riff_chunk(b"fact", b"\0\0\0\0"), after_data=riff_chunk(b"LIST", b"INFOend"))

    def samples(self, text: str) -> Samples:
        """What an independent reader makes of that clip: libsndfile, and libmpg123 in it."""
        data = AAC_DECODED if self.packing == "aac" else self.clip(text)
        if self.packing != "bare":
            read, rate_hz = soundfile.read(io.BytesIO(_with_sizes(data)), dtype="int16")
            assert rate_hz == self.rate_hz
            return np.asarray(read)
        subtype = {Encoding.PCM_S16LE: "PCM_16", Encoding.PCM_F32LE: "FLOAT", Encoding.MULAW: "ULAW"}[self.encoding]
        told: dict[str, Any] = {"format": "RAW", "subtype": subtype, "channels": 1, "samplerate": self.rate_hz}
        if self.encoding is Encoding.PCM_F32LE:
            floats, _ = soundfile.read(io.BytesIO(data), dtype="float32", **told)
            return np.asarray(np.round(floats * 32768), np.int16)
        read, _ = soundfile.read(io.BytesIO(data), dtype="int16", **told)
        return np.asarray(read)


@cache
def _coded(encoding: Encoding, rate_hz: int, seed: int) -> bytes:
    """The same few are spoken by hundreds of turns."""
    # Lengths differ, and are no whole number of frames.
    pcm = speech_like(CLIP_S + seed % 11 / 1000 + 0.0003, seed=seed, rate_hz=rate_hz)
    if encoding is Encoding.PCM_F32LE:
        return (np.frombuffer(pcm, "<i2") / 32768).astype("<f4").tobytes()
    if encoding is Encoding.MULAW:
        # Any code but 0x7F, the second zero, which no encoder gives back.
        codes = random.Random(seed).choices([code for code in range(256) if code != 0x7F], k=len(pcm) // 2)
        return bytes(codes)
    return pcm


@cache
def _packed(packing: str, pcm: bytes, rate_hz: int) -> bytes:
    file = io.BytesIO()
    form, subtype = {"flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS")}[packing]
    soundfile.write(file, np.frombuffer(pcm, "<i2"), rate_hz, format=form, subtype=subtype)
    return file.getvalue()


def _with_sizes(data: bytes) -> bytes:
    """libsndfile reads what the header claims."""
    if data[:4] != b"RIFF" or data[4:8] != UNKNOWN_SIZE.to_bytes(4, "little"):
        return data
    at = data.index(b"data")
    sizes = ((len(data) - 8).to_bytes(4, "little"), (len(data) - at - 8).to_bytes(4, "little"))
    return data[:4] + sizes[0] + data[8 : at + 4] + sizes[1] + data[at + 8 :]


def _breeze(transport: str, output_format: str, **fields: Any) -> Product:
    packing: Packing = {"pcm": "bare", "wav": "wav", "mp3": "mp3"}[output_format]  # type: ignore[assignment]
    return Product(
        provider="breeze", options={"transport": transport, "output_format": output_format}, packing=packing, **fields
    )


def _bland(api: str, rate_hz: int, *, mulaw: bool = False, container: str | None = None, **fields: Any) -> Product:
    audio: dict[str, Any] = {"encoding": "mulaw" if mulaw else "pcm_s16le", "sample_rate": rate_hz}
    if container:
        audio["container"] = container
    encoding = Encoding.MULAW if mulaw else Encoding.PCM_S16LE
    return Product(provider="bland", options={"api": api, "audio": audio}, rate_hz=rate_hz, encoding=encoding, **fields)


def _bland_v1(output_format: str, rate_hz: int, *, stream: bool = True) -> Product:
    return Product(
        provider="bland",
        options={"api": "v1", "output_format": output_format, "stream": stream},
        packing="unsized wav" if stream else "wav",
        encoding=Encoding.MULAW if output_format.startswith("ulaw") else Encoding.PCM_S16LE,
        rate_hz=rate_hz,
    )


def _playai(output_format: str, **fields: Any) -> Product:
    packing: Packing = output_format if output_format in ("wav", "mp3") else "bare"  # type: ignore[assignment]
    options = {"outputFormat": output_format, **fields.pop("options", {})}
    return Product(provider="playai", options=options, packing=packing, **fields)


def _openai(packing: Packing, preset: str = "openai", **fields: Any) -> Product:
    form = {"bare": "pcm", "unsized wav": "wav"}.get(packing, packing)
    options = {"response_format": form, **fields.pop("options", {})}
    return Product(provider="openai", preset=preset, options=options, packing=packing, **fields)


def _deepgram(encoding: str, rate_hz: int, packing: Packing = "bare", **options: Any) -> Product:
    asked: dict[str, Any] = {"transport": "http", "encoding": encoding, **options}
    if packing in ("bare", "wav"):
        asked["sample_rate"] = rate_hz
    coded = {"mulaw": Encoding.MULAW}.get(encoding, Encoding.PCM_S16LE)
    delivery: Delivery = "socket" if asked["transport"] == "socket" else "body"
    return Product(
        provider="deepgram", options=asked, packing=packing, delivery=delivery, encoding=coded, rate_hz=rate_hz
    )


def _elevenlabs(output_format: str, transport: str = "http", **fields: Any) -> Product:
    delivery: Delivery = "lines" if transport == "timestamps" else "body"
    options = {"transport": transport, "output_format": output_format}
    return Product(provider="elevenlabs", options=options, delivery=delivery, **fields)


def _cartesia(named: str, rate_hz: int, transport: str = "http", **fields: Any) -> Product:
    asked = {"transport": transport, "encoding": named, "sample_rate": rate_hz}
    delivery: Delivery = "events" if transport == "events" else "body"
    return Product(provider="cartesia", options=asked, delivery=delivery, rate_hz=rate_hz, **fields)


JOB: dict[str, Any] = {"delivery": "job"}
EVENTS: dict[str, Any] = {"options": {"stream_format": "sse"}, "delivery": "events"}
PRODUCTS = (
    *(_breeze("stream", packed) for packed in ("pcm", "mp3", "wav")),
    *(_breeze("timestamps", packed, delivery="lines") for packed in ("pcm", "mp3", "wav")),
    *(_breeze("sync", packed) for packed in ("pcm", "mp3", "wav")),
    *(_breeze("job", packed, **JOB) for packed in ("pcm", "mp3")),
    _breeze("job", "wav", elsewhere=True, **JOB),
    _breeze("realtime", "pcm", delivery="socket"),
    _bland_v1("pcm_44100", 44100),
    _bland_v1("pcm_8000", 8000),
    _bland_v1("ulaw_8000", 8000),
    _bland_v1("pcm_16000", 16000),
    _bland_v1("pcm_24000", 24000, stream=False),
    *(_bland("v2", rate_hz) for rate_hz in (8000, 48000)),
    _bland("v2", 8000, mulaw=True),
    _bland("v2", 16000, container="wav", packing="wav"),
    _bland("v2", 8000, mulaw=True, container="wav", packing="wav"),
    _bland("socket", 24000, delivery="socket"),
    _bland("socket", 8000, mulaw=True, delivery="socket"),
    Product(provider="sauti", packing="wav", delivery="json", rate_hz=16000),
    Product(provider="sauti", options=JOB, packing="wav", rate_hz=16000, **JOB),
    *(_playai(packed) for packed in ("mp3", "wav")),
    _playai("mulaw", encoding=Encoding.MULAW, rate_hz=8000),
    _playai("raw", options={"raw_encoding": "pcm_f32le"}, encoding=Encoding.PCM_F32LE),
    _playai("raw", options={"raw_encoding": "pcm_s16le", "sampleRate": 16000}, rate_hz=16000),
    *(_playai(packed, options=JOB, elsewhere=True, **JOB) for packed in ("mp3", "wav")),
    _playai("mulaw", options=JOB, encoding=Encoding.MULAW, rate_hz=8000, elsewhere=True, **JOB),
    _playai("raw", options={**JOB, "raw_encoding": "pcm_s16le"}, elsewhere=True, **JOB),
    *(_openai(packing) for packing in ("bare", "wav", "mp3", "flac", "aac")),
    _openai("opus", rate_hz=48000),
    *(_openai(packing, **EVENTS) for packing in ("bare", "mp3")),
    _openai("unsized wav", "compatible", rate_hz=16000),
    _openai("bare", "mistral", delivery="events", encoding=Encoding.PCM_F32LE),
    _openai("bare", "speaches", options={"sample_rate": 16000}, rate_hz=16000),
    _openai(
        "bare", "xai", options={"response_format": "mulaw", "sample_rate": 8000}, encoding=Encoding.MULAW, rate_hz=8000
    ),
    _deepgram("linear16", 24000),
    _deepgram("linear16", 48000, "wav", container="wav"),
    _deepgram("mulaw", 8000),
    _deepgram("mp3", 24000, "mp3"),
    _deepgram("opus", 48000, "opus"),
    _deepgram("flac", 24000, "flac"),
    _deepgram("aac", 24000, "aac"),
    _deepgram("linear16", 16000, transport="socket"),
    _deepgram("mulaw", 8000, transport="socket"),
    replace(_deepgram("linear16", 44100, transport="socket"), voice="flux-x-en"),
    replace(_deepgram("linear16", 44100), voice="flux-x-en"),
    _elevenlabs("pcm_24000"),
    _elevenlabs("ulaw_8000", encoding=Encoding.MULAW, rate_hz=8000),
    _elevenlabs("mp3_24000_48", packing="mp3"),
    _elevenlabs("pcm_24000", "timestamps"),
    _cartesia("pcm_s16le", 24000),
    _cartesia("pcm_mulaw", 8000, encoding=Encoding.MULAW),
    _cartesia("pcm_f32le", 44100, encoding=Encoding.PCM_F32LE),
    _cartesia("pcm_s16le", 24000, "events"),
)


# What the providers answer -------------------------------------------------------------------------------------------


class Service:
    """The provider's side of one product. `cut` is how the bytes that hold audio are cut; `texts` what was to be
    spoken, in order."""

    def __init__(self, product: Product, cut: Cut = whole) -> None:
        self.product = product
        self.cut = cut
        self.texts: list[str] = []
        # Where files and sockets are; the relay's house says it.
        self.files_url = self.sockets_url = ""

    # HTTP

    def __call__(self, request: FakeRequest) -> Script:
        product = self.product
        if request.method == "POST" and request.path.endswith("/realtime-sessions"):
            return answer(200, {"websocket_url": f"{self.sockets_url}/stream-input?client_secret=s1"})
        if request.method == "POST":
            self.texts.append(text_in(request))
            if product.delivery == "job":
                return answer(202, job_made(product, len(self.texts) - 1))
            return self.spoken(product.clip(self.texts[-1]))
        if number := job_number(request, "/audio", ".wav"):
            return self.file(int(number))
        number = job_number(request)
        assert number, f"nothing answers {request.path}"
        return answer(200, job_done(product, int(number), self.files_url))

    def file(self, number: int) -> Script:
        """What a job has made, also on the other host."""
        return self._cut(self.product.clip(self.texts[number]), media_type(self.product))

    def spoken(self, clip: bytes) -> Script:
        """The answer to a request for speech that is no job."""
        match self.product.delivery:
            case "json":
                return self._cut(json_clip(clip), "application/json")
            case "lines":
                return self._cut(timed_lines(clip), "application/x-ndjson")
            case "events":
                return self._cut(audio_events(clip, self.product), "text/event-stream")
        return self._cut(clip, media_type(self.product))

    def _cut(self, body: bytes, content_type: str) -> Script:
        pieces = self.cut(body)
        head = Status(200, {"content-type": content_type})
        if all(len(piece) == 1 for piece in pieces):
            return (head, Drip(body, 1))  # each byte in a turn of the loop of its own
        return (head, *(Send(piece) for piece in pieces if piece))

    # WebSocket

    async def converse(self, link: Link) -> None:
        """One turn after another, spoken when its text has ended."""
        await greet(link, self.product)
        while True:
            text, turn = await told_text(link)
            self.texts.append(text)
            await link.say(**started(self.product, turn))
            for piece in self.cut(self.product.clip(text)):
                await link.audio(piece)
            await link.say(**ended(self.product, turn))


def text_in(request: FakeRequest) -> str:
    """What a request is to be spoken with."""
    body = request.json()
    return str(next(body[name] for name in ("text", "input", "transcript") if name in body))


def answer(status: int, content: Any, **headers: str) -> Script:
    """A whole reply in JSON."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return (Status(status, {"content-type": "application/json", **told}, len(data)), Send(data))


def media_type(product: Product) -> str:
    packed = {"mp3": "audio/mpeg", "flac": "audio/flac", "opus": "audio/ogg", "aac": "audio/aac"}
    return {**packed, "bare": "audio/basic" if product.encoding is Encoding.MULAW else "audio/pcm"}.get(
        product.packing, "audio/wav"
    )


def json_clip(clip: bytes) -> bytes:
    """Sauti's answer."""
    return json.dumps({"audio_base64": base64.b64encode(clip).decode(), "content_type": "audio/wav"}).encode()


def timed_lines(clip: bytes) -> bytes:
    """Lines of Breeze and ElevenLabs: audio in base64, in parts that end anywhere, and Breeze's times of words."""
    lines = []
    for index, start in enumerate(range(0, len(clip), 1001)):
        word = {"index": index, "word": f"word{index}", "start": index * 0.02, "end": index * 0.02 + 0.01}
        encoded = base64.b64encode(clip[start : start + 1001]).decode()
        lines.append(json.dumps({"audio_base64": encoded, "word_timestamps": [word]}))
    return "\n".join(lines).encode() + b"\n"


_SPEECH_EVENTS = ("speech.audio.delta", "audio", "speech.audio.done")


def audio_events(clip: bytes, product: Product) -> bytes:
    """Events of OpenAI and Cartesia, in parts that end anywhere."""
    shape = ("chunk", "data", "done") if product.provider == "cartesia" else _SPEECH_EVENTS
    kind, key, done = shape
    events: list[dict[str, Any]] = [
        {"type": kind, key: base64.b64encode(clip[start : start + 1001]).decode()}
        for start in range(0, len(clip), 1001)
    ]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in [*events, {"type": done}]).encode()


def job_made(product: Product, number: int) -> dict[str, Any]:
    match product.provider:
        case "breeze":
            return {"generation_job_id": f"{number}", "history_item_id": f"h{number}", "status": "active"}
        case "sauti":
            return {"job_id": f"{number}", "status": "queued"}
    return {"id": f"{number}", "output": {"status": "IN_PROGRESS"}}


def job_done(product: Product, number: int, files_url: str) -> dict[str, Any]:
    match product.provider:
        case "breeze":
            url = f"{files_url}/{number}.wav" if product.elsewhere else None
            return {"generation_job_id": f"{number}", "status": "ready", "download_url": url}
        case "sauti":
            return {"job_id": f"{number}", "status": "succeeded"}
    return {"id": f"{number}", "output": {"status": "COMPLETED", "url": f"{files_url}/{number}.wav"}}


def job_number(request: FakeRequest, *ends: str) -> str | None:
    """The job that a path names, with one of `ends` behind it; None if it has none of them."""
    name = request.path
    for end in ends:
        if name.endswith(end):
            return name.removesuffix(end).rpartition("/")[2]
    return None if ends else name.rpartition("/")[2]


async def greet_as_bland(link: Link) -> None:
    await link.say(type="ready", session_id=f"ses_{link.number}", **(await link.heard("init"))["audio"])


async def greet(link: Link, product: Product) -> None:
    match product.provider:
        case "breeze":
            await greet_as_breeze(link)
        case "bland":
            await greet_as_bland(link)
        case _:
            await link.say(type="Metadata", request_id="r1")


async def told_text(link: Link) -> tuple[str, str]:
    """A turn's text when it has ended, and the turn's name."""
    text, turn = "", ""
    while True:
        message = await link.next_told()
        match message["type"]:
            case "turn.start":
                turn = message["turn_id"]
            case "text.append" | "speak" | "Speak":
                text += message["text"]
            case "turn.end" | "Flush":
                return text, turn
            case "end_of_turn":
                return text, message["context_id"]


def started(product: Product, turn: str) -> dict[str, Any]:
    if product.provider == "breeze":
        return {"type": "turn.started", "turn_id": turn}
    if product.provider == "deepgram":
        return {"type": "Metadata", "request_id": "r1"}
    return {"type": "utterance_start", "context_id": turn}


def ended(product: Product, turn: str) -> dict[str, Any]:
    if product.provider == "breeze":
        return {"type": "turn.done", "turn_id": turn, "status": "completed"}
    if product.provider == "deepgram":
        return {"type": "SpeechMetadata", "speech_id": "a"} if product.voice else {"type": "Flushed", "sequence_id": 0}
    return {"type": "utterance_end", "context_id": turn, "reason": "complete"}


def error_kind(product: Product) -> str:
    """The type of a message that tells an error."""
    return "Error" if product.provider == "deepgram" else "error"


# A relay to them ----------------------------------------------------------------------------------------------------


NO_FILES: Script = (Status(404, {}, 0),)


@dataclass(kw_only=True)
class House:
    """A relay and what stands around it: the API, the host of files, and the API's WebSocket."""

    server: Server
    api: FakeProvider
    files: FakeProvider
    sockets: FakeSocket | None = None


@asynccontextmanager
async def relay_to(
    product: Product,
    api: Chooser | Script,
    *,
    files: Chooser | Script = NO_FILES,
    scene: Scene | Refuse | None = None,
    http: HttpConfig | None = None,
    tls: bool = False,
    **provider: Any,
) -> AsyncIterator[House]:
    """A relay that has one provider, the product's. With `scene`, its WebSocket is played by it.

    `tls`: the relay begins a TLS handshake, to which nobody answers.
    """
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(FakeProvider(files))
        fake = await stack.enter_async_context(FakeProvider(api))
        sockets = await stack.enter_async_context(FakeSocket(scene)) if scene else None
        # Some sockets are opened without a word over HTTP before.
        url = sockets.url.replace("ws", "http", 1) if sockets and product.provider != "breeze" else fake.url
        if tls:
            url = url.replace("http", "https", 1)
        if isinstance(api, Service):
            api.files_url, api.sockets_url = other.url, sockets.url if sockets else ""
        own: dict[str, Any] = {"preset": product.preset} if product.preset else {}
        settings: dict[str, Any] = (
            own | {"api_key": KEY, "user_id": USER, "base_url": url, "max_concurrent": 1000} | provider
        )
        config = Config(
            server=ServerConfig(port=0),
            limits=LimitsConfig(),
            defaults=DefaultsConfig(provider=product.provider),
            http=http or HttpConfig(retries=0),
            providers={product.provider: ProviderConfig(voice=product.voice or VOICES[product.provider], **settings)},
        )
        server = await stack.enter_async_context(serving(config))
        yield House(server=server, api=fake, files=other, sockets=sockets)


@asynccontextmanager
async def relay_to_service(product: Product) -> AsyncIterator[tuple[Service, House, Client]]:
    """A relay to a service that speaks the product, and a client of it."""
    service = Service(product)

    def files(request: FakeRequest) -> Script:
        number = job_number(request, ".wav")
        assert number, f"there is no file {request.path}"
        return service.file(int(number))

    scene = service.converse if product.delivery == "socket" else None
    async with relay_to(product, service, files=files, scene=scene) as house, client(house.server) as caller:
        yield service, house, caller


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for between polls, and nothing is opened ahead of need: no worker process, no connection."""

    async def nothing(*_: object) -> None:
        return None

    async def next_turn(_seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("relay.engine.engine.keep_warm", nothing)
    monkeypatch.setattr("relay.drivers.dispatch.PollDriver", partial(PollDriver, sleep=next_turn))
