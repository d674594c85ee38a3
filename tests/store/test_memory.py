"""Spent tokens in memory. What every store does is in `tests/conformance/test_stores.py`."""

from relay.store.memory import MemorySpentTokens


async def test_what_has_expired_takes_no_room() -> None:
    store = MemorySpentTokens(most=3)
    for number in range(100):
        assert await store.spend(f"t{number}", expires_at_s=number + 3.0, now_s=float(number))
        assert len(store._spent) == len(store._ends) <= 3
