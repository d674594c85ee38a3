"""Jobs over HTTP: `/v1/jobs`. This file does not know how a job is run or where it is kept."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from relay.core.job import Job, JobStatus
from relay.errors import ClientError, Code, LimitError
from relay.jobs.jobs import Jobs
from relay.protocols.table import job_fields, receive_job, receive_page

# When a client that asks for audio too early may ask again.
NOT_READY_RETRY_S = 2.0
# A body from this size on is read in a thread: decoding it would hold the loop.
LARGE_BODY_BYTES = 64 * 1024
# A character of JSON text, at its longest: \uXXXX.
BYTES_OF_A_CHAR = 6
# The other fields of a body.
REST_BYTES = 256 * 1024


class JobRoutes:
    """`owner_of` admits a request and names its client; `body_of` reads its body, up to a size."""

    def __init__(
        self,
        jobs: Jobs,
        owner_of: Callable[[web.Request], str],
        body_of: Callable[[web.Request, int], Awaitable[bytes]],
        max_text_chars: int,
    ) -> None:
        self._jobs = jobs
        self._owner_of = owner_of
        self._body_of = body_of
        self._max_body_bytes = job_body_bytes(max_text_chars)

    def table(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/jobs", self.submit),
            web.get("/v1/jobs", self.page),
            web.get("/v1/jobs/{id}", self.show),
            web.get("/v1/jobs/{id}/audio", self.audio),
            web.post("/v1/jobs/{id}/cancel", self.cancel),
            web.delete("/v1/jobs/{id}", self.delete),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        owner = self._owner_of(request)
        body = await self._body_of(request, self._max_body_bytes)
        wanted = receive_job(body) if len(body) < LARGE_BODY_BYTES else await asyncio.to_thread(receive_job, body)
        job = await self._jobs.submit(wanted, owner)
        return _json(job_fields(job), status=202, headers={"Location": f"/v1/jobs/{job.id}"})

    async def page(self, request: web.Request) -> web.Response:
        owner = self._owner_of(request)
        status, limit, cursor = receive_page(dict(request.query))
        page = await self._jobs.page(owner, status=status, door=None, limit=limit, cursor=cursor)
        listed = {"jobs": [job_fields(job) for job in page.jobs]}
        return _json(listed | ({"next_cursor": page.next_cursor} if page.next_cursor else {}))

    async def show(self, request: web.Request) -> web.Response:
        return _json(job_fields(await self._job(request)))

    async def audio(self, request: web.Request) -> web.StreamResponse:
        """The file of a job that has succeeded; whole, or the ranges that are asked for."""
        return await audio_file(self._jobs, await self._job(request))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancels a job that has not ended, and leaves one that has as it is."""
        owner = self._owner_of(request)
        return _json(job_fields(await self._jobs.cancel(request.match_info["id"], owner)))

    async def delete(self, request: web.Request) -> web.Response:
        """Cancels a job that has not ended; forgets one that has, with its audio."""
        job = await self._job(request)
        if job.status.ended:
            await self._jobs.remove(job)
            return web.Response(status=204)
        return _json(job_fields(await self._jobs.cancel(job.id, job.owner)))

    async def _job(self, request: web.Request) -> Job:
        return await self._jobs.get(request.match_info["id"], self._owner_of(request))


def job_body_bytes(text_chars: int) -> int:
    """The longest body that submits a job."""
    return text_chars * BYTES_OF_A_CHAR + REST_BYTES


async def audio_file(jobs: Jobs, job: Job) -> web.FileResponse:
    """The file of a job that has succeeded. Raises RelayError `job_not_ready`, or `unknown_job` where it was
    removed."""
    if not job.status.ended:
        raise LimitError(
            Code.JOB_NOT_READY, f"the job is {job.status}; its audio is not ready", retry_after_s=NOT_READY_RETRY_S
        )
    if job.status is not JobStatus.SUCCEEDED or job.audio is None:
        raise ClientError(Code.JOB_NOT_READY, f"the job is {job.status}; it has no audio", retryable=False)
    path = jobs.audio(job)
    if not await asyncio.to_thread(path.is_file):
        raise ClientError(Code.UNKNOWN_JOB, "the job's audio has been removed from the disk")
    headers = {
        "Content-Type": job.audio.media_type,
        "Content-Disposition": f'attachment; filename="{path.name}"',
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return web.FileResponse(path, headers=headers)


def _json(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers={"Content-Type": "application/json", **(headers or {})}
    )
