"""A worker that does as it is told, and misbehaves as it is told: `{"do": name}` calls the function of that name."""

import json
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relay.drivers.local.wire import Kind, pack
from relay.drivers.local.worker import Job, RefusedError, serve


def prepare() -> Callable[[Job], None]:
    def perform(job: Job) -> None:
        wanted = dict(job.wanted)
        DEEDS[wanted.pop("do")](job, **wanted)

    return perform


def give(job: Job, pieces: list[str], sample_rate_hz: int = 16000) -> None:
    job.head(sample_rate_hz)
    for piece in pieces:
        job.give(piece.encode())
        job.flush()


def tell_words(job: Job, words: list[Any]) -> None:
    for text, start_s, end_s in words:
        job.word(text, start_s, end_s)
        job.give(text.encode())


def refuse(job: Job, code: str, message: str) -> None:
    raise RefusedError(code, message)


def surprise(job: Job, text: str) -> None:
    raise ValueError(text)


def die(job: Job, diary: str, first: list[str], times: int = 1_000_000) -> None:
    """Gives `first` and dies; but only the first `times` times, which the diary counts over all processes."""
    deaths = Path(diary)
    before = deaths.read_text() if deaths.exists() else ""
    give(job, first)
    if len(before) < times:
        deaths.write_text(before + "x")
        os.kill(os.getpid(), signal.SIGSEGV)


def hang(job: Job, first: list[str]) -> None:
    give(job, first)
    while True:
        signal.pause()


def hang_up(job: Job, first: list[str]) -> None:
    """Gives `first`, then closes its end of the pipe and lives on."""
    give(job, first)
    os.close(job._line._sink_fd)
    while True:
        signal.pause()


def linger(job: Job, first: list[str]) -> None:
    """Gives `first`, then nothing until it is stopped, as it should be."""
    give(job, first)
    while not job.stopped():
        select.select([0], [], [], 1.0)


def flood(job: Job, piece: str, heed: bool) -> None:
    """Gives without end; `heed` says whether a stop ends it."""
    while not (heed and job.stopped()):
        job.give(piece.encode())
        job.flush()


def say(job: Job, first: list[str], raw: str) -> None:
    """Writes bytes (in hexadecimal) that no worker should write, in place of a message."""
    give(job, first)
    os.write(job._line._sink_fd, bytes.fromhex(raw))
    hang(job, [])


def answer(job: Job, first: list[str], kind: int, payload: str) -> None:
    """Sends a message about its request that it should not send."""
    say(job, first, pack(Kind(kind), job._request, payload.encode()).hex())


def speak_unasked(job: Job, kind: int) -> None:
    """Ends its request, and goes on talking."""
    job.end()
    payload = b'{"code": "provider_rejected", "message": "x"}'
    say(job, [], pack(Kind(kind), 0, payload).hex())


def say_of_another(job: Job, first: list[str]) -> None:
    """Sends a message about a request that is not the one at hand."""
    say(job, first, pack(Kind.BYTES, job._request + 1, b"leaked").hex())


def look_around(job: Job) -> None:
    facts = {"environment": dict(os.environ), "pid": os.getpid(), "parent": os.getppid()}
    job.give(json.dumps(facts).encode())


DEEDS: dict[str, Callable[..., None]] = {
    deed.__name__: deed
    for deed in (
        give,
        tell_words,
        refuse,
        surprise,
        die,
        hang,
        hang_up,
        linger,
        flood,
        say,
        say_of_another,
        look_around,
        answer,
        speak_unasked,
    )
}

if __name__ == "__main__":
    serve(prepare)
