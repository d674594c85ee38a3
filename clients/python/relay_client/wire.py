"""JSON messages of `relay.v1`: the relay's are read into events, ours are written. No I/O.

Unknown types and fields are ignored, since the contract grows by them; a known message that lacks what it must have,
or has it in another type, is a ProtocolError.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from relay_client.errors import ProtocolError, ProviderFault
from relay_client.events import (
    AudioStarted,
    FlushDone,
    Limits,
    SegmentTimings,
    SessionClosing,
    SessionReady,
    TextPaused,
    TextResumed,
    TextSegment,
    TextWords,
    Timings,
    TurnCancelled,
    TurnDone,
    TurnFailover,
    TurnProgress,
    TurnStarted,
    TurnWaiting,
    Word,
)
from relay_client.frames import AudioFormat

__all__ = ["ErrorReport", "Message", "dump", "parse", "read_error"]

PROTOCOL = "relay.v1"

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """The fields of an error, which are the same on the WebSocket and in an HTTP body."""

    code: str
    message: str
    retryable: bool
    retry_after_s: float | None = None
    turn_id: str | None = None
    provider: ProviderFault | None = None


Message: TypeAlias = (
    SessionReady
    | SessionClosing
    | TurnStarted
    | TurnWaiting
    | TurnProgress
    | TurnFailover
    | AudioStarted
    | TextSegment
    | TextWords
    | FlushDone
    | TextPaused
    | TextResumed
    | TurnDone
    | TurnCancelled
    | ErrorReport
)


def dump(message: Mapping[str, Any]) -> str:
    """One message to the relay. Raises ValueError, which does not quote it, for text that is not Unicode."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds a lone surrogate, which is half a character and cannot be sent") from None
    return text


def parse(text: str) -> Message | None:
    """One message of the relay; None for a type this client does not know or has no use for."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("the relay sent a text message that is not JSON") from None
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise ProtocolError("the relay sent a message without a type")
    reader = _READERS.get(body["type"])
    return reader(_Fields(body["type"], body)) if reader else None


def read_error(body: Any) -> ErrorReport | None:
    """The error in the JSON body of an HTTP reply; None where there is none, since not every refusal is a relay's."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return None
    try:
        return _error(_Fields("error", error))
    except ProtocolError:
        return None


class _Fields:
    """Typed access to one JSON object; `where` names it in errors, which never quote a value."""

    def __init__(self, where: str, body: Mapping[str, Any]) -> None:
        self._where = where
        self._body = body

    def text(self, name: str) -> str:
        return _checked(self._where, name, self._body.get(name), str)

    def text_or_none(self, name: str) -> str | None:
        return None if self._body.get(name) is None else self.text(name)

    def count(self, name: str) -> int:
        value = _checked(self._where, name, self._body.get(name), int)
        if value < 0:
            raise ProtocolError(f"{self._where}: {name} is {value}, a negative count")
        return value

    def count_or_none(self, name: str) -> int | None:
        return None if self._body.get(name) is None else self.count(name)

    def number(self, name: str) -> float:
        return _checked(self._where, name, self._body.get(name), int, float)

    def number_or_none(self, name: str) -> float | None:
        return None if self._body.get(name) is None else self.number(name)

    def flag(self, name: str) -> bool:
        return _checked(self._where, name, self._body.get(name), bool)

    def flag_or_none(self, name: str) -> bool | None:
        return None if self._body.get(name) is None else self.flag(name)

    def inner(self, name: str) -> "_Fields":
        return _Fields(f"{self._where}.{name}", self.mapping(name))

    def mapping_or_empty(self, name: str) -> dict[str, Any]:
        return {} if self._body.get(name) is None else self.mapping(name)

    def mapping(self, name: str) -> dict[str, Any]:
        return _checked(self._where, name, self._body.get(name), dict)

    def inner_or_none(self, name: str) -> "_Fields | None":
        return None if self._body.get(name) is None else self.inner(name)

    def each(self, name: str) -> "list[_Fields]":
        items = _checked(self._where, name, self._body.get(name), list)
        place = f"{self._where}.{name}"
        return [_Fields(place, _checked(place, "an item", item, dict)) for item in items]

    def each_if_any(self, name: str) -> "list[_Fields]":
        return [] if self._body.get(name) is None else self.each(name)


def _checked(where: str, name: str, value: object, *types: type[T]) -> T:
    # bool is an int to Python, never to the contract.
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        wanted = " or ".join(kind.__name__ for kind in types)
        raise ProtocolError(f"{where}: {name} is {type(value).__name__}, it must be {wanted}")
    return value


def _session_ready(fields: _Fields) -> SessionReady:
    protocol = fields.text("protocol")
    if protocol != PROTOCOL:
        raise ProtocolError(f"the relay speaks {protocol[:40]!r}, this client {PROTOCOL!r}")
    limits = fields.inner("limits")
    return SessionReady(
        session_id=fields.text("session_id"),
        limits=Limits(
            max_message_bytes=limits.count("max_message_bytes"),
            max_turn_chars=limits.count("max_turn_chars"),
            max_open_turns=limits.count("max_open_turns"),
            idle_timeout_s=limits.number("idle_timeout_s"),
        ),
        defaults=fields.mapping("defaults"),
    )


def _session_closing(fields: _Fields) -> SessionClosing:
    return SessionClosing(reason=fields.text("reason"), retryable=fields.flag("retryable"))


