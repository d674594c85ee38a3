"""Several relay processes behind one port: starts, replaces and drains them. What to do is decided in `roster`.

Each worker has a listening socket of its own on the same port (SO_REUSEPORT). The supervisor holds all of them open, so
that a worker can be replaced without losing a connection that waits to be accepted: the new worker takes over the
socket, then the old one is told to accept no more and to finish what it has.

SIGTERM or SIGINT: all workers drain. SIGHUP: each worker in turn is replaced, with the settings read again. Both may
be sent to the whole process group.
"""

import asyncio
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from relay.config import Config, ConfigError
from relay.engine.setup import spent_tokens_of
from relay.server.process import worker_dir
from relay.server.process.listen_socket import SharedPort, is_loopback
from relay.server.process.roster import AllServing, Effect, Over, Park, Roster, Say, Spawn, Tell
from relay.server.process.settings_copy import SettingsCopies
from relay.server.process.stop_signals import StopSignals
from relay.server.process.worker import WorkerProcess
from relay.store.base import StoreError

log = logging.getLogger(__name__)

# The word that a worker writes when it serves; a pipe holds it whole.
READY = b"ready"


class Supervisor:
    """Keeps `count` workers running until told to stop. `command` starts one, given its sockets and its settings.

    `load` reads the settings that `config` came from again, and `named` is their file if one was named. Every callback
    runs to its end on the loop, so that no two things happen at once. Needs a loop that leaves SIGCHLD to its user, as
    asyncio's own does.
    """

    def __init__(
        self, config: Config, command: Sequence[str], count: int, *, named: str | None, load: Callable[[], Config]
    ) -> None:
        host = config.server.host
        if not config.server.keys and not is_loopback(host):
            raise ConfigError(f"server.host is {host!r} and there are no server.keys; set RELAY_SERVER_KEYS")
        self._config = config
        self._command = command
        self._named, self._load = named, load
        self._shared = SharedPort(host, config.server.port, count)
        self.port = self._shared.port
        self._roster = Roster(count, config.server.drain_timeout_s)
        self._processes: dict[int, WorkerProcess] = {}
        self._effects: deque[Effect] = deque()
        self._carrying_out = False
        self._timer: asyncio.TimerHandle | None = None
        self._generation = 0

    async def run(self, *, on_ready: Callable[[int], None]) -> int:
        """Serves until SIGTERM or SIGINT. The exit status is 0 if every worker drained, else 1.

        Raises ConfigError if the workers do not start: all or none.
        """
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[Over] = self._loop.create_future()
        self._on_ready = on_ready
        async with AsyncExitStack() as stack:
            stack.callback(self._shared.close)
            folder = stack.enter_context(worker_dir.folder())
            self._settings = SettingsCopies(folder, self._named, self._load)
            self._settings.add(self._generation)
            await self._make_store(stack)
            self._handle_signals(stack)
            self._apply(self._roster.start(self._loop.time()))
            stack.callback(self._abandon)
            over = await self._over
        if over.failure is not None:
            raise ConfigError(over.failure)
        if over.status:
            log.error("not every worker drained cleanly")
        return over.status

    async def _make_store(self, stack: AsyncExitStack) -> None:
        """Made once, and held open: processes that make or leave the same database at the same time lock each other out
        of it."""
        store = spent_tokens_of(self._config, worker_dir.store())
        try:
            await store.open()
        except StoreError as error:
            raise ConfigError(f"tokens.store: {error}") from error
        stack.push_async_callback(store.close)

    def _handle_signals(self, stack: AsyncExitStack) -> None:
        stops = StopSignals()

        def on_stop() -> None:
            now_s = self._loop.time()
            if stops.at_once(now_s):
                self._apply(self._roster.stop_at_once(now_s))
                return
            if effects := self._roster.stop(now_s):
                log.info("draining all workers; a second signal stops at once")
                self._apply(effects)

        handlers = (
            (signal.SIGTERM, on_stop),
            (signal.SIGINT, on_stop),
            (signal.SIGHUP, self._on_hangup),
            (signal.SIGCHLD, self._on_child),
        )
        for name, handler in handlers:
            self._loop.add_signal_handler(name, handler)
            stack.callback(self._loop.remove_signal_handler, name)

    def _on_hangup(self) -> None:
        generation = self._generation + 1
        try:
            config = self._settings.add(generation)
        except ConfigError as error:
            log.error("keeping the old settings and workers: %s", error)
            return
        self._generation = generation
        log.info("replacing all workers, one after the other")
        self._apply(self._roster.reload(generation, config.server.drain_timeout_s, self._loop.time()))
        self._settings.keep(self._roster.generations)

    def _on_child(self) -> None:
        """Some process may have ended: signals that come together are one."""
        for number, process in list(self._processes.items()):
            status = process.status()
            if status is None:
                continue
            del self._processes[number]
            self._loop.remove_reader(process.ready_fd)
            process.close()
            _forget_metrics(process.pid)
            self._apply(self._roster.ended(number, status, self._loop.time()))

    def _on_ready_pipe(self, number: int) -> None:
        process = self._processes[number]
        said = os.read(process.ready_fd, len(READY))
        self._loop.remove_reader(process.ready_fd)
        if said == READY:
            self._apply(self._roster.ready(number, self._loop.time()))

    def _apply(self, effects: Sequence[Effect]) -> None:
        """In order, those that follow from one of them after all of these."""
        self._effects.extend(effects)
        if self._carrying_out:
            return
        self._carrying_out = True
        try:
            while self._effects:
                self._carry_out(self._effects.popleft())
        finally:
            self._carrying_out = False
        self._set_timer()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Spawn():
                self._spawn(effect)
            case Tell(worker=number, order=order):
                if number in self._processes:
                    self._processes[number].tell(order)
            case Park(slot=slot):
                _park(self._shared.listeners[slot])
            case Say(message=message, error=is_error, status=status):
                log.log(logging.ERROR if is_error else logging.INFO, message, extra={"status": status})
            case AllServing():
                self._on_ready(self.port)
            case Over():
                self._over.set_result(effect)

    def _spawn(self, spawn: Spawn) -> None:
        settings = self._settings.path(spawn.generation)
        try:
            process = WorkerProcess(self._command, self._shared.listeners[spawn.slot], settings)
        except OSError as error:
            log.error("cannot start a worker: %s", error)
            self._apply(self._roster.ended(spawn.worker, 1, self._loop.time()))
            return
        self._processes[spawn.worker] = process
        self._loop.add_reader(process.ready_fd, self._on_ready_pipe, spawn.worker)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_s = self._roster.next_due_s
        if due_s < float("inf"):
            self._timer = self._loop.call_at(due_s, self._on_timer)

    def _on_timer(self) -> None:
        self._apply(self._roster.due(self._loop.time()))

    def _abandon(self) -> None:
        """For an end by an exception: every process that is left drains, as if this one had been killed."""
        if self._timer is not None:
            self._timer.cancel()
        for process in self._processes.values():
            process.close()


def _park(listener: socket.socket) -> None:
    """The port's other sockets get what would have come here, until a worker listens again."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError as error:  # not on every system
        log.debug("connections wait for a worker: %s", error)


def _forget_metrics(pid: int) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]
