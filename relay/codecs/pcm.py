"""Linear PCM: bytes of each encoding <-> samples.

Integers of up to 16 bits become int16, wider ones and floats float32; every conversion but those of s32 and f64, which
round to 24 bits, is exact.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relay.codecs.base import Samples, to_float32, to_int16
from relay.core.formats import Encoding

_S16LE, _S16BE, _S32LE, _S32BE = np.dtype("<i2"), np.dtype(">i2"), np.dtype("<i4"), np.dtype(">i4")
_F32LE, _F32BE, _F64LE, _F64BE = np.dtype("<f4"), np.dtype(">f4"), np.dtype("<f8"), np.dtype(">f8")
_INT16, _FLOAT32 = np.dtype(np.int16), np.dtype(np.float32)
_S16LE_IS_NATIVE = _S16LE == _INT16
_S32_STEP = np.float32(2**-31)
_SILENCE = np.float32(0)


def _from_s16le(data: bytes) -> Samples:
    # A view of the provider's own bytes on a little-endian host: nothing is copied.
    samples = np.frombuffer(data, _S16LE)
    return samples if _S16LE_IS_NATIVE else samples.astype(_INT16)


def _from_s16be(data: bytes) -> Samples:
    return np.frombuffer(data, _S16BE).astype(_INT16)


def _from_u8(data: bytes) -> Samples:
    # Offset binary: 0x80 is silence.
    return (np.frombuffer(data, np.uint8).astype(np.int16) - 128) << 8


def _from_s8(data: bytes) -> Samples:
    return np.frombuffer(data, np.int8).astype(np.int16) << 8


def _from_s24le(data: bytes) -> Samples:
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return _from_s32le(wide.tobytes())


def _from_s24be(data: bytes) -> Samples:
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, :3] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return _from_s32be(wide.tobytes())


def _from_s32le(data: bytes) -> Samples:
    return np.frombuffer(data, _S32LE).astype(_FLOAT32) * _S32_STEP


def _from_s32be(data: bytes) -> Samples:
    return np.frombuffer(data, _S32BE).astype(_FLOAT32) * _S32_STEP


def _from_f32le(data: bytes) -> Samples:
    return _within_one(np.frombuffer(data, _F32LE).astype(_FLOAT32, copy=False))


def _from_f32be(data: bytes) -> Samples:
    return _within_one(np.frombuffer(data, _F32BE).astype(_FLOAT32))


def _from_f64le(data: bytes) -> Samples:
    return _narrowed(np.frombuffer(data, _F64LE))


def _from_f64be(data: bytes) -> Samples:
    return _narrowed(np.frombuffer(data, _F64BE))


def _narrowed(samples: NDArray[np.float64]) -> Samples:
    # Clipped while still wide: a float32 cannot hold 1e300, nor be told a signalling NaN without a warning.
    return _within_one(np.where(np.isnan(samples), 0, samples).clip(-2, 2).astype(_FLOAT32))


def _within_one(samples: NDArray[np.float32]) -> Samples:
    # The greatest of anything and NaN is NaN, which is not <= 1: one look finds all that is not within -1..1.
    if np.abs(samples).max() <= 1:
        return samples
    # One NaN would poison a resampler's whole window: it becomes silence, and what is too loud becomes the loudest.
    return np.where(np.isnan(samples), _SILENCE, samples).clip(-1, 1)


def _to_s16le(samples: Samples) -> NDArray[Any]:
    return to_int16(samples) if _S16LE_IS_NATIVE else to_int16(samples).astype(_S16LE)


def _to_f32le(samples: Samples) -> NDArray[Any]:
    return to_float32(samples).astype(_F32LE, copy=False)


DECODE: Mapping[Encoding, Callable[[bytes], Samples]] = {
    Encoding.PCM_S16LE: _from_s16le,
    Encoding.PCM_S16BE: _from_s16be,
    Encoding.PCM_U8: _from_u8,
    Encoding.PCM_S24LE: _from_s24le,
    Encoding.PCM_S32LE: _from_s32le,
    Encoding.PCM_F32LE: _from_f32le,
    Encoding.PCM_S8: _from_s8,
    Encoding.PCM_S24BE: _from_s24be,
    Encoding.PCM_S32BE: _from_s32be,
    Encoding.PCM_F32BE: _from_f32be,
    Encoding.PCM_F64LE: _from_f64le,
    Encoding.PCM_F64BE: _from_f64be,
}
ENCODE: Mapping[Encoding, Callable[[Samples], NDArray[Any]]] = {
    Encoding.PCM_S16LE: _to_s16le,
    Encoding.PCM_F32LE: _to_f32le,
}