def _turn_started(fields: _Fields) -> TurnStarted:
    audio = fields.inner("audio")
    if not audio.flag("header"):
        raise ProtocolError("turn.started: audio.header is false; this client asks for the header before each frame")
    return TurnStarted(
        turn_id=fields.text("turn_id"),
        turn_index=fields.count("turn_index"),
        provider=fields.text("provider"),
        voice=fields.text("voice"),
        model=fields.text_or_none("model"),
        audio=AudioFormat(
            encoding=audio.text("encoding"),
            sample_rate=audio.count("sample_rate"),
            channels=audio.count("channels"),
            frame_ms=audio.count("frame_ms"),
            frame_samples=audio.count("frame_samples"),
            frame_bytes=audio.count("frame_bytes"),
            tail=audio.text("tail"),
        ),
    )


def _turn_waiting(fields: _Fields) -> TurnWaiting:
    return TurnWaiting(turn_id=fields.text("turn_id"), provider=fields.text("provider"))


def _turn_progress(fields: _Fields) -> TurnProgress:
    return TurnProgress(
        turn_id=fields.text("turn_id"),
        provider=fields.text("provider"),
        state=fields.text("state"),
        waited_ms=fields.count("waited_ms"),
    )


def _turn_failover(fields: _Fields) -> TurnFailover:
    return TurnFailover(
        turn_id=fields.text("turn_id"),
        from_provider=fields.text("from"),
        to_provider=fields.text("to"),
        voice=fields.text("voice"),
        code=fields.text("code"),
        at_sample=fields.count("at_sample"),
    )


def _audio_started(fields: _Fields) -> AudioStarted:
    timings = fields.inner_or_none("timings")
    return AudioStarted(
        turn_id=fields.text("turn_id"),
        ttfa_ms=fields.number("ttfa_ms"),
        timings=_timings(timings) if timings else None,
    )


def _text_segment(fields: _Fields) -> TextSegment:
    return TextSegment(
        turn_id=fields.text("turn_id"),
        index=fields.count("index"),
        text=fields.text("text"),
        start_sample=fields.count("start_sample"),
    )


def _text_words(fields: _Fields) -> TextWords:
    words = tuple(
        Word(text=word.text("text"), start_sample=word.count("start_sample"), end_sample=word.count("end_sample"))
        for word in fields.each("words")
    )
    return TextWords(turn_id=fields.text("turn_id"), words=words)


def _flush_done(fields: _Fields) -> FlushDone:
    return FlushDone(
        turn_id=fields.text("turn_id"),
        flush_id=fields.text_or_none("flush_id"),
        end_sample=fields.count("end_sample"),
    )


def _text_paused(fields: _Fields) -> TextPaused:
    return TextPaused(turn_id=fields.text("turn_id"), pending_chars=fields.count("pending_chars"))


def _text_resumed(fields: _Fields) -> TextResumed:
    return TextResumed(turn_id=fields.text("turn_id"), pending_chars=fields.count("pending_chars"))


def _turn_done(fields: _Fields) -> TurnDone:
    return TurnDone(
        turn_id=fields.text("turn_id"),
        frames=fields.count("frames"),
        samples=fields.count("samples"),
        padding_samples=fields.count("padding_samples"),
        duration_ms=fields.number("duration_ms"),
        text_chars=fields.count("text_chars"),
        timings=_timings(fields.inner("timings")),
        provider_ids=fields.mapping("provider_ids"),
        damaged_ms=fields.number_or_none("damaged_ms") or 0.0,
        warnings=fields.mapping_or_empty("warnings"),
    )


def _turn_cancelled(fields: _Fields) -> TurnCancelled:
    return TurnCancelled(
        turn_id=fields.text("turn_id"),
        frames=fields.count("frames"),
        samples_sent=fields.count("samples_sent"),
        samples_played=fields.count_or_none("samples_played"),
        text_sent=fields.text("text_sent"),
        text_played=fields.text_or_none("text_played"),
        timings=_timings(fields.inner("timings")),
    )


_TIMINGS_MS = tuple(
    field.name for field in dataclasses.fields(Timings) if field.name not in ("connection_reused", "segments")
)
_SEGMENT_MS = tuple(field.name for field in dataclasses.fields(SegmentTimings) if field.name != "index")


def _timings(fields: _Fields) -> Timings:
    return Timings(
        connection_reused=fields.flag_or_none("connection_reused"),
        segments=tuple(map(_segment_timings, fields.each_if_any("segments"))),
        **{name: fields.number_or_none(name) for name in _TIMINGS_MS},
    )


def _segment_timings(fields: _Fields) -> SegmentTimings:
    return SegmentTimings(index=fields.count("index"), **{name: fields.number_or_none(name) for name in _SEGMENT_MS})


def _error(fields: _Fields) -> ErrorReport:
    return ErrorReport(
        code=fields.text("code"),
        message=fields.text("message"),
        retryable=fields.flag("retryable"),
        retry_after_s=fields.number_or_none("retry_after_s"),
        turn_id=fields.text_or_none("turn_id"),
        provider=_provider(fields.inner_or_none("provider")),
    )


def _provider(fields: _Fields | None) -> ProviderFault | None:
    if fields is None:
        return None
    return ProviderFault(
        name=fields.text("name"),
        status=fields.count_or_none("status"),
        code=fields.text_or_none("code"),
        message=fields.text_or_none("message"),
        request_id=fields.text_or_none("request_id"),
    )


_READERS: dict[str, Callable[[_Fields], Message]] = {
    "session.ready": _session_ready,
    "session.closing": _session_closing,
    "turn.started": _turn_started,
    "turn.waiting": _turn_waiting,
    "turn.progress": _turn_progress,
    "turn.failover": _turn_failover,
    "audio.started": _audio_started,
    "text.segment": _text_segment,
    "text.words": _text_words,
    "flush.done": _flush_done,
    "text.paused": _text_paused,
    "text.resumed": _text_resumed,
    "turn.done": _turn_done,
    "turn.cancelled": _turn_cancelled,
    "error": _error,
}
