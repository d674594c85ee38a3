"""What holds for all tests: bytecode, garbage, and how hypothesis looks for counter-examples.

It looks at the same ones in every run, so that a red run is about the change.

`HYPOTHESIS_PROFILE=thorough pytest` looks further, and elsewhere each time.
"""

import gc
import logging
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Compiled once for all: each xdist worker would compile all tests anew, and each relay that a test starts all of it.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# No deadline: a machine that is busy is not a failure.
settings.register_profile("steady", derandomize=True, max_examples=40, deadline=None)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture(autouse=True, scope="module")
def _short_passes() -> None:
    """What is there as a module's tests begin is there at the end: each look for garbage would visit thousands of
    collected tests again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command that runs in this process sets up its log: what comes after it must still be seen by `caplog`."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)


@pytest.fixture(autouse=True, scope="session")
def _state_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test looks at, or writes into, what the relay of the user who runs them keeps."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
