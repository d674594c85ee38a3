"""The life of a worker as the relay's end of the pipes sees it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from relay.drivers.local.wire import Kind, Unpacker, pack
from tests.providers.fake_requests import WORKER


class Pipes:
    """A worker process, and the messages that it has sent."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._unpacker = Unpacker()
        self.messages: list[tuple[Kind, int, bytes]] = []

    def write(self, *messages: bytes) -> None:
        self._stdin.write(b"".join(messages))

    def hang_up(self) -> None:
        self._stdin.close()

    def read_until(self, kind: Kind, count: int = 1) -> None:
        """Reads until `count` messages of `kind` have come in all."""
        while [message[0] for message in self.messages].count(kind) < count:
            piece = self._stdout.read(65536)
            assert piece, f"the worker ended before {kind.name}: {self.messages}"
            self.messages += self._unpacker.feed(piece)

    def ended(self) -> int:
        """The exit status of a worker that ends by itself, saying nothing more."""
        assert self._stdout.read() == b""
        return self.process.wait(5)


@contextmanager
def worker() -> Iterator[Pipes]:
    with subprocess.Popen(
        [sys.executable, "-m", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        yield Pipes(process)


def job(request: int, do: str, **details: Any) -> bytes:
    return pack(Kind.JOB, request, json.dumps({"do": do, **details}).encode())


def test_jobs_are_done_one_after_the_other_each_under_its_number() -> None:
    with worker() as pipes:
        pipes.write(job(3, "give", pieces=["a", "b"], sample_rate_hz=8000), job(9, "give", pieces=["c"]))
        pipes.read_until(Kind.END, 2)
        pipes.hang_up()
        assert pipes.ended() == 0
    assert pipes.messages == [
        (Kind.READY, 0, b""),
        (Kind.HEAD, 3, b'{"sample_rate_hz": 8000}'),
        (Kind.BYTES, 3, b"a"),
        (Kind.BYTES, 3, b"b"),
        (Kind.END, 3, b""),
        (Kind.HEAD, 9, b'{"sample_rate_hz": 16000}'),
        (Kind.BYTES, 9, b"c"),
        (Kind.END, 9, b""),
    ]


def test_a_stop_ends_its_own_job_only() -> None:
    with worker() as pipes:
        pipes.write(job(1, "linger", first=["a"]), pack(Kind.STOP, 1))
        pipes.read_until(Kind.END)
        pipes.write(pack(Kind.STOP, 1), job(2, "give", pieces=["b"]), job(3, "linger", first=["c"]))
        pipes.read_until(Kind.BYTES, 3)
        assert pipes.messages[-1] == (Kind.BYTES, 3, b"c")
        pipes.write(pack(Kind.STOP, 2))
        pipes.write(pack(Kind.STOP, 3))
        pipes.read_until(Kind.END, 3)
        pipes.hang_up()
        assert pipes.ended() == 0


def test_a_worker_in_the_middle_of_a_job_ends_when_the_relay_hangs_up() -> None:
    with worker() as pipes:
        pipes.write(job(1, "linger", first=["a"]))
        pipes.read_until(Kind.BYTES)
        pipes.hang_up()
        assert pipes.ended() == 0


def test_a_worker_ends_after_a_surprise_though_more_jobs_wait() -> None:
    with worker() as pipes:
        pipes.write(job(1, "surprise", text="secret"), job(2, "give", pieces=["never"]))
        pipes.read_until(Kind.FAILED)
        assert pipes.ended() == 0
        assert b"ValueError" in pipes.messages[-1][2]
        assert b"secret" not in pipes.messages[-1][2]


def test_a_worker_whose_relay_reads_no_more_ends_quietly() -> None:
    with worker() as pipes:
        pipes.read_until(Kind.READY)
        pipes._stdout.close()
        pipes.write(job(1, "flood", piece="x", heed=False))
        assert pipes.process.wait(5) == 0
