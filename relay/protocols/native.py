"""The native protocol, `relay.v1`: JSON text messages -> commands, and by `native_events` events -> messages. Binary
frames are made by the server.

Decoding is strict: a wrong type or an unknown field is an error that names the field and what is valid, because a
misspelt setting that is silently ignored costs its author an hour. Texts and keys are never quoted in an error.
"""

from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from relay.core import events
from relay.core.events import Command, Event, ProviderChoice, TurnRequest
from relay.core.frames import pack_header
from relay.core.playout import Run
from relay.errors import ClientError, Code, RelayError
from relay.protocols.base import Binary, Frames, Message, Text, TokenWish
from relay.protocols.body import decode, explain
from relay.protocols.native_events import NAME, encode, error_fields, http_error

__all__ = [
    "NAME",
    "NativeSession",
    "SpeechBody",
    "TokenBody",
    "error_fields",
    "http_error",
    "read",
    "receive_speech",
    "receive_token",
]

# What a session's end is on the WebSocket (RFC 6455, 7.4.1); every other error is a fault of the relay.
_CLOSE_CODES = {
    Code.INVALID_MESSAGE: 1003,
    Code.SHUTTING_DOWN: 1001,
    Code.IDLE_TIMEOUT: 1008,
    Code.SLOW_CLIENT: 1008,
    Code.UNAUTHORIZED: 1008,
}

# A reply to a message that cannot be understood quotes at most this much of a field's value.
MAX_QUOTED_CHARS = 40


class _Strict(Struct, forbid_unknown_fields=True):
    pass


class AudioFields(_Strict):
    encoding: str | UnsetType = UNSET
    sample_rate: int | str | UnsetType = UNSET
    channels: int | UnsetType = UNSET
    frame_ms: int | UnsetType = UNSET
    tail: str | UnsetType = UNSET
    header: bool | UnsetType = UNSET
    gain_db: float | UnsetType = UNSET
    max_leading_silence_ms: float | UnsetType | None = UNSET
    fade_ms: float | UnsetType = UNSET


class PacingFields(_Strict):
    mode: str | UnsetType = UNSET
    lead_ms: int | UnsetType = UNSET
    burst_ms: int | UnsetType = UNSET


class FlowFields(_Strict):
    window_ms: int | None = None


class ProviderFields(_Strict):
    provider: str
    voice: str | None = None
    model: str | None = None
    options: dict[str, Any] | None = None

    def choice(self) -> ProviderChoice:
        return ProviderChoice(provider=self.provider, voice=self.voice, model=self.model, options=self.options or {})


def _choice(given: str | ProviderFields) -> ProviderChoice:
    return ProviderChoice(provider=given) if isinstance(given, str) else given.choice()


class TurnFields(_Strict, tag_field="type", kw_only=True):
    turn_id: str | None = None
    provider: str | None = None
    providers: list[str | ProviderFields] | None = None
    voice: str | None = None
    model: str | None = None
    language: str | None = None
    instructions: str | None = None
    audio: AudioFields | None = None
    pacing: PacingFields | None = None
    flow: FlowFields | None = None
    options: dict[str, Any] | None = None
    text_filter: list[str] | None = None
    lexicon: dict[str, Any] | None = None
    traceparent: str | None = None
    history: bool | None = None

    def request(self) -> TurnRequest:
        return TurnRequest(
            turn_id=self.turn_id,
            provider=self.provider,
            providers=tuple(map(_choice, self.providers or ())),
            voice=self.voice,
            model=self.model,
            language=self.language,
            instructions=self.instructions,
            audio=_given(self.audio),
            pacing=_given(self.pacing),
            window_ms=self.flow.window_ms if self.flow else None,
            options=self.options or {},
            text_filter=self.text_filter,
            lexicon=self.lexicon,
            traceparent=self.traceparent,
            history=self.history,
        )


class TurnStart(TurnFields, tag="turn.start", kw_only=True):
    def command(self) -> Command:
        return events.StartTurn(request=self.request())


class SpeakMessage(TurnFields, tag="speak", kw_only=True):
    text: str

    def command(self) -> Command:
        return events.Speak(request=self.request(), text=self.text)


class TextAppend(_Strict, tag_field="type", tag="text.append"):
    text: str
    turn_id: str | None = None

    def command(self) -> Command:
        return events.AppendText(text=self.text, turn_id=self.turn_id)


class TextFlush(_Strict, tag_field="type", tag="text.flush"):
    turn_id: str | None = None
    flush_id: str | None = None

    def command(self) -> Command:
        return events.FlushText(turn_id=self.turn_id, flush_id=self.flush_id)


class TurnEnd(_Strict, tag_field="type", tag="turn.end"):
    turn_id: str | None = None

    def command(self) -> Command:
        return events.EndTurn(turn_id=self.turn_id)


class TurnCancel(_Strict, tag_field="type", tag="turn.cancel"):
    turn_id: str | None = None
    played_samples: int | None = None

    def command(self) -> Command:
        return events.CancelTurn(turn_id=self.turn_id, played_samples=self.played_samples)


class FlowGrant(_Strict, tag_field="type", tag="flow.grant"):
    ms: int
    turn_id: str | None = None

    def command(self) -> Command:
        return events.GrantFlow(ms=self.ms, turn_id=self.turn_id)


class PlaybackReport(_Strict, tag_field="type", tag="playback.report"):
    turn_id: str
    samples: int
    underruns: int = 0
    underrun_ms: float = 0.0

    def command(self) -> Command:
        return events.ReportPlayback(
            turn_id=self.turn_id, samples=self.samples, underruns=self.underruns, underrun_ms=self.underrun_ms
        )


class PingMessage(_Strict, tag_field="type", tag="ping"):
    id: str | int | None = None

    def command(self) -> Command:
        return events.Ping(id=self.id)


