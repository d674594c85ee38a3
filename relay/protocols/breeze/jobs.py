"""Generation jobs: `?delivery=async` makes one, which is asked about and fetched by its id, also as a history item."""

from typing import Any

from relay.core.job import Job, JobRequest, JobStatus
from relay.protocols.answer import rfc3339
from relay.protocols.base import Handshake, HttpAnswer, SpeechCall
from relay.protocols.breeze.api import CODES, answer

JOBS = "/breeze/v1/generation-jobs/{job}"
HISTORY = "/breeze/v1/history/{job}"
# What the vendor documents of them; a cancelled job is one that the relay's own API has cancelled.
_STATUSES = {
    JobStatus.QUEUED: "active",
    JobStatus.RUNNING: "active",
    JobStatus.SUCCEEDED: "ready",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}


def submitted(call: SpeechCall, voice_id: str, model_id: str | None, media_type: str) -> JobRequest:
    """The same speech as a job."""
    own = {"voice_id": voice_id, "model_id": model_id, "content_type": media_type}
    return JobRequest(turn=call.request, text=call.text, container=call.container, own=own)


def created(handshake: Handshake, job: Job) -> HttpAnswer:
    """Both ids are one, as the vendor's pages say."""
    fields = {"generation_job_id": job.id, "history_item_id": job.id, "status": _STATUSES[job.status]}
    whole = answer(handshake, fields)
    return HttpAnswer(status=202, headers=whole.headers, body=whole.body)


def job_state(handshake: Handshake, job: Job) -> HttpAnswer:
    """The fields of both vintages."""
    fields = _fields(handshake, job)
    return answer(handshake, {"generation_job_id": job.id, **fields, "status": _STATUSES[job.status]})


def history_item(handshake: Handshake, job: Job) -> HttpAnswer:
    latency_ms = None if job.latency_ms is None else round(job.latency_ms)
    return answer(handshake, _fields(handshake, job) | {"request_id": job.id, "latency_ms": latency_ms})


def _fields(handshake: Handshake, job: Job) -> dict[str, Any]:
    own = job.request.own
    scheme, host = "https" if handshake.secure else "http", handshake.headers.get("host", "")
    is_ready = job.status is JobStatus.SUCCEEDED
    failure = job.failure
    return {
        "history_item_id": job.id,
        "state": str(job.status),
        "source": "text_to_speech",
        "voice_id": own.get("voice_id"),
        "voice_name": job.voice or own.get("voice_id"),
        "voice_category": "default",
        "origin": "default",
        "model_id": own.get("model_id"),
        "text": job.request.text,
        "content_type": own.get("content_type"),
        "download_url": f"{scheme}://{host}{JOBS.format(job=job.id)}/audio" if is_ready else None,
        "created_at": rfc3339(job.created_at_s),
        "completed_at": None if job.completed_at_s is None else rfc3339(job.completed_at_s),
        "date_unix": int(job.created_at_s),
        "error": {"code": CODES[failure.code][0], "detail": failure.message} if failure is not None else None,
    }
