"""The native protocol's messages to a client: events, and errors over HTTP, as JSON."""

from typing import Any

import msgspec

from relay.core import events
from relay.core.events import Event
from relay.core.formats import AudioRequest, FrameFormat
from relay.errors import ProviderError, RelayError

NAME = "relay.v1"

_ENCODER = msgspec.json.Encoder()


def encode(event: Event) -> bytes:
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
                "audio": _resolved_audio(event.frame_format),
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
            return {
                "type": "audio.started",
                "turn_id": event.turn_id,
                "ttfa_ms": event.ttfa_ms,
                "timings": event.timings,
            }
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
        case events.FlushDone():
            return {
                "type": "flush.done",
                "turn_id": event.turn_id,
                **_present(flush_id=event.flush_id),
                "end_sample": event.end_sample,
            }
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
                "damaged_ms": event.damaged_ms,
                **_present(warnings=event.warnings or None),
            }
        case events.TurnCancelled():
            return {
                "type": "turn.cancelled",
                "turn_id": event.turn_id,
                "frames": event.frames,
                "samples_sent": event.samples_sent,
                **_present(samples_played=event.samples_played),
                "text_sent": event.text_sent,
                **_present(text_played=event.text_played),
                "timings": event.timings,
            }
        case events.Failed():
            return {"type": "error", **error_fields(event.error), **_present(turn_id=event.turn_id)}
        case events.Pong():
            return {"type": "pong", **_present(id=event.id)}
        case events.SessionEnded(error=error):
            assert error is not None, "a session that ends as asked says nothing more"
            return {"type": "session.closing", "reason": error.code, "retryable": error.retryable}


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
            **({"turns_per_s": limits.turns.per_s, "turn_burst": limits.turns.burst} if limits.turns else {}),
        },
        "defaults": {
            "provider": defaults.provider,
            "voice": defaults.voice,
            "audio": _wanted_audio(defaults.audio),
            "pacing": {
                "mode": defaults.pacing.mode,
                "lead_ms": defaults.pacing.lead_ms,
                "burst_ms": defaults.pacing.group_ms,
            },
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


def _resolved_audio(frame_format: FrameFormat) -> dict[str, Any]:
    return {
        "encoding": frame_format.audio.encoding,
        "sample_rate": frame_format.audio.sample_rate_hz,
        "channels": frame_format.audio.channels,
        "frame_ms": frame_format.frame_ms,
        "frame_samples": frame_format.frame_samples,
        "frame_bytes": frame_format.frame_bytes,
        "tail": frame_format.tail,
        "header": frame_format.header,
    }


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
