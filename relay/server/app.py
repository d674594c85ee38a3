"""Wiring and life cycle: start, ready, drain, stop."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

from aiohttp import web

from relay.codecs import warm_up
from relay.config import Config, ConfigError
from relay.errors import Code, LimitError
from relay.server.auth import Auth
from relay.server.relay import Relay
from relay.server.routes import Routes, errors_as_json

log = logging.getLogger(__name__)

# How often sessions are looked at for being idle or slow, and a drain for being done.
SWEEP_S = 1.0
DRAIN_POLL_S = 0.05
# What a session gets, after its turns were ended by force, to say so and close.
FAREWELL_S = 3.0
BACKLOG = 1024


class Server:
    """One listening process. `serving` is the whole life; `drain` ends it gently."""

    def __init__(self, config: Config) -> None:
        self._config = config
        auth = Auth(config.server.keys, config.server.allowed_origins)
        if not auth.required and not _is_loopback(config.server.host):
            raise ConfigError(
                f"server.host is {config.server.host!r} and there are no server.keys: anyone who can reach this "
                "machine could use it; set RELAY_SERVER_KEYS, or bind to 127.0.0.1"
            )
        self.relay = Relay(config)
        self._routes = Routes(self.relay, auth)
        self.port = config.server.port

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Entered when ready. Leaving stops at once; call `drain` first to let turns finish."""
        warm_up()
        async with self.relay.running():
            runner = await self._start()
            sweeper = asyncio.create_task(self._sweep())
            try:
                yield
            finally:
                sweeper.cancel()
                await asyncio.wait([sweeper])
                await runner.cleanup()

    async def drain(self) -> bool:
        """Takes nothing new, lets what was begun finish within `server.drain_timeout_s`. True: all of it did."""
        relay, routes = self.relay, self._routes
        relay.draining = True
        for connection in list(routes.connections):
            connection.drain()
        if await _until(self._empty, self._config.server.drain_timeout_s):
            return True
        log.warning("drain time is over, ending what is left", extra={"count": len(routes.connections)})
        error = LimitError(Code.SHUTTING_DOWN, "the relay shut down before the turn was spoken")
        for connection in list(routes.connections):
            connection.stop(error)
        await _until(self._empty, FAREWELL_S)
        return False

    async def _start(self) -> web.AppRunner:
        app = web.Application(middlewares=[errors_as_json], client_max_size=self._config.limits.max_message_bytes)
        app.add_routes(self._routes.table())
        runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            # A client that hangs up while it waits for audio must end the provider's work.
            handler_cancellation=True,
            shutdown_timeout=FAREWELL_S,
        )
        await runner.setup()
        listener = _bind(self._config.server.host, self.port)
        self.port = listener.getsockname()[1]
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        return runner

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = time.monotonic()
            for connection in list(self._routes.connections):
                connection.check(now_s)

    def _empty(self) -> bool:
        return not self._routes.connections and not self._routes.requests


async def serve(config: Config, *, on_ready: Callable[[int], None]) -> int:
    """Serves until SIGTERM or SIGINT, drains, and returns the exit status. A second signal stops at once."""
    server = Server(config)
    stop, at_once = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (at_once if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(name, on_signal)
    async with server.serving():
        on_ready(server.port)
        await stop.wait()
        log.info("draining; a second signal stops at once")
        draining = asyncio.create_task(server.drain())
        hurry = asyncio.create_task(at_once.wait())
        await asyncio.wait([draining, hurry], return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, hurry):
            task.cancel()
        await asyncio.wait([draining, hurry])
    return 0


async def _until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        await asyncio.sleep(DRAIN_POLL_S)
    return True


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.strerror}; is another relay running? "
            "choose a port with --port or server.port"
        ) from error
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
