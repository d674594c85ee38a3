"""A reply of which every instant is known: what the timings of a turn must be, whatever measures them.

The provider's headers come after 40 ms, the first bytes of its audio after 137 ms and then the rest, cut so that each
stage has an instant of its own: a first sample, a first whole frame of 20 ms, a last byte. The audio is 90 ms of
silence, then speech.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

import av
import numpy as np

from relay.testing.audio import RATE_HZ, noise, wav
from relay.testing.script import Pause, Script, Send, Status

Kind: TypeAlias = Literal["pcm", "wav", "mp3"]
KINDS: tuple[Kind, ...] = get_args(Kind)

HEADERS_MS, FIRST_BYTE_MS, FIRST_SAMPLE_MS, FIRST_FRAME_MS, REST_MS, LAST_BYTE_MS = 40, 137, 146, 155, 163, 241
SILENCE_MS, SPEECH_MS = 90, 410
FRAME_BYTES = RATE_HZ // 50 * 2
# What LAME puts in front (576 + 1 samples) and a decoder's filters (528).
MP3_DELAY_MS = 1105 * 1000 / RATE_HZ
# An attack smears into the short block of MP3 in front of it.
MP3_SMEAR_MS = 3
TYPES = {"pcm": "audio/pcm", "wav": "audio/wav", "mp3": "audio/mpeg"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """`stages` are the names of the protocol's timings and their milliseconds after the request."""

    script: Script
    audio: bytes
    stages: dict[str, float]
    leading_silence_ms: float
    silence_within_ms: float


def known(kind: Kind, speech_ms: int = SPEECH_MS) -> Known:
    """The reply in one encoding. For listeners at 24 kHz with frames of 20 ms: nothing is resampled."""
    pcm = bytes(RATE_HZ * SILENCE_MS // 1000 * 2) + noise(speech_ms / 1000)
    if kind == "mp3":
        packets = _mp3(pcm)
        audio, first_sample, first_frame = b"".join(packets), len(packets[0]), len(packets[0])
    else:
        audio = pcm if kind == "pcm" else wav(pcm)
        header = len(audio) - len(pcm)
        first_sample, first_frame = header + 2, header + FRAME_BYTES
    # An instant and how much is there then; one byte less is there before.
    arrivals = [(FIRST_BYTE_MS, 1), (FIRST_SAMPLE_MS, first_sample), (FIRST_FRAME_MS, first_frame), (REST_MS, 4801)]
    arrivals += [(LAST_BYTE_MS, len(audio))]
    if kind == "mp3":  # one frame of MP3 is 24 ms of audio: its first sample brings the first frame
        arrivals.remove((FIRST_FRAME_MS, first_frame))
        arrivals[2] = (REST_MS, len(audio) // 2)
    steps: list[Pause | Send | Status] = [
        Pause(HEADERS_MS / 1000),
        Status(200, {"content-type": TYPES[kind]}),
    ]
    for (before_ms, there), (now_ms, now_there) in pairwise([(HEADERS_MS, 0), *arrivals]):
        steps += [Pause((now_ms - before_ms) / 1000), Send(audio[there:now_there])]
    return Known(
        script=tuple(steps),
        audio=audio,
        stages={
            "request_sent": 0.0,
            "response_headers": HEADERS_MS,
            "first_byte": FIRST_BYTE_MS,
            "first_sample": FIRST_SAMPLE_MS,
            "first_frame": FIRST_SAMPLE_MS if kind == "mp3" else FIRST_FRAME_MS,
            "last_byte": LAST_BYTE_MS,
        },
        leading_silence_ms=SILENCE_MS + (MP3_DELAY_MS if kind == "mp3" else 0),
        silence_within_ms=MP3_SMEAR_MS if kind == "mp3" else 1,
    )


def _mp3(pcm: bytes) -> list[bytes]:
    """Whole frames at a constant 160 kbit/s, nothing before or between them."""
    encoder = av.CodecContext.create("libmp3lame", "w")
    encoder.sample_rate, encoder.bit_rate, encoder.layout, encoder.format = RATE_HZ, 160_000, "mono", "s16p"
    encoder.open()
    whole = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2").reshape(1, -1), format="s16p", layout="mono")
    whole.sample_rate = RATE_HZ
    fifo, packets = av.AudioFifo(), []
    fifo.write(whole)
    while (block := fifo.read(encoder.frame_size, partial=True)) is not None:
        block.pts = None
        packets += encoder.encode(block)
    return [bytes(packet) for packet in [*packets, *encoder.encode(None)]]
