"""Speaks a plan's turns, one after the other, and hands over each as soon as it is over.

One at a time: what is measured is how soon speech begins where nothing else is going on; `load` is about the rest.
"""

import asyncio
import gc
from collections.abc import Callable, Mapping

from relay.bench.garbage import held_back
from relay.bench.plan import Path, Plan
from relay.bench.record import Turn
from relay.bench.spoken import Way

__all__ = ["run"]


async def run(
    plan: Plan,
    ways: Mapping[Path, Way],
    *,
    on_warm_up: Callable[[Turn], None],
    on_turn: Callable[[Turn], None],
    pause_s: float = 0.0,
) -> None:
    """Until all have been spoken. Being cancelled loses the turn that is being spoken and no other."""
    for index, shot in enumerate(plan.warm_up_shots):
        spoken = await ways[shot.case.path].speak(shot)
        on_warm_up(spoken.turn(index, shot, spoken.start_s))
    first_start_s: float | None = None
    with held_back():
        for index, shot in enumerate(plan.shots):
            spoken = await ways[shot.case.path].speak(shot)
            if first_start_s is None:
                first_start_s = spoken.start_s
            on_turn(spoken.turn(index, shot, first_start_s))
            gc.collect()
            if pause_s:
                await asyncio.sleep(pause_s)
