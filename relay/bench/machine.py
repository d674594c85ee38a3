"""Where a measurement was made; nothing that names the machine or its owner."""

import os
import platform

from relay import __version__
from relay.bench.record import Machine

__all__ = ["this_machine"]


def this_machine() -> Machine:
    """The load is that of the last minute, before the measurement adds its own."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        cores=cores,
        load_before=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        relay_version=__version__,
    )
