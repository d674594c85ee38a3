"""Several relay processes behind one port: a supervisor that starts, replaces and drains them.

Each worker has a listening socket of its own on the same port (SO_REUSEPORT). The supervisor holds all of them open, so
that a worker can be replaced without losing a connection that waits to be accepted: the new worker takes over the
socket, then the old one is told to accept no more and to finish what it has.

SIGTERM or SIGINT: all workers drain. SIGHUP: each worker in turn is replaced, with the configuration read again.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from relay.config import Config, ConfigError
from relay.server.process import worker_dir as shared
from relay.server.process.listen_socket import BACKLOG, bind, is_loopback

log = logging.getLogger(__name__)

# A worker imports, binds nothing and warms up: a second on a slow machine, many on one that swaps.
READY_TIMEOUT_S = 30.0
# After the drain a worker has this long to be gone.
GONE_TIMEOUT_S = 10.0
# A worker that dies is replaced; one that dies at once is not replaced a thousand times a second.
REPLACE_AFTER_S = 1.0


class Worker:
    """One process. `retired` once it was told to go, so that its end is no surprise."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.retired = False

    @classmethod
    async def start(cls, command: Sequence[str], listener: socket.socket) -> "Worker":
        """Returns when the worker serves. Raises ConfigError when it ends or takes too long instead."""
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                f"--listen-fd={listener.fileno()}",
                f"--ready-fd={write_end}",
                pass_fds=(listener.fileno(), write_end),
                # Never written to. It ends when the supervisor does, however that was ended: then the worker drains.
                stdin=asyncio.subprocess.PIPE,
            )
        finally:
            os.close(write_end)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                if await _read_end(read_end) != b"ready":
                    raise ConfigError("a worker ended before it was ready; its own message stands above")
        except BaseException as error:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            if isinstance(error, TimeoutError):
                raise ConfigError(f"a worker was not ready within {READY_TIMEOUT_S:g} s") from None
            raise
        return cls(process)

    def tell(self, name: signal.Signals) -> None:
        self.retired = True
        if self.process.returncode is None:
            self.process.send_signal(name)

    async def gone(self, timeout_s: float) -> None:
        """Waits for the process to end; kills it when it takes longer."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.process.wait()
        except TimeoutError:
            log.warning("a worker did not end in time, killing it", extra={"count": self.process.pid})
            self.process.kill()
            await self.process.wait()


class Supervisor:
    """Keeps `count` workers running until told to stop. `command` starts one, given the sockets it inherits."""

    def __init__(self, config: Config, command: Sequence[str], count: int) -> None:
        self._command = command
        self._gone_s = config.server.drain_timeout_s + GONE_TIMEOUT_S
        host, port = config.server.host, config.server.port
        if not config.server.keys and not is_loopback(host):
            raise ConfigError(f"server.host is {host!r} and there are no server.keys; set RELAY_SERVER_KEYS")
        self._listeners = [bind(host, port, shared=True)]
        self.port = self._listeners[0].getsockname()[1]
        self._listeners += [bind(host, self.port, shared=True) for _ in range(count - 1)]
        for listener in self._listeners:
            listener.listen(BACKLOG)
        self._workers: list[Worker | None] = [None] * count
        self._leaving: list[Worker] = []
        self._stopping = asyncio.Event()
        self._replacing: asyncio.Task[None] | None = None

    async def run(self, *, on_ready: Callable[[int], None]) -> int:
        """Serves until SIGTERM or SIGINT; the exit status is 0 when every worker drained."""
        loop = asyncio.get_running_loop()
        hurry = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, lambda: (hurry if self._stopping.is_set() else self._stopping).set())
        with tempfile.TemporaryDirectory(prefix="relay-metrics-") as folder, shared.folder():
            # prometheus-client adds up what all processes write there.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            await self._fill_all()
            async with asyncio.TaskGroup() as tasks:
                keepers = [tasks.create_task(self._keep(slot)) for slot in range(len(self._workers))]
                loop.add_signal_handler(signal.SIGHUP, self._on_hangup, tasks)
                on_ready(self.port)
                await self._stopping.wait()
                loop.remove_signal_handler(signal.SIGHUP)
                if self._replacing is not None:
                    self._replacing.cancel()
                    await asyncio.wait([self._replacing])
                log.info("draining all workers; a second signal stops at once")
                await self._end_all(hurry)
                for keeper in keepers:
                    keeper.cancel()
        for listener in self._listeners:
            listener.close()
        return int(any(worker is not None and worker.process.returncode for worker in self._workers))

    def _on_hangup(self, tasks: asyncio.TaskGroup) -> None:
        if self._replacing is None or self._replacing.done():
            self._replacing = tasks.create_task(self._replace_all())

    async def _fill_all(self) -> None:
        """All or none: where one worker cannot start, no other is left running."""
        fills = [self._fill(slot) for slot in range(len(self._workers))]
        failures = [end for end in await asyncio.gather(*fills, return_exceptions=True) if end is not None]
        if failures:
            await self._end_all(asyncio.Event())
            raise failures[0]

    async def _fill(self, slot: int) -> None:
        self._workers[slot] = await Worker.start(self._command, self._listeners[slot])

    async def _keep(self, slot: int) -> None:
        """Replaces the worker of a slot whenever it ends without having been told to."""
        while True:
            worker = self._workers[slot]
            assert worker is not None
            await worker.process.wait()
            _forget_metrics(worker.process.pid)
            if worker.retired or self._stopping.is_set():
                if worker is self._workers[slot]:
                    return
                continue
            log.error("a worker ended by itself, replacing it", extra={"status": worker.process.returncode})
            await asyncio.sleep(REPLACE_AFTER_S)
            try:
                await self._fill(slot)
            except ConfigError as error:
                log.error("no replacement: %s", error)

    async def _replace_all(self) -> None:
        """Rolling: at every instant all slots but one are served by a worker that is neither new nor leaving."""
        for slot, listener in enumerate(self._listeners):
            old = self._workers[slot]
            try:
                self._workers[slot] = await Worker.start(self._command, listener)
            except ConfigError as error:
                log.error("keeping the old workers: %s", error)
                return
            if old is not None:
                old.tell(signal.SIGUSR1)
                self._leaving.append(old)
                await old.gone(self._gone_s)
                self._leaving.remove(old)
        log.info("all workers were replaced")

    async def _end_all(self, hurry: asyncio.Event) -> None:
        workers = self._leaving + [worker for worker in self._workers if worker is not None]
        for worker in workers:
            worker.tell(signal.SIGTERM)
        async with asyncio.TaskGroup() as tasks:
            hurrying = tasks.create_task(self._hurry(hurry, workers))
            await asyncio.gather(*(worker.gone(self._gone_s) for worker in workers))
            hurrying.cancel()

    async def _hurry(self, hurry: asyncio.Event, workers: list[Worker]) -> None:
        await hurry.wait()
        for worker in workers:
            worker.tell(signal.SIGTERM)  # the second one, which stops at once


def command(config_path: str | None, log_level: str | None) -> list[str]:
    """How a worker is started: the same program, the same settings, sockets instead of an address."""
    options = [f"--config={Path(config_path).absolute()}"] if config_path else []
    options += [f"--log-level={log_level}"] if log_level else []
    return [sys.executable, "-m", "relay", "serve", *options]


def _forget_metrics(pid: int | None) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]


async def _read_end(read_end: int) -> bytes:
    """All that comes out of a pipe until its other end is closed."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb"))
    try:
        return await reader.read()
    finally:
        transport.close()
