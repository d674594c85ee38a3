"""Where a caller's trace comes from: the `traceparent` of W3C Trace Context (level 1, 2021-11-23)."""

import re
from typing import NamedTuple

# Version 00. A later one may say more after its flags; what stands before them keeps its meaning (section 3.2.4).
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
EXAMPLE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Parent(NamedTuple):
    """The span of the caller. `sampled`: whether the caller records it."""

    trace_id: int
    span_id: int
    sampled: bool


def parent_of(text: str | None) -> Parent | None:
    """What a traceparent says; None for one that says nothing, which is to be ignored (section 3.2.2.5)."""
    found = _FORM.fullmatch(text or "")
    if found is None or (text and text.startswith("00") and len(text) != len(EXAMPLE)):
        return None
    trace_id, span_id = int(found[1], 16), int(found[2], 16)
    return Parent(trace_id, span_id, bool(int(found[3], 16) & 1)) if trace_id and span_id else None
