"""Expected errors without their tracebacks, so that nothing waits for the garbage collector.

A traceback holds the frames that an error came through, and a frame all that was at work in it. Often that holds the
error again: a cancelled task keeps its CancelledError, and a timeout its task; the frame of a `TaskGroup` keeps what
it raises (CPython 3.11). Such a circle of one turn holds a hundred objects, its audio among them, until a pass of the
collector finds it. Nobody reads these tracebacks: of expected errors only the message is told and logged.
"""

import asyncio
from types import TracebackType

from relay.errors import RelayError, untrace

EXPECTED = (asyncio.CancelledError, RelayError)


class Untraced:
    """`with UNTRACED:` what leaves the block loses its traceback if it is a cancellation, a RelayError or a group of
    these. A bug keeps its own, which is logged."""

    def __enter__(self) -> None:
        """Nothing to be done."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, EXPECTED) or (isinstance(error, BaseExceptionGroup) and not error.split(EXPECTED)[1]):
            untrace(error)


UNTRACED = Untraced()
