"""G.711 (ITU-T, 11/1988): 8-bit logarithmic PCM of telephony, mu-law and A-law, as tables made once.

A code word is sign, segment (3 bits), step (4 bits): tables 1 (A-law) and 2 (mu-law) of the Recommendation. They are
symmetric about zero, so the magnitude decides; one that stands on a decision value belongs to the interval above it.

16-bit samples hold the 14 bits of mu-law and the 13 of A-law at their upper end. All decision values are whole numbers
of those bits (of the upper 12 in A-law, whose smallest step is 2), so the bits below are cut off the magnitude without
a loss that the code could tell. Cutting them off a negative number instead, as much old code does, moves its sounds up.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from relay.codecs.base import Samples, to_int16
from relay.core.formats import Encoding

_Table: TypeAlias = NDArray[np.int32]

_ALL_CODES: _Table = np.arange(256, dtype=np.int32)
_SIGN = 0x80

# Added to a mu-law magnitude, it lets every segment begin at a power of two: 33, then 64, 128 ... 4096.
_MULAW_BIAS = 33
_MULAW_MAX = 8191 - _MULAW_BIAS
_ALAW_MAX = 2047
# A-law is sent with every other bit inverted, mu-law with all but the sign, to keep the line busy in silence.
_ALAW_INVERTED = 0x55


def _all_int16() -> _Table:
    """In the order of their bits read as unsigned: 0..32767, then -32768..-1."""
    return np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)


def _bit_length(values: _Table) -> _Table:
    exponents: _Table = np.frexp(values)[1]
    return exponents


def _mulaw_codes() -> _Table:
    magnitude: _Table = np.minimum(np.abs(_all_int16()) >> 2, _MULAW_MAX) + _MULAW_BIAS
    segment = _bit_length(magnitude) - 6
    step = magnitude >> segment + 1 & 0xF
    codes: _Table = np.where(_all_int16() < 0, 0x7F, 0xFF) - (segment << 4 | step)
    return codes


def _mulaw_values() -> _Table:
    segment, step = ~_ALL_CODES >> 4 & 7, ~_ALL_CODES & 0xF
    magnitude = (2 * step + _MULAW_BIAS << segment) - _MULAW_BIAS << 2
    return np.where(_ALL_CODES & _SIGN, magnitude, -magnitude)


def _alaw_codes() -> _Table:
    magnitude: _Table = np.minimum(np.abs(_all_int16()) >> 4, _ALAW_MAX)
    # The first two segments share the smallest step; from the second on each begins at a power of two.
    segment: _Table = np.maximum(_bit_length(magnitude) - 4, 0)
    step = magnitude >> np.maximum(segment - 1, 0) & 0xF
    codes: _Table = np.where(_all_int16() < 0, 0, _SIGN) | segment << 4 | step
    return codes ^ _ALAW_INVERTED


def _alaw_values() -> _Table:
    codes = _ALL_CODES ^ _ALAW_INVERTED
    segment, step = codes >> 4 & 7, codes & 0xF
    middle = 2 * step + np.where(segment, 33, 1)
    magnitude: _Table = middle << np.maximum(segment - 1, 0) << 3
    return np.where(codes & _SIGN, magnitude, -magnitude)


def _decoder(values: _Table) -> Callable[[bytes], Samples]:
    table = values.astype(np.int16)
    return lambda data: table.take(np.frombuffer(data, np.uint8))


def _encoder(codes: _Table) -> Callable[[Samples], NDArray[Any]]:
    table = codes.astype(np.uint8)
    return lambda samples: table.take(to_int16(samples).view(np.uint16))


DECODE: Mapping[Encoding, Callable[[bytes], Samples]] = {
    Encoding.MULAW: _decoder(_mulaw_values()),
    Encoding.ALAW: _decoder(_alaw_values()),
}
ENCODE: Mapping[Encoding, Callable[[Samples], NDArray[Any]]] = {
    Encoding.MULAW: _encoder(_mulaw_codes()),
    Encoding.ALAW: _encoder(_alaw_codes()),
}
