"""Where jobs are kept: the configuration -> a folder and a store."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from relay.config import JobsConfig
from relay.engine.engine import Engine
from relay.jobs.jobs import Jobs
from relay.store import JOBS

DATABASE = "jobs.sqlite3"


def folder_of(settings: JobsConfig, environ: Mapping[str, str] = os.environ) -> Path:
    """The configured folder, or `relay/jobs` in the user's state folder (XDG Base Directory Specification 0.8)."""
    if settings.folder:
        return Path(settings.folder)
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "relay" / "jobs"


def jobs_of(settings: JobsConfig, engine: Engine, *, wall_clock_s: Callable[[], float] = time.time) -> Jobs:
    """Nothing is made on disk before the first job."""
    folder = folder_of(settings)
    return Jobs(engine, settings, lambda: JOBS["sqlite"](str(folder / DATABASE)), folder, wall_clock_s=wall_clock_s)
