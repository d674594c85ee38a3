"""How much may be done in a time: a bucket that fills steadily. Pure: time is an argument."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many in a second, and at most `burst` at once."""

    per_s: float
    burst: float


class Bucket:
    """Full to begin with. Held: two numbers, however much is asked of it."""

    __slots__ = ("_at_s", "_level", "_rate")

    def __init__(self, rate: Rate, now_s: float) -> None:
        self._rate = rate
        self._level = rate.burst
        self._at_s = now_s

    def take(self, amount: float, now_s: float) -> float:
        """Takes `amount` if it is there, and gives 0.0; else takes nothing, and gives the seconds until it will be. An
        amount of more than the burst is there when the bucket is full, which is then owed."""
        rate = self._rate
        self._level = min(rate.burst, self._level + max(0.0, now_s - self._at_s) * rate.per_s)
        self._at_s = max(self._at_s, now_s)
        needed = min(amount, rate.burst)
        if self._level >= needed:
            self._level -= amount
            return 0.0
        return (needed - self._level) / rate.per_s

    def is_full(self, now_s: float) -> bool:
        return self._level + max(0.0, now_s - self._at_s) * self._rate.per_s >= self._rate.burst
