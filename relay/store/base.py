"""The contracts. What keeps them passes `relay.testing.conformance.store`.

A store knows neither tokens nor clients, and has no clock: instants are arguments, in seconds since the Unix epoch.
"""

from dataclasses import dataclass
from typing import Protocol

from relay.core.history import KeptTurn
from relay.core.job import Job, JobStatus, Progress

# Tokens spent and not yet expired. At the default life of a minute that is 3,000 sessions a second; at some 200 bytes
# each, 40 MB. Whoever has more is told to come again, because forgetting one would let it be spent twice.
MAX_SPENT = 200_000


class SpentTokens(Protocol):
    """Remembers which tokens were spent, for as long as each would otherwise be good."""

    async def open(self) -> None:
        """Called once, before anything else. Raises StoreError where the place cannot be used."""

    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        """True for the first who spends `token_id`, False for everyone after, whichever process or task they are in.

        An id is forgotten once `now_s` has reached its `expires_at_s`: by then the token is refused for its age. Safe
        to call concurrently; cancelled, the token may or may not have been spent. Raises LimitError where MAX_SPENT
        are remembered, StoreError where the place no longer answers; the token is then not accepted.
        """
        ...

    async def close(self) -> None:
        """Releases what `open` took. Idempotent."""


class StoreError(Exception):
    """The store cannot be reached, or refuses. The message names the place and what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some jobs, newest first, and where the next page begins; None behind the last one."""

    jobs: tuple[Job, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWebhook:
    """A job that has ended, whose client is to be told so. `attempt`: the first is 1."""

    job: Job
    attempt: int


class JobStore(Protocol):
    """Keeps jobs. Several processes may share one place: what one has changed, the others know. A job is given without
    its text, but for `lease`.

    Every method raises StoreError where the place no longer answers. A worker is a process that runs jobs, by a name of
    its own; it has a job while its lease lasts, and loses it when it does not renew it.
    """

    async def open(self) -> None:
        """Called once, before anything else. Raises StoreError where the place cannot be used."""

    async def add(self, job: Job, *, digest: str, most_active: int) -> Job:
        """Keeps a new job. Where `job.request.key` is its owner's already, returns the job that has it, if that was
        added with the same `digest`; else raises ClientError. Raises LimitError where the owner has `most_active` jobs
        that have not ended."""
        ...

    async def get(self, job_id: str, owner: str | None) -> Job | None:
        """The job, if it is there and its owner's; `owner` None: whoever's."""
        ...

    async def text(self, job_id: str, owner: str) -> str | None:
        """The text of a job, which no other method but `lease` gives; None where the job is not there."""
        ...

    async def page(
        self, owner: str, *, status: JobStatus | None = None, door: str | None = None, limit: int, cursor: str | None
    ) -> JobPage:
        """The owner's jobs. A job that is added or changes its status while a list is paged through is in it once or
        not at all."""
        ...

    async def lease(self, worker: str, *, now_s: float, until_s: float) -> Job | None:
        """The job that has waited longest, or one whose lease has run out: it is running now, and this worker's."""
        ...

    async def renew(self, job_id: str, worker: str, *, until_s: float, progress: Progress) -> bool:
        """Whether the job is still this worker's to run, noting how far it has come."""
        ...

    async def release(self, job_id: str, worker: str) -> None:
        """Queues it again, for the next worker that comes; no-op where it is not this worker's."""

    async def finish(self, job: Job, worker: str) -> bool:
        """Keeps how a job ended, if it is still this worker's; True once for each job."""
        ...

    async def cancel(self, job_id: str, owner: str, *, now_s: float) -> Job | None:
        """The job, cancelled unless it had ended; None where it is not there."""
        ...

    async def remove(self, job_id: str, owner: str | None) -> bool:
        """Forgets a job that has ended, and what its client was still to be told. True if it was there."""
        ...

    async def due_webhook(self, *, now_s: float, until_s: float) -> DueWebhook | None:
        """The webhook that has been due longest; one becomes due when a job that has a `webhook` ends. It is not due
        again before `until_s`."""
        ...

    async def settle_webhook(self, job_id: str, *, again_at_s: float | None) -> None:
        """Makes it due again at that instant; None: never."""
        ...

    async def oldest_ended(self, limit: int) -> tuple[Job, ...]:
        """Jobs that have ended, the one that ended first in front: what may be forgotten."""
        ...

    async def ended_bytes(self) -> int:
        """What the audio of all jobs takes."""
        ...

    async def close(self) -> None:
        """Releases what `open` took. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPage:
    """Some kept turns, newest first, without their texts; and where the next page begins, None behind the last one."""

    turns: tuple[KeptTurn, ...]
    next_cursor: str | None = None


class TurnStore(Protocol):
    """Keeps turns that have ended. Several processes may share one place. Every method raises StoreError where the
    place no longer answers."""

    async def open(self) -> None:
        """Called once, before anything else. Raises StoreError where the place cannot be used."""

    async def add(self, turn: KeptTurn) -> None:
        """Keeps a turn with an id of its own."""

    async def get(self, kept_id: str, owner: str) -> KeptTurn | None:
        """The turn with its text, if it is there and its owner's."""
        ...

    async def page(self, owner: str, *, limit: int, cursor: str | None) -> TurnPage:
        """The owner's turns. A turn that is added while a list is paged through is in it once or not at all. Raises
        ClientError for a cursor that no page gave."""
        ...

    async def remove(self, kept_id: str, owner: str | None) -> bool:
        """Forgets a turn; `owner` None: whoever's. True for the one who did."""
        ...

    async def oldest(self, limit: int) -> tuple[KeptTurn, ...]:
        """The turns that were added first, without their texts."""
        ...

    async def audio_bytes(self) -> int:
        """What the audio of all turns takes."""
        ...

    async def close(self) -> None:
        """Releases what `open` took. Idempotent."""
