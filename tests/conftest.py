"""How hypothesis looks for counter-examples: the same ones in every run, so that a red run is about the change.

`HYPOTHESIS_PROFILE=thorough pytest` looks further, and elsewhere each time.
"""

import os
import sys

from hypothesis import settings

# Compiled once for all: each xdist worker would compile all tests anew, and each relay that a test starts all of it.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# No deadline: a machine that is busy is not a failure.
settings.register_profile("steady", derandomize=True, max_examples=40, deadline=None)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
