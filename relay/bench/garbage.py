"""When the measuring process looks for garbage: between turns, and never during one.

A full pass stops everything, the clock's reader too, for as long as it takes to visit every object: tens of
milliseconds, which would be counted as the provider's.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["held_back"]


@contextmanager
def held_back() -> Iterator[None]:
    """No pass happens by itself within; call `gc.collect` where it may. As it was before, afterwards."""
    was_enabled = gc.isenabled()
    gc.collect()
    # What is imported by now is not looked at again, so that a pass between two turns is a short one.
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
