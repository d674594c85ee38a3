"""Wiring and life cycle: start, ready, drain, stop."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from relay.config import Config, ConfigError
from relay.engine.codec_warmup import warm_codecs
from relay.engine.engine import Engine
from relay.engine.setup import spent_tokens_of
from relay.errors import Code, LimitError
from relay.history.place import history_of
from relay.jobs.place import jobs_of
from relay.protocols.table import OWN, webhook_body
from relay.server.access.authenticator import Authenticator
from relay.server.access.keys import Auth
from relay.server.access.tokens import Tokens
from relay.server.bad_http import closing_response, server_log
from relay.server.connection_limits import connection_limits_of
from relay.server.connections import Connection, Connections
from relay.server.doors import protocols_of
from relay.server.history import HistoryRoutes
from relay.server.jobs import JobRoutes
from relay.server.process import gc, worker_dir
from relay.server.process.listen_socket import BACKLOG, bind, is_loopback
from relay.server.process.orders import Orders, drained
from relay.server.routes import Routes
from relay.server.web.cors import Cors
from relay.server.web.page import Page
from relay.store.base import StoreError

log = logging.getLogger(__name__)

# How often sessions are looked at for being idle or slow, and a drain for being done.
SWEEP_S = 1.0
DRAIN_POLL_S = 0.05
# How long clients have to take the end of turns that are ended by force, and to close: after a drain, and when the
# relay is to stop at once. Then their connections are cut.
FAREWELL_S = 3.0
FAREWELL_AT_ONCE_S = 1.0
# How long the rest of a refused request's body is read away, so that the refusal arrives before the connection's end.
LINGERING_S = 2.0
# Between a connection's being accepted and its request's having been read.
HANDSHAKE_S = 0.5


class Server:
    """One listening process. `serving` is the whole life; `drain` ends it gently.

    `listen_socket` is one that is bound already; without one the configured address is bound.
    """

    def __init__(
        self,
        config: Config,
        listen_socket: socket.socket | None = None,
        *,
        wall_clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._listen_socket = listen_socket
        self._listening: asyncio.Server | None = None
        self._server: web.Server | None = None
        auth = Auth(config.server.keys, config.server.allowed_origins)
        if not auth.required and not is_loopback(config.server.host):
            raise ConfigError(
                f"server.host is {config.server.host!r} and there are no server.keys: anyone who can reach this "
                "machine could use it; set RELAY_SERVER_KEYS, or bind to 127.0.0.1"
            )
        self.engine = Engine(config)
        self._spent = spent_tokens_of(config, worker_dir.store())
        secret = config.tokens.secret or worker_dir.secret()
        self._tokens = Tokens(secret, self._spent, self.engine.metrics, now_s=wall_clock_s)
        authenticator = Authenticator(auth, self._tokens, config.tokens)
        refusal = OWN.refusal(LimitError(Code.SLOW_CLIENT, "the request's head was not complete in time"))
        self._connections = Connections(
            connection_limits_of(config), self.engine.metrics, timed_out=closing_response(refusal)
        )
        self.jobs = jobs_of(config.jobs, self.engine, webhook_body)
        self.history = history_of(config.history)
        self._routes = Routes(
            *(self.engine, authenticator, self._tokens, self.jobs, self.history),
            *(protocols_of(config, self.engine), self._connections),
        )
        self._history_routes = HistoryRoutes(self.history, self._routes.owner_of)
        routes = self._routes
        self._job_routes = JobRoutes(self.jobs, routes.owner_of, routes.body_of, config.jobs.max_text_chars)
        self._cors = Cors(auth)
        self.port = config.server.port

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Entered when ready. Leaving stops at once; call `drain` first to let turns finish."""
        async with self._remembering(), self._keeping_history(), self.engine.running(), self._running_jobs():
            runner = await self._start()
            tasks = [
                asyncio.create_task(self._sweep(), name="sweep"),
                asyncio.create_task(warm_codecs(self.engine.providers.values()), name="warm codecs"),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                await self.stop_accepting()
                await runner.cleanup()

    @asynccontextmanager
    async def _remembering(self) -> AsyncIterator[None]:
        """Which tokens were spent."""
        try:
            await self._spent.open()
        except StoreError as error:
            raise ConfigError(f"tokens.store: {error}") from error
        try:
            yield
        finally:
            await self._spent.close()

    @asynccontextmanager
    async def _keeping_history(self) -> AsyncIterator[None]:
        await self.history.start()
        try:
            yield
        finally:
            await self.history.close()

    @asynccontextmanager
    async def _running_jobs(self) -> AsyncIterator[None]:
        await self.jobs.start()
        try:
            yield
        finally:
            await self.jobs.close()

    async def stop_accepting(self) -> None:
        """Leaves new connections to another process that has the same socket. Idempotent."""
        assert self._listening is not None, "it is serving"
        self._listening.close()

    async def drain(self) -> bool:
        """Takes nothing new, lets what was begun finish within `server.drain_timeout_s`. True: all of it did."""
        engine, routes = self.engine, self._routes
        engine.draining = True
        for session in list(routes.sessions):
            session.drain()
        if await _until(self._empty, self._config.server.drain_timeout_s):
            return True
        left = len(routes.sessions) + len(routes.requests)
        log.warning("drain time is over, ending what is left", extra={"count": left})
        await self.stop(FAREWELL_S)
        return False

    async def stop(self, farewell_s: float = FAREWELL_AT_ONCE_S) -> None:
        """Ends every turn with `shutting_down`, and every session with close code 1001; a connection whose client has
        not taken that within `farewell_s` is cut. No-op where nothing is left."""
        self.engine.draining = True
        routes = self._routes
        error = LimitError(Code.SHUTTING_DOWN, "the relay shut down before the turn was spoken")
        for session in list(routes.sessions):
            session.stop(error)
        routes.requests.stop(error)
        if not await _until(self._empty, farewell_s):
            for session in list(routes.sessions):
                session.abort()
            routes.requests.abort()
        if self._server is not None:
            # A client that is still sending the body of a refused request would be waited for.
            for connection in self._server.connections:
                connection.force_close()

    async def _start(self) -> web.AppRunner:
        app = web.Application(
            middlewares=[self._routes.errors_as_answers], client_max_size=self._config.limits.max_message_bytes
        )
        app.add_routes(
            [
                *self._routes.table(),
                *self._job_routes.table(),
                *self._history_routes.table(),
                *self._cors.table(),
                *Page().table(),
            ]
        )
        app.on_response_prepare.append(self._cors.on_response)
        runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=server_log(),
            # A client that hangs up while it waits for audio must end the provider's work.
            handler_cancellation=True,
            shutdown_timeout=FAREWELL_S,
            # `Connections` has the deadlines, this is none; `read_body` decompresses, behind the key.
            keepalive_timeout=24 * 3600,
            auto_decompress=False,
            lingering_time=LINGERING_S,
        )
        await runner.setup()
        server = self._server = runner.server
        assert server is not None, "it was set up"
        listen_socket = self._listen_socket or bind(self._config.server.host, self.port)
        self._listen_socket = listen_socket
        self.port = listen_socket.getsockname()[1]
        self._listening = await asyncio.get_running_loop().create_server(
            lambda: Connection(server(), self._connections), sock=listen_socket, backlog=BACKLOG
        )
        return runner

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = time.monotonic()
            self.engine.sample_gauges()
            self._connections.check()
            if self._listen_socket is not None and self._listen_socket.fileno() >= 0:
                self._connections.check_files(self._listen_socket)
            if self._empty():
                gc.while_nobody_listens()
            for session in list(self._routes.sessions):
                try:
                    session.check(now_s)
                except Exception:  # one session's trouble must not end the sweep for all
                    log.exception("a session could not be checked")

    def _empty(self) -> bool:
        return not self._routes.sessions and not self._routes.requests


