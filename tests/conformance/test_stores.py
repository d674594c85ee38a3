"""Every store keeps what those of others have to keep, and the suite finds one that does not."""

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from relay.store import SPENT_TOKENS
from relay.store.base import SpentTokens
from relay.store.memory import MemorySpentTokens
from relay.store.sqlite import SqliteSpentTokens
from relay.testing.conformance.store import check_bound, check_shared, check_spent_tokens


@pytest.fixture
def place(tmp_path: Path) -> Callable[[], str]:
    """A new place at each call."""
    numbers = count()
    return lambda: str(tmp_path / f"{next(numbers)}.sqlite3")


@pytest.mark.parametrize("kind", SPENT_TOKENS)
async def test_a_store(kind: str, place: Callable[[], str]) -> None:
    await check_spent_tokens(lambda: SPENT_TOKENS[kind](place()))


@pytest.mark.parametrize("kind", [MemorySpentTokens, SqliteSpentTokens])
async def test_a_store_is_bounded(kind: Callable[..., SpentTokens], place: Callable[[], str]) -> None:
    await check_bound(kind(place(), most=200), most=200)


async def test_a_file_is_shared(place: Callable[[], str]) -> None:
    path = place()
    await check_shared(*(SqliteSpentTokens(path) for _ in range(4)))


class LooksThenWrites(MemorySpentTokens):
    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        known = token_id in self._spent
        await asyncio.sleep(0)
        await super().spend(token_id, expires_at_s=expires_at_s, now_s=now_s)
        return not known


class MixesCase(MemorySpentTokens):
    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        return await super().spend(token_id.lower(), expires_at_s=expires_at_s, now_s=now_s)


class ForgetsEarly(MemorySpentTokens):
    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        return await super().spend(token_id, expires_at_s=expires_at_s, now_s=now_s + 1)


class ForgetsAll(MemorySpentTokens):
    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        if self._ends and self._ends[0][0] <= now_s:
            await self.close()
        return await super().spend(token_id, expires_at_s=expires_at_s, now_s=now_s)


class ForgetsNothing(MemorySpentTokens):
    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        return await super().spend(token_id, expires_at_s=float("inf"), now_s=now_s)


class BelievesTheEnd(MemorySpentTokens):
    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        return await super().spend(f"{token_id}{expires_at_s}", expires_at_s=expires_at_s, now_s=now_s)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (LooksThenWrites, "50 are the first"),
        (MixesCase, "two ids"),
        (ForgetsEarly, "before its end"),
        (ForgetsAll, "with another one"),
        (ForgetsNothing, "after its end"),
        (BelievesTheEnd, "another end"),
    ],
)
async def test_a_broken_store_is_found(make: Callable[[], SpentTokens], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        await check_spent_tokens(make)


class Deaf(MemorySpentTokens):
    """Cancelled once, it takes everything."""

    broken = False

    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.broken = True
            raise
        first = await super().spend(token_id, expires_at_s=expires_at_s, now_s=now_s)
        return first or self.broken


async def test_a_store_that_a_cancel_breaks_is_found() -> None:
    with pytest.raises(AssertionError, match="after a cancel"):
        await check_spent_tokens(Deaf)


async def test_stores_that_share_nothing_are_found() -> None:
    with pytest.raises(AssertionError, match="2 are the first"):
        await check_shared(MemorySpentTokens(), MemorySpentTokens())


async def test_a_store_without_a_bound_is_found() -> None:
    with pytest.raises(AssertionError, match="without bound"):
        await check_bound(MemorySpentTokens(), most=20)
