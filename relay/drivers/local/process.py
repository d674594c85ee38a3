"""One worker process, as the relay sees it: start-up, one request at a time, exit.

What a worker does wrong ends it: a message that is none, a reply that does not end in time, a stop that it does not
heed. It never does anybody else harm: whatever its death interrupts ends in a typed error.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from relay.core.timings import Stage, Timings
from relay.drivers.local.child import Child
from relay.drivers.local.reply import LocalReply
from relay.drivers.local.wire import Kind, Unpacker, WireError, pack
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base.http import WordTime

_log = logging.getLogger(__name__)

# What a worker may say went wrong; anything else is the relay's to judge.
_WORKER_CODES = (Code.VOICE_NOT_FOUND, Code.PROVIDER_REJECTED, Code.PROVIDER_UNAVAILABLE)
_MAX_MESSAGE_CHARS = 500
# A worker needs to find Python and its libraries. It needs no key, so it gets none.
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_KEPT_PREFIXES = ("LC_", "PYTHON")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTimeouts:
    """How long a worker may take, in seconds, and how long after a failure none is tried."""

    # A start takes 0.05 s; much longer on a machine that starts everything at once.
    start_s: float = 10.0
    # From a job to its END. The longest segment takes 0.15 s of work; a listener gives up after a few seconds.
    job_s: float = 5.0
    # From a STOP to the END. A worker looks for stops at every chunk, in less than a millisecond of work.
    stop_s: float = 2.0
    # From a start that failed to the next in its place; while there is no other worker, requests are refused meanwhile.
    # What is missing will not appear any sooner, and a start costs 50 ms of a core.
    retry_start_s: float = 1.0


class WorkerLostError(ProviderError):
    """The worker died, or gave up, before it had delivered anything. The one fault that is tried again."""


class _Head(msgspec.Struct, frozen=True):
    sample_rate_hz: int


class _Failure(msgspec.Struct, frozen=True):
    code: Code
    message: str


# What the kernel gives the processor to when nothing else wants it.
LEAST_URGENT = 19


class WorkerProcess:
    """A process running `python -m module`. `on_free` is called when it becomes ready, and after each request.

    `gone` is done when the process has ended and left nothing behind: no pipe, no zombie.
    """

    def __init__(
        self,
        module: str,
        provider: str,
        timeouts: WorkerTimeouts,
        on_free: Callable[["WorkerProcess"], None],
        *,
        background: bool = False,
    ) -> None:
        self._module = module
        self._provider = provider
        self._timeouts = timeouts
        self._on_free = on_free
        self._niceness = LEAST_URGENT if background else 0
        self._loop = asyncio.get_running_loop()
        self._child: Child | None = None
        self._unpacker = Unpacker()
        self._deadline: asyncio.TimerHandle | None = None
        # The request being done, 0 for none; its reply, None once nobody wants it any more.
        self._request = 0
        self._reply: LocalReply | None = None
        self._ending = False
        self.begun = 0
        self._ready: asyncio.Future[ProviderError | None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    @property
    def alive(self) -> bool:
        """Starting or at work: not gone, and not about to be."""
        return not self._ending and not self.gone.done()

    # ── what the pool asks of it ─────────────────────────────────────────────

    async def start(self) -> ProviderError | None:
        """Starts the process and waits until it can work; gives the reason if it cannot. Called once."""
        command = (sys.executable, "-P", "-m", self._module)
        try:
            self._child = Child(command, _environment(os.environ), self)
            if self._niceness:
                os.setpriority(os.PRIO_PROCESS, self._child.pid, self._niceness)
            self._within(self._timeouts.start_s, Code.PROVIDER_UNAVAILABLE, "has not become ready within {} s")
            await self._child.connect()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self._settle(self._error(Code.PROVIDER_UNAVAILABLE, f"its worker cannot be started: {reason}"))
            self._ending = True
            if self._child is None:
                self.gone.set_result(None)
        else:
            if self._ending:
                self._child.end_input()
        return await self._ready

    def begin(self, job: bytes, reply: LocalReply, timings: Timings) -> int:
        """Hands the worker its next request and gives the request's number. The worker must be free."""
        assert not self._request, "a worker has one request at a time"
        if not self.alive:
            reply.fail(self._lost("died"))
            return 0
        self.begun += 1
        self._request, self._reply = self.begun, reply
        self._within(self._timeouts.job_s, Code.PROVIDER_TIMEOUT, "has not finished the request within {} s")
        self._write(pack(Kind.JOB, self._request, job))
        timings.connection_reused = True
        timings.mark(Stage.REQUEST_SENT, time.monotonic())
        return self._request

    def stop(self, request: int) -> None:
        """Nobody wants the rest of `request`. Does not wait: the worker is free again when it says so."""
        if request and request == self._request and self._reply is not None:
            self._reply = None
            self._write(pack(Kind.STOP, request))
            self._within(self._timeouts.stop_s, Code.PROVIDER_TIMEOUT, "has not stopped within {} s")

    def end(self, reason: ProviderError) -> None:
        """Lets the process end by itself: idle at once, busy at its next chunk. Its request fails now."""
        self._settle(reason)
        self._fail(reason)
        self._end_input()

    def _end_input(self) -> None:
        self._ending = True
        if self._child is not None:
            self._child.end_input()

    def kill(self) -> None:
        """Ends the process whatever it does."""
        self._ending = True
        if self._child is not None:
            self._child.kill()

    # ── what the process does ────────────────────────────────────────────────

    def child_wrote(self, data: bytes) -> None:
        if self._ending:
            return
        try:
            for message in self._unpacker.feed(data):
                self._receive(*message)
        except (WireError, msgspec.DecodeError):
            self._condemn(Code.PROVIDER_UNAVAILABLE, "sent what is no message")

    def child_closed_its_pipe(self) -> None:
        # A worker that dies closes its pipe, and is gone a moment later; one that closes it and lives on is no use.
        # To kill at once would race with its own death, and lose the status that tells of what it died.
        if not self._ending:
            self._within(self._timeouts.stop_s, Code.PROVIDER_UNAVAILABLE, "closed its pipe and lives on after {} s")

    def child_ended(self, status: int) -> None:
        self._cancel_deadline()
        if not self._ending:
            _log.warning("%s worker %s ended (%s)", self._provider, self.pid, _meaning(status))
        lost = self._lost(f"died ({_meaning(status)})")
        self._settle(lost)
        self._fail(lost)
        self.gone.set_result(None)

    # ── messages ─────────────────────────────────────────────────────────────

    def _receive(self, kind: Kind, request: int, payload: bytes) -> None:
        if request != self._request:
            raise WireError("a message about no request of this worker")
        if not request:
            self._receive_outcome_of_start(kind, payload)
            return
        reply = self._reply
        if reply is not None:
            reply.heard()
        match kind:
            case Kind.HEAD:
                head = msgspec.json.decode(payload, type=_Head)
                if reply is not None:
                    reply.head(head.sample_rate_hz)
            case Kind.BYTES:
                self._deliver(payload, payload)
            case Kind.WORD:
                self._deliver(msgspec.json.decode(payload, type=WordTime), payload)
            case Kind.END:
                if reply is not None:
                    reply.end()
                self._finish()
            case Kind.FAILED:
                error = self._failure(payload)
                self._fail(error)
                if isinstance(error, WorkerLostError):
                    _log.warning("%s worker %s gave up: %s", self._provider, self.pid, error.message)
                    self._end_input()
                else:
                    self._finish()
            case _:
                raise WireError(f"a worker does not send {kind.name}")

    def _receive_outcome_of_start(self, kind: Kind, payload: bytes) -> None:
        if self._ready.done() or kind not in (Kind.READY, Kind.FAILED):
            raise WireError("a message about no request")
        if kind is Kind.FAILED:
            failure = self._failure(payload)
            _log.warning("%s worker %s cannot work: %s", self._provider, self.pid, failure.message)
            self._settle(failure)
            self._end_input()
            return
        self._cancel_deadline()
        self._settle(None)
        self._on_free(self)

    def _deliver(self, piece: bytes | WordTime, payload: bytes) -> None:
        if self._reply is not None and not self._reply.put(piece, len(payload)):
            self.stop(self._request)

    def _finish(self) -> None:
        self._cancel_deadline()
        self._request, self._reply = 0, None
        self._on_free(self)

    def _failure(self, payload: bytes) -> ProviderError:
        failure = msgspec.json.decode(payload, type=_Failure)
        if failure.code not in _WORKER_CODES:
            raise WireError(f"a worker does not decide on {failure.code}")
        kind = WorkerLostError if failure.code is Code.PROVIDER_UNAVAILABLE else ProviderError
        fault = ProviderFault(name=self._provider)
        return kind(failure.code, failure.message[:_MAX_MESSAGE_CHARS], provider=fault)

    # ── endings ──────────────────────────────────────────────────────────────

    def _condemn(self, code: Code, what: str) -> None:
        """The worker has done wrong: its request ends in an error now, and the process at once."""
        _log.warning("%s worker %s %s: killed", self._provider, self.pid, what)
        error = self._lost(what) if code is Code.PROVIDER_UNAVAILABLE else self._error(code, f"its worker {what}")
        self._cancel_deadline()
        self._settle(error)
        self._fail(error)
        self.kill()

    def _settle(self, outcome: ProviderError | None) -> None:
        if not self._ready.done():
            self._ready.set_result(outcome)

    def _fail(self, error: ProviderError) -> None:
        reply, self._reply = self._reply, None
        if reply is None:
            return
        if reply.begun and isinstance(error, WorkerLostError):
            error = self._error(Code.PROVIDER_CUT, f"{error.message}, in the middle of its reply")
        reply.fail(error)

    def _lost(self, what: str) -> WorkerLostError:
        fault = ProviderFault(name=self._provider)
        return WorkerLostError(Code.PROVIDER_UNAVAILABLE, f"{self._provider}: its worker {what}", provider=fault)

    def _error(self, code: Code, message: str) -> ProviderError:
        return ProviderError(code, f"{self._provider}: {message}", provider=ProviderFault(name=self._provider))

    # ── the pipe and the clock ───────────────────────────────────────────────

    def _write(self, message: bytes) -> None:
        """Never more than one job and its stop stand in the pipe, which holds 64 KiB, or in front of it."""
        assert self._child is not None, "only a worker that has started is written to"
        self._child.write(message)

    def _within(self, seconds: float, code: Code, otherwise: str) -> None:
        self._cancel_deadline()
        self._deadline = self._loop.call_later(seconds, self._condemn, code, otherwise.format(seconds))

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value for name, value in inherited.items() if name in _KEPT_ENVIRONMENT or name.startswith(_KEPT_PREFIXES)
    }
    # The worker imports what this process would: the same checkout, the same installed packages.
    return {**kept, "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path)}


def _meaning(status: int) -> str:
    """What a process's exit status says."""
    if status < 0 and -status in set(signal.Signals):
        return signal.Signals(-status).name
    return f"exit status {status}"
