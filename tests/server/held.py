"""What a process holds: tasks and open files; and that it does not become more."""

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 5.0


def held() -> tuple[list[str], list[str]]:
    """The running tasks by name of their coroutine, and what the open descriptors are."""
    tasks = sorted(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
    files = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own
            files.append(str(descriptor.readlink()).split(":")[0])
    return tasks, sorted(files)


async def nothing_more_than(before: tuple[list[str], list[str]]) -> None:
    """Waits until no more is held than before; what is, is named."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while any(len(now) > len(then) for now, then in zip(held(), before, strict=True)):
                await asyncio.sleep(0.01)
    except TimeoutError:
        more = [Counter(now) - Counter(then) for now, then in zip(held(), before, strict=True)]
        raise AssertionError(f"tasks {dict(more[0])} and files {dict(more[1])} more than before") from None
