"""Bland's first API: `POST /v1/speak`, a WAV whatever is asked for, whole or as it is made; voices, models, tokens.

What the relay makes of each field, and what it does not have, is in docs/reference/door-bland.md.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from relay.core.events import Event, TurnRequest
from relay.core.record import TurnRecord
from relay.errors import ClientError, Code, RelayError
from relay.protocols.base import Credential, Handshake, HttpAnswer, Known, KnownVoice, SpeechCall, TokenWish
from relay.protocols.bland import api
from relay.protocols.body import decode
from relay.protocols.door import Door

# `output_format` -> what the WAV holds.
FORMATS: Mapping[str, Mapping[str, Any]] = {
    **{f"pcm_{rate}": {"encoding": "pcm_s16le", "sample_rate": rate} for rate in (8000, 16000, 24000, 44100)},
    "ulaw_8000": {"encoding": "mulaw", "sample_rate": 8000},
}
MEDIA_TYPE = "audio/x-wav"
# The vendor's tokens live so long.
TOKEN_TTL_S = 300.0
# The family of voices that both generations of the API take: clients leave out those of others.
SERVICE = "BTTS_V3"
# Of a list of samples.
DEFAULT_LIMIT, MAX_LIMIT = 20, 100


class SpeakBody(Struct, forbid_unknown_fields=True):
    """The body of a request; `voice` is what older clients call `voice_id`."""

    text: Annotated[str, Meta(min_length=1)]
    voice_id: str | None = None
    voice: str | None = None
    output_format: Literal["pcm_8000", "pcm_16000", "pcm_24000", "pcm_44100", "ulaw_8000"] | None = None
    language: str | None = None
    consistency: Annotated[float, Meta(ge=0, le=32)] | None = None
    expressiveness: Annotated[float, Meta(ge=0, le=1)] | None = None
    boost: Annotated[int, Meta(ge=-1000, le=1000)] | None = None
    stream: bool | None = None

    def own(self) -> dict[str, Any]:
        """What only Bland's own voices have."""
        names = ("consistency", "expressiveness", "boost")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class TokenBody(Struct, forbid_unknown_fields=True):
    voice_id: str | None = None


_SPEAK = msgspec.json.Decoder(SpeakBody)
_TOKEN = msgspec.json.Decoder(TokenBody)


class BlandV1:
    """A `base.SpeechProtocol`, `base.ListProtocol` and `base.MintProtocol`, under `/bland`."""

    name = "bland"
    credential_hint = api.CREDENTIAL_HINT
    prefix = "/bland/"
    speech_paths: tuple[str, ...] = ("/bland/v1/speak", "/bland/v1/speak/stream")
    # As the vendor's page has it, and as its library.
    mint_paths: tuple[str, ...] = ("/bland/v1/speak/stream-input/token", "/bland/v1/speak/stream-input-token")

    def __init__(self, door: Door) -> None:
        self._door = door
        self.lists: Mapping[str, Callable[[Handshake, Known], HttpAnswer]] = {
            "/bland/v1/voices": self._voices,
            "/bland/v1/voices/{voice}": self._voice,
            "/bland/v1/models": self._models,
            "/bland/v1/speak/samples": self._samples,
        }

    def credential(self, handshake: Handshake) -> Credential | None:
        return api.credential(handshake)

    def refusal(self, error: RelayError, status: int | None = None) -> HttpAnswer:
        """Both shapes in one: `{status, data, errors: [{error, message}]}`."""
        name = api.name_of(error, status)
        told = {
            "error": "Invalid input" if name == "invalid_request" else name,
            "message": api.message_of(error, self._door),
        }
        return api.refused(error, status, {"status": "error", "data": None, "errors": [told]})

    def parse(self, handshake: Handshake, body: bytes) -> SpeechCall:
        asked = decode(_SPEAK, body)
        voice = asked.voice_id or asked.voice
        if not voice:
            raise ClientError(Code.INVALID_MESSAGE, "Object missing required field `voice_id`")
        speaker = self._door.speaker(voice)
        own = asked.own()
        request = TurnRequest(
            **speaker,
            language=asked.language or None,
            audio={"channels": 1, "tail": "short", **FORMATS[asked.output_format or "pcm_44100"]},
            options={"api": "v1", **own} if own and self._door.adapter(speaker) == "bland" else {},
        )
        whole = not asked.stream and not handshake.route.endswith("/stream")
        return SpeechCall(request=request, text=asked.text, container="wav", whole=whole)

    def reply(self, call: SpeechCall) -> "WavReply":
        return WavReply()

    def wish(self, handshake: Handshake, body: bytes) -> TokenWish:
        """For one session on the WebSocket."""
        voice = decode(_TOKEN, body or b"{}").voice_id
        speaker = self._door.speaker(voice) if voice else {}
        return TokenWish(ttl_s=TOKEN_TTL_S, provider=speaker.get("provider"), voice=speaker.get("voice"))

    def minted(self, handshake: Handshake, wish: TokenWish, token: str, expires_at_s: int) -> HttpAnswer:
        return api.answer({"data": {"token": token, "expires_in_seconds": int(TOKEN_TTL_S)}, "errors": None})

    def _voices(self, _: Handshake, known: Known) -> HttpAnswer:
        return api.answer({"voices": [_fields(voice) for voice in known.voices], "errors": None})

    def _voice(self, handshake: Handshake, known: Known) -> HttpAnswer:
        asked = handshake.path["voice"]
        voice = known.find(self._door.meant(asked) or asked)
        if voice is not None:
            return api.answer({"voice": _fields(voice), "errors": None})
        raise ClientError(Code.VOICE_NOT_FOUND, f"there is no voice {asked[:40]!r}")

    def _models(self, _: Handshake, known: Known) -> HttpAnswer:
        names = dict.fromkeys((*self._door.models, *known.models))
        return api.answer({"data": [{"id": name, "name": name} for name in names], "errors": None})

    def _samples(self, handshake: Handshake, _: Known) -> HttpAnswer:
        """Nothing is kept."""
        limit, offset = handshake.query.get("limit", str(DEFAULT_LIMIT)), handshake.query.get("offset", "0")
        for name, value, most in (("limit", limit, MAX_LIMIT), ("offset", offset, 10**9)):
            if not (value.isascii() and value.isdecimal() and len(value) <= 10 and int(value) <= most):
                raise ClientError(Code.INVALID_CONFIG, f"{name} is {value[:20]!r}; it must be 0 to {most}")
        return api.answer({"data": [], "errors": None, "total": 0, "limit": int(limit), "offset": int(offset)})


class WavReply:
    """The audio alone."""

    def headers(self, record: TurnRecord, media_type: str) -> Mapping[str, str]:
        ttfa_ms = record.timings.ttfa_ms
        return {
            "Content-Type": MEDIA_TYPE,
            **({"x-latency": str(round(ttfa_ms))} if ttfa_ms is not None else {}),
            "x-request-id": record.turn_id,
            "X-Accel-Buffering": "no",
            "Cache-Control": "no-store",
        }

    def audio(self, data: bytes) -> bytes:
        return data

    def event(self, event: Event) -> bytes:
        return b""


def _fields(voice: KnownVoice) -> dict[str, Any]:
    return {
        "id": voice.id,
        "voice_id": voice.id,
        "name": voice.name,
        "description": voice.description or "",
        "public": True,
        "tags": [tag for tag in (voice.gender, *voice.languages) if tag],
        "service": SERVICE,
    }
