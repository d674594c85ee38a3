"""OpenAI's speech API: `POST /v1/audio/speech`, as its SDK and the programs written for it speak it.

The reply is the audio itself, or server-sent events with base64 in them. What the relay makes of each field, and what
it does not honour, is told in docs/reference/door-openai.md.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from relay.core.events import Event, TurnDone, TurnRequest
from relay.core.record import TurnRecord
from relay.errors import Code, RelayError
from relay.protocols.base import Credential, Handshake, HttpAnswer, Known, SpeechCall
from relay.protocols.body import decode, field_of
from relay.protocols.door import Door

# `response_format` -> a name of `codecs.containers`, and the media type that this API gives it.
FORMATS: Mapping[str, tuple[str, str]] = {
    "mp3": ("mp3", "audio/mpeg"),
    "opus": ("ogg", "audio/ogg"),
    "aac": ("aac", "audio/aac"),
    "flac": ("flac", "audio/flac"),
    "wav": ("wav", "audio/wav"),
    "pcm": ("raw", "audio/pcm"),
}
# The rate of every format of this API.
SAMPLE_RATE_HZ = 24_000
_ROUTES = ("", "/v1")
# Errors whose kind has a name of its own in this API; all others go by their status.
_CODES = {
    Code.UNAUTHORIZED: "invalid_api_key",
    Code.VOICE_NOT_FOUND: "voice_not_found",
    Code.TEXT_TOO_LONG: "string_above_max_length",
    Code.RATE_LIMITED: "rate_limit_exceeded",
    Code.PROVIDER_RATE_LIMITED: "rate_limit_exceeded",
}


class VoiceObject(Struct, forbid_unknown_fields=True):
    id: str


class SpeechBody(Struct, forbid_unknown_fields=True):
    """The body of a request. `model` chooses nothing unless the operator says what it stands for."""

    input: Annotated[str, Meta(min_length=1)]
    voice: str | VoiceObject
    model: str | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = "mp3"
    speed: Annotated[float, Meta(ge=0.25, le=4.0)] | None = 1.0
    instructions: str | None = None
    stream_format: Literal["audio", "sse"] | None = "audio"


_DECODER = msgspec.json.Decoder(SpeechBody)


class OpenAI:
    """A `base.SpeechProtocol` and `base.ListProtocol`, under `/openai` and, for speech, at the root."""

    name = "openai"
    credential_hint = "send the header Authorization: Bearer KEY"
    prefix = "/openai/"
    # At the root is what people type: a base URL with nothing but `/v1` behind the host.
    speech_paths: tuple[str, ...] = (*(f"/openai{version}/audio/speech" for version in _ROUTES), "/v1/audio/speech")

    def __init__(self, door: Door) -> None:
        self._door = door
        self.lists: Mapping[str, Callable[[Handshake, Known], HttpAnswer]] = {
            **{f"/openai{version}/models": self._models for version in _ROUTES},
            **{f"/openai{version}/audio/voices": self._voices for version in _ROUTES},
            "/v1/models": self._models,
            "/v1/audio/voices": self._voices,
        }

    def credential(self, handshake: Handshake) -> Credential | None:
        """The bearer."""
        scheme, _, bearer = handshake.headers.get("authorization", "").partition(" ")
        shown = bearer.strip() if scheme.lower() == "bearer" else ""
        return Credential(shown) if shown else None

    def refusal(self, error: RelayError, status: int | None = None) -> HttpAnswer:
        """`{"error": {message, type, param, code}}`."""
        status = status or _status(error.code)
        headers = {"Content-Type": "application/json"}
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
        message = error.message
        if error.code is Code.VOICE_NOT_FOUND:
            message += self._door.unknown_voice_hint()
        body = {
            "message": message,
            "type": _kind(status),
            "param": "voice" if error.code is Code.VOICE_NOT_FOUND else field_of(error.message),
            "code": _CODES.get(error.code, str(error.code)),
        }
        return HttpAnswer(status=status, headers=headers, body=msgspec.json.encode({"error": body}))

    def parse(self, handshake: Handshake, body: bytes) -> SpeechCall:
        asked = decode(_DECODER, body, {"voice": VoiceObject})
        container, media_type = FORMATS[asked.response_format or "mp3"]
        voice = asked.voice if isinstance(asked.voice, str) else asked.voice.id
        speed = 1.0 if asked.speed is None else asked.speed
        request = TurnRequest(
            **self._door.speaker(voice, asked.model),
            instructions=asked.instructions or None,
            audio={"encoding": "pcm_s16le", "sample_rate": SAMPLE_RATE_HZ, "channels": 1, "tail": "short"},
            options={} if speed == 1.0 else {"speed": speed},
        )
        own = None if asked.stream_format == "sse" else media_type
        return SpeechCall(request=request, text=asked.input, container=container, own=own)

    def reply(self, call: SpeechCall) -> "AudioReply | EventsReply":
        return EventsReply() if call.own is None else AudioReply(call.own)

    def _models(self, _: Handshake, known: Known) -> HttpAnswer:
        names = dict.fromkeys((*self._door.models, *known.models))
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "relay"} for name in names]
        return _answer({"object": "list", "data": models})

    def _voices(self, _: Handshake, known: Known) -> HttpAnswer:
        """Not in this API itself; its self-hosted copies have it."""
        return _answer({"voices": [{"id": voice.id, "name": voice.name} for voice in known.voices]})


class AudioReply:
    """The audio alone."""

    def __init__(self, media_type: str) -> None:
        self._media_type = media_type

    def headers(self, record: TurnRecord, media_type: str) -> Mapping[str, str]:
        return _headers(record, self._media_type)

    def audio(self, data: bytes) -> bytes:
        return data

    def event(self, event: Event) -> bytes:
        return b""


class EventsReply:
    """Server-sent events: `speech.audio.delta` with base64, then `speech.audio.done`."""

    def headers(self, record: TurnRecord, media_type: str) -> Mapping[str, str]:
        return _headers(record, "text/event-stream")

    def audio(self, data: bytes) -> bytes:
        if not data:
            return b""
        return _event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})

    def event(self, event: Event) -> bytes:
        if not isinstance(event, TurnDone):
            return b""
        # The relay counts characters, and this API has no place for them.
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        return _event({"type": "speech.audio.done", "usage": usage})


def _headers(record: TurnRecord, media_type: str) -> Mapping[str, str]:
    return {
        "Content-Type": media_type,
        "x-request-id": record.turn_id,
        "X-Accel-Buffering": "no",
        "Cache-Control": "no-store",
    }


def _event(fields: Mapping[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


def _answer(fields: Mapping[str, Any]) -> HttpAnswer:
    return HttpAnswer(status=200, headers={"Content-Type": "application/json"}, body=msgspec.json.encode(fields))


def _status(code: Code) -> int:
    """A voice that is not there is a wrong field here, and the SDK tries 408 again, which a wrong client would not
    want."""
    return 400 if code is Code.VOICE_NOT_FOUND else code.http_status


def _kind(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    if status == 401:
        return "authentication_error"
    return "server_error" if status >= 500 else "invalid_request_error"
