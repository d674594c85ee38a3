"""What every store of jobs says in the same words. Pure."""

from dataclasses import replace

from relay.core.job import Job
from relay.errors import ClientError, Code, LimitError


def without_text(job: Job) -> Job:
    return replace(job, request=replace(job.request, text=""))


def used_key() -> ClientError:
    return ClientError(Code.INVALID_MESSAGE, "idempotency_key was used for another job; give each job a key of its own")


def too_many(active: int) -> LimitError:
    return LimitError(
        Code.RATE_LIMITED,
        f"this client has {active} jobs that have not ended, which is the most it may have",
        retry_after_s=10,
    )


def position(cursor: str | None) -> int | None:
    """Where a page begins. Raises ClientError for a cursor that no page gave."""
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 18:
        raise ClientError(Code.INVALID_MESSAGE, "cursor is not one that a list has given; leave it out to begin anew")
    return int(cursor)
