"""Which of the rates that a provider renders serves a client best."""

from collections.abc import Sequence


def best_rate_hz(offered: Sequence[int], wanted_hz: int | None) -> int:
    """The client's own rate, so that nothing is resampled; else the lowest whole multiple of it, whose resampling costs
    least; else the lowest rate above it, so that no treble is lost; else, or if it has none, the highest."""
    if wanted_hz is None:
        return max(offered)
    multiples = [rate_hz for rate_hz in offered if rate_hz % wanted_hz == 0]
    above = [rate_hz for rate_hz in offered if rate_hz > wanted_hz]
    return min(multiples or above, default=max(offered))
