"""Real sounds are never suspected, whatever their encoding; the same read in another encoding mostly is."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

from relay.codecs import open_decoder
from relay.codecs.g711 import ENCODE
from relay.codecs.plausible import WATCHED_BYTES, likelier_encoding
from relay.codecs.raw import DECODE
from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from tests.covering import each

SPEECH = sorted((Path(__file__).parents[1] / "golden" / "speech").glob("*.wav"))
N = 24_000
T = np.arange(N)
RANDOM = np.random.default_rng(12)

Signal = NDArray[np.float64]


def coloured(power: float) -> Signal:
    """Noise whose spectrum falls with the frequency: 0.5 is pink, 1 is brown."""
    spectrum = np.fft.rfft(RANDOM.normal(size=N))
    falling: Signal = np.fft.irfft(spectrum / np.maximum(1, np.arange(len(spectrum))) ** power)
    loudest: float = np.abs(falling).max()
    return falling / loudest


def chord() -> Signal:
    parts = [RANDOM.uniform(0.1, 1) * np.sin(2 * np.pi * RANDOM.uniform(50, 5000) * T / N) for _ in range(6)]
    total: Signal = np.sum(parts, axis=0)
    loudest: float = np.abs(total).max()
    return total / loudest


SIGNALS: dict[str, Signal] = {
    "silence": np.zeros(N),
    "offset": np.full(N, 0.3),
    **{f"white at {size}": size * RANDOM.uniform(-1, 1, N) for size in (1, 0.1, 0.003, 1e-4)},
    **{f"noise of power {power}": coloured(power) for power in (0.5, 1, 1.5)},
    **{f"soft noise of power {power}": 0.01 * coloured(power) for power in (0.5, 1)},
    **{
        f"tone at {part} of the rate": np.sin(2 * np.pi * part * T + 0.3)
        for part in (0.001, 0.01, 0.05, 0.125, 0.2, 0.25, 0.2501, 1 / 3, 0.34, 0.4, 0.4999, 0.5)
    },
    **{f"square wave at {hz} Hz": 0.9 * np.sign(np.sin(2 * np.pi * hz * T / N + 0.1)) for hz in (50, 440, 3000)},
    **{f"chord {number}": chord() for number in range(6)},
    "sweep": np.sin(2 * np.pi * (50 + T / N * 5000) * T / N),
    "fade": RANDOM.uniform(-1, 1, N) * np.exp(-T / 4000),
    **{path.stem: soundfile.read(path)[0] for path in SPEECH},
}
DTYPES = {
    Encoding.PCM_S16LE: ("<i2", 32767),
    Encoding.PCM_S16BE: (">i2", 32767),
    Encoding.PCM_S32LE: ("<i4", 2**31 - 512),
    Encoding.PCM_S32BE: (">i4", 2**31 - 512),
    Encoding.PCM_F32LE: ("<f4", 1),
    Encoding.PCM_F32BE: (">f4", 1),
    Encoding.PCM_F64LE: ("<f8", 1),
    Encoding.PCM_F64BE: (">f8", 1),
    Encoding.PCM_S8: ("i1", 127),
}


def encoded(signal: Signal, encoding: Encoding) -> bytes:
    if encoding in ENCODE:
        return ENCODE[encoding]((signal * 32767).astype(np.int16)).tobytes()
    if encoding is Encoding.PCM_U8:
        return (signal * 127 + 128).astype(np.uint8).tobytes()
    if encoding is Encoding.PCM_S24LE:
        return (signal * (2**23 - 1)).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    if encoding is Encoding.PCM_S24BE:
        return (signal * (2**23 - 1)).astype(">i4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
    dtype, size = DTYPES[encoding]
    return (signal * size).astype(dtype).tobytes()


@each("encoding", DECODE)
def test_no_real_sound_is_suspected(encoding: Encoding) -> None:
    for name, signal in SIGNALS.items():
        data = encoded(signal, encoding)[:WATCHED_BYTES]
        assert likelier_encoding(data, encoding, 1, DECODE) is None, name


@pytest.mark.parametrize("written", [Encoding.PCM_S16BE, Encoding.PCM_S24LE, Encoding.PCM_F32LE, Encoding.PCM_S32BE])
def test_speech_in_another_encoding_is_found(written: Encoding) -> None:
    found = [
        likelier_encoding(encoded(SIGNALS[path.stem], written)[:WATCHED_BYTES], Encoding.PCM_S16LE, 1, DECODE)
        for path in SPEECH
    ]
    assert written in found, found
    assert set(found) <= {written, None}


def test_speech_in_g722_is_found() -> None:
    found = [
        likelier_encoding(g722(SIGNALS[path.stem])[:WATCHED_BYTES], Encoding.PCM_S16LE, 1, DECODE) for path in SPEECH
    ]
    assert found == ["G.722"] * len(SPEECH)


def g722(signal: Signal) -> bytes:
    """Speech at 22 kHz read as at 16 kHz, which is slower, and speech still."""
    encoder = av.CodecContext.create("g722", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = 16000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray((signal * 32767).astype(np.int16).reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = 16000
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))


def test_it_is_a_warning_of_the_whole_reply() -> None:
    pcm = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=22050)
    data = bytes(5000) + encoded(SIGNALS["eight"], Encoding.PCM_S16BE)
    for size in (100, 5001, len(data)):
        decoder = open_decoder(SourceFormat(container=Container.RAW, pcm=pcm), "audio/pcm")
        samples = sum(
            len(block.samples) for at in range(0, len(data), size) for block in decoder.feed(data[at : at + size])
        )
        decoder.flush()
        assert samples == len(data) // 2, "it is played all the same"
        assert decoder.likelier_encoding is Encoding.PCM_S16BE


def test_two_channels() -> None:
    left = encoded(SIGNALS["eight"], Encoding.PCM_S16BE)
    both = np.repeat(np.frombuffer(left, "<i2"), 2).tobytes()
    assert likelier_encoding(both[:WATCHED_BYTES], Encoding.PCM_S16LE, 2, DECODE) is Encoding.PCM_S16BE
    fine = np.repeat(np.frombuffer(encoded(SIGNALS["eight"], Encoding.PCM_S16LE), "<i2"), 2).tobytes()
    assert likelier_encoding(fine[:WATCHED_BYTES], Encoding.PCM_S16LE, 2, DECODE) is None
