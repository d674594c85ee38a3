"""What the processes of one relay share: a folder that their supervisor makes, and that goes with it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_urlsafe

# How a worker learns of the folder. Only the user that runs the relay can look into it.
VARIABLE = "RELAY_SHARED_FOLDER"
SECRET_BYTES = 32
SECRET_FILE = "token-secret"
STORE_FILE = "spent-tokens.sqlite3"


@contextmanager
def folder() -> Iterator[None]:
    """Made by the supervisor, and inherited by every process that it starts."""
    with tempfile.TemporaryDirectory(prefix="relay-shared-") as path:
        (Path(path) / SECRET_FILE).write_text(token_urlsafe(SECRET_BYTES), "ascii")
        os.environ[VARIABLE] = path
        try:
            yield
        finally:
            del os.environ[VARIABLE]


def secret() -> str:
    """What tokens are signed with where the settings say nothing: the workers' own, or this process's."""
    path = os.environ.get(VARIABLE)
    return (Path(path) / SECRET_FILE).read_text("ascii") if path else token_urlsafe(SECRET_BYTES)


def store() -> str:
    """The address of the store that the workers share; empty where there is one process."""
    path = os.environ.get(VARIABLE)
    return f"sqlite:{Path(path) / STORE_FILE}" if path else ""
