"""What PlayAI's API has beside requests with a key: its WebSocket, and the streams of play.ht, which the SDK pyht asks.

Both are asked for an address first, which holds a token. Their messages are the same, and in other words than those of
`playai`: each is a whole turn. See docs/reference/door-playai.md.
"""

import struct
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from relay.core import events
from relay.core.events import Command, Event
from relay.core.formats import AudioFormat, Encoding
from relay.core.playout import Run
from relay.errors import ClientError, Code, RelayError
from relay.protocols.answer import json_answer, rfc3339
from relay.protocols.base import (
    Binary,
    Credential,
    Handshake,
    HttpAnswer,
    Message,
    SpeechCall,
    Text,
    TokenWish,
)
from relay.protocols.body import decode
from relay.protocols.door import Door
from relay.protocols.playai import TEXT_CHARS, Amount, PlayAI, StreamReply, Voice, turn_of

# Where the SDK's addresses lead; for the whole of a clip at once it leaves out the word "stream".
_SPEECH, _WHOLE = "/playai/playht/stream", "/playai/playht/"
_SOCKET = "/playai/live"
_SDK_AUTH, _SOCKET_AUTH = "/playai/api/v4/sdk-auth", "/playai/api/v1/tts/websocket-auth"
# The models that the SDK wants addresses of.
_SDK_MODELS = ("Play3.0-mini", "PlayDialog", "PlayDialogMultilingual", "PlayDialogArabic")
# A message without a header around its samples, but for `wav`, whose header comes by itself.
_SOCKET_FORMATS = ("wav", "raw", "pcm", "mulaw")
_CLOSE_CODES = {Code.SHUTTING_DOWN: 1001, Code.IDLE_TIMEOUT: 1008, Code.SLOW_CLIENT: 1008, Code.UNAUTHORIZED: 1008}
# pyht 0.1.14 takes the UTC of `expires_at` for local time, and asks anew only once it has passed. An address is good
# for one request: with a day less, the SDK asks for one each time, in every time zone.
_ASKED_EACH_TIME_S = 86_400
_UNKNOWN_SIZE = 0xFFFFFFFF


