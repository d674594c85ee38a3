"""An event loop whose time jumps: a minute of pacing or a deadline of an hour is over at once, and exact.

    def test_a_deadline() -> None:
        async def main() -> None:
            loop = virtual_loop()
            await asyncio.sleep(3600)
            assert round(loop.time(), 3) == 3600
        run(main())

Time stands all but still while anything can run, and jumps to the next timer when nothing can. What waits for a socket
or a thread gets no time of its own: this is for code that takes its clock as an argument (`loop.time`) and does no I/O,
or none but over loopback with something on the same loop. For that, `grace_s` is how long in real time the kernel gets
to deliver what was sent before time jumps.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# Real seconds for a thread to wake a loop that has no timer; then nobody is going to.
PATIENCE_S = 5.0
# Passes at every turn of the loop: whoever is woken a rounding error too early, and waits again, relies on that.
TURN_S = 1e-9


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at 0 s."""

    def __init__(self, grace_s: float = 0.0) -> None:
        self._now_s = 0.0
        super().__init__(_Jumping(self, grace_s))

    def time(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Lets time pass while nothing runs, as a call that blocks the loop does: timers fire late."""
        assert seconds >= 0, "time does not run backwards"
        self._now_s += seconds


def run(main: Coroutine[Any, Any, T], *, grace_s: float = 0.0) -> T:
    """As `asyncio.run`, in virtual time. Raises RuntimeError when every task waits for what nobody will do."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(grace_s)) as runner:
        return runner.run(main)


def virtual_loop() -> VirtualLoop:
    """The running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "this runs under relay.testing.clock.run only"
    return loop


class _Jumping(selectors.DefaultSelector):
    """Asks the real selector without waiting; what was to be waited for has then passed."""

    def __init__(self, loop: VirtualLoop, grace_s: float) -> None:
        super().__init__()
        self._loop = loop
        self._grace_s = grace_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.advance(TURN_S)
        if ready := super().select(0):
            return ready
        if self._grace_s and timeout != 0 and (ready := super().select(self._grace_s)):
            return ready
        if timeout is not None:
            self._loop.advance(max(0.0, timeout))
            return []
        if ready := super().select(PATIENCE_S):
            return ready
        raise RuntimeError("every task waits for what nobody will do: nothing is ready, and no timer is set")
