"""How a figure is written, everywhere the same. Pure."""

from relay.bench.stats import FAILED, Interval

__all__ = ["STAGE_NAMES", "UNKNOWN", "dollars", "interval_text", "ms", "stage_value"]

UNKNOWN = "–"

# What each stage is called, and what it says.
STAGE_NAMES = {
    "ttfb_ms": ("TTFB", "time to the provider's first byte"),
    "ttfa_ms": ("TTFA", "time to first audio"),
    "ttfs_ms": ("TTFS", "time to first speech: the silence that the audio begins with is added"),
    "relay_ms": ("relay_ms", "what the relay itself added"),
    "rtf": ("RTF", "time to make a second of audio, in seconds"),
}


def ms(value: float) -> str:
    """Three figures of a time: 1,234  184  18.4  1.84  0.18."""
    if value == FAILED:
        return "failed"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def stage_value(stage: str, value: float) -> str:
    """A figure of a stage: a time, or a ratio."""
    return ms(value) if stage != "rtf" or value == FAILED else f"{value:.3f}"


def interval_text(stage: str, interval: Interval | None) -> str:
    """Between which bounds a median lies; what cannot be said is said."""
    if interval is None:
        return "too few"
    return f"{stage_value(stage, interval.low)} – {stage_value(stage, interval.high)}"


def dollars(usd: tuple[float, float] | None) -> str:
    """What something costs, or from what to what."""
    if usd is None:
        return "unknown"
    low, high = (f"${each:,.4f}" if 0 < each < 0.1 else f"${each:,.2f}" for each in usd)
    return low if low == high else f"{low} – {high}"
