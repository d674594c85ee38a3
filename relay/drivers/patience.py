"""A bound for a wait that may be moved while it is waited for, at every instant at which that may happen."""

import asyncio
import math
from types import TracebackType
from typing import Any, Self


class Patience:
    """`with Patience(until_s) as patience: ...` raises TimeoutError if the block is not left by that instant of the
    loop's clock. Infinite: no bound. Enter once, in a task.

    `move` is safe always: before, while and after the end comes. `asyncio.Timeout.reschedule` raises RuntimeError for a
    timeout that has expired and whose task was not told yet, which is where code finds itself that runs right behind
    the timer after the loop was held. Moving it later, the usual case, costs an assignment, where rescheduling makes a
    timer: it is looked at again when the earlier instant comes.
    """

    __slots__ = ("_at_s", "_cancels", "_loop", "_over", "_task", "_timer", "_until_s")

    def __init__(self, until_s: float) -> None:
        self._until_s = until_s
        self._at_s = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._over = False
        # While the block is entered: a task that ends in an error holds that, and the error its frames, and us.
        self._task: asyncio.Task[Any] | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None, "a wait is a task's"
        self._task = task
        self._cancels = task.cancelling()
        self._loop = task.get_loop()
        self._look_at(self._until_s)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        expired, self._over = self._over, True
        task, self._task = self._task, None
        # Whoever else cancelled the task goes first.
        if expired and task is not None and task.uncancel() <= self._cancels and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def move(self, until_s: float) -> bool:
        """Sets another end, from inside of the block; False, without effect, if the end has come already."""
        if self._over:
            return False
        self._until_s = until_s
        if until_s < self._at_s:
            self._look_at(until_s)
        return True

    def _look_at(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at_s = at_s
        self._timer = self._loop.call_at(at_s, self._look) if at_s < math.inf else None

    def _look(self) -> None:
        # A timer may come a little early: uvloop's are of whole milliseconds.
        if self._until_s > self._at_s:
            self._look_at(self._until_s)
            return
        self._timer = None
        self._over = True
        assert self._task is not None, "there is no timer but within the block"
        self._task.cancel()
