"""The native protocol, `relay.v1`: JSON text messages <-> commands and events. Binary frames are made by the server.

Decoding is strict: a wrong type or an unknown field is an error that names the field and what is valid, because a
misspelt setting that is silently ignored costs its author an hour. Texts and keys are never quoted in an error.
"""

from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from relay.core import events
from relay.core.events import Command, Event, TurnRequest
from relay.core.formats import AudioRequest, FrameFormat
from relay.errors import ClientError, Code, ProviderError, RelayError

NAME = "relay.v1"

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
_ENCODER = msgspec.json.Encoder()

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


def send(event: Event) -> bytes:
    """One event -> the text message that tells it, as UTF-8 JSON."""
    return _ENCODER.encode(_fields(event))


def error_fields(error: RelayError) -> dict[str, Any]:
    """The fields of an error, the same on the WebSocket and over HTTP."""
    fields: dict[str, Any] = {"code": error.code, "message": error.message, "retryable": error.retryable}
    if error.retry_after_s is not None:
        fields["retry_after_s"] = error.retry_after_s
    if isinstance(error, ProviderError):
        fields["provider"] = _present(
            name=error.provider.name,
            status=error.provider.status,
            code=error.provider.code,
            message=error.provider.message,
            request_id=error.provider.request_id,
        )
    return fields


def http_error(error: RelayError) -> bytes:
    """The JSON body of a refusal over HTTP; the status is `error.code.http_status`."""
    return _ENCODER.encode({"error": error_fields(error)})


def _fields(event: Event) -> dict[str, Any]:
    match event:
        case events.SessionReady():
            return _session_ready(event)
        case events.TurnStarted():
            return {
                "type": "turn.started",
                "turn_id": event.turn_id,
                "turn_index": event.turn_index,
                "provider": event.provider,
                "voice": event.voice,
                **_present(model=event.model),
                "audio": _resolved_audio(event.form),
            }
        case events.TurnWaiting():
            return {"type": "turn.waiting", "turn_id": event.turn_id, "provider": event.provider}
        case events.TurnProgressed():
            return {
                "type": "turn.progress",
                "turn_id": event.turn_id,
                "provider": event.provider,
                "state": event.state,
                "waited_ms": event.waited_ms,
            }
        case events.TurnFailedOver():
            return {
                "type": "turn.failover",
                "turn_id": event.turn_id,
                "from": event.from_provider,
                "to": event.to_provider,
                "voice": event.voice,
                "code": event.code,
                "at_sample": event.at_sample,
            }
        case events.AudioStarted():
            return {"type": "audio.started", "turn_id": event.turn_id, "ttfa_ms": event.ttfa_ms}
        case events.SegmentStarted():
            return {
                "type": "text.segment",
                "turn_id": event.turn_id,
                "index": event.index,
                "text": event.text,
                "start_sample": event.start_sample,
            }
        case events.WordsTimed():
            return {"type": "text.words", "turn_id": event.turn_id, "words": event.words}
        case events.TextPaused():
            return {"type": "text.paused", "turn_id": event.turn_id, "pending_chars": event.pending_chars}
        case events.TextResumed():
            return {"type": "text.resumed", "turn_id": event.turn_id, "pending_chars": event.pending_chars}
        case events.TurnDone():
            return {
                "type": "turn.done",
                "turn_id": event.turn_id,
                "frames": event.frames,
                "samples": event.samples,
                "padding_samples": event.padding_samples,
                "duration_ms": event.duration_ms,
                "text_chars": event.text_chars,
                "timings": event.timings,
                "provider_ids": event.provider_ids,
            }
        case events.TurnCancelled():
            return {
                "type": "turn.cancelled",
                "turn_id": event.turn_id,
                "frames": event.frames,
                "samples_sent": event.samples_sent,
                **_present(samples_played=event.samples_played),
                "text_sent": event.text_sent,
                "timings": event.timings,
            }
        case events.Failed():
            return {"type": "error", **error_fields(event.error), **_present(turn_id=event.turn_id)}
        case events.Pong():
            return {"type": "pong", **_present(id=event.id)}
        case events.SessionClosing():
            return {"type": "session.closing", "reason": event.reason, "retryable": event.retryable}


def _session_ready(event: events.SessionReady) -> dict[str, Any]:
    limits, defaults = event.limits, event.defaults
    return {
        "type": "session.ready",
        "session_id": event.session_id,
        "protocol": NAME,
        "limits": {
            "max_message_bytes": limits.max_message_bytes,
            "max_turn_chars": limits.max_turn_chars,
            "max_open_turns": limits.max_open_turns,
            "idle_timeout_s": limits.idle_timeout_s,
        },
        "defaults": {
            "provider": defaults.provider,
            "voice": defaults.voice,
            "audio": _wanted_audio(defaults.audio),
            "pacing": {"mode": defaults.pacing.mode, "lead_ms": defaults.pacing.lead_ms},
        },
    }


def _wanted_audio(audio: AudioRequest) -> dict[str, Any]:
    return {
        "encoding": audio.encoding,
        "sample_rate": audio.sample_rate,
        "channels": audio.channels,
        "frame_ms": audio.frame_ms,
        "tail": audio.tail,
        "header": audio.header,
    }


def _resolved_audio(form: FrameFormat) -> dict[str, Any]:
    return {
        "encoding": form.audio.encoding,
        "sample_rate": form.audio.sample_rate_hz,
        "channels": form.audio.channels,
        "frame_ms": form.frame_ms,
        "frame_samples": form.frame_samples,
        "frame_bytes": form.frame_bytes,
        "tail": form.tail,
        "header": form.header,
    }


def _given(fields: Struct | None) -> dict[str, Any]:
    """The fields a client gave, and only those."""
    if fields is None:
        return {}
    pairs = ((name, getattr(fields, name)) for name in fields.__struct_fields__)
    return {name: value for name, value in pairs if value is not UNSET}


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


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
