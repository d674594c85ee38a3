"""Kept turns in the native protocol: answers of `/v1/history`. Pure."""

from collections.abc import Mapping
from typing import Any

from relay.core.history import KeptTurn
from relay.protocols.native_jobs import instant, receive_limit

__all__ = ["kept_fields", "receive_turn_page"]


def receive_turn_page(query: Mapping[str, str]) -> tuple[int, str | None]:
    """Limit and cursor of a list. Raises ClientError `invalid_message`."""
    return receive_limit(query), query.get("cursor")


def kept_fields(turn: KeptTurn, *, text: bool) -> dict[str, Any]:
    """A kept turn as its client is told, with its text where that is asked for."""
    fields: dict[str, Any] = {
        "id": turn.id,
        "turn_id": turn.turn_id,
        "outcome": turn.outcome,
        "created_at": instant(turn.created_at_s),
        "provider": turn.provider,
        "voice": turn.voice,
        "model": turn.model,
        "format": {"encoding": turn.encoding, "sample_rate": turn.sample_rate_hz, "channels": turn.channels},
        "ttfa_ms": turn.ttfa_ms,
        "provider_ids": turn.provider_ids,
    }
    if text:
        fields["text"] = turn.text
    if turn.error is not None:
        fields["error"] = turn.error
    if (audio := turn.audio) is not None:
        fields["audio"] = {
            "content_type": audio.media_type,
            "bytes": audio.bytes,
            "duration_ms": audio.duration_ms,
            "url": f"/v1/history/{turn.id}/audio",
        }
    return fields
