"""The life of a worker process: take a job, do it, until the relay goes away. What a job is, it does not know.

A worker module hands `serve` a function that makes it able to work and returns the one that does a job. POSIX only.
"""

import ctypes
import json
import os
import select
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from relay.drivers.local.wire import Kind, Unpacker, pack

# Of one read from the relay: a job has a few kilobytes.
_READ_BYTES = 64 * 1024
_PR_SET_PDEATHSIG = 1


class CannotWorkError(Exception):
    """Raised while getting ready: no job can be done here; the message says what is missing."""


class RefusedError(Exception):
    """Raised by a job: it will not be done. `code` is a wire code of `relay.errors`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Line:
    """The two pipes to the relay: jobs and stops come in, messages leave. Reads only what has arrived, unless idle."""

    def __init__(self, source_fd: int, sink_fd: int) -> None:
        self._source_fd, self._sink_fd = source_fd, sink_fd
        self._unpacker = Unpacker()
        # One job waits at most: the relay sends the next after the END of the one before.
        self._jobs: deque[tuple[int, bytes]] = deque()
        self._stopped = 0
        self._poll = select.poll()
        self._poll.register(source_fd, select.POLLIN)
        self._outgoing = bytearray()

    def jobs(self) -> Iterator["Job"]:
        """Each job as it comes; ends when the relay closes the pipe."""
        while True:
            while self._jobs:
                request, payload = self._jobs.popleft()
                yield Job(self, request, json.loads(payload))
            if not self._read():
                return

    def stopped(self, request: int) -> bool:
        """Whether the relay has called `request` off. Costs a microsecond. Does not return if the relay is gone."""
        while self._poll.poll(0):
            if not self._read():
                os._exit(0)  # nobody is left to report to, and this may be deep inside a foreign library
        return self._stopped == request

    def put(self, kind: Kind, request: int, payload: bytes = b"") -> None:
        """Adds a message to what `flush` writes."""
        self._outgoing += pack(kind, request, payload)

    def flush(self) -> None:
        """Writes what was put, as one piece if the pipe takes it. Waits for the relay to read."""
        with memoryview(self._outgoing) as unwritten:
            written = 0
            while written < len(unwritten):
                written += os.write(self._sink_fd, unwritten[written:])
        self._outgoing.clear()

    def _read(self) -> bool:
        piece = os.read(self._source_fd, _READ_BYTES)
        for kind, request, payload in self._unpacker.feed(piece):
            if kind is Kind.JOB:
                self._jobs.append((request, payload))
            elif kind is Kind.STOP:
                self._stopped = request
        return bool(piece)


class Job:
    """One request, as the code that does it sees it. What is given leaves at the next `flush`, or at the job's end."""

    def __init__(self, line: Line, request: int, wanted: dict[str, Any]) -> None:
        self._line, self._request = line, request
        self.wanted = wanted

    def stopped(self) -> bool:
        """Whether to leave off; cheap enough to ask at every chunk."""
        return self._line.stopped(self._request)

    def head(self, sample_rate_hz: int) -> None:
        """What the reply is; before any of it."""
        self._line.put(Kind.HEAD, self._request, _json({"sample_rate_hz": sample_rate_hz}))

    def give(self, piece: bytes) -> None:
        """A piece of the reply."""
        self._line.put(Kind.BYTES, self._request, piece)

    def word(self, text: str, start_s: float, end_s: float) -> None:
        """When a word is spoken, in seconds from the start of the reply's audio."""
        self._line.put(Kind.WORD, self._request, _json({"text": text, "start_s": start_s, "end_s": end_s}))

    def flush(self) -> None:
        """Sends what was given."""
        self._line.flush()

    def end(self) -> None:
        self._line.put(Kind.END, self._request)
        self._line.flush()

    def fail(self, code: str, message: str) -> None:
        self._line.put(Kind.FAILED, self._request, _json({"code": code, "message": message}))
        self._line.flush()


def serve(prepare: Callable[[], Callable[[Job], None]]) -> None:
    """Runs this process as a worker until the relay goes away. Never returns normally from a failed `prepare`.

    An exception of a job other than `RefusedError` ends the process: after a surprise its state is not worth keeping.
    """
    _outlive_signals_but_not_the_relay()
    # Whatever else prints in this process must not end up between the messages.
    sink_fd = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    line = Line(sys.stdin.fileno(), sink_fd)
    try:
        _serve(line, prepare)
    except BrokenPipeError:
        pass  # the relay went away in the middle of a message
    finally:
        os.close(sink_fd)


def _serve(line: Line, prepare: Callable[[], Callable[[Job], None]]) -> None:
    try:
        perform = prepare()
    except CannotWorkError as error:
        Job(line, 0, {}).fail("provider_unavailable", str(error))
        return
    line.put(Kind.READY, 0)
    line.flush()
    for job in line.jobs():
        try:
            perform(job)
        except RefusedError as refusal:
            job.fail(refusal.code, str(refusal))
        except Exception as error:
            # The type and the place only: a message may quote the text.
            job.fail("provider_unavailable", f"the worker failed: {type(error).__name__} at {_place(error)}")
            return
        else:
            job.end()


def _outlive_signals_but_not_the_relay() -> None:
    """Ctrl-C and a service manager's stop reach the whole group, while the relay still drains: it ends its workers.

    A closed pipe ends an idle worker at once; the kernel's signal ends one that hangs when the relay is killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename.rpartition(os.sep)[2]}:{trace.tb_lineno}"


def _json(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode()
