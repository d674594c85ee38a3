"""Test signals: the same bytes each time, of the shape they claim, read back by an independent library."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from relay.core.formats import AudioFormat, Encoding
from relay.testing.audio import RATE_HZ, UNKNOWN_SIZE, noise, riff_chunk, speech_like, sweep, tone, wav

SIGNALS: list[Callable[..., bytes]] = [tone, sweep, noise, speech_like]


def samples(pcm: bytes) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    return np.frombuffer(pcm, "<i2")


@pytest.mark.parametrize("signal", SIGNALS)
def test_signals_are_exact_in_length_repeatable_and_within_bounds(signal: Callable[..., bytes]) -> None:
    pcm = signal(0.5, rate_hz=8000, amplitude=0.25)
    assert pcm == signal(0.5, rate_hz=8000, amplitude=0.25)
    assert len(pcm) == 8000
    peak = np.abs(samples(pcm).astype(int)).max()
    assert 0.1 * 32767 < peak <= round(0.25 * 32767)
    assert len(signal(0.1)) == RATE_HZ // 10 * 2
    assert signal(0.0) == b""


def test_a_tone_has_its_frequency() -> None:
    spectrum = np.abs(np.fft.rfft(samples(tone(1.0, frequency_hz=440.0, rate_hz=16000))))
    assert int(spectrum.argmax()) == 440


def test_a_sweep_rises() -> None:
    pcm = samples(sweep(1.0, from_hz=200.0, to_hz=3000.0))
    crossings = [int((np.diff(np.signbit(part)) != 0).sum()) for part in np.array_split(pcm, 10)]
    assert crossings == sorted(crossings)


def test_seeds_differ() -> None:
    assert noise(0.1, seed=1) != noise(0.1, seed=2)
    assert speech_like(0.5, seed=1) != speech_like(0.5, seed=2)


def test_speech_pauses() -> None:
    pcm = samples(speech_like(1.0)).astype(int)
    # Of each quarter second the last fifth is silent.
    quarter = len(pcm) // 4
    for start in range(0, len(pcm), quarter):
        assert np.abs(pcm[start + quarter * 17 // 20 : start + quarter]).max() == 0
        assert np.abs(pcm[start : start + quarter // 2]).max() > 1000


@pytest.mark.parametrize(
    ("encoding", "subtype"),
    [
        (Encoding.PCM_S16LE, "PCM_16"),
        (Encoding.PCM_S24LE, "PCM_24"),
        (Encoding.PCM_F32LE, "FLOAT"),
        (Encoding.PCM_U8, "PCM_U8"),
        (Encoding.MULAW, "ULAW"),
        (Encoding.ALAW, "ALAW"),
    ],
)
def test_a_wav_says_what_is_in_it(encoding: Encoding, subtype: str) -> None:
    audio = AudioFormat(encoding=encoding, sample_rate_hz=8000, channels=2)
    data = bytes(audio.block_align * 3)
    told = soundfile.info(io.BytesIO(wav(data, audio)))
    assert (told.samplerate, told.channels, told.frames, told.subtype) == (8000, 2, 3, subtype)


def test_a_wav_holds_the_samples_among_other_chunks() -> None:
    pcm = tone(0.01)
    file = wav(pcm, before_data=riff_chunk(b"LIST", b"odd"), after_data=riff_chunk(b"id3 ", b"tail"))
    read, rate_hz = soundfile.read(io.BytesIO(file), dtype="int16")
    assert rate_hz == RATE_HZ
    assert read.tobytes() == pcm


def test_sizes_may_be_unknown_and_odd_data_is_padded() -> None:
    file = wav(b"12", size=UNKNOWN_SIZE)
    assert (file[4:8], file[40:44], file[44:]) == (b"\xff" * 4, b"\xff" * 4, b"12")
    odd = wav(b"123", AudioFormat(encoding=Encoding.PCM_U8, sample_rate_hz=8000))
    assert (odd[40:44], odd[44:]) == (b"\x03\0\0\0", b"123\0")
    assert int.from_bytes(odd[4:8], "little") == len(odd) - 8
