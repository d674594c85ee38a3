"""One worker: a process with a listening socket, a pipe to say that it is ready, and a pipe that ends with us."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from relay.server.process.handled_signals import HANDLED
from relay.server.process.roster import Order

SIGNALS = {
    Order.RETIRE: signal.SIGUSR1,
    Order.DRAIN: signal.SIGTERM,
    Order.STOP_AT_ONCE: signal.SIGUSR2,
    Order.KILL: signal.SIGKILL,
}


def command(options: Mapping[str, object]) -> list[str]:
    """How a worker is started: the same program with the same options, of which None was not given."""
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    return [sys.executable, "-m", "relay", "serve", *given]


class WorkerProcess:
    """Starts when made; raises OSError if it cannot. `ready_fd` is to be read: `ready`, or its end without it."""

    def __init__(self, command: Sequence[str], listener: socket.socket, settings: Path) -> None:
        self.ready_fd, write_end = os.pipe()
        os.set_blocking(self.ready_fd, False)
        held = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            self._process = subprocess.Popen(
                [*command, f"--config={settings}", f"--listen-fd={listener.fileno()}", f"--ready-fd={write_end}"],
                pass_fds=(listener.fileno(), write_end),
                # Never written to. It ends when the supervisor does, however that was ended: then the worker drains.
                stdin=subprocess.PIPE,
            )
        except BaseException:
            os.close(self.ready_fd)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            os.close(write_end)

    @property
    def pid(self) -> int:
        return self._process.pid

    def status(self) -> int | None:
        """The exit status, negative for a signal; None while the process lives."""
        return self._process.poll()

    def tell(self, order: Order) -> None:
        """No-op if the process has ended."""
        with suppress(ProcessLookupError):
            self._process.send_signal(SIGNALS[order])

    def close(self) -> None:
        """Closes both pipes. Idempotent."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
            self.ready_fd = -1
