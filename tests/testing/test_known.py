"""The reply of which every instant is known, against an independent reader."""

import io

import numpy as np
import pytest
import soundfile

from relay.testing.known import KINDS, LAST_BYTE_MS, SILENCE_MS, SPEECH_MS, Kind, known
from relay.testing.script import Pause, Send


@pytest.mark.parametrize("kind", KINDS)
def test_the_script_sends_the_audio_by_its_last_instant(kind: Kind) -> None:
    reply = known(kind)
    assert b"".join(step.data for step in reply.script if isinstance(step, Send)) == reply.audio
    assert sum(step.seconds for step in reply.script if isinstance(step, Pause)) == pytest.approx(LAST_BYTE_MS / 1000)


@pytest.mark.parametrize("kind", KINDS)
def test_the_audio_is_silent_and_then_it_speaks(kind: Kind) -> None:
    reply = known(kind)
    if kind == "pcm":
        samples = np.frombuffer(reply.audio, "<i2")
    else:
        samples, rate_hz = soundfile.read(io.BytesIO(reply.audio), dtype="int16")
        assert rate_hz == 24000
    first_loud_ms = np.flatnonzero(np.abs(samples) > 500)[0] / 24
    assert first_loud_ms == pytest.approx(reply.leading_silence_ms, abs=reply.silence_within_ms)
    assert len(samples) / 24 >= SILENCE_MS + SPEECH_MS
