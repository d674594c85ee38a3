"""Where jobs are kept: the configuration -> a folder and a store."""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from relay.config import JobsConfig
from relay.core.job import Job
from relay.drivers.http.webhook import WebhookSender
from relay.engine.engine import Engine
from relay.jobs.jobs import Jobs
from relay.jobs.webhooks import Webhooks
from relay.store import JOBS

DATABASE = "jobs.sqlite3"


def folder_of(settings: JobsConfig, environ: Mapping[str, str] = os.environ) -> Path:
    """The configured folder, or `relay/jobs` in the user's state folder (XDG Base Directory Specification 0.8)."""
    if settings.folder:
        return Path(settings.folder)
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "relay" / "jobs"


def jobs_of(
    settings: JobsConfig,
    engine: Engine,
    webhook_body: Callable[[Job], bytes],
    *,
    wall_clock_s: Callable[[], float] = time.time,
) -> Jobs:
    """Nothing is made on disk before the first job. `webhook_body`: what a client is told of a job that has ended."""
    folder = folder_of(settings)
    webhooks = None
    if settings.webhook_secret is not None:
        sender = WebhookSender(settings.webhook_hosts)
        webhooks = Webhooks(settings.webhook_secret, sender.send, webhook_body, now_s=wall_clock_s)
    store = partial(JOBS["sqlite"], str(folder / DATABASE))
    return Jobs(engine, settings, store, folder, webhooks=webhooks, wall_clock_s=wall_clock_s)
