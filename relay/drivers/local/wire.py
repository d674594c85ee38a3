"""The messages between the relay and a worker process, over the worker's standard input and output.

Each message is a header of nine bytes, little-endian, and a payload::

    kind u8 | request u32 | length u32 | payload (length bytes)

    relay -> worker   JOB      JSON      what to do
                      STOP     -         the request is no longer wanted; END still follows
    worker -> relay   READY    -         request 0, once: jobs may come
                      HEAD     JSON      {"sample_rate_hz": n}, before anything else of the request
                      BYTES    bytes     a piece of the reply
                      WORD     JSON      {"text", "start_s", "end_s"}, a `WordTime`
                      END      -         the reply is complete; the worker is free
                      FAILED   JSON      {"code", "message"} in place of END; for request 0: no job can be done here

A worker has one request at a time, and every message says whose it is: what was on its way when a request was cancelled
cannot be taken for the next one's. Standard library only, and little of it: a worker imports this file when it starts.
"""

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct


class Kind(IntEnum):
    JOB = 1
    STOP = 2
    READY = 16
    HEAD = 17
    BYTES = 18
    WORD = 19
    END = 20
    FAILED = 21


# Far above any honest message (a list of 141 voices has 16 KB), far below what would hurt: noise read as a length is
# refused instead of waited for.
MAX_PAYLOAD_BYTES = 256 * 1024

_HEADER = Struct("<BII")
_KINDS = {int(kind): kind for kind in Kind}


class WireError(ValueError):
    """These bytes are not messages; nothing more can be read from whoever sent them."""


def pack(kind: Kind, request: int, payload: bytes = b"") -> bytes:
    """One message, ready to be written."""
    assert len(payload) <= MAX_PAYLOAD_BYTES, "a sender keeps its messages within the bound"
    return _HEADER.pack(kind, request, len(payload)) + payload


class Unpacker:
    """Bytes in any cut -> messages `(kind, request, payload)`.

    Messages that stand before what is none come out before the WireError, after which it is of no more use.
    """

    def __init__(self) -> None:
        self._carry = bytearray()

    def feed(self, piece: bytes) -> Iterator[tuple[Kind, int, bytes]]:
        carry = self._carry
        carry += piece
        start = 0
        while len(carry) - start >= _HEADER.size:
            number, request, length = _HEADER.unpack_from(carry, start)
            kind = _KINDS.get(number)
            if kind is None or length > MAX_PAYLOAD_BYTES:
                raise WireError(f"no message starts with kind {number} and length {length}")
            end = start + _HEADER.size + length
            if len(carry) < end:
                break
            yield kind, request, bytes(carry[start + _HEADER.size : end])
            start = end
        del carry[:start]
