"""Deepgram's speech API on loopback, stricter than the service: what its SDK cannot send is refused.

    fake = FakeDeepgram(key="dg-test")
    async with FakeProvider(fake) as server, FakeSocket(fake.converse) as sockets:
        ...  # speak to server.url over HTTP, and to sockets.url over a WebSocket
        assert fake.spoken == ["Hello."]

Fields, values and messages are those of the vendor's SDK 7.17.0 and its specification of 2026-07. It speaks
`clip(text)` at the rate asked for, headerless or as a WAV.
"""

import json
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from relay.core.formats import AudioFormat, Encoding
from relay.testing.audio import speech_like, wav
from relay.testing.fake_provider import FakeRequest
from relay.testing.fake_socket import Link
from relay.testing.script import Script, Send, Status

MODELS = ("aura-2-thalia-en", "aura-2-orion-en", "aura-asteria-en")
MAX_TEXT_CHARS = 2000
RATES_HZ = {"linear16": (8000, 16000, 24000, 32000, 48000), "mulaw": (8000, 16000), "alaw": (8000, 16000)}
# The vendor's page: flushes within 60 s of one socket; of more it warns, and speaks them later.
FLUSHES, FLUSHES_S = 20, 60.0
# Odd on purpose: messages end anywhere.
MESSAGE_BYTES = 1001
_SHARED = ("model", "encoding", "sample_rate", "speed", "mip_opt_out")
_HTTP = (*_SHARED, "container", "bit_rate", "tag", "callback", "callback_method")


def clip(text: str, rate_hz: int = 24000) -> bytes:
    """50 ms of 16-bit PCM a word, other for every text."""
    return speech_like(0.05 * max(1, len(text.split())), seed=sum(text.encode()), rate_hz=rate_hz)


