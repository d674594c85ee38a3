"""Processes that listen: started, found by what they print, read in /proc where there is one, and ended."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Running", "listening"]

READY = re.compile(r"istening on http://127\.0\.0\.1:(\d+)")
START_TIMEOUT_S = 30
# Those this program was given, before it kept itself to some of them. (Only Linux can say, and pin.)
CORES = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset[int]()


@dataclass(frozen=True, slots=True)
class Running:
    """A process that listens on `port`."""

    process: asyncio.subprocess.Process
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def rss_kib(self) -> int:
        """Resident memory now."""
        return _status(self.pid, "VmRSS")

    def peak_kib(self) -> int:
        """The most resident memory so far."""
        return _status(self.pid, "VmHWM")

    def open_files(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def threads(self) -> int:
        return _status(self.pid, "Threads")

    def cpu_s(self) -> float:
        """CPU time used so far, user and system."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:  # noqa: PTH123 - a reading, not a path
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def listening(*command: str, environment: dict[str, str], cpu: int | None = None) -> AsyncIterator[Running]:
    """`python COMMAND`, on one core if `cpu` says which, until it says on standard error where it listens.

    What it says after that is passed on where it is a warning. Ended by SIGTERM, and waited for; a Ctrl-C is for the
    process that started it. Raises RuntimeError where it ends before it listens, TimeoutError where it does not.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    if cpu in CORES:
        os.sched_setaffinity(process.pid, {cpu})
    assert process.stderr is not None
    drain: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while line := (await process.stderr.readline()).decode():
                if found := READY.search(line):
                    break
                sys.stderr.write(line)
            else:
                raise RuntimeError(f"{' '.join(command)} ended without listening")
        drain = asyncio.create_task(_pass_on(process.stderr))
        yield Running(process, int(found[1]))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()
        if drain is not None:
            await drain


async def _pass_on(stream: asyncio.StreamReader) -> None:
    while line := await stream.readline():
        if b" warning " in line or b" error " in line:
            sys.stderr.write(line.decode())


def _status(pid: int, name: str) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123 - a reading, not a path
        for line in status:
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    raise AssertionError(f"no {name} in /proc/{pid}/status")
