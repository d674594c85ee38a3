"""Kept turns in this process: gone when it ends, unknown to others."""

from dataclasses import replace

from relay.core.history import KeptTurn
from relay.store.base import TurnPage
from relay.store.job_rules import position


class MemoryTurns:
    """See `base.TurnStore`. Nothing here waits, so each call is one step for all tasks of a loop."""

    def __init__(self, place: str = "") -> None:
        self._count = 0
        # By id, in the order in which they were added, with their number in it.
        self._kept: dict[str, tuple[int, KeptTurn]] = {}

    async def open(self) -> None:
        pass

    async def add(self, turn: KeptTurn) -> None:
        self._count += 1
        self._kept[turn.id] = self._count, turn

    async def get(self, kept_id: str, owner: str) -> KeptTurn | None:
        _, turn = self._kept.get(kept_id, (0, None))
        return turn if turn is not None and turn.owner == owner else None

    async def page(self, owner: str, *, limit: int, cursor: str | None) -> TurnPage:
        before = position(cursor)
        found = [
            (number, turn)
            for number, turn in reversed(self._kept.values())
            if turn.owner == owner and (before is None or number < before)
        ]
        more = len(found) > limit
        return TurnPage(
            turns=tuple(replace(turn, text="") for _, turn in found[:limit]),
            next_cursor=str(found[limit - 1][0]) if more else None,
        )

    async def remove(self, kept_id: str, owner: str | None) -> bool:
        _, turn = self._kept.get(kept_id, (0, None))
        if turn is None or owner not in (None, turn.owner):
            return False
        del self._kept[kept_id]
        return True

    async def oldest(self, limit: int) -> tuple[KeptTurn, ...]:
        return tuple(replace(turn, text="") for _, turn in list(self._kept.values())[:limit])

    async def audio_bytes(self) -> int:
        return sum(turn.audio.bytes for _, turn in self._kept.values() if turn.audio)

    async def close(self) -> None:
        self._kept.clear()
