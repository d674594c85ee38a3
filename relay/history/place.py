"""Where turns are kept: the configuration -> a folder and a store."""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from relay.config import HistoryConfig
from relay.history.history import History
from relay.store import TURNS

DATABASE = "history.sqlite3"


def folder_of(settings: HistoryConfig, environ: Mapping[str, str] = os.environ) -> Path:
    """The configured folder, or `relay/history` in the user's state folder (XDG Base Directory Specification 0.8)."""
    if settings.folder:
        return Path(settings.folder)
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "relay" / "history"


def history_of(settings: HistoryConfig, *, wall_clock_s: Callable[[], float] = time.time) -> History:
    """Nothing is made on disk where history is off."""
    folder = folder_of(settings)
    return History(settings, partial(TURNS["sqlite"], str(folder / DATABASE)), folder, wall_clock_s=wall_clock_s)
