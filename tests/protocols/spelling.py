"""A provider that spells: each letter is so many samples of its own, so that any audio says which text it is of."""

import json

import numpy as np

from relay.testing.fake_provider import Chooser, FakeRequest
from relay.testing.script import Script, Send, Status

SAMPLES_A_LETTER = 24
# Sentences of different letters, so that one that is lost or spoken twice is seen.
SENTENCES = tuple(f"Sentence {chr(97 + number % 26) * (5 + number % 7)} has its own letters." for number in range(200))


def spelled(text: str) -> bytes:
    """The samples of a text at 24 kHz. White space is silent, in no time."""
    letters = np.array([ord(letter) * 16 for letter in text if not letter.isspace()], "<i2")
    return letters.repeat(SAMPLES_A_LETTER).tobytes()


def speller() -> Chooser:
    """Spells what Breeze is asked for."""

    def choose(request: FakeRequest) -> Script:
        if not request.body:
            return (Status(200, {"Content-Type": "application/json"}), Send(b"{}"))
        text = json.loads(request.body)["text"]
        return (Status(200, {"Content-Type": "audio/pcm"}), Send(spelled(text)))

    return choose