class LiveBody(Struct, forbid_unknown_fields=True):
    """A command of the WebSocket, and the body of a stream of pyht's. `version` says no more than the model does."""

    text: str | list[str]
    voice: Voice
    output_format: Literal["mp3", "mulaw", "raw", "pcm", "wav", "ogg", "flac"] = "mp3"
    sample_rate: int | None = None
    speed: Annotated[float, Meta(ge=0.1, le=5.0)] | None = None
    model: str | None = None
    voice_engine: str | None = None
    version: str | None = None
    language: str | None = None
    request_id: str | int | None = None
    seed: Annotated[int, Meta(ge=0)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Amount = None
    text_guidance: Amount = None
    voice_guidance: Amount = None
    style_guidance: Amount = None
    repetition_penalty: Amount = None
    quality: str | None = None
    voice_2: Voice | None = None
    turn_prefix: str | None = None
    turn_prefix_2: str | None = None
    voice_conditioning_seconds: Amount = None
    voice_conditioning_seconds_2: Amount = None
    scene_description: str | None = None
    turn_clip_description: str | None = None
    num_candidates: int | None = None
    candidate_ranking_method: str | None = None

    def said(self) -> str:
        """The text; lines of a list are words apart. Raises ClientError."""
        text = self.text if isinstance(self.text, str) else " ".join(self.text)
        if not text:
            raise ClientError(Code.INVALID_MESSAGE, "the text is empty - at `text`")
        longest = max(TEXT_CHARS.values())
        if len(text) > longest:
            raise ClientError(Code.TEXT_TOO_LONG, f"text has {len(text)} characters; {longest} is the most")
        return text

    def turn(self, door: Door) -> tuple[str, events.TurnRequest]:
        """A container, and the turn. Raises ClientError."""
        return turn_of(
            door,
            voice=self.voice,
            model=self.model or self.voice_engine,
            output_format=self.output_format,
            sample_rate_hz=self.sample_rate,
            language=self.language,
            options={_camel(name): value for name in _OPTIONS if (value := getattr(self, name)) is not None},
        )


_DECODER = msgspec.json.Decoder(LiveBody)
_NO_OPTIONS = ("text", "voice", "output_format", "sample_rate", "model", "voice_engine", "version", "language")
_OPTIONS = tuple(name for name in LiveBody.__struct_fields__ if name not in (*_NO_OPTIONS, "request_id"))


class PlayAILive:
    """A `base.MintProtocol`, `base.StreamProtocol` and `base.SpeechProtocol`."""

    name = "playai_live"
    prefix = "/playai/playht/"
    credential_hint = "ask for an address first, with a key; it holds a token that is good for one request"
    mint_paths: tuple[str, ...] = (_SDK_AUTH, _SOCKET_AUTH)
    stream_paths: tuple[str, ...] = (_SOCKET,)
    speech_paths: tuple[str, ...] = (_SPEECH, _WHOLE)
    subprotocols: tuple[str, ...] = ()

    def __init__(self, door: Door) -> None:
        self._door = door
        self._with_key = PlayAI(door)

    def credential(self, handshake: Handshake) -> Credential | None:
        """A key where an address is asked for; at the address, the token in it."""
        if handshake.route in self.mint_paths:
            return self._with_key.credential(handshake)
        token = handshake.query.get("token", "")
        return Credential(token, token_only=True) if token else None

    def refusal(self, error: RelayError, status: int | None = None) -> HttpAnswer:
        return self._with_key.refusal(error, status)

    def wish(self, handshake: Handshake, body: bytes) -> TokenWish:
        """What a body says is not read: the API documents none."""
        return TokenWish()

    def minted(self, handshake: Handshake, wish: TokenWish, token: str, expires_at_s: int) -> HttpAnswer:
        secure, host = "s" if handshake.secure else "", handshake.headers.get("host", "")
        socket = f"ws{secure}://{host}{_SOCKET}?token={token}"
        if handshake.route == _SOCKET_AUTH:
            urls = dict.fromkeys(TEXT_CHARS, socket)
            return json_answer({"webSocketUrls": urls, "expiresAt": rfc3339(expires_at_s)})
        addresses = {"http_streaming_url": f"http{secure}://{host}{_SPEECH}?token={token}", "websocket_url": socket}
        expires_at = f"{datetime.fromtimestamp(expires_at_s - _ASKED_EACH_TIME_S, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        return json_answer({"expires_at": expires_at, **dict.fromkeys(_SDK_MODELS, addresses)})

    def parse(self, handshake: Handshake, body: bytes) -> SpeechCall:
        asked = decode(_DECODER, body)
        text = asked.said()
        container, turn = asked.turn(self._door)
        return SpeechCall(request=turn, text=text, container=container, whole=handshake.route == _WHOLE)

    def reply(self, call: SpeechCall) -> StreamReply:
        return StreamReply()

    def open(self, handshake: Handshake) -> "PlayAISession":
        return PlayAISession(self._door)


class PlayAISession:
    """See `base.SessionProtocol`: turns one after the other, each between `start` and `end`, as binary messages."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._opened = 0
        # What is to be told of turns that have not ended; the session bounds how many there are.
        self._ids: dict[str, str | int | None] = {}
        # Those that are to begin with a header, and the headers; those that have begun.
        self._wavs: set[str] = set()
        self._headers: dict[str, bytes] = {}
        self._speaking: set[str] = set()

    def receive(self, message: str | bytes) -> list[Command]:
        try:
            asked = decode(_DECODER, message if isinstance(message, bytes) else message.encode("utf-8", "replace"))
            if asked.output_format not in _SOCKET_FORMATS:
                raise ClientError(
                    Code.INVALID_MESSAGE,
                    f"output_format is {asked.output_format!r}; over this WebSocket it must be one of"
                    f" {', '.join(_SOCKET_FORMATS)}",
                )
            text = asked.said()
            _, turn = asked.turn(self._door)
        except ClientError as error:
            return [events.Unreadable(error=error)]
        turn_id = f"turn_{self._opened}"
        self._opened += 1
        self._ids[turn_id] = asked.request_id
        if asked.output_format == "wav":
            self._wavs.add(turn_id)
        return [events.Speak(request=replace(turn, turn_id=turn_id), text=text)]

    def send(self, item: Event | Run) -> list[Message]:
        match item:
            case Run():
                return [Binary(item.payload)]
            case events.TurnStarted():
                if item.turn_id in self._wavs:  # told ahead of its turn to speak
                    self._headers[item.turn_id] = _wav_header(item.frame_format.audio)
            case events.AudioStarted():
                return self._begun(item.turn_id)
            case events.TurnDone() | events.TurnCancelled():
                begun = [] if item.turn_id in self._speaking else self._begun(item.turn_id)
                return [*begun, _text(type="end", request_id=self._over(item.turn_id))]
            case events.Failed(turn_id=None):
                return [_text(type="error", error=item.error.message)]
            case events.Failed():
                assert item.turn_id is not None, "the case before"
                return [_text(type="error", error=item.error.message, request_id=self._over(item.turn_id))]
        return []

    def close_code(self, error: RelayError | None) -> int:
        return 1000 if error is None else _CLOSE_CODES.get(error.code, 1011)

    def _begun(self, turn_id: str) -> list[Message]:
        self._speaking.add(turn_id)
        header = self._headers.get(turn_id)
        return [_text(type="start", request_id=self._ids.get(turn_id)), *([Binary(header)] if header else [])]

    def _over(self, turn_id: str) -> str | int | None:
        self._wavs.discard(turn_id)
        self._headers.pop(turn_id, None)
        self._speaking.discard(turn_id)
        return self._ids.pop(turn_id, None)


def _camel(name: str) -> str:
    """`voice_conditioning_seconds_2` -> `voiceConditioningSeconds2`, as the options of a provider are called."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _wav_header(audio: AudioFormat) -> bytes:
    """That of a stream: 16 bits, and sizes that are not known."""
    assert audio.encoding is Encoding.PCM_S16LE, "a WAV here holds 16 bits"
    rate_hz, align = audio.sample_rate_hz, audio.block_align
    form = struct.pack("<HHIIHH", 1, audio.channels, rate_hz, rate_hz * align, align, 16)
    head = struct.pack("<4sI4s4sI", b"RIFF", _UNKNOWN_SIZE, b"WAVE", b"fmt ", len(form))
    return head + form + struct.pack("<4sI", b"data", _UNKNOWN_SIZE)


def _text(**fields: Any) -> Text:
    return Text(msgspec.json.encode(fields))
