"""No garbage is looked for during a turn."""

import asyncio
import gc

import pytest

from relay.bench.garbage import held_back
from relay.bench.plan import Path, Shot
from relay.bench.run import run
from relay.bench.spoken import Spoken
from tests.bench.test_run import PLAN


def test_it_is_as_it_was_afterwards() -> None:
    frozen = gc.get_freeze_count()
    with pytest.raises(KeyError), held_back():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
        raise KeyError
    assert gc.isenabled()
    assert gc.get_freeze_count() <= frozen


async def test_turns_that_count_are_spoken_without_it() -> None:
    seen: list[bool] = []

    class Way:
        async def speak(self, shot: Shot) -> Spoken:
            await asyncio.sleep(0)
            if shot.round >= 0:
                seen.append(gc.isenabled())
            return Spoken(ttfa_ms=1.0, audio_ms=1.0, total_ms=1.0)

    await run(PLAN, dict.fromkeys(Path, Way()), on_warm_up=lambda _: None, on_turn=lambda _: None)
    assert seen == [False] * len(PLAN.shots)
    assert gc.isenabled()
