"""What only the garbage collector can free, because it refers to itself in a circle."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


@contextmanager
def left_in_cycles() -> Iterator[Counter[str]]:
    """Counts, when left, the relay's objects that have come to wait for the collector meanwhile, by name.

    What its providers, its callers and the loop leave is theirs. The collector rests meanwhile, and is afterwards as it
    was.
    """
    left: Counter[str] = Counter()
    enabled, debugged = gc.isenabled(), gc.get_debug()
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        known = len(gc.garbage)
        gc.collect()
        left.update(name for found in gc.garbage[known:] if (name := _own_name(found)))
        del gc.garbage[known:]
    finally:
        gc.set_debug(debugged)
        if enabled:
            gc.enable()


def _own_name(found: Any) -> str | None:
    """None for what is not of the relay's making."""
    # A proxy whose object is gone can be asked for its type only.
    kind = type(found)
    module, name = kind.__module__, kind.__qualname__
    if kind in (FrameType, TracebackType):
        frame = found if kind is FrameType else found.tb_frame
        module, name = frame.f_globals.get("__name__", ""), f"{name} of {frame.f_code.co_qualname}"
    if module == "relay.server.connections":
        # Called by a transport, it calls aiohttp, which keeps the error of a request that is not HTTP, and its frames.
        return None
    return name if module.startswith("relay.") and not module.startswith("relay.testing.") else None