class FakeDeepgram:
    """Chooses the answer to a request (see `FakeProvider`), and plays a socket (see `FakeSocket`). `spoken` are the
    texts it spoke, in order."""

    def __init__(self, *, key: str, now_s: Callable[[], float] = monotonic) -> None:
        self._key = key
        self._now_s = now_s
        self.spoken: list[str] = []

    def __call__(self, request: FakeRequest) -> Script:
        if not self._is_let_in(request.headers):
            return _error(401, "INVALID_AUTH", "Invalid credentials.")
        match request.method, request.path:
            case "GET", "/v1/models":
                voices = [{"name": name.split("-")[-2], "canonical_name": name, "languages": ["en"]} for name in MODELS]
                return _json(200, {"stt": [], "tts": voices})
            case "POST", "/v1/speak":
                return self._speech(request)
        return _error(404, "NOT_FOUND", "The requested resource does not exist.")

    def _is_let_in(self, headers: Mapping[str, str]) -> bool:
        return headers.get("authorization") in (f"Token {self._key}", f"Bearer {self._key}")

    def _speech(self, request: FakeRequest) -> Script:
        body = request.json()
        if not isinstance(body, dict) or set(body) != {"text"} or not isinstance(body["text"], str) or not body["text"]:
            return _error(400, "Bad Request", "Failed to deserialize JSON payload. Please specify exactly `text`.")
        if wrong := _wrong(request.query, _HTTP):
            return _error(400, "Bad Request", wrong)
        if len(body["text"]) > MAX_TEXT_CHARS:
            words = f"Input text exceeds maximum character limit of {MAX_TEXT_CHARS}."
            return _error(413, "PAYLOAD_ERROR", words)
        self.spoken.append(body["text"])
        rate_hz = int(request.query["sample_rate"])
        audio = clip(body["text"], rate_hz)
        if request.query.get("container", "wav") == "wav":  # the default of the API
            audio = wav(audio, AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=rate_hz))
        headers = {"content-type": f"audio/l16;rate={rate_hz}", "dg-request-id": f"r{len(self.spoken)}"}
        pieces = (Send(audio[at : at + MESSAGE_BYTES]) for at in range(0, len(audio), MESSAGE_BYTES))
        return (Status(200, headers), *pieces)

    async def converse(self, link: Link) -> None:
        """One socket, until it is closed. Raises AssertionError for a handshake that the service would refuse."""
        query = dict(parse_qsl(urlsplit(link.path).query))
        assert urlsplit(link.path).path == "/v1/speak", link.path
        assert self._is_let_in(link.headers), "the key is refused"
        assert not (wrong := _wrong(query, _SHARED)), wrong
        await link.say(type="Metadata", request_id=f"s{link.number}", model_name=query["model"], model_version="1")
        text, sequence, flushed_s = "", 0, list[float]()
        while True:
            match await link.next_told():
                case {"type": "Speak", "text": str(more), **rest} if not rest:
                    text += more
                case {"type": "Flush", **rest} if not rest:
                    now_s = self._now_s()
                    flushed_s = [at_s for at_s in flushed_s if now_s - at_s < FLUSHES_S] + [now_s]
                    if len(flushed_s) > FLUSHES:
                        await link.say(type="Warning", code="FLUSH_RATE", description="Too many flushes.")
                    await self._speak(link, text, int(query["sample_rate"]))
                    await link.say(type="Flushed", sequence_id=sequence)
                    text, sequence = "", sequence + 1
                case {"type": "Clear", **rest} if not rest:
                    text = ""
                    await link.say(type="Cleared", sequence_id=sequence)
                case {"type": "Close", **rest} if not rest:
                    await link.close(1000)
                    return
                case _:
                    await link.say(type="Error", code="MESSAGE-0000", description="The message is not known.")
                    await link.close(1003, "MESSAGE-0000")
                    return

    async def converse_flux(self, link: Link) -> None:
        """One socket of `/v2/speak`, until it is closed. Raises AssertionError as `converse` does."""
        query = dict(parse_qsl(urlsplit(link.path).query))
        assert urlsplit(link.path).path == "/v2/speak", link.path
        assert self._is_let_in(link.headers), "the key is refused"
        assert query.pop("model").startswith("flux-"), "a voice of the other route"
        assert not (wrong := _wrong({"model": MODELS[0], **query}, _SHARED)), wrong
        await link.say(
            type="Connected", request_id=f"s{link.number}", model_name="flux", model_version="1", model_uuids=[]
        )
        text, speeches = "", 0
        while True:
            match await link.next_told():
                case {"type": "Speak", "text": str(more), **rest} if not rest:
                    text += more
                case {"type": "Flush", **rest} if not rest and not text:
                    await link.say(type="Warning", code="NO_ACTIVE_SPEECH", description="There is no turn.")
                case {"type": "Flush", **rest} if not rest:
                    speech = f"dg_sp_{speeches:012x}"
                    await link.say(type="SpeechStarted", speech_id=speech)
                    await self._speak(link, text, int(query["sample_rate"]))
                    await link.say(type="Flushed", speech_id=speech)
                    await link.say(type="SpeechMetadata", speech_id=speech, audio_duration_ms=0)
                    text, speeches = "", speeches + 1
                case {"type": "Interrupt", **rest} if not rest:
                    code = "NO_ACTIVE_SPEECH" if speeches else "NO_AUDIO_GENERATED"
                    await link.say(type="Warning", code=code, description="It was ignored.")
                case _:
                    await link.say(type="Error", code="MESSAGE-0000", description="The message is not known.")
                    await link.close(1003, "MESSAGE-0000")
                    return

    async def _speak(self, link: Link, text: str, rate_hz: int) -> None:
        if text.strip():
            self.spoken.append(text)
            audio = clip(text, rate_hz)
            for at in range(0, len(audio), MESSAGE_BYTES):
                await link.audio(audio[at : at + MESSAGE_BYTES])


def _wrong(query: Mapping[str, str], known: tuple[str, ...]) -> str | None:
    """What is wrong with a query, as the service says it."""
    for name in query:
        if name not in known:
            return f"Unknown parameter: {name}"
    if query.get("model") not in MODELS:
        return "No such model/version combination found."
    rates = RATES_HZ.get(query.get("encoding", ""))
    if rates is None or query.get("sample_rate") not in [str(rate_hz) for rate_hz in rates]:
        return "Unsupported audio format: encoding and sample_rate do not go together."
    if query.get("container", "none") not in ("none", "wav"):
        return "Unsupported audio format: container is not one of this encoding."
    try:
        is_speed = 0.7 <= float(query.get("speed", "1")) <= 1.5
    except ValueError:
        is_speed = False
    if not is_speed or query.get("mip_opt_out", "true") not in ("true", "false"):
        return "Invalid query parameter."
    return None


def _error(status: int, code: str, message: str) -> Script:
    return _json(status, {"err_code": code, "err_msg": message, "request_id": "r0"})


def _json(status: int, content: Any) -> Script:
    data = json.dumps(content).encode()
    return (Status(status, {"content-type": "application/json"}, len(data)), Send(data))
