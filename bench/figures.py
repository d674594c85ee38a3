"""What is read from the instants of arrivals."""

from collections.abc import Sequence

import numpy as np

# So much audio of a turn is left out: until then a provider at twice real time is still building the lead, and a frame
# that is late is late because it was not there.
BUILT_MS = 1000


def percentiles(values: Sequence[float], *shares: float) -> list[float]:
    return [float(value) for value in np.percentile(np.asarray(values), shares)]


def lateness_ms(arrivals_s: Sequence[float], *, frame_ms: int, lead_ms: int) -> list[float]:
    """How much later than its schedule each frame of a paced turn arrived, counted from the first one's arrival."""
    start_s = arrivals_s[0]
    first = BUILT_MS // frame_ms
    return [
        (at_s - start_s) * 1000 - index * frame_ms + lead_ms
        for index, at_s in enumerate(arrivals_s[first:], start=first)
    ]


def speed(arrivals_s: Sequence[float], *, frame_ms: int) -> float:
    """Audio received for each second that passed, once the lead is there: the slope of the line through all arrivals,
    so that one late frame at either end does not decide it."""
    paced = np.asarray(arrivals_s[BUILT_MS // frame_ms :])
    seconds_per_frame = np.polyfit(np.arange(len(paced)), paced - paced[0], 1)[0]
    return frame_ms / 1000 / float(seconds_per_frame)
