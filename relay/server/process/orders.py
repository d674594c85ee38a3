"""What a process that serves is told by signals, and how its end becomes an exit status."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from relay.server.process.handled_signals import unblock_signals
from relay.server.process.stop_signals import StopSignals

log = logging.getLogger(__name__)


class Orders:
    """`stop`: drain and end; with `retire`, accept no more first. `at_once`: do not drain any longer.

    `lifeline_fd` as `app.serve` has it. Nothing is handled before `handle`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, lifeline_fd: int | None) -> None:
        self._loop = loop
        self._lifeline_fd = lifeline_fd
        self._stops = StopSignals()
        self.stop, self.at_once, self.retire = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def handle(self) -> None:
        """From here on signals are orders. Those that were sent to a worker before are received now."""
        on_stop = self._on_stop if self._lifeline_fd is None else self.stop.set
        self._on("SIGTERM", on_stop)
        self._on("SIGINT", on_stop)
        self._on("SIGUSR1", self._on_retire)
        self._on("SIGHUP", self._on_hangup)
        if self._lifeline_fd is not None:
            self._on("SIGUSR2", self._on_at_once)
            self._loop.add_reader(self._lifeline_fd, self._on_orphaned)
            unblock_signals()

    def _on(self, name: str, handler: Callable[[], None]) -> None:
        with contextlib.suppress(NotImplementedError, AttributeError):  # Windows
            self._loop.add_signal_handler(getattr(signal, name), handler)

    def _on_stop(self) -> None:
        if self._stops.at_once(self._loop.time()):
            self.at_once.set()
        self.stop.set()

    def _on_at_once(self) -> None:
        self.stop.set()
        self.at_once.set()

    def _on_retire(self) -> None:
        self.retire.set()
        self.stop.set()

    def _on_hangup(self) -> None:
        """A supervisor that is signalled too replaces its workers; a terminal that closes ends no relay."""
        if self._lifeline_fd is None:
            log.info("SIGHUP is ignored; start with --workers to have it replace the processes")

    def _on_orphaned(self) -> None:
        assert self._lifeline_fd is not None
        self._loop.remove_reader(self._lifeline_fd)
        log.warning("the supervisor is gone")
        self.stop.set()


async def drained(drain: Coroutine[Any, Any, bool], at_once: asyncio.Event) -> int:
    """Runs a drain until it is done or `at_once` is set; the exit status: 0 if the drain finished every turn, else 1.

    Says in the log why it is 1. Cancelled, it cancels the drain, and waits for it.
    """
    draining = asyncio.create_task(drain, name="drain")
    hurry = asyncio.create_task(at_once.wait(), name="stop at once")
    try:
        await asyncio.wait([draining, hurry], return_when=asyncio.FIRST_COMPLETED)
    finally:
        draining.cancel()
        hurry.cancel()
        await asyncio.wait([draining, hurry])
    if draining.cancelled():
        log.error("stopped at once, before the drain was done")
        return 1
    if error := draining.exception():
        log.error("the drain failed", exc_info=error)
        return 1
    if not draining.result():
        log.error("turns were ended by force at the end of the drain")
        return 1
    return 0
