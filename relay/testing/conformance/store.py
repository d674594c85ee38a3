"""A store of spent tokens: each is spent once, whoever asks, for as long as it counts and no longer.

    await check_spent_tokens(lambda: SqliteSpentTokens(path_of_a_new_file()))
    await check_shared(SqliteSpentTokens(path), SqliteSpentTokens(path))
    await check_bound(SqliteSpentTokens(path_of_a_new_file(), most=100), most=100)

Each store is given new, empty and not yet open. Instants are arguments: nothing here waits for a clock.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from relay.errors import Code, LimitError
from relay.store.base import SpentTokens

NOW_S = 1_800_000_000.0
END_S = NOW_S + 60
AT_ONCE = 50
# Longest that any check may take.
PATIENCE_S = 10.0


async def check_spent_tokens(make: Callable[[], SpentTokens]) -> None:
    """Everything that a store does by itself. `make` makes another, empty one at each call."""
    async with _opened(make()) as store:
        await _check_once(store)
    async with _opened(make()) as store:
        await _check_names(store)
    async with _opened(make()) as store:
        await _check_at_once([store])
    async with _opened(make()) as store:
        await _check_forgetting(store)
    async with _opened(make()) as store:
        await _check_cancelling(store)


async def check_shared(*stores: SpentTokens) -> None:
    """Several stores of one place, as several processes have them: what one has spent, the others know."""
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(store.open() for store in stores))
    try:
        await _check_at_once(stores)
        assert await _spend(stores[0], "alone"), "a new token is refused"
        for store in stores[1:]:
            assert not await _spend(store, "alone"), "what one has spent, another takes"
    finally:
        for store in stores:
            await store.close()


async def check_bound(store: SpentTokens, *, most: int) -> None:
    """A store that was made to remember about `most`: it takes as many, not ten times as many, and more once the first
    have expired."""
    async with _opened(store):
        for number in range(most):
            assert await _spend(store, f"t{number}"), "a new token is refused"
        refused = None
        for number in range(most, 10 * most):
            try:
                await _spend(store, f"t{number}")
            except LimitError as error:
                assert error.code is Code.OVER_CAPACITY, f"a full store says {error.code}"
                refused = f"t{number}"
                break
        assert refused is not None, "it grows without bound"
        assert not await _spend(store, "t0"), "a full store has forgotten what it must not"
        assert await _spend(store, refused, now_s=END_S), "a full store stays full when all has expired"


async def _check_once(store: SpentTokens) -> None:
    assert await _spend(store, "a") is True, "a new token is refused"
    assert await _spend(store, "a") is False, "a token is spent twice"
    assert await _spend(store, "b") is True, "another token is refused"
    assert await _spend(store, "a", expires_at_s=END_S + 60) is False, "a token is spent again with another end"


async def _check_names(store: SpentTokens) -> None:
    for token_id in ("x", "X", "x_", "x-", "_x", "-x", "x" * 64):
        assert await _spend(store, token_id), "two ids are taken for one"


async def _check_at_once(stores: "list[SpentTokens] | tuple[SpentTokens, ...]") -> None:
    for round_ in range(3):
        spends = (_spend(store, f"race-{round_}") for _ in range(AT_ONCE) for store in stores)
        firsts = sum(await asyncio.gather(*spends))
        assert firsts == 1, f"of many who spend a token at once, {firsts} are the first"


async def _check_forgetting(store: SpentTokens) -> None:
    assert await _spend(store, "short", expires_at_s=NOW_S + 10)
    assert await _spend(store, "long", expires_at_s=NOW_S + 30)
    assert not await _spend(store, "short", now_s=NOW_S + 9.9), "a token is forgotten before its end"
    later_s = NOW_S + 10
    assert await _spend(store, "short", expires_at_s=END_S, now_s=later_s), "a token is remembered after its end"
    assert not await _spend(store, "long", now_s=later_s), "a token is forgotten with another one"


async def _check_cancelling(store: SpentTokens) -> None:
    """Whether a cancelled spend counts is open; that the store works is not."""
    for number in range(10):
        spending = asyncio.ensure_future(_spend(store, f"c{number}"))
        await asyncio.sleep(0)
        spending.cancel()
        await asyncio.gather(spending, return_exceptions=True)
        await _spend(store, f"c{number}")
        assert not await _spend(store, f"c{number}"), "after a cancel, a token is spent twice"


async def _spend(store: SpentTokens, token_id: str, *, expires_at_s: float = END_S, now_s: float = NOW_S) -> bool:
    async with asyncio.timeout(PATIENCE_S):
        return await store.spend(token_id, expires_at_s=expires_at_s, now_s=now_s)


@asynccontextmanager
async def _opened(store: SpentTokens) -> AsyncIterator[SpentTokens]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()
        await store.close()
