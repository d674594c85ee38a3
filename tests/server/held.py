"""What a process holds: tasks and open files; that it does not become more, and that nothing is left over."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.server.cycles import left_in_cycles

PATIENCE_S = 5.0


def held() -> tuple[list[str], list[str]]:
    """The running tasks by name of their coroutine, and what the open descriptors are."""
    tasks = sorted(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
    files = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own
            files.append(str(descriptor.readlink()).split(":")[0])
    return tasks, sorted(files)


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """When left, no more is held than before, and nothing of the relay's waits for the garbage collector."""
    before = held()
    with left_in_cycles() as left:
        yield
        await _nothing_more_than(before)
    assert not left, "these refer to themselves in a circle"


async def _nothing_more_than(before: tuple[list[str], list[str]]) -> None:
    """Waits until no more is held than before; what is, is named."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while any(len(now) > len(then) for now, then in zip(held(), before, strict=True)):
                await asyncio.sleep(0.01)
    except TimeoutError:
        more = [Counter(now) - Counter(then) for now, then in zip(held(), before, strict=True)]
        raise AssertionError(f"tasks {dict(more[0])} and files {dict(more[1])} more than before") from None
