"""A process that serves looks for garbage seldom; nothing else of the collector changes."""

import subprocess
import sys

LOOK = """
import gc
from relay.server.process import gc as garbage
before = len(gc.get_objects())
garbage.seldom()
assert gc.isenabled()
assert gc.get_threshold() == garbage.THRESHOLDS
assert len(gc.get_objects()) < before / 10, "what was imported is not visited again"
class Cycle:
    pass
made = Cycle()
made.itself = made
import weakref
gone = weakref.ref(made)
del made
gc.collect()
assert gone() is None, "garbage made since is still found"
"""


def test_what_was_imported_is_left_alone_and_garbage_made_since_is_found() -> None:
    """In a process of its own: freezing cannot be taken back object by object."""
    subprocess.run([sys.executable, "-c", LOOK], check=True, timeout=30)
