"""How readers that are not ours take the sizes of a WAV whose length was not known when it began."""

import io
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from relay.codecs import encoder_for
from relay.codecs.base import Block
from relay.codecs.wav_format import wav_header
from relay.core.formats import OUTPUT_CHANNELS, OUTPUT_ENCODINGS, AudioFormat, Encoding

SAMPLES = np.random.default_rng(1).integers(-(2**15), 2**15, 1001).astype(np.int16)


def streamed(audio: AudioFormat) -> bytes:
    return wav_header(audio, None) + b"".join(encoder_for(audio).feed(Block(SAMPLES, audio.sample_rate_hz)))


@pytest.mark.parametrize("channels", OUTPUT_CHANNELS)
@pytest.mark.parametrize("encoding", OUTPUT_ENCODINGS)
def test_libsndfile_counts_what_is_there(encoding: Encoding, channels: int, tmp_path: Path) -> None:
    """In a file and in memory."""
    audio = AudioFormat(encoding=encoding, sample_rate_hz=24000, channels=channels)
    data = streamed(audio)
    (tmp_path / "out.wav").write_bytes(data)
    for source in (tmp_path / "out.wav", io.BytesIO(data)):
        with soundfile.SoundFile(source) as file:
            assert (file.frames, file.samplerate, file.channels) == (1001, 24000, channels)
            read = file.read(dtype="int16", always_2d=True)
        assert read.shape == (1001, channels)
        if encoding is Encoding.PCM_S16LE:
            assert (read == SAMPLES[:, None]).all()


def test_the_standard_library_reads_all_and_counts_wrong() -> None:
    """`getnframes` says what the header says; `readframes` gives what is there."""
    audio = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)
    with wave.open(io.BytesIO(streamed(audio)), "rb") as file:
        assert file.getnframes() == 0xFFFFFFFF // 2
        assert file.readframes(file.getnframes()) == SAMPLES.astype("<i2").tobytes()
