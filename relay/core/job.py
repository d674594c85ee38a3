"""A job: a turn without a listener, from its submission to the file that is downloaded. Pure.

::

    queued ──► running ──► succeeded
       │          ├──────► failed
       └──────────┴──────► cancelled

A job that was running when its process died is leased again, and goes on behind its last whole segment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from relay.core.events import TurnRequest
from relay.errors import Code


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job has come: segments that are whole, the characters of their texts, and their samples."""

    segments: int = 0
    chars: int = 0
    samples: int = 0
    # Of the audio, known with its first sample.
    sample_rate_hz: int = 0

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate_hz if self.sample_rate_hz else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAudio:
    """A job's result: a file of `bytes` bytes."""

    media_type: str
    bytes: int
    duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailure:
    """Why a job failed, as its client is told."""

    code: Code
    message: str
    provider: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What is asked for. `container` is a name of `codecs.containers`.

    `door`: the protocol that the job came through, and `own`: what that protocol wants to know again of it (JSON).
    `key` makes submitting idempotent: the same client's second submission with it is the first one's job.
    `webhook`: the address that is told when the job has ended.
    """

    turn: TurnRequest
    text: str = field(repr=False)
    container: str = "wav"
    door: str = ""
    own: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    webhook: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands. `owner` is the client that submitted it; instants are seconds since the Unix epoch.

    `chars` and `segments` are those of the whole text, the latter as far as they are known: None until it is spoken.
    """

    id: str
    owner: str
    status: JobStatus
    created_at_s: float
    started_at_s: float | None = None
    completed_at_s: float | None = None
    request: JobRequest
    chars: int
    progress: Progress = field(default_factory=Progress)
    attempts: int = 0
    provider: str = ""
    voice: str = ""
    # From the start of the run that succeeded to its first audio.
    latency_ms: float | None = None
    audio: JobAudio | None = None
    failure: JobFailure | None = None
