"""The HTTP routes, and the one place where an error becomes a status and a body."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from secrets import token_hex
from typing import Any

import msgspec
from aiohttp import web

from relay.core.job import JobRequest
from relay.drivers.fair import CALLER
from relay.engine.engine import Engine
from relay.engine.setup import adapter_of
from relay.engine.untraced import UNTRACED
from relay.errors import ClientError, Code, InternalError, LimitError, RelayError, untrace
from relay.history.history import History
from relay.jobs.jobs import Jobs
from relay.protocols.base import (
    Handshake,
    HttpProtocol,
    JobProtocol,
    ListProtocol,
    MintProtocol,
    SpeechProtocol,
    StreamProtocol,
)
from relay.protocols.table import OWN, error_fields
from relay.server.access.authenticator import Authenticator, Caller
from relay.server.access.minting import mint
from relay.server.access.tokens import Tokens
from relay.server.connections import Connections
from relay.server.door_jobs import DoorJobs
from relay.server.doors import known_of
from relay.server.handshake import handshake_of, response_of
from relay.server.open_requests import OpenRequests
from relay.server.speech import speak
from relay.server.web.body import read_body
from relay.server.websocket import WebSocketSession

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json"
# What a client that came while the relay drains is told to wait: another process usually listens by then.
DRAINING_RETRY_AFTER_S = 5


class Routes:
    """Handlers over one engine. `sessions` and `requests` are those now open, for draining and for the sweep."""

    def __init__(
        self,
        engine: Engine,
        authenticator: Authenticator,
        tokens: Tokens,
        jobs: Jobs,
        history: History,
        protocols: Sequence[HttpProtocol],
        connections: Connections,
    ) -> None:
        self._connections = connections
        self._engine = engine
        self._history = history
        self._streams = [each for each in protocols if isinstance(each, StreamProtocol)]
        self._speeches = [each for each in protocols if isinstance(each, SpeechProtocol)]
        self._lists = [each for each in protocols if isinstance(each, ListProtocol)]
        self._minting = [each for each in protocols if isinstance(each, MintProtocol)]
        self._authenticator = authenticator
        self._tokens = tokens
        self.sessions: set[WebSocketSession] = set()
        self.requests = OpenRequests()
        jobs_of = [each for each in protocols if isinstance(each, JobProtocol)]
        self._door_jobs = DoorJobs(
            *(jobs, jobs_of, self._admit, self.body_of), authenticator.check_page, engine.config.jobs.max_text_chars
        )
        # Whose form a refusal has, by route.
        self._protocols: dict[str, HttpProtocol] = {
            **{path: each for each in self._streams for path in each.stream_paths},
            **{path: each for each in self._speeches for path in each.speech_paths},
            **{path: each for each in self._lists for path in each.lists},
            **{path: each for each in self._minting for path in each.mint_paths},
        }
        self._prefixes = sorted(protocols, key=lambda each: len(each.prefix), reverse=True)

    def table(self) -> list[web.RouteDef]:
        return [
            *(web.get(path, partial(self.stream, each)) for each in self._streams for path in each.stream_paths),
            *(web.post(path, partial(self.speech, each)) for each in self._speeches for path in each.speech_paths),
            *(web.get(path, partial(self.known, each, path)) for each in self._lists for path in each.lists),
            *(web.post(path, partial(self.token, each)) for each in self._minting for path in each.mint_paths),
            *self._door_jobs.table(),
            web.get("/v1/providers", self.providers),
            web.get("/v1/voices", self.voices),
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
        ]

    @web.middleware
    async def errors_as_answers(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every refusal has the error body of the protocol whose route it is."""
        try:
            with self._connections.answering(request.transport), UNTRACED:
                # On every route: also what spends nothing tells a foreign page what is here.
                self._authenticator.check_host(request.headers)
                return await handler(request)
        except RelayError as error:
            return self._refusal(request, error)
        except web.HTTPException as error:
            untrace(error)  # aiohttp keeps it with the request
            if error.status < 400:
                raise
            message = f"{request.method} {request.path}: {error.reason}"
            if isinstance(error, web.HTTPRequestEntityTooLarge):
                message = f"the body is too long: {error.text}"
            return self._refusal(request, ClientError(Code.INVALID_MESSAGE, message), error.status)
        except Exception:
            log.exception("request failed by a bug", extra={"reason": request.path})
            return self._refusal(request, InternalError())

    def _refusal(self, request: web.Request, error: RelayError, status: int | None = None) -> web.Response:
        return response_of(self._protocol_at(request).refusal(error, status))

    def _protocol_at(self, request: web.Request) -> HttpProtocol:
        resource = request.match_info.route.resource
        if resource is not None and (protocol := self._protocols.get(resource.canonical)) is not None:
            return protocol
        return next(each for each in self._prefixes if request.path.startswith(each.prefix))

    async def stream(self, protocol: StreamProtocol, request: web.Request) -> web.StreamResponse:
        """A WebSocket. Refusals happen here, before the upgrade, as HTTP errors."""
        try:
            caller, handshake = self._admit(request, protocol, speaks=True)
            if handshake.headers.get("upgrade", "").lower() != "websocket":
                reason = f"{request.path} is a WebSocket; connect with ws:// or wss://"
                raise ClientError(Code.INVALID_MESSAGE, reason)
            async with self._entered(caller):
                session = WebSocketSession(
                    *(self._engine, protocol, handshake),
                    session_id=f"s-{token_hex(8)}",
                    client=caller.client,
                    scope=caller.scope,
                    tap=self._history.tap(caller.client),
                )
                return await self._connected(request, session)
        except RelayError as error:
            self._engine.metrics.session_refused(error.code)
            raise

    async def _connected(self, request: web.Request, session: WebSocketSession) -> web.StreamResponse:
        self.sessions.add(session)
        self._engine.metrics.session_opened()
        try:
            return await session.run(request)
        finally:
            self.sessions.discard(session)
            self._engine.metrics.session_closed(session.held_peak_ms)

    async def speech(self, protocol: SpeechProtocol, request: web.Request) -> web.StreamResponse:
        caller, handshake = self._admit(request, protocol, speaks=True)
        async with self.requests.entered(request):
            # Before a place is taken: a body that does not come must not hold one.
            call = protocol.parse(handshake, await self._body(request))
            if isinstance(call, JobRequest):
                assert isinstance(protocol, JobProtocol), "what makes jobs tells of them"
                return await self._door_jobs.submitted(protocol, caller, handshake, call)
            async with self._entered(caller):
                tap = self._history.tap(caller.client)
                return await speak(self._engine, protocol, handshake, call, request, caller.scope, caller.client, tap)

    async def token(self, protocol: MintProtocol, request: web.Request) -> web.Response:
        caller, handshake = self._admit(request, protocol)
        async with self.requests.entered(request):
            wish = protocol.wish(handshake, await self._body(request))
            token, expires_at_s = await mint(self._engine, self._authenticator, self._tokens, caller, wish)
        return response_of(protocol.minted(handshake, wish, token, expires_at_s))

    async def providers(self, request: web.Request) -> web.Response:
        self._admit(request, OWN)
        usable = [
            self._named(name)
            | {"usable": True, "default": name == self._engine.defaults.provider}
            | {"capabilities": asdict(provider.capabilities)}
            for name, provider in self._engine.providers.items()
        ]
        missing = [
            self._named(name) | {"usable": False, "reason": reason} for name, reason in self._engine.missing.items()
        ]
        return _json({"providers": usable + missing})

    def _named(self, instance: str) -> dict[str, Any]:
        return {"name": instance, "adapter": adapter_of(self._engine.config, instance)}

    async def voices(self, request: web.Request) -> web.Response:
        self._admit(request, OWN)
        async with self.requests.entered(request):
            found, failed = await self._engine.voices(request.query.get("provider"), request.query.get("language"))
        # `asdict` copies deeply, which takes ten times as long.
        listed = [
            {"provider": name, **msgspec.to_builtins(voice)} for name, voices in found.items() for voice in voices
        ]
        return _json({"voices": listed, "failed": [error_fields(error) for error in failed]})

    async def known(self, protocol: ListProtocol, path: str, request: web.Request) -> web.Response:
        """A list of voices or models in a protocol's own form; those of providers that do not answer are left out."""
        _, handshake = self._admit(request, protocol)
        async with self.requests.entered(request):
            found, _ = await self._engine.voices()
        return response_of(protocol.lists[path](handshake, known_of(self._engine, found)))

    async def healthz(self, request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        if self._engine.draining:
            raise _draining()
        return _json({"status": "ready"})

    async def metrics(self, request: web.Request) -> web.Response:
        self._engine.sample_gauges()
        return web.Response(body=self._engine.metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    @asynccontextmanager
    async def _entered(self, caller: Caller) -> AsyncIterator[None]:
        """A place, taken before a token is spent: who is told to come again can."""
        CALLER.set(caller.client)  # of the tasks of this request, and all that they begin
        self._engine.session_limiter.take(caller.client)
        try:
            await self._authenticator.enter(caller)
            if self._engine.draining:  # since it was admitted
                raise _draining()
            yield
        finally:
            self._engine.session_limiter.give_back(caller.client)

    def owner_of(self, request: web.Request) -> str:
        """The client that asks with a key, by its name. Raises RelayError for who may not."""
        caller, _ = self._admit(request, OWN)
        return caller.client

    async def body_of(self, request: web.Request, max_bytes: int) -> bytes:
        """The request's body. Raises as `read_body` does."""
        async with self.requests.entered(request):
            return await read_body(request, self._engine.config.limits.body_timeout_s, max_bytes)

    async def _body(self, request: web.Request) -> bytes:
        limits = self._engine.config.limits
        return await read_body(request, limits.body_timeout_s, limits.max_message_bytes)

    def _admit(self, request: web.Request, protocol: HttpProtocol, *, speaks: bool = False) -> tuple[Caller, Handshake]:
        """Who asks, and what the request says. Raises RelayError for who may not; a token is good for what `speaks`
        only."""
        handshake = handshake_of(request)
        caller = self._authenticator.caller(
            protocol.credential(handshake), handshake.headers, request.remote or "unknown", protocol.credential_hint
        )
        if caller.claims is not None and not speaks:
            raise ClientError(Code.FORBIDDEN, "a token opens one session or speaks one turn, no more; send a key here")
        self._connections.know(request.transport)
        if self._engine.draining:
            raise _draining()
        granted = caller.claims.granted if caller.claims is not None else ""
        return caller, replace(handshake, key_id=self._authenticator.issuer(caller) or None, granted=granted)


def _draining() -> LimitError:
    return LimitError(Code.SHUTTING_DOWN, "the relay is shutting down", retry_after_s=DRAINING_RETRY_AFTER_S)


def _json(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers={"Content-Type": JSON, **(headers or {})}
    )
