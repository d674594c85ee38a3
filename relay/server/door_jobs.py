"""Jobs as other APIs have them: submitted, asked about and fetched in each protocol's own form."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from aiohttp import web

from relay.core.job import Job, JobRequest
from relay.errors import ClientError, Code
from relay.jobs.jobs import Jobs
from relay.protocols.base import Handshake, HttpProtocol, JobProtocol
from relay.server.access.authenticator import Caller
from relay.server.handshake import handshake_of, response_of
from relay.server.jobs import LARGE_BODY_BYTES, audio_file, job_body_bytes


class DoorJobs:
    """Handlers over the jobs of one process.

    `admit` says who asks and what; `body_of` reads a body, up to a size; `check_page` refuses pages of browsers that
    may not ask, and no one else. Each raises RelayError.
    """

    def __init__(
        self,
        jobs: Jobs,
        protocols: Sequence[JobProtocol],
        admit: Callable[[web.Request, HttpProtocol], tuple[Caller, Handshake]],
        body_of: Callable[[web.Request, int], Awaitable[bytes]],
        check_page: Callable[[Mapping[str, str]], None],
        max_text_chars: int,
    ) -> None:
        self._jobs = jobs
        self._protocols = protocols
        self._admit = admit
        self._body_of = body_of
        self._check_page = check_page
        self._max_body_bytes = job_body_bytes(max_text_chars)

    def table(self) -> list[web.RouteDef]:
        routes: list[web.RouteDef] = []
        for each in self._protocols:
            routes += [web.post(path, partial(self.submit, each, path)) for path in each.submissions]
            routes += [web.get(path, partial(self.state, each, path)) for path in each.job_states]
            routes += [web.get(path, partial(self.audio, each)) for path in each.job_audio]
            routes += [web.get(path, partial(self.open_audio, each)) for path in each.open_job_audio]
        return routes

    async def submit(self, protocol: JobProtocol, path: str, request: web.Request) -> web.Response:
        caller, handshake = self._admit(request, protocol)
        body = await self._body_of(request, self._max_body_bytes)
        parse = partial(protocol.submissions[path], handshake, body)
        wanted = parse() if len(body) < LARGE_BODY_BYTES else await asyncio.to_thread(parse)
        return await self.submitted(protocol, caller, handshake, wanted)

    async def submitted(
        self, protocol: JobProtocol, caller: Caller, handshake: Handshake, wanted: JobRequest
    ) -> web.Response:
        """Queues a job, and answers as the protocol does. Raises RelayError."""
        if caller.claims is not None:
            raise ClientError(Code.FORBIDDEN, "a token speaks one turn, no more; send a key here, for this is a job")
        job = await self._jobs.submit(replace(wanted, door=protocol.name), caller.client)
        return response_of(protocol.created(handshake, job))

    async def state(self, protocol: JobProtocol, path: str, request: web.Request) -> web.Response:
        caller, handshake = self._admit(request, protocol)
        job = await self._job(protocol, handshake, caller.client)
        text = await self._jobs.text(job.id, job.owner)
        job = replace(job, request=replace(job.request, text=text))
        return response_of(protocol.job_states[path](handshake, job))

    async def audio(self, protocol: JobProtocol, request: web.Request) -> web.StreamResponse:
        caller, handshake = self._admit(request, protocol)
        return await audio_file(self._jobs, await self._job(protocol, handshake, caller.client))

    async def open_audio(self, protocol: JobProtocol, request: web.Request) -> web.StreamResponse:
        """For who knows the id: the address is followed without a key."""
        handshake = handshake_of(request)
        self._check_page(handshake.headers)
        return await audio_file(self._jobs, await self._job(protocol, handshake, None))

    async def _job(self, protocol: JobProtocol, handshake: Handshake, owner: str | None) -> Job:
        job = await self._jobs.get(protocol.job_id(handshake.path["job"]), owner)
        if job.request.door != protocol.name:
            raise ClientError(Code.UNKNOWN_JOB, "there is no such job here")
        return job
