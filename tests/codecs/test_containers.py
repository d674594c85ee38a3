"""Containers around the audio that leaves, read back by FFmpeg's readers."""

import io
import random

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from relay.codecs.compressed import FORMATS, CompressedFile
from relay.codecs.containers import CONTAINERS, PLAIN, ContainerEncoder
from relay.core.formats import AudioFormat, Encoding
from tests.covering import base_choices, each

COMPRESSED = sorted(CONTAINERS.keys() - PLAIN)
RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def tone(rate_hz: int, seconds: float = 0.7) -> NDArray[np.int16]:
    """Two tones, so that a shift by a period is seen."""
    at = np.arange(int(rate_hz * seconds)) / rate_hz
    wave = 0.4 * np.sin(2 * np.pi * 440 * at) + 0.2 * np.sin(2 * np.pi * 307 * at)
    return (wave * 32767).astype(np.int16)


def packed(encoder: ContainerEncoder, pcm: bytes, sizes: list[int]) -> bytes:
    pieces, at = [encoder.begin(None)], 0
    for size in sizes:
        pieces.append(encoder.feed(pcm[at : at + size]))
        at += size
    return b"".join([*pieces, encoder.feed(pcm[at:]), encoder.flush()])


def read(data: bytes) -> tuple[NDArray[np.float32], int, int]:
    """Samples of the first channel, rate and number of channels, by FFmpeg."""
    with av.open(io.BytesIO(data), "r") as file:
        stream = file.streams.audio[0]
        resampler = av.AudioResampler(format="fltp")
        frames = [out for frame in file.decode(stream) for out in resampler.resample(frame)]
        return np.concatenate([frame.to_ndarray()[0] for frame in frames]), stream.rate, stream.channels


def lag_of(heard: NDArray[np.float32], said: NDArray[np.float32]) -> int:
    """By how many samples what is heard is late."""
    spectrum = np.fft.rfft(heard, 1 << 17) * np.conj(np.fft.rfft(said, 1 << 17))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    return lag if lag < 1 << 16 else lag - (1 << 17)


@pytest.mark.parametrize("name", COMPRESSED)
def test_every_rate_is_the_same_sound_whatever_the_cuts(name: str) -> None:
    chance = random.Random(name)
    for rate_hz, channels in base_choices(RATES_HZ, (1, 2)):
        said = tone(rate_hz)
        pcm = said.repeat(channels).astype("<i2").tobytes()
        audio = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=rate_hz, channels=channels)
        whole = packed(CONTAINERS[name](audio), pcm, [])
        cuts = [chance.randint(1, 3000) for _ in range(20)]
        assert packed(CONTAINERS[name](audio), pcm, cuts) == whole
        heard, heard_hz, heard_channels = read(whole)
        assert heard_channels == channels
        assert heard_hz == (48000 if name == "ogg" else rate_hz)
        # MP3 and AAC begin with what their encoder is late by, and end with a whole frame.
        longest_s = {"mp3": 0.5, "aac": 0.4}.get(name, 0.0)
        extra_s = len(heard) / heard_hz - len(said) / rate_hz
        assert -1 / heard_hz <= extra_s <= longest_s + 1 / heard_hz
        said_there = np.interp(np.arange(0, 0.7, 1 / heard_hz), np.arange(len(said)) / rate_hz, said / 32768)
        lag = lag_of(heard, said_there.astype(np.float32))
        # Opus itself shifts by a tenth of a millisecond.
        assert -5 <= lag <= longest_s * heard_hz + 5
        lag = max(lag, 0)
        middle = slice(int(0.2 * heard_hz), int(0.5 * heard_hz))
        error = heard[lag:][middle] - said_there[middle]
        assert np.sqrt(np.mean(error**2)) < 0.03, (rate_hz, np.sqrt(np.mean(error**2)))


