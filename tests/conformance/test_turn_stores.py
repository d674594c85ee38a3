"""Every store of kept turns keeps what those of others have to keep, and the suite finds one that does not."""

from itertools import count
from pathlib import Path

import pytest

from relay.core.history import KeptTurn
from relay.store import TURNS
from relay.store.memory_turns import MemoryTurns
from relay.testing.conformance.turn_store import check_turns


@pytest.mark.parametrize("kind", TURNS)
async def test_a_store(kind: str, tmp_path: Path) -> None:
    numbers = count()
    await check_turns(lambda: TURNS[kind](str(tmp_path / f"{next(numbers)}.sqlite3")))


class ShowsAll(MemoryTurns):
    async def get(self, kept_id: str, owner: str) -> KeptTurn | None:
        _, turn = self._kept.get(kept_id, (0, None))
        return turn


async def test_a_broken_store_is_found() -> None:
    with pytest.raises(AssertionError, match="another client"):
        await check_turns(ShowsAll)
