"""How many turns are tried next, what is too many, and why: the arithmetic of `relay bench load`. Pure.

A level is carried when the listeners say so: no frame came after it was to be heard, 99 of 100 were on time within
LATE_MS, and no turn failed. One more reason is told by the relay's own process: it has used up its core.

What is too much is tried once more, and counts as carried if the second try was good: something else on the machine can
spoil a try, and nothing can make one better than it is.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from relay.bench.record import Machine

__all__ = [
    "LATE_MS",
    "SCHEMA",
    "Level",
    "LoadRecord",
    "LoadSettings",
    "best",
    "carried",
    "histogram_quantile",
    "knee",
    "merged",
    "next_level",
    "reasons",
    "verdict",
]

SCHEMA = "relay.bench.load/1"
FIRST_TURNS = 25
TRIES = 2
# A frame that comes later than this against its schedule is late; the lead of 200 ms hides it from the listener.
LATE_MS = 10.0
# Of one core, where a process has no more to give: the rest is the kernel's bookkeeping.
FULL = 0.95
# A listener's process that is so busy cannot say any more whose lateness it has seen.
CLIENT_FULL = 0.85
# When the knee is known to a sixth, the next level says little.
CLOSE_ENOUGH = 1 / 6
# Lateness is counted in bins of this width, up to LAST_BIN of them, where all that is later is counted too.
BIN_MS = 0.25
LAST_BIN = 4000


class Level(Struct, frozen=True, kw_only=True):
    """What was seen of one number of turns at a time. CPU is in cores; None where it cannot be read."""

    turns: int
    failed: int
    codes: dict[str, int]
    ttfa_p50_ms: float | None
    ttfa_p99_ms: float | None
    late_p50_ms: float | None
    late_p99_ms: float | None
    # Gaps that a listener would have heard who began with the first frame.
    underruns: int
    frames: int
    relay_cpu: float | None
    # The busiest listener process.
    client_cpu: float


class LoadSettings(Struct, frozen=True, kw_only=True):
    relay: Literal["own process", "remote"]
    provider: str
    seconds: float
    spread_s: float
    frame_ms: int
    lead_ms: int
    clients: int
    max_turns: int


class LoadRecord(Struct, frozen=True, kw_only=True, tag_field="schema", tag=SCHEMA):
    """A whole ramp, its levels in the order in which they were tried."""

    started_at: str
    settings: LoadSettings
    machine: Machine
    interrupted: bool
    levels: list[Level]

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def reasons(level: Level) -> list[str]:
    """Why a level is too much; empty if it was carried."""
    found = []
    if level.failed:
        codes = ", ".join(f"{code} x {count}" for code, count in level.codes.items())
        found.append(f"{level.failed} of {level.turns} turns failed ({codes})")
    if level.underruns:
        found.append(f"{level.underruns} gaps were to be heard")
    if level.late_p99_ms is not None and level.late_p99_ms > LATE_MS:
        found.append(f"1 frame in 100 was more than {level.late_p99_ms:.0f} ms late")
    if level.relay_cpu is not None and level.relay_cpu >= FULL:
        found.append("the relay's core was full")
    return found


def best(levels: Sequence[Level]) -> list[Level]:
    """Of each number of turns its better try, in rising order."""
    found: dict[int, Level] = {}
    for level in sorted(levels, key=lambda level: (level.turns, len(reasons(level)), level.late_p99_ms or 0.0)):
        found.setdefault(level.turns, level)
    return list(found.values())


def knee(levels: Sequence[Level]) -> tuple[Level | None, Level | None]:
    """The greatest level that was carried below the smallest that was not, and that one; None where there is none."""
    tried = best(levels)
    over = next((level for level in tried if reasons(level)), None)
    under = [level for level in tried if not reasons(level) and (over is None or level.turns < over.turns)]
    return (under[-1] if under else None), over


def carried(levels: Sequence[Level]) -> int:
    """Turns at a time; 0 where even the first level was too much."""
    good, _ = knee(levels)
    return good.turns if good else 0


def next_level(levels: Sequence[Level], max_turns: int) -> int | None:
    """How many turns to try now; None when the knee is known well enough. Doubles until it is too much, then halves
    what is between."""
    good, over = knee(levels)
    if over is None:
        tried = good.turns if good else 0
        return None if tried >= max_turns else min(max_turns, tried * 2 or FIRST_TURNS)
    if sum(level.turns == over.turns for level in levels) < TRIES:
        return over.turns
    low = good.turns if good else 0
    if over.turns - low <= max(1, over.turns * CLOSE_ENOUGH):
        return None
    return (low + over.turns) // 2


def verdict(record: LoadRecord) -> str:
    """The answer in a sentence or two, and what makes it doubtful."""
    levels, max_turns = record.levels, record.settings.max_turns
    if not levels:
        return "Nothing was measured."
    good, over = knee(levels)
    if over is None:
        assert good is not None, "a level is one or the other"
        more = "; more were not tried" if good.turns >= max_turns else ", as far as it was measured"
        return f"{good.turns:,} turns at real time are carried{more}."
    begin = f"{good.turns:,} turns at real time are carried" if good else "Not even the fewest turns are carried"
    said = [f"{begin}. At {over.turns:,}, {' and '.join(reasons(over))}."]
    if over.client_cpu >= CLIENT_FULL and (over.relay_cpu is None or over.relay_cpu < FULL):
        said.append("The listeners' own processes were full, so the relay may well carry more.")
    if record.machine.busy:
        said.append(record.machine.busy)
    return " ".join(said)


def bin_of(late_ms: float) -> int:
    """The bin of a frame's lateness; early is 0."""
    return min(LAST_BIN, max(0, int(late_ms / BIN_MS)))


def merged(histograms: Sequence[Mapping[int, int]]) -> dict[int, int]:
    """Counts by bin, of several processes together."""
    found: dict[int, int] = {}
    for histogram in histograms:
        for place, count in histogram.items():
            found[place] = found.get(place, 0) + count
    return found


def histogram_quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """The upper end of the bin in which that share is reached, in ms; None for no frames."""
    total, seen = sum(histogram.values()), 0
    for place in sorted(histogram):
        seen += histogram[place]
        if seen >= share * total:
            return (place + 1) * BIN_MS
    return None
