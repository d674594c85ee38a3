"""Any feed/flush: the same for every way of cutting its input, and nothing shared between two of them.

    check_transform(lambda: Reframer(form), every_cut(data))

This file does not know what the pieces are.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from relay.core.transform import Transform
from relay.testing.cuts import CUTS

In = TypeVar("In")
Out = TypeVar("Out")


def every_cut(data: bytes) -> dict[str, Sequence[bytes]]:
    """`data` in every cut of `relay.testing.cuts`, by name."""
    return {cut.__name__: cut(data) for cut in CUTS}


def check_transform(
    make: Callable[[], Transform[In, Out]],
    cuts: Mapping[str, Sequence[In]],
    joined: Callable[[list[Out]], object] = list,
    *,
    expected: object = None,
) -> None:
    """`cuts` are the same input, cut in several ways, by name. `joined` makes of outputs what has to be the same for
    all; `expected` is what that must be, otherwise the first cut decides. Outputs have to be picklable, which is how
    it shows that none is changed once it has been given."""
    assert cuts, "there is nothing to cut"
    first = next(iter(cuts))
    reference = "expected" if expected is not None else f"when cut as {first}"
    for name, pieces in cuts.items():
        came = joined(_run(make(), pieces, name))
        expected = came if expected is None else expected
        assert came == expected, f"cut as {name}, something else comes out than {reference}"
    _check_apart(make, max(cuts.values(), key=len), joined, expected)


def _run(transform: Transform[In, Out], pieces: Sequence[In], name: str) -> list[Out]:
    came: list[Out] = []
    at_once: list[bytes] = []
    for outputs in _outputs(transform, pieces):
        assert isinstance(outputs, Sequence), f"cut as {name}, {type(outputs).__name__} came, which is no sequence"
        came += outputs
        at_once += map(pickle.dumps, outputs)
    for number, (output, was) in enumerate(zip(came, at_once, strict=True)):
        assert pickle.dumps(output) == was, f"cut as {name}, output {number} was changed after it had been given"
    return came


def _outputs(transform: Transform[In, Out], pieces: Sequence[In]) -> Iterator[Sequence[Out]]:
    """What comes of each call."""
    for piece in pieces:
        yield transform.feed(piece)
    yield transform.flush()


def _check_apart(
    make: Callable[[], Transform[In, Out]],
    pieces: Sequence[In],
    joined: Callable[[list[Out]], object],
    expected: object,
) -> None:
    """Two that are fed by turns give what each gives alone."""
    two = (make(), make())
    came: tuple[list[Out], list[Out]] = ([], [])
    for piece in pieces:
        for transform, outputs in zip(two, came, strict=True):
            outputs += transform.feed(piece)
    for transform, outputs in zip(two, came, strict=True):
        outputs += transform.flush()
        assert joined(outputs) == expected, "two of them share something that the input changes"
