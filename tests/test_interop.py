"""What `make interop` takes for the same sound, and how it tells another."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from interop.hearing import complaint
from interop.table import TABLE
from relay.codecs.containers import CONTAINERS
from relay.core.formats import AudioFormat, Encoding

AT_S = np.arange(24000) / 24000
# From 200 to 1000 Hz.
SAID = (8000 * np.sin(2 * np.pi * (200 * AT_S + 400 * AT_S**2))).astype(np.int16)


def packed(name: str, samples: "np.ndarray[tuple[int], np.dtype[np.int16]]", rate_hz: int = 24000) -> bytes:
    encoder = CONTAINERS[name](AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=rate_hz))
    return encoder.begin(None) + encoder.feed(samples.astype("<i2").tobytes()) + encoder.flush()


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_same_sound_passes_and_another_is_told(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"a.{'pcm' if name == 'raw' else name}"
    file.write_bytes(packed(name, SAID))
    assert complaint(file, SAID, 24000) is None
    other = np.roll(SAID[::-1], 7)
    for wrong, why in ((other, ("other samples", "different")), (SAID[:-600], ("instead of", "longer"))):
        file.write_bytes(packed(name, np.ascontiguousarray(wrong)))
        if name in ("mp3", "aac") and len(wrong) < len(SAID):
            continue  # their last frame may be longer than what is missing
        assert any(words in (complaint(file, SAID, 24000) or "") for words in why)


def test_another_rate_is_told(tmp_path: Path) -> None:
    wav = io.BytesIO()
    soundfile.write(wav, SAID, 22050, format="WAV")
    (tmp_path / "a.wav").write_bytes(wav.getvalue())
    assert complaint(tmp_path / "a.wav", SAID, 24000) == "has another rate"


def test_every_client_has_its_program_and_exact_pins() -> None:
    for client in TABLE:
        assert client.program.is_file()
        exact = "==" if client.runtime == "python" else "@"
        assert all(exact in pin[1:] for pin in client.pins)
