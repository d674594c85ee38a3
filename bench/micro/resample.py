"""What it costs to resample: microseconds of CPU for each push of audio, and for the onset detector's look at it.

Run: `python -m bench.micro.resample`. Each pair of rates stands beside soxr's HQ stream, where that is installed, fed
the same pushes. Runs of all cases are interleaved, and the median of each is reported, so that a busy moment hits them
alike; the ratio is the median of the ratios of runs side by side.

The two are not alike in kind: "first" is how much audio each takes in, in pushes of 1 ms, before it gives any out.
"""

import platform
import statistics
import time
from collections.abc import Callable, Sized
from dataclasses import dataclass

import numpy as np

from relay.codecs.base import Block, Samples
from relay.codecs.onset import OnsetDetector
from relay.codecs.resample import Resampler, warm_up

try:
    import soxr
except ImportError:
    soxr = None

RUNS = 15
SECONDS = 4
PUSHES_MS = (20, 100)
# The last pair is one that no table serves.
PAIRS_HZ = (
    (24000, 16000),
    (24000, 8000),
    (24000, 48000),
    (22050, 16000),
    (22050, 24000),
    (44100, 8000),
    (44100, 16000),
    (44100, 24000),
    (16001, 16000),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A pair of rates at one size of push and type of sample, and soxr HQ measured in the same runs."""

    source_rate_hz: int
    target_rate_hz: int
    push_ms: int
    dtype: str
    us_per_push: float
    first_ms: int
    soxr_us_per_push: float | None
    soxr_first_ms: int | None
    ratio: float | None


# Takes one push, gives what came out.
Push = Callable[[Samples], Sized]


def main() -> list[Row]:
    """Measures, prints and returns one row for each pair, push and type of sample."""
    warm_up(PAIRS_HZ)
    versions = f"numpy {np.__version__}, soxr {soxr.__version__ if soxr else 'not installed'}"
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, {versions}")
    print(f"{'rates':>15} {'push':>7} {'type':>8} {'us':>7} {'first':>7} {'soxr us':>8} {'first':>7} {'ratio':>6}")
    rows = []
    for push_ms in PUSHES_MS:
        for dtype in ("int16", "float32") if push_ms == PUSHES_MS[0] else ("int16",):
            for source, target in PAIRS_HZ:
                rows.append(row := measure(source, target, push_ms, dtype))
                print(line(row))
    print(f"a new turn's resampler and its first push of one sample: {opening_us():.1f} us")
    print(f"onset detector, 20 ms of silence at 24 kHz: {onset_us():.1f} us")
    return rows


def line(row: Row) -> str:
    ours = f"{row.source_rate_hz:6} -> {row.target_rate_hz:5} {row.push_ms:4} ms {row.dtype:>8}"
    ours += f" {row.us_per_push:7.1f} {row.first_ms:4} ms"
    return (
        ours if row.ratio is None else f"{ours} {row.soxr_us_per_push:8.1f} {row.soxr_first_ms:4} ms {row.ratio:6.2f}"
    )


def measure(source: int, target: int, push_ms: int, dtype: str) -> Row:
    # At the level of speech: soxr clips full-scale noise at a cost that speech never causes.
    audio = np.random.default_rng(1).normal(0, 3000, source * SECONDS).astype(np.int16)
    samples: Samples = audio if dtype == "int16" else (audio / 2**15).astype(np.float32)
    size = source * push_ms // 1000
    pushes = [samples[start : start + size] for start in range(0, len(samples) - size + 1, size)]
    makers: list[Callable[[], Push]] = [lambda: resampler_push(source, target)]
    if soxr is not None:
        makers.append(lambda: soxr_push(source, target, dtype))
    runs = [[us_per_push(make(), pushes) for make in makers] for _ in range(RUNS)]
    medians = [statistics.median(column) for column in zip(*runs, strict=True)]
    firsts = [first_ms(make(), samples, source) for make in makers]
    if soxr is None:
        return Row(source, target, push_ms, dtype, medians[0], firsts[0], None, None, None)
    ratio = statistics.median(ours / theirs for ours, theirs in runs)
    return Row(source, target, push_ms, dtype, medians[0], firsts[0], medians[1], firsts[1], ratio)


def resampler_push(source: int, target: int) -> Push:
    resampler = Resampler(target)
    return lambda samples: resampler.feed(Block(samples, source))


def soxr_push(source: int, target: int, dtype: str) -> Push:
    push: Push = soxr.ResampleStream(source, target, 1, dtype=dtype, quality="HQ").resample_chunk
    return push


def us_per_push(push: Push, pushes: list[Samples]) -> float:
    begin_s = time.process_time()
    for samples in pushes:
        push(samples)
    return (time.process_time() - begin_s) * 1e6 / len(pushes)


def first_ms(push: Push, samples: Samples, source: int) -> int:
    """Milliseconds of input until the first output."""
    ms = 1
    while not len(push(samples[source * (ms - 1) // 1000 : source * ms // 1000])):
        ms += 1
    return ms


def opening_us() -> float:
    block = Block(np.zeros(1, np.int16), 24000)
    return timed_us(lambda: Resampler(16000).feed(block))


def onset_us() -> float:
    detector, block = OnsetDetector(), Block(np.zeros(480, np.int16), 24000)
    return timed_us(lambda: detector.feed(block))


def timed_us(run: Callable[[], object], times: int = 2000) -> float:
    results = []
    for _ in range(RUNS):
        begin_s = time.process_time()
        for _ in range(times):
            run()
        results.append((time.process_time() - begin_s) * 1e6 / times)
    return statistics.median(results)


if __name__ == "__main__":
    main()
