"""Bland's second API: `POST /v2/tts`, audio as it is made; its WebSocket; and OpenAI's speech API under its roof."""

from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from relay.core.events import Event
from relay.core.record import TurnRecord
from relay.errors import RelayError
from relay.protocols.base import Credential, Handshake, HttpAnswer, Known, SpeechCall
from relay.protocols.bland import api
from relay.protocols.bland.manner import NESTED, Manner
from relay.protocols.bland.socket import BlandSession
from relay.protocols.body import decode
from relay.protocols.door import Door
from relay.protocols.openai import OpenAI


class SpeechBody(Manner, kw_only=True):
    text: Annotated[str, Meta(min_length=1)]


_SPEECH = msgspec.json.Decoder(SpeechBody)


class BlandV2:
    """A `base.SpeechProtocol` and `base.StreamProtocol`, under `/bland/v2`."""

    name = "bland"
    credential_hint = api.CREDENTIAL_HINT
    prefix = "/bland/v2/"
    speech_paths: tuple[str, ...] = ("/bland/v2/tts",)
    stream_paths: tuple[str, ...] = ("/bland/v2/tts/ws",)
    # What a client offers beside its key cannot be known here; clients that need one selected send `?token=`.
    subprotocols: tuple[str, ...] = ()

    def __init__(self, door: Door) -> None:
        self._door = door

    def credential(self, handshake: Handshake) -> Credential | None:
        return api.credential(handshake)

    def refusal(self, error: RelayError, status: int | None = None) -> HttpAnswer:
        """`{error: {code, message}}`."""
        told = {"code": api.name_of(error, status), "message": api.message_of(error, self._door)}
        return api.refused(error, status, {"error": told})

    def open(self, handshake: Handshake) -> BlandSession:
        return BlandSession(self._door, handshake.id)

    def parse(self, handshake: Handshake, body: bytes) -> SpeechCall:
        asked = decode(_SPEECH, body, NESTED)
        return SpeechCall(request=asked.request(self._door), text=asked.text, container=asked.container)

    def reply(self, call: SpeechCall) -> "AudioReply":
        return AudioReply()


class AudioReply:
    """The audio alone."""

    def headers(self, record: TurnRecord, media_type: str) -> Mapping[str, str]:
        return {
            "Content-Type": media_type,
            "x-model": record.model or record.provider,
            "x-request-id": record.turn_id,
            "X-Accel-Buffering": "no",
            "Cache-Control": "no-store",
        }

    def audio(self, data: bytes) -> bytes:
        return data

    def event(self, event: Event) -> bytes:
        return b""


class BlandSpeech(OpenAI):
    """`/v2/audio/speech`: OpenAI's API with Bland's credentials."""

    name = "bland"
    credential_hint = api.CREDENTIAL_HINT
    prefix = "/bland/v2/audio/"
    speech_paths: tuple[str, ...] = ("/bland/v2/audio/speech",)

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self.lists: Mapping[str, Callable[[Handshake, Known], HttpAnswer]] = {}

    def credential(self, handshake: Handshake) -> Credential | None:
        return api.credential(handshake)
