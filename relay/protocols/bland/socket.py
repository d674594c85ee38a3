"""Bland's WebSocket, `/v2/tts/ws`: text as it is written, audio as it is made.

A session has one voice and one format, which `init` fixes. A turn is the text sent under one `context_id`; one is
spoken at a time, and text for another takes its place. Audio carries no id: it belongs to the turn whose
`utterance_start` was sent last.
"""

from dataclasses import replace
from typing import Any, Literal

import msgspec
from msgspec import Struct

from relay.core import events
from relay.core.events import Command, Event, TurnRequest
from relay.core.playout import Run
from relay.errors import ClientError, Code, RelayError
from relay.protocols.base import Binary, Message, Text
from relay.protocols.bland import api
from relay.protocols.bland.manner import NESTED, Manner
from relay.protocols.body import explain
from relay.protocols.door import Door

# What ends a session, as RFC 6455 (7.4.1) has it.
_CLOSE_CODES = {
    Code.INVALID_MESSAGE: 1003,
    Code.SHUTTING_DOWN: 1001,
    Code.IDLE_TIMEOUT: 1008,
    Code.SLOW_CLIENT: 1008,
    Code.UNAUTHORIZED: 1008,
}
# The end of an utterance whose place another one took.
PREEMPTED = "preempted"


class _Head(Struct):
    type: str


class Init(Manner, tag_field="type", tag="init", kw_only=True):
    pass


class About(Struct, forbid_unknown_fields=True):
    """Every message about a turn."""

    type: Literal["speak", "end_of_turn", "cancel"]
    context_id: str
    text: str = ""


_INIT = msgspec.json.Decoder(Init)
_ABOUT = msgspec.json.Decoder(About)
_HEAD = msgspec.json.Decoder(_Head)
_ENCODER = msgspec.json.Encoder()


class BlandSession:
    """See `base.SessionProtocol`. `session` is unique: the turns' own ids are made of it."""

    def __init__(self, door: Door, session: str) -> None:
        self._door = door
        self._session = session
        self._session_id = session
        self._request: TurnRequest | None = None
        self._opened = 0
        # The turn that takes text: our id of it. One that was refused takes what was meant for it, to no effect.
        self._taking: str | None = None
        self._context: str | None = None
        # Their contexts of the turns that have not ended, by our ids; the session bounds how many there are.
        self._contexts: dict[str, str] = {}
        self._preempted: set[str] = set()

    def receive(self, message: str | bytes) -> list[Command]:
        if isinstance(message, bytes):
            return [_wrong("binary messages are for audio from the server; send JSON", fatal=True)]
        try:
            kind = _HEAD.decode(message).type
            match kind:
                case "init":
                    return self._init(_INIT.decode(message))
                case "speak" | "end_of_turn" | "cancel":
                    return self._about(_ABOUT.decode(message))
                case "close":
                    return [events.CloseSession(finish=True)]
        except msgspec.ValidationError as error:
            return [_wrong(explain(Init, error, NESTED))]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return [_wrong("the message is not JSON; send one JSON object per message")]
        reason = f"type is {kind[:40]!r}; it must be init, speak, end_of_turn, cancel or close"
        return [_wrong(reason)]

    def send(self, item: Event | Run) -> list[Message]:
        match item:
            case Run():
                return [Binary(item.payload)]
            case events.SessionReady():
                self._session_id = item.session_id
            case events.Pong() if self._request is not None:
                form = self._request.audio
                fields = {"encoding": form["encoding"], "sample_rate": form["sample_rate"]}
                return [_text(type="ready", session_id=self._session_id, **fields)]
            case events.AudioStarted():
                return [_text(type="utterance_start", context_id=self._contexts.get(item.turn_id, item.turn_id))]
            case events.TurnDone():
                if item.turn_id == self._taking:
                    self._context = None  # which may be used for another turn
                duration_ms = round(item.duration_ms)
                return [self._end(item.turn_id, "complete", frames=item.frames, duration_ms=duration_ms)]
            case events.TurnCancelled():
                return [self._end(item.turn_id, PREEMPTED if item.turn_id in self._preempted else "cancelled")]
            case events.Failed(turn_id=None):
                return [self._error(item.error)]
            case events.Failed():
                assert item.turn_id is not None, "the case before"
                context = self._contexts.get(item.turn_id, item.turn_id)
                return [self._error(item.error, context_id=context), self._end(item.turn_id, "failed")]
            case events.SessionEnded(error=None):
                return [_text(type="done", session_id=self._session_id)]
        return []

    def close_code(self, error: RelayError | None) -> int:
        return 1000 if error is None else _CLOSE_CODES.get(error.code, 1011)

    # In.

    def _init(self, init: Init) -> list[Command]:
        if self._request is not None:
            return [_named("already_initialized", "the session has its voice and format; open another one")]
        try:
            if init.container != "raw":
                raise api.NamedError("invalid_request", "audio.container must be raw: audio has no header here")
            self._request = init.request(self._door)
        except ClientError as error:
            return [events.Unreadable(error=error)]
        # Answered in its place among the answers, by `ready`.
        return [events.Ping(id="init")]

    def _about(self, told: About) -> list[Command]:
        if self._request is None:
            return [_named("init_required", f"{told.type}: send init first")]
        if told.type == "speak":
            return self._speak(told, self._request)
        if told.context_id != self._context:
            return []  # of a turn that is over, or has lost its place
        turn_id = self._taking
        if turn_id is None or turn_id not in self._contexts:
            return []
        if told.type == "end_of_turn":
            return [events.EndTurn(turn_id=turn_id)]
        return [events.CancelTurn(turn_id=turn_id)]

    def _speak(self, told: About, request: TurnRequest) -> list[Command]:
        if told.context_id == self._context and self._taking is not None:
            if self._taking not in self._contexts:  # it has ended
                return []
            return [events.AppendText(text=told.text, turn_id=self._taking)]
        before = list(self._contexts)
        self._preempted.update(before)
        turn_id = f"{self._session}_{self._opened}"
        self._opened += 1
        self._taking, self._context = turn_id, told.context_id
        self._contexts[turn_id] = told.context_id
        return [
            *([events.CancelTurn()] if before else []),
            events.StartTurn(request=replace(request, turn_id=turn_id)),
            events.AppendText(text=told.text, turn_id=turn_id),
        ]

    # Out.

    def _end(self, turn_id: str, reason: str, **fields: Any) -> Text:
        self._preempted.discard(turn_id)
        return _text(type="utterance_end", context_id=self._contexts.pop(turn_id, turn_id), reason=reason, **fields)

    def _error(self, error: RelayError, **fields: str) -> Text:
        return _text(type="error", code=api.name_of(error), message=api.message_of(error, self._door), **fields)


def _wrong(message: str, *, fatal: bool = False) -> events.Unreadable:
    error = api.NamedError("invalid_message", message, Code.INVALID_MESSAGE)
    return events.Unreadable(error=error, fatal=fatal)


def _named(name: str, message: str) -> events.Unreadable:
    return events.Unreadable(error=api.NamedError(name, message))


def _text(**fields: Any) -> Text:
    return Text(_ENCODER.encode(fields))
