"""Test signals made from arithmetic alone: the same call gives the same bytes.

Signals are mono PCM, signed 16-bit little-endian; durations in seconds, rates in Hz, amplitudes within 0..1.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from relay.core.formats import AudioFormat, Encoding

RATE_HZ = 24000
# What a WAV header says of its length while it is still being made (and what some providers send for good).
UNKNOWN_SIZE = 0xFFFFFFFF

# WAVE_FORMAT_* of RFC 2361.
_WAV_TAGS = {Encoding.PCM_F32LE: 3, Encoding.ALAW: 6, Encoding.MULAW: 7}


def tone(seconds: float, *, frequency_hz: float = 440.0, rate_hz: int = RATE_HZ, amplitude: float = 0.5) -> bytes:
    """A sine that starts at phase 0."""
    return _pcm(amplitude * np.sin(2 * np.pi * frequency_hz * _instants_s(seconds, rate_hz)))


def sweep(
    seconds: float, *, from_hz: float = 100.0, to_hz: float = 4000.0, rate_hz: int = RATE_HZ, amplitude: float = 0.5
) -> bytes:
    """A sine whose frequency rises linearly: every sample has its own neighbourhood, so a shift cannot hide."""
    at_s = _instants_s(seconds, rate_hz)
    cycles = from_hz * at_s + (to_hz - from_hz) * at_s**2 / (2 * seconds)
    return _pcm(amplitude * np.sin(2 * np.pi * cycles))


def noise(seconds: float, *, seed: int = 0, rate_hz: int = RATE_HZ, amplitude: float = 0.5) -> bytes:
    """White noise: no two places are alike, nothing compresses it."""
    peak = round(amplitude * 32767)
    random = np.random.Generator(np.random.PCG64(seed))
    return random.integers(-peak, peak, _count(seconds, rate_hz), endpoint=True).astype("<i2").tobytes()


def speech_like(seconds: float, *, seed: int = 0, rate_hz: int = RATE_HZ, amplitude: float = 0.5) -> bytes:
    """Four syllables a second: a gliding voice with six falling harmonics, a soft attack, and a pause after each."""
    at_s = _instants_s(seconds, rate_hz)
    random = np.random.Generator(np.random.PCG64(seed))
    syllables = int(seconds * 4) + 1
    pitch_hz = random.uniform(110, 180, syllables)[(at_s * 4).astype(int)] * (1 + 0.1 * np.sin(8 * np.pi * at_s))
    cycles = np.cumsum(pitch_hz) / rate_hz
    voice: NDArray[np.float64] = np.zeros(len(at_s))
    for harmonic in range(1, 7):
        voice += np.sin(2 * np.pi * harmonic * cycles) / harmonic
    envelope = np.clip(np.sin(2 * np.pi * ((at_s * 4) % 1) / 1.6), 0, 1)
    return _pcm(amplitude * voice * envelope / 2.45)


def wav(
    data: bytes,
    audio: AudioFormat | None = None,
    *,
    size: int | None = None,
    before_data: bytes = b"",
    after_data: bytes = b"",
) -> bytes:
    """`data` in a WAV. `audio` defaults to mono s16 at `RATE_HZ`.

    `size` is what the header claims instead of the truth (say `UNKNOWN_SIZE`); `before_data` and `after_data` are
    whole RIFF chunks (see `riff_chunk`) around the audio.
    """
    audio = audio or AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=RATE_HZ)
    fmt = struct.pack(
        "<HHIIHH",
        _WAV_TAGS.get(audio.encoding, 1),
        audio.channels,
        audio.sample_rate_hz,
        audio.sample_rate_hz * audio.block_align,
        audio.block_align,
        audio.encoding.sample_width * 8,
    )
    claimed = len(data) if size is None else size
    # RIFF pads a chunk of odd length with one byte that no size counts but the outer one.
    body = riff_chunk(b"fmt ", fmt) + before_data + b"data" + struct.pack("<I", claimed) + data
    body += b"\0" * (len(data) % 2 if size is None else 0) + after_data
    return b"RIFF" + struct.pack("<I", len(body) + 4 if size is None else size) + b"WAVE" + body


def riff_chunk(name: bytes, content: bytes) -> bytes:
    """One RIFF chunk, padded to an even length."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _count(seconds: float, rate_hz: int) -> int:
    return round(seconds * rate_hz)


def _instants_s(seconds: float, rate_hz: int) -> NDArray[np.float64]:
    return np.arange(_count(seconds, rate_hz), dtype=np.float64) / rate_hz


def _pcm(signal: NDArray[np.float64]) -> bytes:
    return np.round(signal * 32767).astype("<i2").tobytes()
