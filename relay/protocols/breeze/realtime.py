"""The realtime WebSocket, `/stream-input`: text as it is typed, 24 kHz PCM as it is made.

A session has one voice and one manner of speaking, fixed when its secret was made. Audio carries no id: it belongs to
the turn that is being spoken. Messages are those of the vendor's SDK 0.21.1 (`_resources.py`, `types.py`).
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import msgspec
from msgspec import Struct

from relay.core import events
from relay.core.events import Command, Event
from relay.core.playout import Run
from relay.errors import ClientError, Code, RelayError
from relay.protocols.base import Binary, Message, Text
from relay.protocols.body import explain
from relay.protocols.breeze.api import SAMPLE_RATE_HZ, Manner, code_of, detail_of
from relay.protocols.door import Door

AUDIO_FORMAT = {"codec": "pcm_s16le", "sample_rate": SAMPLE_RATE_HZ, "channels": 1, "sample_width_bits": 16}
MAX_INSTRUCTIONS_CHARS = 1000
# A character of a message may take six bytes as JSON and four as UTF-8.
_BYTES_A_MESSAGE_BYTE = 8
# 1012 is what the vendor's SDK takes for "connect again".
_CLOSE_CODES = {
    Code.INVALID_MESSAGE: 1003,
    Code.SHUTTING_DOWN: 1012,
    Code.IDLE_TIMEOUT: 1008,
    Code.SLOW_CLIENT: 1008,
    Code.UNAUTHORIZED: 1008,
}
# `session.closed` says it to programs that may connect again at once.
_RECONNECT = (Code.SHUTTING_DOWN, Code.IDLE_TIMEOUT, Code.UNAUTHORIZED)


class _Incoming(Struct, forbid_unknown_fields=True):
    type: Literal[
        "turn.start",
        "text.append",
        "text.flush",
        "turn.end",
        "turn.cancel",
        "session.update",
        "ping",
        "session.close",
    ]
    turn_id: str | None = None
    text: str | None = None
    instructions: str | None = None


_DECODER = msgspec.json.Decoder(_Incoming)
_ENCODER = msgspec.json.Encoder()


class BreezeSession:
    """See `base.SessionProtocol`. `session` is unique: the ids of kept audio are made of it."""

    def __init__(self, door: Door, voice: str, manner: Manner, session: str) -> None:
        self._door = door
        self._voice = voice
        self._manner = manner
        self._session = session
        self._opened = 0
        # Takes text now; None between turns. A turn that was refused takes what was meant for it, to no effect.
        self._taking: str | None = None
        # Their own ids of the turns that have not ended, by ours; the session bounds how many there are.
        self._turns: dict[str, str] = {}
        # Instructions that wait to be confirmed in their place among the answers; as many as there are answers.
        self._updates: deque[str] = deque()

    def receive(self, message: str | bytes) -> list[Command]:
        if isinstance(message, bytes):
            return [_wrong("binary messages are for audio from the server; send JSON text", fatal=True)]
        try:
            told = _DECODER.decode(message)
        except msgspec.ValidationError as error:
            return [_wrong(explain(_Incoming, error, {}))]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return [_wrong("the message is not JSON; send one JSON object per message")]
        match told.type:
            case "turn.start":
                return self._start(told)
            case "text.append" if told.text is None:
                return [_wrong("text.append has no text")]
            case "text.append" | "text.flush" | "turn.end" if self._taking is None:
                return [_wrong(f"{told.type}: no turn takes text; send turn.start first", Code.UNKNOWN_TURN)]
            case "text.append" | "text.flush" | "turn.end":
                return self._text(told)
            case "turn.cancel":
                self._taking = None
                return [events.CancelTurn()]
            case "session.update":
                return self._update(told)
            case "ping":
                return [events.Ping()]
        return [events.CloseSession()]

    def send(self, item: Event | Run) -> list[Message]:
        match item:
            case Run():
                return [Binary(item.payload)]
            case events.SessionReady():
                return [_ready(item)]
            case events.TurnStarted():
                return [_text(type="turn.started", **self._names(item.turn_id))]
            case events.AudioStarted():
                ttfa_ms = round(item.ttfa_ms)
                named = self._names(item.turn_id)
                return [_text(type="audio.started", **named, ttfa_ms=ttfa_ms, audio_format=AUDIO_FORMAT)]
            case events.TurnDone():
                return self._done(item)
            case events.TurnCancelled():
                summary = self._summary(item.turn_id, len(item.text_sent), item.samples_sent, item.timings)
                self._turns.pop(item.turn_id, None)
                return [_text(type="turn.cancelled", status="cancelled", **summary)]
            case events.Failed():
                return [self._failed(item.error, item.turn_id)]
            case events.Pong(id=None):
                return [_text(type="pong")]
            case events.Pong():
                instructions = self._updates.popleft() if self._updates else ""
                return [_text(type="session.updated", instructions=instructions)]
            case events.SessionEnded():
                return self._ended(item.error)
        return []

    def close_code(self, error: RelayError | None) -> int:
        return 1000 if error is None else _CLOSE_CODES.get(error.code, 1011)

    # In.

    def _start(self, told: _Incoming) -> list[Command]:
        if self._taking is not None and self._taking in self._turns:
            return [_wrong("turn.start: the turn before takes text still; send turn.end or turn.cancel first")]
        turn_id = f"{self._session}_{self._opened}"
        self._opened += 1
        self._taking = turn_id
        self._turns[turn_id] = told.turn_id or f"turn_{self._opened}"
        request = self._manner.request(self._door, self._voice, {"sample_rate": SAMPLE_RATE_HZ})
        return [events.StartTurn(request=replace(request, turn_id=turn_id))]

    def _text(self, told: _Incoming) -> list[Command]:
        turn_id = self._taking
        if told.type == "turn.end":
            self._taking = None
        if turn_id not in self._turns:  # it has failed, and its error was told
            return []
        match told.type:
            case "text.append":
                return [events.AppendText(text=told.text or "", turn_id=turn_id)]
            case "text.flush":
                return [events.FlushText(turn_id=turn_id)]
        return [events.EndTurn(turn_id=turn_id)]

    def _update(self, told: _Incoming) -> list[Command]:
        instructions = (told.instructions or "").strip()
        if not instructions or len(instructions) > MAX_INSTRUCTIONS_CHARS:
            return [_wrong(f"session.update: instructions must have 1 to {MAX_INSTRUCTIONS_CHARS} characters")]
        if self._turns:
            return [_wrong("session.update: a turn is being spoken; send it between turns", Code.INVALID_CONFIG)]
        self._manner = msgspec.structs.replace(self._manner, instructions=instructions)
        self._updates.append(instructions)
        return [events.Ping(id="update")]

    # Out.

    def _names(self, turn_id: str) -> dict[str, str]:
        return {"turn_id": self._turns.get(turn_id, turn_id), "history_item_id": f"hist_{turn_id}"}

    def _summary(self, turn_id: str, chars: int, samples: int, timings: Mapping[str, object]) -> dict[str, Any]:
        ttfa_ms = timings.get("ttfa_ms")
        return {
            **self._names(turn_id),
            "text_characters": chars,
            "audio_bytes": samples * 2,
            "duration_ms": samples * 1000 // SAMPLE_RATE_HZ,
            "ttfa_ms": round(ttfa_ms) if isinstance(ttfa_ms, int | float) else None,
        }

    def _done(self, done: events.TurnDone) -> list[Message]:
        summary = self._summary(done.turn_id, done.text_chars, done.samples, done.timings)
        self._turns.pop(done.turn_id, None)
        used = {name: summary[name] for name in ("turn_id", "history_item_id", "text_characters", "ttfa_ms")}
        # In this order: the vendor's SDK waits, after the end of a turn, until its usage is committed.
        return [
            _text(type="turn.done", status="completed", **summary),
            _text(type="usage.committed", **used, output_format="pcm"),
        ]

    def _failed(self, error: RelayError, turn_id: str | None) -> Text:
        named = self._names(turn_id) if turn_id is not None else {}
        if turn_id is not None:
            self._turns.pop(turn_id, None)
        meta: dict[str, Any] = {}
        if error.retry_after_s is not None:
            # The vendor's text says the first, its SDK reads the second.
            meta = {"retry_after_seconds": error.retry_after_s, "retry_after_ms": round(error.retry_after_s * 1000)}
        return _text(type="error", code=code_of(error), message=detail_of(error, self._door), meta=meta, **named)

    def _ended(self, error: RelayError | None) -> list[Message]:
        reason = "client_closed" if error is None else code_of(error).lower()
        reconnect = error is not None and error.code in _RECONNECT
        return [_text(type="session.closed", code=self.close_code(error), reason=reason, reconnect=reconnect)]


def _ready(event: events.SessionReady) -> Text:
    limits = event.limits
    return _text(
        type="session.ready",
        session_id=event.session_id,
        audio_format=AUDIO_FORMAT,
        max_append_bytes=limits.max_message_bytes // _BYTES_A_MESSAGE_BYTE,
        max_turn_characters=limits.max_turn_chars,
        inactivity_timeout_seconds=int(limits.idle_timeout_s),
    )


def _wrong(message: str, code: Code = Code.INVALID_MESSAGE, *, fatal: bool = False) -> events.Unreadable:
    return events.Unreadable(error=ClientError(code, message), fatal=fatal)


def _text(**fields: Any) -> Text:
    return Text(_ENCODER.encode(fields))
