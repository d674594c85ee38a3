"""Jobs in the native protocol: bodies and answers of `/v1/jobs`. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from relay.core.job import Job, JobRequest, JobStatus
from relay.errors import ClientError, Code
from relay.protocols.body import decode
from relay.protocols.native import NESTED, TurnFields

# A key is a client's own id of a request, commonly a UUID.
MAX_KEY_CHARS = 255
DEFAULT_LIMIT, MAX_LIMIT = 20, 100


class WebhookFields(Struct, forbid_unknown_fields=True):
    url: str


class JobBody(TurnFields, tag="speak", kw_only=True):
    """The body of `POST /v1/jobs`: a `speak` message, with or without its `type`, and the packaging of the result."""

    text: str
    container: Literal["raw", "wav", "mp3", "ogg", "flac", "aac"] = "wav"
    idempotency_key: str | None = None
    webhook: WebhookFields | None = None


_DECODER = msgspec.json.Decoder(JobBody)


def receive_job(body: bytes) -> JobRequest:
    """Raises ClientError `invalid_message`."""
    given = decode(_DECODER, body, NESTED | {"webhook": WebhookFields})
    key = given.idempotency_key
    if key is not None and not 1 <= len(key) <= MAX_KEY_CHARS:
        reason = f"idempotency_key has {len(key)} characters; it must have 1 to {MAX_KEY_CHARS}"
        raise ClientError(Code.INVALID_MESSAGE, reason)
    webhook = given.webhook.url if given.webhook is not None else None
    return JobRequest(turn=given.request(), text=given.text, container=given.container, key=key, webhook=webhook)


def receive_limit(query: Mapping[str, str]) -> int:
    """Raises ClientError `invalid_message`."""
    limit = query.get("limit", str(DEFAULT_LIMIT))
    if not limit.isascii() or not limit.isdecimal() or not 1 <= int(limit[:9]) <= MAX_LIMIT:
        raise ClientError(Code.INVALID_MESSAGE, f"limit must be a whole number from 1 to {MAX_LIMIT}")
    return int(limit[:9])


def receive_page(query: Mapping[str, str]) -> tuple[JobStatus | None, int, str | None]:
    """Status, limit and cursor of a list. Raises ClientError `invalid_message`."""
    status = query.get("status")
    if status is not None and status not in list(JobStatus):
        raise ClientError(Code.INVALID_MESSAGE, f"status must be one of {', '.join(JobStatus)}")
    return JobStatus(status) if status is not None else None, receive_limit(query), query.get("cursor")


def job_fields(job: Job) -> dict[str, Any]:
    """A job as its client is told: never with its text."""
    fields: dict[str, Any] = {
        "id": job.id,
        "status": job.status,
        "created_at": instant(job.created_at_s),
        "started_at": instant(job.started_at_s),
        "completed_at": instant(job.completed_at_s),
        "container": job.request.container,
        "progress": {
            "segments_done": job.progress.segments,
            # How many there will be is known when the text has been cut to its end.
            "segments": job.progress.segments if job.status is JobStatus.SUCCEEDED else None,
            "seconds": round(job.progress.seconds, 3),
            "chars_done": job.progress.chars,
            "chars": job.chars,
        },
        "provider": job.provider or None,
        "voice": job.voice or None,
    }
    if (audio := job.audio) is not None:
        fields["audio"] = {
            "content_type": audio.media_type,
            "bytes": audio.bytes,
            "duration_ms": audio.duration_ms,
            "url": f"/v1/jobs/{job.id}/audio",
        }
    if (failure := job.failure) is not None:
        fields["error"] = {
            "code": failure.code,
            "message": failure.message,
            "retryable": failure.code.retryable,
            **({"provider": failure.provider} if failure.provider else {}),
        }
    return fields


def webhook_body(job: Job) -> bytes:
    """What a client is told of a job that has ended."""
    fields = {"type": f"job.{job.status}", "timestamp": instant(job.completed_at_s), "data": job_fields(job)}
    return msgspec.json.encode(fields)


def instant(at_s: float | None) -> str | None:
    """RFC 3339, in UTC."""
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
