"""The HTTP routes, and the one place where an error becomes a status and a body."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from secrets import token_hex

import msgspec
from aiohttp import web

from relay.engine.engine import Engine
from relay.engine.untraced import UNTRACED
from relay.errors import ClientError, Code, InternalError, LimitError, RelayError, untrace
from relay.protocols import native
from relay.server.access.authenticator import Authenticator, Caller
from relay.server.access.minting import mint
from relay.server.access.tokens import Tokens
from relay.server.speech import speech
from relay.server.websocket import Connection

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json"
# What a client that came while the relay drains is told to wait: another process usually listens by then.
DRAINING_RETRY_AFTER_S = 5


class Routes:
    """Handlers over one relay. `connections` are the sessions now open, for draining and for the sweep."""

    def __init__(self, relay: Engine, door: Authenticator, tokens: Tokens) -> None:
        self._relay = relay
        self._door = door
        self._tokens = tokens
        self.connections: set[Connection] = set()
        self.requests = 0

    def table(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/stream", self.stream),
            web.post("/v1/speech", self.speech),
            web.post("/v1/tokens", self.tokens),
            web.get("/v1/providers", self.providers),
            web.get("/v1/voices", self.voices),
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
        ]

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket. Refusals happen here, before the upgrade, as HTTP errors."""
        try:
            caller = self._admit(request, speaks=True)
            if request.headers.get("Upgrade", "").lower() != "websocket":
                raise ClientError(Code.INVALID_MESSAGE, "/v1/stream is a WebSocket; connect with ws:// or wss://")
            async with self._entered(caller):
                return await self._connected(request, caller)
        except RelayError as error:
            self._relay.metrics.session_refused(error.code)
            raise

    async def _connected(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        connection = Connection(self._relay, f"s-{token_hex(8)}", caller.client, caller.permit)
        self.connections.add(connection)
        self._relay.metrics.session_opened()
        try:
            return await connection.run(request)
        finally:
            self.connections.discard(connection)
            self._relay.metrics.session_closed(connection.outbox_peak_ms)

    async def speech(self, request: web.Request) -> web.StreamResponse:
        caller = self._admit(request, speaks=True)
        self.requests += 1
        try:
            async with self._entered(caller):
                return await speech(self._relay, request, caller.permit)
        finally:
            self.requests -= 1

    async def tokens(self, request: web.Request) -> web.Response:
        caller = self._admit(request)
        token = await mint(self._relay, self._door, self._tokens, caller, request)
        return _json(token, status=201, headers={"Cache-Control": "no-store"})

    async def providers(self, request: web.Request) -> web.Response:
        self._admit(request)
        usable = [
            {"name": name, "usable": True, "default": name == self._relay.defaults.provider}
            | {"capabilities": asdict(provider.capabilities)}
            for name, provider in self._relay.providers.items()
        ]
        missing = [{"name": name, "usable": False, "reason": reason} for name, reason in self._relay.missing.items()]
        return _json({"providers": usable + missing})

    async def voices(self, request: web.Request) -> web.Response:
        self._admit(request)
        found, failed = await self._relay.voices(request.query.get("provider"), request.query.get("language"))
        listed = [{"provider": name, **asdict(voice)} for name, voices in found.items() for voice in voices]
        return _json({"voices": listed, "failed": [native.error_fields(error) for error in failed]})

    async def healthz(self, request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        if self._relay.draining:
            raise _draining()
        return _json({"status": "ready"})

    async def metrics(self, request: web.Request) -> web.Response:
        self._relay.look()
        return web.Response(body=self._relay.metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    @asynccontextmanager
    async def _entered(self, caller: Caller) -> AsyncIterator[None]:
        """A place, taken before a token is spent: who is told to come again can."""
        self._relay.places.take(caller.client)
        try:
            await self._door.enter(caller)
            yield
        finally:
            self._relay.places.give_back(caller.client)

    def _admit(self, request: web.Request, *, speaks: bool = False) -> Caller:
        """Who asks. Raises RelayError for who may not; a token is good for what `speaks` only."""
        caller = self._door.caller(request)
        if caller.claims is not None and not speaks:
            raise ClientError(Code.FORBIDDEN, "a token opens one session or speaks one turn, no more; send a key here")
        if self._relay.draining:
            raise _draining()
        return caller


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal has the error body of the protocol."""
    try:
        with UNTRACED:
            return await handler(request)
    except RelayError as error:
        return _refusal(error)
    except web.HTTPException as error:
        untrace(error)  # aiohttp keeps it with the request
        if error.status < 400:
            raise
        message = f"{request.method} {request.path}: {error.reason}"
        if isinstance(error, web.HTTPRequestEntityTooLarge):
            message = f"the body is too long: {error.text}"
        return _refusal(ClientError(Code.INVALID_MESSAGE, message), error.status)
    except Exception:
        log.exception("request failed by a bug", extra={"reason": request.path})
        return _refusal(InternalError())


def _refusal(error: RelayError, status: int | None = None) -> web.Response:
    headers = {"Content-Type": JSON}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if error.code is Code.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(status=status or error.code.http_status, body=native.http_error(error), headers=headers)


def _draining() -> LimitError:
    return LimitError(Code.SHUTTING_DOWN, "the relay is shutting down", retry_after_s=DRAINING_RETRY_AFTER_S)


def _json(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers={"Content-Type": JSON, **(headers or {})}
    )