def test_flac_is_sample_exact_also_from_other_encodings() -> None:
    said = tone(24000)
    for encoding, pcm, expected in (
        (Encoding.PCM_S16LE, said.astype("<i2").tobytes(), said),
        (Encoding.PCM_F32LE, (said / 32768).astype("<f4").tobytes(), said),
    ):
        audio = AudioFormat(encoding=encoding, sample_rate_hz=24000)
        data = packed(CONTAINERS["flac"](audio), pcm, [1, 7, 4801])
        samples, rate_hz, _ = read(data)
        assert rate_hz == 24000
        assert np.array_equal((samples * 32768).astype(np.int16), expected)


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_first_bytes_do_not_wait_for_the_end(name: str) -> None:
    audio = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)
    encoder = CONTAINERS[name](audio)
    encoder.begin(None)
    frame = tone(24000)[:480].tobytes()
    frames = next(count for count in range(1, 20) if encoder.feed(frame))
    assert frames * 20 <= {"raw": 20, "wav": 20, "mp3": 100, "ogg": 60, "flac": 200, "aac": 120}[name]


@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.PCM_S16LE, Encoding.PCM_F32LE])
def test_a_wav_whose_length_is_known_states_it(encoding: Encoding) -> None:
    pcm = bytes(3 * encoding.sample_width)
    encoder = CONTAINERS["wav"](AudioFormat(encoding=encoding, sample_rate_hz=8000))
    data = encoder.begin(len(pcm)) + encoder.feed(pcm) + encoder.flush()
    assert len(data) % 2 == 0
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    assert soundfile.info(io.BytesIO(data)).frames == 3


@pytest.mark.parametrize("name", CONTAINERS)
def test_no_audio_at_all_is_a_file_without_samples(name: str) -> None:
    encoder = CONTAINERS[name](AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000))
    data = encoder.begin(0) + encoder.flush()
    if name not in ("raw", "mp3", "aac"):
        assert data
    if name == "flac":
        with av.open(io.BytesIO(data), "r") as file:
            assert list(file.decode(audio=0)) == []


@each("name", FORMATS)
@each("rate_hz", [8000, 22050, 24000, 48000])
def test_a_file_that_can_seek_states_its_exact_length_whatever_the_cuts(name: str, rate_hz: int) -> None:
    chance = random.Random(rate_hz)
    # 1 and 24205: LAME ends with more padding than a frame of it.
    for samples in (1, 480, 16801, 24205):
        pcm = tone(rate_hz, 4.0)[:samples].tobytes()
        written = []
        for cuts in ([], [1, 3], [chance.randint(1, 3000) for _ in range(20)]):
            with io.BytesIO() as file:
                encoder = CompressedFile(
                    FORMATS[name], AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=rate_hz), file
                )
                at = 0
                for size in cuts:
                    encoder.feed(pcm[at : at + size])
                    at += size
                encoder.feed(pcm[at:])
                encoder.flush()
                written.append(file.getvalue())
        assert written[1:] == written[:1] * 2
        if name == "aac":  # it has no place for a length: the delay of a frame, and a whole frame at the end
            frames = written[0].count(b"\xff\xf1")
            assert frames * 1024 >= samples + 1024
            continue
        heard, heard_hz = soundfile.read(io.BytesIO(written[0]), dtype="int16")
        assert abs(len(heard) * rate_hz - samples * heard_hz) < rate_hz, (samples, len(heard))
        if name == "flac":
            assert heard.astype("<i2").tobytes() == pcm


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_rate_that_a_codec_has_not_is_resampled(name: str) -> None:
    pcm = tone(23000).tobytes()
    encoder = CONTAINERS[name](AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=23000))
    heard, heard_hz, _ = read(packed(encoder, pcm, [999]))
    assert heard_hz == (23000 if name == "flac" else 48000)
    assert -2 / heard_hz <= len(heard) / heard_hz - len(pcm) / 2 / 23000 <= 0.1
