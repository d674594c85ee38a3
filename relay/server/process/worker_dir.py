"""What the processes of one relay share: a folder that their supervisor makes, and that goes with it."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_urlsafe
from typing import IO

if sys.platform != "win32":  # where there is one process
    import fcntl

# How a worker learns of the folder. Only the user that runs the relay can look into it.
VARIABLE = "RELAY_SHARED_FOLDER"
# Where prometheus-client finds what all processes of a relay count.
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "relay-shared-"
SECRET_BYTES = 32
SECRET_FILE = "token-secret"
STORE_FILE = "spent-tokens.sqlite3"
METRICS_FOLDER = "metrics"
# Locked, by every process of the relay, for as long as it lives.
LOCK_FILE = "lock"


@contextmanager
def folder() -> Iterator[Path]:
    """Made by the supervisor, and inherited by every process that it starts. Removes those of supervisors that died."""
    remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        path = Path(name)
        with _held(path):
            (path / SECRET_FILE).write_text(token_urlsafe(SECRET_BYTES), "ascii")
            (path / METRICS_FOLDER).mkdir()
            os.environ[VARIABLE] = name
            os.environ[METRICS_VARIABLE] = str(path / METRICS_FOLDER)
            try:
                yield path
            finally:
                del os.environ[VARIABLE], os.environ[METRICS_VARIABLE]


@contextmanager
def used() -> Iterator[None]:
    """Held by a worker while it lives, so that the folder stays although its supervisor is dead."""
    with ExitStack() as stack:
        if path := os.environ.get(VARIABLE):
            with suppress(FileNotFoundError):  # removed already: what was opened in it still works
                lock = stack.enter_context((Path(path) / LOCK_FILE).open("rb"))
                _share(lock)
        yield


def remove_abandoned() -> None:
    """Removes the folders whose processes were all killed: each of them holds a secret."""
    if sys.platform == "win32":
        return
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError), (path / LOCK_FILE).open("rb") as lock:
            # Raises BlockingIOError while a process lives.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


def secret() -> str:
    """What tokens are signed with where the settings say nothing: the workers' own, or this process's."""
    path = os.environ.get(VARIABLE)
    return (Path(path) / SECRET_FILE).read_text("ascii") if path else token_urlsafe(SECRET_BYTES)


def store() -> str:
    """The address of the store that the workers share; empty where there is one process."""
    path = os.environ.get(VARIABLE)
    return f"sqlite:{Path(path) / STORE_FILE}" if path else ""


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Makes the lock. It gets its name when it is held, so that nobody finds it free before."""
    unnamed = path / f"{LOCK_FILE}.new"
    with unnamed.open("wb") as lock:
        _share(lock)
        unnamed.rename(path / LOCK_FILE)
        yield


def _share(lock: IO[bytes]) -> None:
    if sys.platform != "win32":
        fcntl.flock(lock, fcntl.LOCK_SH)
