"""A store of kept turns: each is its owner's, is listed once, and counts until it is forgotten.

    await check_turns(lambda: SqliteTurns(path_of_a_new_file()))

Each store is given new, empty and not yet open.
"""

import asyncio
from collections.abc import Callable

from relay.core.history import KeptAudio, KeptTurn, Outcome
from relay.errors import ClientError
from relay.store.base import TurnStore

PATIENCE_S = 20.0


async def check_turns(make: Callable[[], TurnStore]) -> None:
    """Everything that a store does by itself. `make` makes another, empty one at each call."""
    async with asyncio.timeout(PATIENCE_S):
        for check in (_check_keeping, _check_pages):
            store = make()
            await store.open()
            try:
                await check(store)
            finally:
                await store.close()
                await store.close()


async def _check_keeping(store: TurnStore) -> None:
    turn = _turn("a", text="Ä long\0 text. 🎧")
    await store.add(turn)
    assert await store.get("a", "anna") == turn, "a turn is not kept as it was"
    assert await store.get("a", "ben") is None, "a turn is shown to another client"
    assert not await store.remove("a", "ben"), "a turn is forgotten by another client"
    assert await store.get("b", "anna") is None, "a turn that was never added is there"
    await asyncio.gather(*(store.add(_turn(f"t{number}")) for number in range(10)))
    assert await store.audio_bytes() == 11 * 44, "the bytes of the audio are counted wrong"
    assert [each.id for each in await store.oldest(1)] == ["a"], "the oldest is not the first that was added"
    assert sum(await asyncio.gather(*(store.remove("a", None) for _ in range(5)))) == 1, "a turn is forgotten twice"
    assert await store.audio_bytes() == 10 * 44, "a forgotten turn still counts"


async def _check_pages(store: TurnStore) -> None:
    for number in range(7):
        await store.add(_turn(f"t{number}"))
        await store.add(_turn(f"b{number}", owner="ben"))
    seen: list[str] = []
    cursor = None
    for _ in range(10):
        page = await store.page("anna", limit=3, cursor=cursor)
        seen += [turn.id for turn in page.turns]
        assert not any(turn.text for turn in page.turns), "a list has texts"
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
        await store.add(_turn(f"new{len(seen)}"))
    assert seen == [f"t{number}" for number in range(6, -1, -1)], f"paged through, the list is {seen}"
    for wrong in ("x", "-1", "9" * 40):
        try:
            await store.page("anna", limit=1, cursor=wrong)
        except ClientError:
            continue
        raise AssertionError(f"the cursor {wrong!r} is taken")


def _turn(kept_id: str, *, owner: str = "anna", text: str = "Hello.") -> KeptTurn:
    return KeptTurn(
        id=kept_id,
        owner=owner,
        turn_id="t",
        outcome=Outcome.DONE,
        created_at_s=1.8e9,
        text=text,
        provider="p",
        voice="v",
        provider_ids={"request_id": "r"},
        audio=KeptAudio(media_type="audio/wav", bytes=44, duration_ms=0.0),
    )
