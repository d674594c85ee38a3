"""The fade-out of a turn that is cancelled: what would have been sent next, falling to silence."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from relay.codecs import g711, pcm
from relay.codecs.base import Samples
from relay.core.formats import FADE_MS_MAX, AudioFormat
from relay.errors import ClientError, Code

__all__ = ["FADE_MS_MAX", "fade_samples_in", "faded"]

_DECODE = {**pcm.DECODE, **g711.DECODE}
_ENCODE = {**pcm.ENCODE, **g711.ENCODE}
_INT16 = np.dtype(np.int16)


def fade_samples_in(fade_ms: float, sample_rate_hz: int) -> int:
    """Whole samples in `fade_ms`, rounded down; 0 is no fade.

    Raises ClientError (`invalid_config`) unless `fade_ms` is a number from 0 to FADE_MS_MAX.
    """
    is_number = isinstance(fade_ms, int | float) and not isinstance(fade_ms, bool)
    if not is_number or not 0 <= fade_ms <= FADE_MS_MAX:
        raise ClientError(
            Code.INVALID_CONFIG, f"fade_ms is {fade_ms!r}; it must be a number from 0 to {FADE_MS_MAX} milliseconds"
        )
    return int(fade_ms * sample_rate_hz) // 1000


def faded(pcm: bytes, audio: AudioFormat, fade_samples: int) -> bytes:
    """`pcm`, whole samples of an output encoding, with its first `fade_samples` falling to silence and silence after.

    The result has the size of `pcm`: whole frames in, whole frames out. The fade is half a period of a raised cosine,
    the same for all channels, and its last sample is the encoding's silence. If `pcm` is shorter than the fade, the
    fade is as short as `pcm`: it never ends above silence. Without `pcm` there is nothing to fade: the result is empty.
    """
    assert len(pcm) % audio.block_align == 0, "no cut falls inside a sample"
    assert fade_samples >= 0, "a length"
    present = len(pcm) // audio.block_align
    count = min(fade_samples, present)
    silence = audio.encoding.silence * ((present - count) * audio.channels)
    if not count:
        return silence
    samples = _DECODE[audio.encoding](pcm[: count * audio.block_align])
    weights = _weights(count)
    if audio.channels > 1:
        weights = weights.repeat(audio.channels)
    return _ENCODE[audio.encoding](_weighted(samples, weights)).tobytes() + silence


def _weighted(samples: Samples, weights: NDArray[np.float64]) -> Samples:
    weighted = samples * weights
    if samples.dtype == _INT16:
        return np.rint(weighted).astype(np.int16)
    # A negative sample times 0 is -0.0, whose bytes are not those of silence; added to 0.0 it is 0.0.
    return (weighted + 0.0).astype(np.float32)


@lru_cache(maxsize=16)
def _weights(count: int) -> NDArray[np.float64]:
    """From just below 1 to exactly 0. At most 100 ms of 48 kHz, 38 KB, of each length once."""
    weights = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, count + 1) / count)
    weights[-1] = 0.0
    weights.setflags(write=False)
    return weights
