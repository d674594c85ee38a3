"""Ways to cut bytes. Whatever is incremental must give the same for all of them.

>>> @pytest.mark.parametrize("cut", CUTS)
... def test_cuts(cut: Cut) -> None:
...     assert run(Thing(), cut(DATA)) == run(Thing(), [DATA])
"""

import random
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from relay.core.transform import Transform

Cut: TypeAlias = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    return every(data, 1)


def threes(data: bytes) -> list[bytes]:
    """Never aligned with 16-bit samples for long."""
    return every(data, 3)


def odd_sizes(data: bytes) -> list[bytes]:
    """417 bytes is an MP3 frame at 44.1 kHz, 128 kbit/s: no multiple of any sample."""
    return every(data, 417)


def first_byte_apart(data: bytes) -> list[bytes]:
    """Then everything else at once: headers and magic numbers split, the bulk not."""
    return [data[:1], data[1:]]


def last_byte_apart(data: bytes) -> list[bytes]:
    return [data[:-1], data[-1:]]


def seeded_random(data: bytes, seed: int = 20) -> list[bytes]:
    """Sizes from 0 to about 1 KB, small ones often; the same at every run."""
    source = random.Random(seed)
    pieces, at = [], 0
    while at < len(data):
        size = int(1024 ** source.random()) - source.randrange(2)
        pieces.append(data[at : at + size])
        at += size
    return pieces


def empty_between(data: bytes) -> list[bytes]:
    """A piece of nothing before, between and after the others, as an empty WebSocket message or HTTP chunk is."""
    return [b"", *(part for piece in every(data, 1000) for part in (piece, b""))]


CUTS: tuple[Cut, ...] = (
    whole,
    byte_by_byte,
    threes,
    odd_sizes,
    first_byte_apart,
    last_byte_apart,
    seeded_random,
    empty_between,
)


def every(data: bytes, size: int) -> list[bytes]:
    """Pieces of `size` bytes, the last one maybe shorter."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def run(transform: Transform[Any, Any], pieces: Iterable[Any]) -> list[Any]:
    """Everything that comes out of `transform`, its flush included."""
    fed = [out for piece in pieces for out in transform.feed(piece)]
    return [*fed, *transform.flush()]
