"""A child process with a pipe in and a pipe out, on the event loop. POSIX only.

`loop.subprocess_exec` is not used: uvloop forks, which copies the page tables of this whole process and holds the loop
for 6 to 15 ms, or 40 to 60 ms where the process has 300 MiB more. `subprocess.Popen` calls vfork: 0.8 to 4 ms, on
a busy machine. It runs on the loop's own thread: a child that asks to die with its parent dies with the thread that
started it.
"""

import asyncio
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol, cast


class ChildOwner(Protocol):
    """What is called, in this order; the last one once, and then nothing more."""

    def child_wrote(self, data: bytes) -> None: ...

    def child_closed_its_pipe(self) -> None:
        """It writes nothing more."""

    def child_ended(self, status: int) -> None:
        """The process has ended, and everything that it wrote was read. `status` is negative for a signal."""


class Child(asyncio.Protocol):
    """Starts when made; raises OSError if it cannot. `connect` must follow at once."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], owner: ChildOwner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._input: asyncio.WriteTransport | None = None
        self._closed_its_pipe = False
        self._pidfd = -1
        self._waiting: asyncio.Future[int] | None = None
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # What a library prints may quote the text.
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def connect(self) -> None:
        """Lets the owner hear of the process; from here on it can be written to. After an error, such as OSError for
        want of descriptors, the process is killed, and the owner hears of its end only."""
        self._watch()
        try:
            pipe, _ = await self._loop.connect_write_pipe(asyncio.Protocol, self._process.stdin)
            self._input = pipe
            await self._loop.connect_read_pipe(lambda: self, self._process.stdout)
        except BaseException:
            self._closed_its_pipe = True
            self.kill()
            assert self._process.stdin is not None and self._process.stdout is not None, "they were asked for"
            self._process.stdout.close()
            if self._input is None:
                self._process.stdin.close()
            self.end_input()
            raise

    def write(self, data: bytes) -> None:
        """No-op after `end_input`, and where the process has closed its side."""
        if self._input is not None and not self._input.is_closing():
            self._input.write(data)

    def end_input(self) -> None:
        """The process reads the end of its input. Idempotent."""
        if self._input is not None:
            self._input.close()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    # What the loop calls.

    def data_received(self, data: bytes) -> None:
        self._owner.child_wrote(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed_its_pipe = True
        if self._process.returncode is None:
            self._owner.child_closed_its_pipe()
        self._settle()

    def _watch(self) -> None:
        """Has `_settle` called when the process ends."""
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not Linux, or an old one
            self._waiting = cast("asyncio.Future[int]", self._loop.run_in_executor(None, self._process.wait))
            self._waiting.add_done_callback(lambda _: self._settle())
        else:
            self._loop.add_reader(self._pidfd, self._on_exit)

    def _on_exit(self) -> None:
        if self._process.poll() is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._settle()

    def _settle(self) -> None:
        """When both have happened, in whatever order: the process has ended, and its pipe too."""
        if self._closed_its_pipe and self._process.returncode is not None:
            self.end_input()
            self._owner.child_ended(self._process.returncode)
