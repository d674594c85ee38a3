"""Whether a file holds what the relay said: sample by sample where its format can, else its sound and its length."""

import io
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

# What MP3 and AAC may be longer by: their encoder's delay, and a whole frame at the end.
LONGER_S = 0.2
LEAST_LIKENESS = 0.97


def complaint(file: Path, said: NDArray[np.int16], rate_hz: int) -> str | None:
    """What is wrong with it; None if nothing is."""
    data = file.read_bytes()
    if file.suffix in (".pcm", ".wav", ".flac"):
        samples = np.frombuffer(data, "<i2") if file.suffix == ".pcm" else _lossless(data, rate_hz)
        if samples is None:
            return "has another rate"
        if len(samples) != len(said):
            return f"holds {len(samples)} samples instead of {len(said)}"
        return None if np.array_equal(samples, said) else "holds other samples"
    heard = _decoded(data, rate_hz)
    extra_s = (len(heard) - len(said)) / rate_hz
    if not -0.002 <= extra_s <= LONGER_S:
        return f"is {extra_s:.3f} s longer than what was said"
    likeness = _likeness(heard, said.astype(np.float32))
    return None if likeness > LEAST_LIKENESS else f"sounds different (correlation {likeness:.3f})"


def _lossless(data: bytes, rate_hz: int) -> NDArray[np.int16] | None:
    """None: of another rate. FLAC that was streamed states no length, which libsndfile wants."""
    if data.startswith(b"fLaC"):
        with av.open(io.BytesIO(data), "r") as file:
            frames = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
            return np.concatenate(frames) if file.streams.audio[0].rate == rate_hz else None
    samples, found_hz = soundfile.read(io.BytesIO(data), dtype="int16")
    return samples if found_hz == rate_hz else None


def _decoded(data: bytes, rate_hz: int) -> NDArray[np.float32]:
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate_hz)
    with av.open(io.BytesIO(data), "r") as file:
        frames = [out for frame in file.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in (*frames, *resampler.resample(None))])


def _likeness(heard: NDArray[np.float32], said: NDArray[np.float32]) -> float:
    """The correlation at the shift where it is largest; 1: the same wave."""
    size = 1 << (len(heard) + len(said)).bit_length()
    crossed = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size)))
    return float(crossed.max() / (np.linalg.norm(heard) * np.linalg.norm(said)))
