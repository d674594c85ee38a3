"""Spent tokens in this process: gone when it ends, unknown to others."""

import heapq

from relay.errors import Code, LimitError
from relay.store.base import MAX_SPENT


class MemorySpentTokens:
    """See `base.SpentTokens`. Nothing here waits, so each call is one step for all tasks of a loop."""

    def __init__(self, place: str = "", *, most: int = MAX_SPENT) -> None:
        self._most = most
        self._spent: set[str] = set()
        # The same ids, the first to expire on top.
        self._ends: list[tuple[float, str]] = []

    async def open(self) -> None:
        pass

    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        while self._ends and self._ends[0][0] <= now_s:
            _, expired = heapq.heappop(self._ends)
            self._spent.discard(expired)
        if token_id in self._spent:
            return False
        if len(self._spent) >= self._most:
            raise LimitError(Code.OVER_CAPACITY, "too many tokens are in use; try again", retry_after_s=1)
        self._spent.add(token_id)
        heapq.heappush(self._ends, (expires_at_s, token_id))
        return True

    async def close(self) -> None:
        self._spent.clear()
        self._ends.clear()