class SessionClose(_Strict, tag_field="type", tag="session.close"):
    finish: bool = False

    def command(self) -> Command:
        return events.CloseSession(finish=self.finish)


ClientMessage = (
    TurnStart
    | SpeakMessage
    | TextAppend
    | TextFlush
    | TurnEnd
    | TurnCancel
    | FlowGrant
    | PlaybackReport
    | PingMessage
    | SessionClose
)


class SpeechBody(TurnFields, tag="speak", kw_only=True):
    """The body of `POST /v1/speech`: a `speak` message, with or without its `type`, and the packaging of the reply."""

    text: str
    container: Literal["raw", "wav", "mp3", "ogg", "flac", "aac"] = "raw"


class TokenBody(_Strict):
    """The body of `POST /v1/tokens`."""

    ttl_s: float | None = None
    max_chars: int | None = None
    provider: str | None = None
    voice: str | None = None
    origin: str | None = None


_MESSAGES: tuple[type[Struct], ...] = ClientMessage.__args__
_BY_TYPE = {str(kind.__struct_config__.tag): kind for kind in _MESSAGES}
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(ClientMessage)
_SPEECH_DECODER = msgspec.json.Decoder(SpeechBody)
_TOKEN_DECODER = msgspec.json.Decoder(TokenBody)

S = TypeVar("S")


class NativeSession:
    """One session's messages, both ways. See `base.SessionProtocol`."""

    def __init__(self) -> None:
        # The header's `turn_index` of the turns whose frames may carry one.
        self._headed: dict[str, int] = {}

    def receive(self, message: str | bytes) -> list[Command]:
        if isinstance(message, bytes):
            reason = "binary messages are for audio from the relay; send JSON text"
            return [events.Unreadable(error=ClientError(Code.INVALID_MESSAGE, reason), fatal=True)]
        return [read(message)]

    def send(self, item: Event | Run) -> list[Message]:
        if type(item) is Run:
            if not item.frame_format.header:
                return [Frames(item.payload, item.frame_format.frame_bytes)]
            return self._with_headers(item)
        assert not isinstance(item, Run)
        if isinstance(item, events.TurnStarted) and item.frame_format.header:
            self._headed[item.turn_id] = item.turn_index
        elif isinstance(item, events.TurnDone | events.TurnCancelled | events.Failed) and item.turn_id is not None:
            self._headed.pop(item.turn_id, None)
        elif isinstance(item, events.SessionEnded) and item.error is None:
            return []
        return [Text(encode(item))]

    def close_code(self, error: RelayError | None) -> int:
        return 1000 if error is None else _CLOSE_CODES.get(error.code, 1011)

    def _with_headers(self, run: Run) -> list[Message]:
        index, size, step = self._headed[run.turn_id], run.frame_format.frame_bytes, run.frame_format.frame_samples
        messages: list[Message] = []
        for number in range(run.frames):
            last = run.last and number == run.frames - 1
            padding = run.padding if number == run.frames - 1 else 0
            header = pack_header(turn_index=index, pts=run.first_sample + number * step, padding=padding, last=last)
            messages.append(Binary(header + run.payload[number * size : (number + 1) * size]))
        return messages


def read(message: str) -> Command:
    """One text message -> the command in it; what cannot be read is the command `Unreadable`, with the error."""
    try:
        command: Command = _DECODER.decode(message).command()
    except msgspec.ValidationError as error:
        return _unreadable(message, error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return events.Unreadable(
            error=ClientError(Code.INVALID_MESSAGE, "the message is not JSON; send one JSON object per message")
        )
    return command


def receive_speech(body: bytes) -> SpeechBody:
    """The body of `POST /v1/speech`. Raises ClientError `invalid_message`."""
    return decode(_SPEECH_DECODER, body, NESTED)


def receive_token(body: bytes) -> TokenWish:
    """The body of `POST /v1/tokens`, which may be empty. Raises ClientError `invalid_message`."""
    return TokenWish(**msgspec.structs.asdict(decode(_TOKEN_DECODER, body or b"{}")))


def _given(fields: Struct | None) -> dict[str, Any]:
    """The fields a client gave, and only those."""
    if fields is None:
        return {}
    pairs = ((name, getattr(fields, name)) for name in fields.__struct_fields__)
    return {name: value for name, value in pairs if value is not UNSET}


class _Head(Struct):
    """What is looked at of a message whose fields are wrong."""

    type: str
    turn_id: Any = None


def _unreadable(message: str | bytes, error: msgspec.ValidationError) -> events.Unreadable:
    types = ", ".join(sorted(_BY_TYPE))
    try:
        head = msgspec.json.decode(message, type=_Head)
    except (msgspec.MsgspecError, RecursionError):
        reason = f"a message is a JSON object with a field type, one of {types}"
        return events.Unreadable(error=ClientError(Code.INVALID_MESSAGE, reason))
    kind = _BY_TYPE.get(head.type)
    if kind is None:
        shown = head.type if len(head.type) <= MAX_QUOTED_CHARS else head.type[:MAX_QUOTED_CHARS] + "..."
        return events.Unreadable(error=ClientError(Code.INVALID_MESSAGE, f"type is {shown!r}; must be one of {types}"))
    opens = issubclass(kind, TurnFields)
    return events.Unreadable(
        error=ClientError(Code.INVALID_MESSAGE, f"{kind.__struct_config__.tag}: {explain(kind, error, NESTED)}"),
        opens_turn=opens,
        turn_id=head.turn_id if opens and isinstance(head.turn_id, str) else None,
    )


NESTED: dict[str, type[Struct]] = {
    "audio": AudioFields,
    "pacing": PacingFields,
    "flow": FlowFields,
    "providers": ProviderFields,
}
