"""Every decoder, encoder and transform of the relay keeps what those of others have to keep."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from relay.codecs import encoder_for, open_decoder, sample_decoder
from relay.codecs.base import Block, Samples, to_float32
from relay.codecs.mp3 import Mp3Decoder
from relay.codecs.resample import Resampler
from relay.codecs.wav import WavDecoder
from relay.codecs.wav_format import UNKNOWN_SIZE
from relay.core.formats import OUTPUT_ENCODINGS, AudioFormat, AudioRequest, Container, Encoding, SourceFormat
from relay.core.transform import Chain
from relay.testing.audio import noise, riff_chunk, speech_like, wav
from relay.testing.conformance.codec import blocks_of, check_block_transform, check_decoder, check_encoder
from relay.testing.conformance.transform import check_transform
from tests.conformance import broken
from tests.covering import each

GOLDEN = Path(__file__).parent.parent / "golden"
RATE_HZ = 24000
SPEECH = np.frombuffer(speech_like(0.1), np.int16)
LOUD = np.append(np.frombuffer(noise(0.015, amplitude=1.0), np.int16), np.array([0, 1, 32767, -32768], np.int16))
PCM = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=RATE_HZ)
ID3V1 = b"TAG" + b"title".ljust(125, b"\0")

# The reference is another implementation's: libsndfile's names of our encodings, and whether it reads them as floats.
SOUNDFILE = {
    Encoding.PCM_S16LE: ("PCM_16", False),
    Encoding.PCM_S16BE: ("PCM_16", False),
    Encoding.PCM_U8: ("PCM_U8", False),
    Encoding.MULAW: ("ULAW", False),
    Encoding.ALAW: ("ALAW", False),
    Encoding.PCM_F32LE: ("FLOAT", True),
    Encoding.PCM_S24LE: ("PCM_24", True),
    Encoding.PCM_S32LE: ("PCM_32", True),
    Encoding.PCM_S8: ("PCM_S8", False),
    Encoding.PCM_S24BE: ("PCM_24", True),
    Encoding.PCM_S32BE: ("PCM_32", True),
    Encoding.PCM_F32BE: ("FLOAT", True),
    Encoding.PCM_F64LE: ("DOUBLE", True),
    Encoding.PCM_F64BE: ("DOUBLE", True),
}


def raw(encoding: Encoding) -> dict[str, str]:
    endian = "BIG" if encoding.endswith("be") else "LITTLE"
    return {"format": "RAW", "subtype": SOUNDFILE[encoding][0], "endian": endian}


def written(samples: Samples, encoding: Encoding, channels: int = 1) -> bytes:
    file = io.BytesIO()
    values = to_float32(samples) if SOUNDFILE[encoding][1] else samples
    soundfile.write(file, np.repeat(values[:, None], channels, axis=1), RATE_HZ, **raw(encoding))
    return file.getvalue()


def read(data: bytes, encoding: Encoding) -> list[Block]:
    dtype = "float32" if SOUNDFILE[encoding][1] else "int16"
    samples, _ = soundfile.read(io.BytesIO(data), dtype=dtype, samplerate=RATE_HZ, channels=1, **raw(encoding))
    return [Block(samples, RATE_HZ)]


@each("channels", [1, 2])
@each("encoding", Encoding)
def test_headerless_audio(encoding: Encoding, channels: int) -> None:
    form = AudioFormat(encoding=encoding, sample_rate_hz=RATE_HZ, channels=channels)
    expected = read(written(LOUD, encoding), encoding)
    check_decoder(partial(sample_decoder, form), written(LOUD, encoding, channels), expected)


@pytest.mark.parametrize("size", [None, UNKNOWN_SIZE, 0])
def test_wav(size: int | None) -> None:
    trailing = [riff_chunk(b"LIST", b"INFOodd"), wav(b"")]
    data = wav(SPEECH.tobytes(), size=size, before_data=riff_chunk(b"junk", b"odd"))
    check_decoder(partial(WavDecoder, sample_decoder), data, [Block(SPEECH, RATE_HZ)], trailing=trailing)


@pytest.mark.parametrize("name", ["bare_24k", "id3_vbr_24k", "joint_44k", "mpeg25_8k"])
def test_mp3(name: str) -> None:
    path = GOLDEN / "mp3" / f"{name}.mp3"
    # One step of the decoder, another of the mean of two channels.
    samples, rate_hz = soundfile.read(path, dtype="int16", always_2d=True)
    expected = [Block(np.rint(samples.mean(axis=1)).astype(np.int16), rate_hz)]
    check_decoder(Mp3Decoder, path.read_bytes(), expected, within=2, trailing=[ID3V1])


@pytest.mark.parametrize("asked", [Container.RAW, Container.WAV, Container.MP3])
def test_a_decoder_that_sniffs(asked: Container) -> None:
    make = partial(open_decoder, SourceFormat(container=asked, pcm=PCM))
    check_decoder(make, wav(SPEECH.tobytes()), [Block(SPEECH, RATE_HZ)])


def test_a_decoder_that_sniffs_headerless_audio() -> None:
    make = partial(open_decoder, SourceFormat(container=Container.RAW, pcm=PCM), "audio/pcm")
    check_decoder(make, SPEECH.tobytes(), [Block(SPEECH, RATE_HZ)])


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", OUTPUT_ENCODINGS)
def test_encoders(encoding: Encoding, channels: int) -> None:
    form = AudioFormat(encoding=encoding, sample_rate_hz=RATE_HZ, channels=channels)
    check_encoder(lambda: encoder_for(form), SPEECH, written(SPEECH, encoding, channels), form)


@pytest.mark.parametrize("target_hz", [8000, 16000, 24000, 44100, 48000])
def test_resampler(target_hz: int) -> None:
    check_block_transform(lambda: Resampler(target_hz), SPEECH, RATE_HZ)


class EachByte:
    """What a chain gives, byte by byte, so that its cuts do not show."""

    def feed(self, piece: bytes) -> list[int]:
        return list(piece)

    def flush(self) -> list[int]:
        return []


def test_a_whole_chain() -> None:
    form = AudioRequest(encoding=Encoding.MULAW, sample_rate=8000).resolve(8000)

    def chain() -> Chain[Block, int]:
        return Chain(Resampler(8000), encoder_for(form.audio), EachByte())

    check_transform(chain, blocks_of(SPEECH, RATE_HZ))


# The suite finds what it is there to find.


@pytest.mark.parametrize(("make", "says"), broken.DECODERS)
def test_a_broken_decoder_is_found(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_decoder(make, SPEECH.tobytes(), [Block(SPEECH, RATE_HZ)])


def test_a_decoder_that_breaks_on_noise_is_found() -> None:
    with pytest.raises(KeyError, match="loud"):
        check_decoder(broken.BreaksOnNoise, SPEECH.tobytes(), [Block(SPEECH, RATE_HZ)])


@pytest.mark.parametrize(("make", "says"), broken.ENCODERS)
def test_a_broken_encoder_is_found(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_encoder(make, SPEECH, SPEECH.tobytes(), PCM)
