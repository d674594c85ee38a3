"""What is done to a turn's samples, end to end: gain, trimming, and the fade at a cancel."""

import asyncio
from typing import Any

import numpy as np
import pytest

from relay.codecs.fade import faded
from relay.core.formats import AudioFormat, Encoding
from relay.core.frames import unpack_header
from relay.testing.audio import speech_like
from relay.testing.script import Send, Stall, Status
from tests.server.harness import client, relay_to

OK = Status(200, {"content-type": "audio/pcm"})
CLIP = speech_like(2.0)
MONO = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)


async def test_a_gain_and_trimmed_silence() -> None:
    pcm = bytes(24000) + CLIP
    async with relay_to((OK, Send(pcm))) as (server, _), client(server) as caller:
        plain = await caller.speak(audio={"tail": "short"})
        assert plain.audio == pcm
        heard = await caller.speak(audio={"tail": "short", "max_leading_silence_ms": 50})
        assert pcm.endswith(heard.audio)
        assert 49 <= heard.end["timings"]["leading_silence_ms"] <= 50
        assert heard.end["samples"] == len(heard.audio) // 2
        softer = await caller.speak(audio={"tail": "short", "gain_db": -20, "encoding": "pcm_f32le"})
        expected = np.frombuffer(pcm, np.int16).astype(np.float64) / 327_680
        assert np.allclose(np.frombuffer(softer.audio, np.float32), expected, atol=1e-6)
        refused = await caller.speak(audio={"gain_db": 31}, turn_id="t")
        assert refused.end["code"] == "invalid_config"
        assert "audio.gain_db" in refused.end["message"]


@pytest.mark.parametrize("header", [False, True])
async def test_a_fade_leaves_before_turn_cancelled_and_nothing_after(header: bool) -> None:
    audio: dict[str, Any] = {"fade_ms": 50, "header": header}
    pacing = {"mode": "realtime", "lead_ms": 100, "burst_ms": 0}
    async with relay_to((OK, Send(CLIP), Stall())) as (server, _), client(server) as caller:
        await caller.send(type="speak", text="Hello there.", turn_id="a", audio=audio, pacing=pacing)
        before: list[bytes] = []
        while len(before) < 5:
            if isinstance(message := await caller.receive(), bytes):
                before.append(message)
        await caller.send(type="turn.cancel", turn_id="a")
        heard = await caller.turn("a")
        end = heard.end
        assert end["type"] == "turn.cancelled"
        frames = [*before, *heard.frames]
        samples = [frame[16:] if header else frame for frame in frames]
        assert end["frames"] == len(frames)
        # The fade is three frames, of which the last holds 10 ms of it.
        padding = 480 * 3 - 1200
        assert end["samples_sent"] == 480 * len(frames) - padding
        begin = 960 * (len(frames) - 3)
        assert b"".join(samples[:-3]) == CLIP[:begin]
        assert b"".join(samples[-3:]) == faded(CLIP[begin : begin + 2880], MONO, 1200)
        if header:
            last = unpack_header(frames[-1])
            assert (last.last, last.padding) == (True, padding)
        await caller.send(type="speak", text="Hello again.", turn_id="b", audio={"header": True})
        async with asyncio.timeout(10):
            while True:
                message = await caller.receive()
                if isinstance(message, bytes):
                    assert unpack_header(message).turn_index == 1
                    break
                assert message.get("turn_id") != "a"


async def test_a_turn_of_which_nothing_was_sent_is_dropped_without_a_fade() -> None:
    async with relay_to((OK, Send(CLIP[:960]), Stall())) as (server, _), client(server) as caller:
        await caller.send(type="turn.start", turn_id="a", audio={"fade_ms": 50, "frame_ms": 40})
        await caller.send(type="text.append", text="Hello there.")
        await caller.send(type="turn.cancel", turn_id="a")
        heard = await caller.turn("a")
        assert (heard.end["type"], heard.end["frames"], heard.frames) == ("turn.cancelled", 0, [])
