"""OpenAI's speech API on loopback, stricter than the service: what its SDK cannot send is refused.

    fake = FakeOpenAI(key="sk-test")
    async with FakeProvider(fake) as server:
        ...  # speak to f"{server.url}/v1", as to https://api.openai.com/v1
        assert fake.spoken == ["Hello."]

Fields, values and errors are those of the vendor's SDK 3.57.0 (2026-11). It speaks `clip(text)` in the format that it
is asked for.
"""

import base64
import io
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import av
import numpy as np

from relay.testing.audio import RATE_HZ, speech_like, wav
from relay.testing.fake_provider import FakeRequest
from relay.testing.script import Script, Send, Status

VOICES = (
    *("alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin", "cedar"),
)
MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
# They came before events and instructions did.
_OLD_MODELS = ("tts-1", "tts-1-hd")
MAX_INPUT_CHARS = 4096
MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
# FFmpeg's containers and encoders of the formats that need one.
_ENCODERS = {
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
    "aac": ("adts", "aac"),
    "flac": ("flac", "flac"),
}
# Odd on purpose: chunks end anywhere.
_CHUNK_BYTES = 1001


def clip(text: str) -> bytes:
    """50 ms of 16-bit PCM a word at 24 kHz, other for every text."""
    return speech_like(0.05 * max(1, len(text.split())), seed=sum(text.encode("utf-8", "surrogatepass")))


@lru_cache(maxsize=64)  # each Ogg has another serial number: the same speech is to be the same bytes
def in_format(name: str, pcm: bytes) -> bytes:
    """PCM of 24 kHz in one of the formats."""
    if name == "pcm":
        return pcm
    if name == "wav":
        return wav(pcm)
    container, codec = _ENCODERS[name]
    written = io.BytesIO()
    with av.open(written, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE_HZ, layout="mono")
        assert isinstance(stream, av.AudioStream)
        samples = np.frombuffer(pcm, "<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=RATE_HZ, frame_size=stream.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return written.getvalue()


class FakeOpenAI:
    """Chooses the answer to a request (see `FakeProvider`). `spoken` are the texts it spoke, in order."""

    def __init__(self, *, key: str, speak: Callable[[str], bytes] = clip) -> None:
        self._key = key
        self._speak = speak
        self.spoken: list[str] = []

    def __call__(self, request: FakeRequest) -> Script:
        if request.headers.get("authorization") != f"Bearer {self._key}":
            return _error(401, "Incorrect API key provided.", code="invalid_api_key")
        match request.method, request.path:
            case "GET", "/v1/models":
                models = [{"id": name, "object": "model", "created": 0, "owned_by": "openai"} for name in MODELS]
                return _json(200, {"object": "list", "data": models})
            case "POST", "/v1/audio/speech":
                return self._speech(request)
        return _error(404, f"Invalid URL ({request.method} {request.path})")

    def _speech(self, request: FakeRequest) -> Script:
        if request.headers.get("content-type") != "application/json":
            return _error(415, "Unsupported content type")
        try:
            body = request.json()
        except ValueError:
            return _error(400, "We could not parse the JSON body of your request.")
        if not isinstance(body, dict):
            return _error(400, "The body must be an object.")
        if refusal := _refusal(body):
            return refusal
        self.spoken.append(body["input"])
        name = body.get("response_format", "mp3")
        audio = in_format(name, self._speak(body["input"]))
        chunks = [audio[at : at + _CHUNK_BYTES] for at in range(0, len(audio), _CHUNK_BYTES)]
        headers = {"content-type": MEDIA_TYPES[name], "x-request-id": f"req_{len(self.spoken)}"}
        if body.get("stream_format") != "sse":
            return (Status(200, headers), *map(Send, chunks))
        events: list[dict[str, Any]] = [
            {"type": "speech.audio.delta", "audio": base64.b64encode(chunk).decode()} for chunk in chunks
        ]
        usage = {"input_tokens": 1, "output_tokens": len(chunks), "total_tokens": 1 + len(chunks)}
        events.append({"type": "speech.audio.done", "usage": usage})
        lines = [Send(f"data: {json.dumps(event)}\n\n".encode()) for event in events]
        return (Status(200, {**headers, "content-type": "text/event-stream"}), *lines)


def _refusal(body: Mapping[str, Any]) -> Script | None:
    """What is wrong with a request, as the service says it."""
    for name in body:
        if name not in _FIELDS:
            return _error(400, f"Unrecognized request argument supplied: {name}", param=name)
    for name in ("input", "model", "voice"):
        if name not in body:
            return _error(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    for name, value in body.items():
        if not _FIELDS[name](value):
            return _error(400, f"Invalid value for '{name}'.", param=name, code="invalid_value")
    if body["model"] not in MODELS:
        words = "The model does not exist or you do not have access to it."
        return _error(404, words, param="model", code="model_not_found")
    if len(body["input"]) > MAX_INPUT_CHARS:
        return _error(
            400,
            f"Invalid 'input': string too long. Expected a string with maximum length {MAX_INPUT_CHARS}.",
            param="input",
            code="string_above_max_length",
        )
    if body["model"] in _OLD_MODELS and body.get("stream_format") == "sse":
        return _error(400, "The model does not stream events.", param="stream_format", code="unsupported_value")
    return None


def _is_voice(value: object) -> bool:
    if isinstance(value, dict):
        return set(value) == {"id"} and isinstance(value["id"], str)
    return value in VOICES


def _is_speed(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.25 <= value <= 4.0


_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "input": lambda value: isinstance(value, str) and value != "",
    "model": lambda value: isinstance(value, str),
    "voice": _is_voice,
    "response_format": lambda value: value in MEDIA_TYPES,
    "speed": _is_speed,
    "instructions": lambda value: isinstance(value, str),
    "stream_format": lambda value: value in ("audio", "sse"),
}


def _error(status: int, message: str, *, param: str | None = None, code: str | None = None) -> Script:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return _json(status, {"error": error})


def _json(status: int, content: object) -> Script:
    data = json.dumps(content).encode()
    return (Status(status, {"content-type": "application/json"}, len(data)), Send(data))
