"""When Python looks for garbage in cycles: seldom, and never through what was there at the start.

A full pass stops everything for as long as it takes to visit every object. With CPython's own thresholds a relay that
speaks 400 turns made three in a load test of 20 s: 58,000 objects of imported modules, and two for each frame in the
outboxes, up to 128 ms at a time on a busy machine (2026-11-20, CPython 3.11).

And there is next to nothing to be found. Frames, turns and sessions go by reference count, whatever their end
(`tests/server/test_leaks.py`): all passes of `bench.soak 3` found two objects a turn. What refers to itself is made by
libraries, some twenty objects of a request that is no HTTP, say, or is the traceback of a bug.
"""

import gc

# What is counted are objects made and not yet gone, of which there are more when there are more listeners: a pass is
# due for them and not for garbage, and had better be a young one.
THRESHOLDS = (10_000, 5, 40)


def seldom() -> None:
    """To be called once, by a process that serves, when all is imported and ready."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def while_nobody_listens() -> None:
    """To be called now and then while there is no session: a full pass, if sessions have come and gone since the last
    one, disturbs nobody now."""
    _, young_passes, middle_passes = gc.get_count()
    if young_passes or middle_passes:
        gc.collect()
