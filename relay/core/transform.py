"""The one shape of everything incremental: `feed(piece)` and `flush()` give lists; an empty one means "need more"."""

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)


class Transform(Protocol[In, Out]):
    """Takes pieces cut anywhere, gives whole things; the same things for every way of cutting.

    `flush` ends the input: it returns what was held back and is called at most once.
    """

    def feed(self, piece: In) -> Sequence[Out]: ...

    def flush(self) -> Sequence[Out]: ...


class Chain(Generic[In, Out]):
    """Transforms one after the other, itself a transform.

    `flush` cascades: what one stage gives up at its end is fed to the next stage before that one is flushed, so that
    nothing held inside is lost and nothing overtakes it.
    """

    def __init__(self, *stages: Transform[Any, Any]) -> None:
        assert stages, "a chain has at least one stage"
        self._stages = stages

    def feed(self, piece: In) -> list[Out]:
        pieces: list[Any] = [piece]
        for stage in self._stages:
            if not pieces:
                break
            pieces = _through(stage, pieces)
        return pieces

    def flush(self) -> list[Out]:
        held: list[Any] = []
        for stage in self._stages:
            held = [*_through(stage, held), *stage.flush()]
        return held


def _through(stage: Transform[Any, Any], pieces: list[Any]) -> list[Any]:
    if len(pieces) == 1:  # as nearly always
        return list(stage.feed(pieces[0]))
    return [out for piece in pieces for out in stage.feed(piece)]
