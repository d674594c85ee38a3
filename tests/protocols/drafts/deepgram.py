"""A draft of Deepgram's `/v1/speak` over WebSocket: one file, to hold the seam of wire protocols to its word.

Text goes into a turn; `Flush` ends it, so that its last frame is as long as it is, and the turn's end is `Flushed`. The
next text opens another turn. `Clear` cancels all, `Close` finishes.
"""

import json
from collections.abc import Mapping
from itertools import count
from typing import Any

from relay.core import events
from relay.core.events import Command, Event, TurnRequest
from relay.core.playout import Run
from relay.errors import ClientError, Code, RelayError
from relay.protocols.base import Binary, Credential, Handshake, HttpAnswer, Message, Text

ENCODINGS = {"linear16": "pcm_s16le", "mulaw": "mulaw", "alaw": "alaw"}


class DeepgramSession:
    def __init__(self, query: Mapping[str, str]) -> None:
        self._audio = {
            "encoding": ENCODINGS[query.get("encoding", "linear16")],
            "sample_rate": int(query.get("sample_rate", 24000)),
            "tail": "short",
        }
        self._model = query.get("model", "aura-2-thalia-en")
        self._ids = (f"dg-{number}" for number in count())
        self._open: str | None = None
        self._sequence = count()

    def receive(self, message: str | bytes) -> list[Command]:
        try:
            fields = json.loads(message)
            kind = fields["type"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return [_unreadable("send JSON objects with a type")]
        match kind:
            case "Speak" if isinstance(text := fields.get("text"), str):
                return [*self._opened(), events.AppendText(text=text, turn_id=self._open)]
            case "Flush":
                return self._ended()
            case "Clear":
                self._open = None
                return [events.CancelTurn()]
            case "Close":
                return [*self._ended(), events.CloseSession(finish=True)]
        return [_unreadable("type must be Speak with a text, Flush, Clear or Close")]

    def send(self, item: Event | Run) -> list[Message]:
        match item:
            case Run():
                return [Binary(item.payload)]
            case events.SessionReady():
                return [_text(type="Metadata", request_id=item.session_id, model_name=self._model)]
            case events.TurnDone():
                return [_text(type="Flushed", sequence_id=next(self._sequence))]
            case events.TurnCancelled():
                return [_text(type="Cleared", sequence_id=next(self._sequence))]
            case events.Failed():
                return [_text(type="Error", err_code=item.error.code, err_msg=item.error.message)]
        return []

    def close_code(self, error: RelayError | None) -> int:
        return 1000 if error is None else 1011

    def _opened(self) -> list[Command]:
        if self._open is not None:
            return []
        self._open = next(self._ids)
        return [events.StartTurn(request=TurnRequest(turn_id=self._open, audio=self._audio))]

    def _ended(self) -> list[Command]:
        turn_id, self._open = self._open, None
        return [] if turn_id is None else [events.EndTurn(turn_id=turn_id)]


class Deepgram:
    name: str = "deepgram"
    stream_paths: tuple[str, ...] = ("/deepgram/v1/speak", "/v1/speak")
    subprotocols: tuple[str, ...] = ("token",)
    credential_hint: str = "send the header Authorization: Token KEY"
    prefix = "/deepgram/"

    def credential(self, handshake: Handshake) -> Credential | None:
        scheme, _, key = handshake.headers.get("authorization", "").partition(" ")
        return Credential(key.strip()) if scheme.lower() in ("token", "bearer") and key.strip() else None

    def refusal(self, error: RelayError, status: int | None = None) -> HttpAnswer:
        body = json.dumps({"err_code": error.code.upper(), "err_msg": error.message}).encode()
        headers = {"Content-Type": "application/json", "dg-error": error.message}
        return HttpAnswer(status=status or error.code.http_status, headers=headers, body=body)

    def open(self, handshake: Handshake) -> DeepgramSession:
        if handshake.query.get("encoding", "linear16") not in ENCODINGS:
            raise ClientError(Code.INVALID_CONFIG, f"encoding must be one of {', '.join(ENCODINGS)}")
        return DeepgramSession(handshake.query)


def _unreadable(message: str) -> events.Unreadable:
    return events.Unreadable(error=ClientError(Code.INVALID_MESSAGE, message))


def _text(**fields: Any) -> Text:
    return Text(json.dumps(fields).encode())
