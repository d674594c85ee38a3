"""Times of words, as Cartesia gives them, in seconds from the start of the context:

`{"word_timestamps": {"words": [..], "start": [..], "end": [..]}}`.
"""

import math
from collections.abc import Mapping
from typing import Any

from relay.providers.base.http import WordTime


def words_in(said: Mapping[str, Any], offset_s: float = 0.0) -> list[WordTime]:
    """The words of a message or an event; a word without its time is left out."""
    times = said.get("word_timestamps")
    if not isinstance(times, Mapping):
        return []
    texts, starts, ends = (times.get(key) for key in ("words", "start", "end"))
    if not (isinstance(texts, list) and isinstance(starts, list) and isinstance(ends, list)):
        return []
    return [
        WordTime(text=text, start_s=offset_s + start, end_s=offset_s + end)
        for text, start, end in zip(texts, starts, ends, strict=False)
        if isinstance(text, str) and text and _is_time(start) and _is_time(end) and start <= end
    ]


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
