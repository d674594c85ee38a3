"""What is done to the voice's samples before they leave: its level is raised, its silence trimmed. Pure."""

import numpy as np
import numpy.typing as npt

# Its speech has an RMS of -27 dBFS and peaks of -4.6, 6 to 8 dB below other voices.
GAIN = 10 ** (4 / 20)
# It begins with 300 ms and ends with 450 ms below this level (-45 dBFS after the gain).
_SILENCE_RMS = 10 ** (-45 / 20)
_BLOCK_MS = 5
LEAD_IN_MS = 40
"""Silence that is left in front."""
SENTENCE_END_MS, BREATH_MS = 120, 40
"""Silence that is left behind: at the end of a clause, and where a text was cut elsewhere."""

Samples = npt.NDArray[np.float32]


def trimmed(samples: Samples, rate_hz: int, *, tail_ms: int) -> tuple[Samples, int]:
    """The samples with at most LEAD_IN_MS of silence in front and `tail_ms` behind, and how many were cut in front."""
    block = rate_hz * _BLOCK_MS // 1000
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    loud = np.flatnonzero(np.sqrt(np.mean(blocks**2, axis=1)) > _SILENCE_RMS)
    if not len(loud):
        return samples[: rate_hz * tail_ms // 1000], 0
    first = max(0, int(loud[0]) * block - rate_hz * LEAD_IN_MS // 1000)
    end = min(len(samples), (int(loud[-1]) + 1) * block + rate_hz * tail_ms // 1000)
    return samples[first:end], first


def s16(samples: Samples) -> bytes:
    """Little-endian 16-bit samples; what goes beyond full scale is cut there."""
    return (np.clip(samples, -1.0, 1.0) * 32767.0).round().astype("<i2").tobytes()


def silence(rate_hz: int, ms: int) -> bytes:
    return bytes(2 * (rate_hz * ms // 1000))