async def serve(
    config: Config,
    *,
    on_ready: Callable[[int], None],
    listen_socket: socket.socket | None = None,
    lifeline_fd: int | None = None,
) -> int:
    """Serves until SIGTERM or SIGINT, then drains. A second signal ends what is left at once. SIGHUP is ignored.

    The exit status is 0 when every turn was finished, 1 when turns were ended by force or the drain failed.

    `lifeline_fd` is a pipe from a supervisor, and makes this process a worker: SIGTERM and SIGINT drain however often
    they come, since they may be sent to the whole process group; SIGUSR2 stops at once. SIGUSR1 says that another
    process has taken over the listening socket: no more is accepted, the rest is as above. So does the end of the pipe
    say that the supervisor is gone: as SIGTERM.
    """
    server = Server(config, listen_socket)
    orders = Orders(asyncio.get_running_loop(), lifeline_fd)
    orders.handle()
    with worker_dir.used():
        async with server.serving():
            gc.seldom()
            on_ready(server.port)
            await orders.stop.wait()
            if orders.retire.is_set():
                await server.stop_accepting()
                # Who was accepted a moment ago has not been heard yet, and is not to be refused.
                await asyncio.sleep(HANDSHAKE_S)
            log.info("draining; a second signal stops at once")
            status = await drained(server.drain(), orders.at_once)
            await server.stop()
            return status


async def _until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        await asyncio.sleep(DRAIN_POLL_S)
    return True
