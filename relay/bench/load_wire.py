"""What passes between the measuring process and its listeners': one JSON line each way. Pure."""

from msgspec import Struct

__all__ = ["Orders", "Outcome"]


class Orders(Struct, frozen=True, kw_only=True):
    """To one listener process. Its turns are those of numbers `first`, `first + step`, ... below `turns`: turn n begins
    `n / turns * spread_s` after the word to go, by the clock, whatever became of the turns before it."""

    host: str
    port: int
    path: str
    tls: bool
    key: str | None
    provider: str | None
    text: str
    turns: int
    first: int
    step: int
    spread_s: float
    # A turn that speaks for longer is left then, and counts as done.
    seconds: float
    frame_ms: int
    lead_ms: int


class Outcome(Struct, frozen=True, kw_only=True):
    """From one listener process. `late` counts frames by bins of lateness (see `load_plan.bin_of`)."""

    ttfa_ms: list[float]
    late: dict[int, int]
    underruns: int
    frames: int
    codes: dict[str, int]
    cpu: float
