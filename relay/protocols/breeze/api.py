"""What all routes of Breeze Blue's API share: its key, its errors, and how to speak.

Facts are from the vendor's API pages and its Python SDK 0.21.1 (2026-11).
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from relay.core.events import TurnRequest
from relay.errors import Code, RelayError
from relay.protocols.base import Credential, Handshake, HttpAnswer
from relay.protocols.door import Door

PREFIX = "/breeze/"
SPEECH = "/breeze/v1/text-to-speech/{voice}"
# The native rate of the vendor's voices, and that of everything which names no other.
SAMPLE_RATE_HZ = 24_000
# What tells a token of this relay from a key; a client secret is a token without it, so that it has the form that the
# vendor's SDK wants: base64url, a dot, and 43 characters of base64url.
TOKEN_PREFIX = "rt1."
SUBPROTOCOL = "breeze-realtime-v1"
TOKEN_SUBPROTOCOL = "breeze-realtime-token."

# What becomes of the relay's errors: this API's name and status.
CODES: Mapping[Code, tuple[str, int]] = {
    Code.INVALID_MESSAGE: ("VALIDATION_ERROR", 422),
    Code.INVALID_CONFIG: ("BAD_REQUEST", 400),
    Code.UNKNOWN_TURN: ("BAD_REQUEST", 400),
    Code.TEXT_TOO_LONG: ("VALIDATION_ERROR", 422),
    Code.UNAUTHORIZED: ("AUTH_REQUIRED", 401),
    Code.FORBIDDEN: ("FORBIDDEN", 403),
    Code.VOICE_NOT_FOUND: ("RESOURCE_NOT_FOUND", 404),
    Code.RATE_LIMITED: ("GENERATION_CONCURRENCY_EXCEEDED", 429),
    Code.OVER_CAPACITY: ("GENERATION_CAPACITY_EXCEEDED", 503),
    Code.SHUTTING_DOWN: ("GENERATION_CAPACITY_EXCEEDED", 503),
    Code.PROVIDER_AUTH: ("UPSTREAM_GENERATION_ERROR", 502),
    Code.PROVIDER_REJECTED: ("VALIDATION_ERROR", 422),
    Code.PROVIDER_RATE_LIMITED: ("GENERATION_CONCURRENCY_EXCEEDED", 429),
    Code.PROVIDER_UNAVAILABLE: ("UPSTREAM_GENERATION_ERROR", 502),
    Code.PROVIDER_TIMEOUT: ("UPSTREAM_TIMEOUT", 504),
    Code.PROVIDER_CUT: ("UPSTREAM_GENERATION_ERROR", 502),
    Code.BAD_AUDIO: ("UPSTREAM_GENERATION_ERROR", 502),
    Code.SLOW_CLIENT: ("BAD_REQUEST", 408),
    Code.IDLE_TIMEOUT: ("IDLE_TIMEOUT", 408),
    Code.UNKNOWN_JOB: ("RESOURCE_NOT_FOUND", 404),
    Code.UNKNOWN_HISTORY: ("RESOURCE_NOT_FOUND", 404),
    Code.JOB_NOT_READY: ("GENERATION_NOT_READY", 425),
    Code.INTERNAL: ("INTERNAL_ERROR", 500),
}
# Where the status is not that of the error: no such path, no such method, a body that is too long.
_BY_STATUS = {404: "RESOURCE_NOT_FOUND", 413: "VALIDATION_ERROR"}


class VoiceSettings(Struct, forbid_unknown_fields=True):
    guidance_scale: Annotated[float, Meta(ge=1, le=10)] | None = None
    use_speaker_boost: bool | None = None
    speed: Annotated[float, Meta(ge=0.5, le=2)] | None = None
    volume: Annotated[float, Meta(ge=0.01, le=2)] | None = None


class Manner(Struct, forbid_unknown_fields=True, kw_only=True):
    """The fields of a body that say how to speak; the bounds are the vendor's."""

    model_id: Annotated[str, Meta(min_length=1, max_length=120)] | None = None
    language_code: Annotated[str, Meta(max_length=16)] | None = None
    instructions: Annotated[str, Meta(max_length=1000)] | None = None
    voice_settings: VoiceSettings | None = None

    def request(self, door: Door, voice: str, audio: Mapping[str, Any]) -> TurnRequest:
        """Settings of the voice go to a provider of this API as they are. For others `volume` is a gain of the
        relay's, `speed` the provider's own option, and the rest has no meaning."""
        speaker = door.speaker(voice, self.model_id)
        settings = self.voice_settings or VoiceSettings()
        options: dict[str, Any] = {}
        audio = {"encoding": "pcm_s16le", "channels": 1, "tail": "short", **audio}
        if door.adapter(speaker) == "breeze":
            given = {name: value for name, value in msgspec.structs.asdict(settings).items() if value is not None}
            options = {"voice_settings": given} if given else {}
        else:
            if settings.volume not in (None, 1):
                audio["gain_db"] = round(20 * math.log10(settings.volume), 3)
            if settings.speed not in (None, 1):
                options["speed"] = settings.speed
        return TurnRequest(
            **speaker,
            language=self.language_code or None,
            instructions=self.instructions or None,
            audio=audio,
            options=options,
        )


def credential(handshake: Handshake) -> Credential | None:
    """`xi-api-key` goes before a bearer, and both before the secret of a realtime session."""
    if key := handshake.headers.get("xi-api-key", "").strip():
        return Credential(key)
    scheme, _, bearer = handshake.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return Credential(bearer.strip())
    offered = [each.strip() for each in handshake.headers.get("sec-websocket-protocol", "").split(",")]
    secrets = [each.removeprefix(TOKEN_SUBPROTOCOL) for each in offered if each.startswith(TOKEN_SUBPROTOCOL)]
    secret = next(iter(secrets), None) or handshake.query.get("client_secret")
    return Credential(TOKEN_PREFIX + secret, token_only=True) if secret else None


def code_of(error: RelayError) -> str:
    return CODES[error.code][0]


def detail_of(error: RelayError, door: Door) -> str:
    """The message, with what an operator does about a voice that is not there."""
    return error.message + door.unknown_voice_hint() if error.code is Code.VOICE_NOT_FOUND else error.message


def refusal(error: RelayError, door: Door, status: int | None = None) -> HttpAnswer:
    """`{ok, code, detail, error}`."""
    code, own_status = CODES[error.code]
    if error.code is Code.JOB_NOT_READY and not error.retryable:  # and never will be
        code, own_status = "GENERATION_FAILED", 502
    if status is not None and status != own_status:
        code = _BY_STATUS.get(status, code if status >= 500 else "BAD_REQUEST")
    headers = {"Content-Type": "application/json"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    detail = detail_of(error, door)
    body = {"ok": False, "code": code, "detail": detail, "error": detail}
    return HttpAnswer(status=status or own_status, headers=headers, body=msgspec.json.encode(body))


def key_headers(key_id: str | None) -> dict[str, str]:
    return {"x-breeze-api-key-id": key_id} if key_id else {}


def answer(handshake: Handshake, fields: object) -> HttpAnswer:
    headers = {"Content-Type": "application/json", **key_headers(handshake.key_id)}
    return HttpAnswer(status=200, headers=headers, body=msgspec.json.encode(fields))
