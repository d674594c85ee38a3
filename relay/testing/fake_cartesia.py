"""Cartesia's speech API on loopback, stricter than the service: what its SDK cannot send is refused.

    fake = FakeCartesia(key="ca-test")
    async with FakeProvider(fake) as server, FakeSocket(fake.converse) as sockets:
        ...  # speak to server.url over HTTP, and to sockets.url over a WebSocket
        assert fake.spoken == ["Hello."]

Fields, values and messages are those of the vendor's SDK 4.2.0. It speaks `clip(text)` in headerless 16-bit PCM of the
rate asked for.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from relay.testing.audio import speech_like
from relay.testing.fake_provider import FakeRequest
from relay.testing.fake_socket import Link
from relay.testing.script import Script, Send, Status

VERSION = "2026-08-14"
VOICE = "6ccbfb76-1fc6-48f7-b71d-91ac6298247b"
MODELS = ("sonic-latest", "sonic-3")
RATES_HZ = (8000, 16000, 22050, 24000, 44100, 48000)
# Odd on purpose: messages end anywhere.
CHUNK_BYTES = 1001
_BODY = ("model_id", "output_format", "transcript", "voice", "generation_config", "language", "pronunciation_dict_id")
_EVENTS = (*_BODY, "add_timestamps")
_SOCKET = (*_EVENTS, "context_id", "continue", "flush", "max_buffer_delay_ms")
# What may differ between the messages of one context.
_VARYING = ("transcript", "continue", "flush")


def clip(text: str, rate_hz: int = 24000) -> bytes:
    """50 ms of 16-bit PCM a word, other for every text."""
    return speech_like(0.05 * max(1, len(text.split())), seed=sum(text.encode()), rate_hz=rate_hz)


class FakeCartesia:
    """Chooses the answer to a request (see `FakeProvider`), and plays a socket (see `FakeSocket`). `spoken` are the
    texts it spoke, in order. `contexts`: how many each socket may have in all; of more it says that they are too many.
    """

    def __init__(self, *, key: str, contexts: int = 1000) -> None:
        self._key = key
        self._contexts = contexts
        self.spoken: list[str] = []

    def __call__(self, request: FakeRequest) -> Script:
        if wrong := self._not_let_in(request.headers):
            return _answer(_error(*wrong))
        match request.method, request.path:
            case "GET", "/voices":
                return _json(200, {"data": [{"id": VOICE, "name": "Ann", "language": "en"}], "has_more": False})
            case "POST", "/tts/bytes":
                return self._speech(request, _BODY)
            case "POST", "/tts/sse":
                return self._speech(request, _EVENTS)
        return _answer(_error(404, "not_found", "There is no such path."))

    def _not_let_in(self, headers: Mapping[str, str]) -> tuple[int, str, str] | None:
        if headers.get("cartesia-version") != VERSION:
            return (400, "version_missing", "Cartesia-Version is missing or unknown.")
        if headers.get("authorization") != f"Bearer {self._key}":
            return (401, "unauthorized", "Invalid API key.")
        return None

    def _speech(self, request: FakeRequest, known: tuple[str, ...]) -> Script:
        body = request.json()
        if wrong := _wrong(body, known):
            return _answer(_error(*wrong))
        if not body["transcript"].strip():
            return _answer(_error(400, "invalid_transcript", "The transcript is empty."))
        self.spoken.append(body["transcript"])
        pieces = _pieces(clip(body["transcript"], body["output_format"]["sample_rate"]))
        headers = {"x-request-id": f"r{len(self.spoken)}"}
        if known is _BODY:
            return (Status(200, headers | {"content-type": "audio/wav"}), *(Send(piece) for piece in pieces))
        events: list[dict[str, Any]] = [_chunk(piece) for piece in pieces]
        if body.get("add_timestamps"):
            events.insert(1, {"type": "timestamps", "done": False, "status_code": 206, **_times(body["transcript"])})
        events.append({"type": "done", "done": True, "status_code": 200})
        sends = (Send(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()) for event in events)
        return (Status(200, headers | {"content-type": "text/event-stream"}), *sends)

    async def converse(self, link: Link) -> None:
        """One socket, until it is closed. Raises AssertionError for a handshake that the service would refuse."""
        assert urlsplit(link.path).path == "/tts/websocket", link.path
        assert self._not_let_in(link.headers) is None, "the version or the key is refused"
        held: dict[str, str] = {}
        fields: dict[str, dict[str, Any]] = {}
        over: set[str] = set()
        while True:
            message = dict(await link.next_told())
            name = message.get("context_id")
            assert isinstance(name, str) and name, "a message names its context"
            if set(message) == {"context_id", "cancel"} and message["cancel"] is True:
                if name in held:
                    del held[name]
                    over.add(name)
                    await link.say(type="done", context_id=name, done=True, status_code=200)
                continue
            kept = {key: value for key, value in message.items() if key not in _VARYING}
            wrong = _wrong(message, _SOCKET)
            if name in over or fields.setdefault(name, kept) != kept:
                wrong = (400, "invalid_context", "The context is over, or was opened with other fields.")
            elif len(fields) > self._contexts:
                wrong = (429, "concurrency_limited", "Too many contexts.")
            if wrong:
                over.add(name)
                held.pop(name, None)
                await link.say(**_error(*wrong), type="error", context_id=name, done=True)
                continue
            text = held.get(name, "") + message["transcript"]
            is_last = not message.get("continue", False)
            held[name] = "" if is_last or message.get("flush") else text
            if text.strip() and not held[name]:
                await self._speak(link, name, text, message["output_format"]["sample_rate"])
            if message.get("flush"):
                await link.say(type="flush_done", context_id=name, flush_id=1, flush_done=True, done=False)
            if is_last:
                del held[name]
                over.add(name)
                await link.say(type="done", context_id=name, done=True, status_code=200)

    async def _speak(self, link: Link, name: str, text: str, rate_hz: int) -> None:
        self.spoken.append(text)
        for piece in _pieces(clip(text, rate_hz)):
            await link.say(**_chunk(piece), context_id=name)
        await link.say(type="timestamps", context_id=name, done=False, status_code=206, **_times(text))


def _wrong(body: Any, known: tuple[str, ...]) -> tuple[int, str, str] | None:
    """What is wrong with a request: its status, its code and its sentence."""
    if not isinstance(body, dict) or (odd := set(body) - set(known)):
        return (400, "invalid_field", f"Unknown field: {', '.join(sorted(odd)) if isinstance(body, dict) else 'body'}")
    if not isinstance(body.get("transcript"), str) or body.get("model_id") not in MODELS:
        return (400, "invalid_field", "transcript or model_id is wrong.")
    voice = body.get("voice")
    if (voice.get("id") if isinstance(voice, dict) else voice) != VOICE:
        return (404, "voice_not_found", "The voice could not be found.")
    output = body.get("output_format")
    if not isinstance(output, dict) or set(output) != {"container", "encoding", "sample_rate"}:
        return (400, "invalid_output_format", "output_format is wrong.")
    if (output["container"], output["encoding"]) != ("raw", "pcm_s16le") or output["sample_rate"] not in RATES_HZ:
        return (400, "invalid_output_format", "output_format is wrong.")
    generation = body.get("generation_config", {})
    if not set(generation) <= {"speed", "volume", "emotion"} or not 0.6 <= generation.get("speed", 1) <= 1.5:
        return (400, "invalid_generation_config", "generation_config is wrong.")
    return None


def _pieces(audio: bytes) -> list[bytes]:
    return [audio[at : at + CHUNK_BYTES] for at in range(0, len(audio), CHUNK_BYTES)]


def _chunk(piece: bytes) -> dict[str, Any]:
    data = base64.b64encode(piece).decode()
    return {"type": "chunk", "data": data, "done": False, "status_code": 206, "step_time": 1.5}


def _times(text: str) -> dict[str, Any]:
    words = text.split()
    starts = [0.05 * index for index in range(len(words) + 1)]
    return {"word_timestamps": {"words": words, "start": starts[:-1], "end": starts[1:]}}


def _error(status: int, code: str, message: str) -> dict[str, Any]:
    return {
        "status_code": status,
        "error_code": code,
        "title": "Error",
        "message": message,
        "request_id": "r0",
    }


def _answer(error: Mapping[str, Any]) -> Script:
    return _json(int(error["status_code"]), error)


def _json(status: int, content: Any) -> Script:
    data = json.dumps(content).encode()
    return (Status(status, {"content-type": "application/json"}, len(data)), Send(data))
