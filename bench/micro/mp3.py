"""What MP3 costs: microseconds of CPU for each 20 ms of audio, and for the one frame that a listener waits for.

Run: `python -m bench.micro.mp3`. Each case stands beside libsndfile's decode of the same bytes as one whole file (its
libmpg123 is the fastest decoder measured, and may look at everything at once). Runs of all cases are interleaved, and
medians are reported, so that a busy moment hits them alike; the ratio is the median of the ratios of runs side by side.
"""

import io
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import soundfile

from bench.micro.reframe import Cut
from relay.codecs import encoder_for
from relay.codecs.mp3 import Mp3Decoder, warm_up
from relay.codecs.mp3_frames import MAX_JUNK_RUN_BYTES, FrameSplitter, Mp3Frame
from relay.core.formats import AudioRequest
from relay.core.transform import Chain, Transform

RUNS = 15
SECONDS = 20
OPENED = 200
GOLDEN = Path(__file__).parents[2] / "tests" / "golden" / "mp3"
NAMES = {"bare_24k": "24 kHz 64k", "info_44k": "44.1 kHz 64k", "joint_44k": "44.1 kHz stereo 96k"}


@dataclass(frozen=True, slots=True)
class Row:
    """A case, and how many times the cost of the whole-file decode in the same runs it is, where that is alike."""

    name: str
    value: float
    unit: str
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Frames of sound, repeated to SECONDS; no tag, so that every sample counts."""

    data: bytes
    frames: int
    periods: float  # of 20 ms

    @classmethod
    def of(cls, name: str) -> "Stream":
        frames = FrameSplitter().feed((GOLDEN / f"{name}.mp3").read_bytes())
        sound = frames if name.startswith("bare") else frames[1:]
        seconds = sum(frame.header.samples / frame.header.sample_rate_hz for frame in sound)
        times = round(SECONDS / seconds)
        return cls(b"".join(frame.data for frame in sound) * times, len(sound) * times, seconds * times * 50)


def pull(make: Callable[[], Transform[bytes, Any]], data: bytes, piece_bytes: int) -> None:
    transform = make()
    for at in range(0, len(data), piece_bytes):
        transform.feed(data[at : at + piece_bytes])
    transform.flush()


def to_frames() -> Transform[bytes, Any]:
    form = AudioRequest(sample_rate=24000).resolve(24000)
    return Chain(Mp3Decoder(), encoder_for(form.audio), Cut(form))


def whole_file(data: bytes) -> None:
    soundfile.read(io.BytesIO(data), dtype="int16")


def open_decoders() -> None:
    for _ in range(OPENED):
        Mp3Decoder()


def first_frames(decoders: Iterable[Mp3Decoder], frame: Mp3Frame) -> Callable[[], None]:
    """Decoders that have all of their first frame but its last byte; the step to be measured brings that byte."""
    waiting = list(decoders)
    for decoder in waiting:
        decoder.feed(frame.data[:-1])

    def step() -> None:
        for decoder in waiting:
            decoder.feed(frame.data[-1:])

    return step


def cpu_s(work: Callable[[], None]) -> float:
    begin_s = time.process_time()
    work()
    return time.process_time() - begin_s


def per_period_rows() -> list[Row]:
    """The cost of 20 ms of audio, beside the whole-file decode of the same stream."""
    streams = {name: Stream.of(name) for name in NAMES}
    cases: list[tuple[str, str, Callable[[], None]]] = []
    for name, stream in streams.items():
        for piece_bytes in (192, 1024, 4096):
            label = f"{NAMES[name]}, {piece_bytes} B pieces"
            cases.append((name, label, partial(pull, Mp3Decoder, stream.data, piece_bytes)))
    bare = streams["bare_24k"].data
    cases.append(("bare_24k", "24 kHz 64k, 1 B pieces", partial(pull, Mp3Decoder, bare, 1)))
    cases.append(("bare_24k", "24 kHz 64k, 1024 B, to 20 ms frames", partial(pull, to_frames, bare, 1024)))
    cases.append(("bare_24k", "splitter alone, 1024 B pieces", partial(pull, FrameSplitter, bare, 1024)))
    cases.append(("bare_24k", "splitter alone, 1 B pieces", partial(pull, FrameSplitter, bare, 1)))
    spent: dict[str, list[float]] = {label: [] for _, label, _ in cases}
    floors: dict[str, list[float]] = {name: [] for name in streams}
    for _ in range(RUNS):
        for name, stream in streams.items():
            floors[name].append(cpu_s(partial(whole_file, stream.data)))
        for _, label, work in cases:
            spent[label].append(cpu_s(work))
    rows = [
        _row(f"{NAMES[name]}, whole file, libsndfile", floors[name], floors[name], streams[name]) for name in streams
    ]
    return rows + [_row(label, spent[label], floors[name], streams[name]) for name, label, _ in cases]


def _row(label: str, spent_s: list[float], floor_s: list[float], stream: Stream) -> Row:
    ratio = statistics.median(mine / floor for mine, floor in zip(spent_s, floor_s, strict=True))
    return Row(label, statistics.median(spent_s) / stream.periods * 1e6, "us / 20 ms", ratio)


def single_rows() -> list[Row]:
    """What is not a matter of audio time."""
    frame = FrameSplitter().feed((GOLDEN / "bare_24k.mp3").read_bytes())[0]
    noise = random.Random(1).randbytes(MAX_JUNK_RUN_BYTES - 1)
    spent: dict[str, list[float]] = {"open": [], "first": [], "junk": [], "false": []}
    for _ in range(RUNS):
        spent["open"].append(cpu_s(open_decoders) / OPENED * 1e6)
        step = first_frames((Mp3Decoder() for _ in range(OPENED)), frame)
        spent["first"].append(cpu_s(step) / OPENED * 1e6)
        spent["junk"].append(cpu_s(partial(pull, FrameSplitter, noise, 1024)) / len(noise) * 1e9)
        # Each announces 417 bytes, which is where none of the others is.
        worst = b"\xff\xfb\x90\x00" * (len(noise) // 4 - 1)
        spent["false"].append(cpu_s(partial(pull, FrameSplitter, b"x" + worst, 1024)) / len(worst) * 1e9)
    return [
        Row("open a decoder", statistics.median(spent["open"]), "us"),
        Row("last byte of the first frame -> PCM", statistics.median(spent["first"]), "us"),
        Row("search through noise", statistics.median(spent["junk"]), "ns / byte"),
        Row("search through false headers alone", statistics.median(spent["false"]), "ns / byte"),
    ]


def main() -> list[Row]:
    """Prints a table of the medians of RUNS, and returns its rows."""
    warm_up()
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, av {av.__version__}")
    rows = per_period_rows() + single_rows()
    print(f"{'case':44} {'CPU':>8} {'unit':10} {'x whole file':>12}")
    for row in rows:
        print(f"{row.name:44} {row.value:8.2f} {row.unit:10} {'' if row.ratio is None else format(row.ratio, '12.2f')}")
    return rows


if __name__ == "__main__":
    main()
