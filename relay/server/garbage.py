"""When Python looks for garbage in cycles: seldom, and never through what was there at the start.

A full pass stops everything for as long as it takes to visit every object. With CPython's own thresholds a relay that
speaks 400 turns made three in a load test of 20 s: 58,000 objects of imported modules, and two for each frame in the
outboxes, up to 128 ms at a time on a busy machine (2026-11-20, CPython 3.11).
"""

import gc

# Frames come and go by reference count; what needs a pass is what ended sessions leave, about a thousand objects each.
# So a young pass about every ten sessions, over in half a millisecond; a full one about every five hundred, whose
# garbage is some tens of megabytes at most.
THRESHOLDS = (10_000, 5, 10)


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
