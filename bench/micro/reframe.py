"""What it costs to turn a provider's PCM into frames: nanoseconds for each 20 ms frame at 24 kHz.

Run: `python -m bench.micro.reframe`. Each case stands beside the memcpy floor: cutting the same bytes into frames by
slicing. Runs of all cases are interleaved, and the median of each is reported, so that a busy moment hits them alike.
"""

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from relay.codecs import encoder_for, open_decoder, sample_decoder
from relay.core.events import Pacing
from relay.core.formats import AudioFormat, AudioRequest, Container, Encoding, FrameFormat, SourceFormat
from relay.core.playout import Playout, Run
from relay.core.transform import Chain, Transform

RUNS = 15
RATE_HZ = 24000
SECONDS = 20
CHUNKS_BYTES = (100, 1024, 4096)

FORM = AudioRequest(sample_rate=RATE_HZ).resolve(RATE_HZ)
MULAW_FORM = AudioRequest(encoding=Encoding.MULAW, sample_rate=RATE_HZ).resolve(RATE_HZ)
FRAMES = SECONDS * 1000 // FORM.frame_ms
PCM = bytes(range(256)) * (FRAMES * FORM.frame_bytes // 256)
FLOATS = (np.frombuffer(PCM, "<i2") / np.float32(32768)).tobytes()


@dataclass(frozen=True, slots=True)
class Row:
    """A case at one chunk size, and the floor measured in the same runs."""

    case: str
    chunk_bytes: int
    ns_per_frame: float
    memcpy_ns_per_frame: float

    @property
    def ratio(self) -> float:
        return self.ns_per_frame / self.memcpy_ns_per_frame


class Cut:
    """A schedule whose frames leave as they come: bytes -> frames, each as its own slice, as a protocol makes them."""

    def __init__(self, frame_format: FrameFormat) -> None:
        self._size = frame_format.frame_bytes
        self._playout = Playout()
        self._playout.open("a", Pacing())
        self._playout.set_format("a", frame_format)

    def feed(self, piece: bytes) -> list[bytes]:
        self._playout.feed("a", piece)
        return self._due()

    def flush(self) -> list[bytes]:
        self._playout.end("a")
        return self._due()

    def _due(self) -> list[bytes]:
        size = self._size
        runs = [item.payload for item in self._playout.due(0.0, 1 << 20) if type(item) is Run]
        return [run[at : at + size] for run in runs for at in range(0, len(run), size)]


def reframe() -> Transform[bytes, object]:
    return Cut(FORM)


def decode_encode_reframe() -> Transform[bytes, object]:
    return Chain(sample_decoder(FORM.audio), encoder_for(FORM.audio), Cut(FORM))


def sniff_decode_encode_reframe() -> Transform[bytes, object]:
    source = SourceFormat(container=Container.RAW, pcm=FORM.audio)
    return Chain(open_decoder(source, "audio/pcm"), encoder_for(FORM.audio), Cut(FORM))


def to_mulaw() -> Transform[bytes, object]:
    return Chain(sample_decoder(FORM.audio), encoder_for(MULAW_FORM.audio), Cut(MULAW_FORM))


def from_f32() -> Transform[bytes, object]:
    source = AudioFormat(encoding=Encoding.PCM_F32LE, sample_rate_hz=RATE_HZ)
    return Chain(sample_decoder(source), encoder_for(FORM.audio), Cut(FORM))


# name: (what makes the transform, what it is fed)
CASES: dict[str, tuple[Callable[[], Transform[bytes, object]], bytes]] = {
    "reframe": (reframe, PCM),
    "s16 > s16, reframe": (decode_encode_reframe, PCM),
    "sniff, s16 > s16, reframe": (sniff_decode_encode_reframe, PCM),
    "s16 > mulaw, reframe": (to_mulaw, PCM),
    "f32 > s16, reframe": (from_f32, FLOATS),
}


def main() -> list[Row]:
    """Measures, prints and returns one row for each case and chunk size."""
    rows = [row for chunk_bytes in CHUNKS_BYTES for row in measure(chunk_bytes)]
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, CPU time")
    print(f"{'case':28} {'chunk B':>8} {'ns/frame':>9} {'memcpy':>7} {'ratio':>6}")
    for row in rows:
        print(
            f"{row.case:28} {row.chunk_bytes:8} {row.ns_per_frame:9.0f} {row.memcpy_ns_per_frame:7.0f} {row.ratio:6.1f}"
        )
    return rows


def measure(chunk_bytes: int) -> list[Row]:
    chunks = {name: _pieces(audio, chunk_bytes) for name, (_, audio) in CASES.items()}
    floors_ns: list[float] = []
    costs_ns: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(RUNS):
        floors_ns.append(_floor_ns() / FRAMES)
        for name, (make, _) in CASES.items():
            costs_ns[name].append(_cost_ns(make(), chunks[name]) / FRAMES)
    floor_ns = statistics.median(floors_ns)
    return [Row(name, chunk_bytes, statistics.median(costs), floor_ns) for name, costs in costs_ns.items()]


def _pieces(audio: bytes, size: int) -> list[bytes]:
    return [audio[at : at + size] for at in range(0, len(audio), size)]


def _floor_ns() -> int:
    size = FORM.frame_bytes
    start_ns = time.process_time_ns()
    for at in range(0, len(PCM), size):
        PCM[at : at + size]
    return time.process_time_ns() - start_ns


def _cost_ns(transform: Transform[bytes, object], chunks: list[bytes]) -> int:
    count = 0
    start_ns = time.process_time_ns()
    for chunk in chunks:
        count += len(transform.feed(chunk))
    count += len(transform.flush())
    cost_ns = time.process_time_ns() - start_ns
    assert count == FRAMES, f"{count} frames instead of {FRAMES}"
    return cost_ns


if __name__ == "__main__":
    main()
