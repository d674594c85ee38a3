"""How much text each caller may have spoken in a minute and in a day, whatever becomes of the audio.

A caller is a key, or an address where there are no keys. What is counted is text that is given: it is on its way to a
provider from then on, and a turn that is cancelled has cost what it had been given.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.core.allowance import Bucket, Rate
from relay.errors import Code, LimitError

# Callers whose buckets are held; there are as many keys as are configured, and of addresses the fullest are forgotten.
MAX_CALLERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A bound, and the setting that it comes from."""

    rate: Rate
    setting: str


def shares_of(chars_per_minute: int | None, chars_per_day: int | None) -> list[Share]:
    """None: no bound."""
    shares = []
    for chars, seconds, name in (
        (chars_per_minute, 60, "limits.chars_per_minute"),
        (chars_per_day, 86_400, "limits.chars_per_day"),
    ):
        if chars is not None:
            shares.append(Share(rate=Rate(per_s=chars / seconds, burst=chars), setting=f"{name}, {chars}"))
    return shares


class Spending:
    """The buckets of all callers of a process."""

    def __init__(self, shares: Sequence[Share], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._shares = shares
        self._clock = clock
        self._callers: dict[str, list[Bucket]] = {}

    def of(self, caller: str) -> Callable[[int], None]:
        """A function that is given the length of each text before it is taken, and raises LimitError `rate_limited`,
        with `retry_after_s`, for one that is too much."""
        return lambda chars: self._spend(caller, chars)

    def _spend(self, caller: str, chars: int) -> None:
        if not self._shares:
            return
        now_s = self._clock()
        if caller not in self._callers:
            self._make_room(now_s)
            self._callers[caller] = [Bucket(share.rate, now_s) for share in self._shares]
        for share, bucket in zip(self._shares, self._callers[caller], strict=True):
            if wait_s := bucket.take(chars, now_s):
                raise LimitError(
                    Code.RATE_LIMITED,
                    f"this caller has had as much text spoken as it may ({share.setting})",
                    retry_after_s=round(wait_s, 1),
                )

    def _make_room(self, now_s: float) -> None:
        if len(self._callers) < MAX_CALLERS:
            return
        full = [caller for caller, buckets in self._callers.items() if all(each.is_full(now_s) for each in buckets)]
        for caller in full or [next(iter(self._callers))]:
            del self._callers[caller]
