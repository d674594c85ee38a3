"""Deadlines that are moved while they are waited for, at every instant at which that may happen."""

import asyncio


def move(patience: asyncio.Timeout | None, until_s: float | None) -> bool:
    """Moves the end of a wait; False, without effect, if it has come already or there is no wait.

    A timeout that has expired cannot be moved (`reschedule` raises RuntimeError), and it may expire at any turn of the
    loop before its task is told: where the loop was held at the deadline, what would have moved it runs right behind
    the timer. The wait ends in TimeoutError then, and whoever catches that looks at the clock again.
    """
    if patience is None:
        return False
    try:
        patience.reschedule(until_s)
    except RuntimeError:
        return False
    return True
