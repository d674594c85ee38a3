"""The native protocol, `relay.v1`: JSON text messages -> commands, and by `native_events` events -> messages. Binary
frames are made by the server.

Decoding is strict: a wrong type or an unknown field is an error that names the field and what is valid, because a
misspelt setting that is silently ignored costs its author an hour. Texts and keys are never quoted in an error.
"""

from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from relay.core import events
from relay.core.events import Command, TurnRequest
from relay.errors import ClientError, Code
from relay.protocols.native_events import NAME, error_fields, http_error, send

__all__ = [
    "NAME",
    "SpeechBody",
    "TokenBody",
    "error_fields",
    "http_error",
    "receive",
    "receive_speech",
    "receive_token",
    "send",
]

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


class PacingFields(_Strict):
    mode: str | UnsetType = UNSET
    lead_ms: int | UnsetType = UNSET


class FlowFields(_Strict):
    window_ms: int | None = None


class _TurnFields(_Strict, tag_field="type", kw_only=True):
    turn_id: str | None = None
    provider: str | None = None
    providers: list[str] | None = None
    voice: str | None = None
    model: str | None = None
    language: str | None = None
    instructions: str | None = None
    audio: AudioFields | None = None
    pacing: PacingFields | None = None
    flow: FlowFields | None = None
    options: dict[str, Any] | None = None
    traceparent: str | None = None

    def request(self) -> TurnRequest:
        return TurnRequest(
            turn_id=self.turn_id,
            provider=self.provider,
            providers=tuple(self.providers or ()),
            voice=self.voice,
            model=self.model,
            language=self.language,
            instructions=self.instructions,
            audio=_given(self.audio),
            pacing=_given(self.pacing),
            window_ms=self.flow.window_ms if self.flow else None,
            options=self.options or {},
            traceparent=self.traceparent,
        )


class TurnStart(_TurnFields, tag="turn.start", kw_only=True):
    def command(self) -> Command:
        return events.StartTurn(request=self.request())


class SpeakMessage(_TurnFields, tag="speak", kw_only=True):
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

    def command(self) -> Command:
        return events.FlushText(turn_id=self.turn_id)


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
    def command(self) -> Command:
        return events.CloseSession()


Message = (
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


class SpeechBody(_TurnFields, tag="speak", kw_only=True):
    """The body of `POST /v1/speech`: a `speak` message, with or without its `type`, and the packaging of the reply."""

    text: str
    container: Literal["raw", "wav"] = "raw"


class TokenBody(_Strict):
    """The body of `POST /v1/tokens`."""

    ttl_s: float | None = None
    max_chars: int | None = None
    provider: str | None = None
    voice: str | None = None
    origin: str | None = None


_MESSAGES: tuple[type[Struct], ...] = Message.__args__
_BY_TYPE = {str(kind.__struct_config__.tag): kind for kind in _MESSAGES}
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Message)
_SPEECH_DECODER = msgspec.json.Decoder(SpeechBody)
_TOKEN_DECODER = msgspec.json.Decoder(TokenBody)

S = TypeVar("S")


def receive(message: str | bytes) -> Command:
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
    return _body(_SPEECH_DECODER, SpeechBody, body)


def receive_token(body: bytes) -> TokenBody:
    """The body of `POST /v1/tokens`, which may be empty. Raises ClientError `invalid_message`."""
    return _body(_TOKEN_DECODER, TokenBody, body or b"{}")


def _body(decoder: "msgspec.json.Decoder[S]", kind: type[Struct], body: bytes) -> S:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise ClientError(Code.INVALID_MESSAGE, _explain(kind, error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ClientError(Code.INVALID_MESSAGE, "the body is not JSON; send one JSON object") from None


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
    except msgspec.MsgspecError:
        reason = f"a message is a JSON object with a field type, one of {types}"
        return events.Unreadable(error=ClientError(Code.INVALID_MESSAGE, reason))
    kind = _BY_TYPE.get(head.type)
    if kind is None:
        shown = head.type if len(head.type) <= MAX_QUOTED_CHARS else head.type[:MAX_QUOTED_CHARS] + "..."
        return events.Unreadable(error=ClientError(Code.INVALID_MESSAGE, f"type is {shown!r}; must be one of {types}"))
    opens = issubclass(kind, _TurnFields)
    return events.Unreadable(
        error=ClientError(Code.INVALID_MESSAGE, _explain(kind, error)),
        opens_turn=opens,
        turn_id=head.turn_id if opens and isinstance(head.turn_id, str) else None,
    )


_NESTED: dict[str, type[Struct]] = {"audio": AudioFields, "pacing": PacingFields, "flow": FlowFields}


def _explain(kind: type[Struct], error: msgspec.ValidationError) -> str:
    """msgspec's reason, which names the field, with the valid names where the field's own name is the mistake."""
    reason = str(error).replace(" - at `$", " at `").replace("`.", "`").removesuffix(" at ``")
    if "unknown field" in reason:
        place = reason.partition(" at `")[2].removesuffix("`")
        fields = [field.encode_name for field in msgspec.structs.fields(_NESTED.get(place, kind))]
        reason = f"{reason}; the fields there are {', '.join(fields)}"
    return reason if kind in (SpeechBody, TokenBody) else f"{kind.__struct_config__.tag}: {reason}"
