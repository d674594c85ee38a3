"""What gain, trimming and fade cost: microseconds of CPU for 20 ms of audio.

Run: `python -m bench.micro.shaping`. The audio is a voice-like sound: bursts at 5 Hz of a 120 Hz tone with overtones,
peaks at -2 dBFS. Runs of all cases are interleaved, and the median of each is reported. "Turned down" is the share of
blocks in which the limiter was at work.
"""

import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from relay.codecs.base import Block
from relay.codecs.fade import faded
from relay.codecs.gain import Gain
from relay.codecs.silence import LeadingSilenceTrimmer
from relay.core.formats import OUTPUT_ENCODINGS, AudioFormat

RUNS = 15
SECONDS = 4
BLOCK_MS = 20
RATES_HZ = (8000, 24000, 48000)
GAINS_DB = (0.0, -6.0, 3.0, 12.0)


def voice(rate_hz: int) -> list[Block]:
    instants = np.arange(SECONDS * rate_hz) / rate_hz
    wave = sum(np.sin(2 * np.pi * 120 * n * instants) / n for n in range(1, 12)) * np.sin(np.pi * 5 * instants) ** 2
    samples = np.rint(wave / np.abs(wave).max() * 10 ** (-2 / 20) * 32767).astype(np.int16)
    size = rate_hz * BLOCK_MS // 1000
    return [Block(samples[at : at + size], rate_hz) for at in range(0, len(samples), size)]


def as_float(blocks: list[Block]) -> list[Block]:
    return [Block((block.samples / 2**15).astype(np.float32), block.sample_rate_hz) for block in blocks]


def gain(gain_db: float, blocks: list[Block]) -> Callable[[], None]:
    def run() -> None:
        transform = Gain(gain_db, blocks[0].sample_rate_hz)
        for block in blocks:
            transform.feed(block)

    return run


def trim(max_ms: int, blocks: list[Block]) -> Callable[[], None]:
    def run() -> None:
        transform = LeadingSilenceTrimmer(max_ms, blocks[0].sample_rate_hz)
        for block in blocks:
            transform.feed(block)

    return run


def fade(audio: AudioFormat, blocks: int) -> Callable[[], None]:
    samples = audio.sample_rate_hz * BLOCK_MS // 1000
    data = bytes(samples * audio.block_align)

    def run() -> None:
        for _ in range(blocks):
            faded(data, audio, samples)

    return run


def turned_down(gain_db: float, blocks: list[Block]) -> float:
    """Share of blocks whose last sample is softer than the gain alone would make it."""
    transform = Gain(gain_db, blocks[0].sample_rate_hz)
    reduced = 0
    for block in blocks:
        transform.feed(block)
        reduced += transform._remaining > 0  # noqa: SLF001 - no caller needs it
    return reduced / len(blocks)


def cases() -> dict[str, tuple[int, Callable[[], None]]]:
    """Name -> how many blocks a run has, and the run."""
    found: dict[str, tuple[int, Callable[[], None]]] = {}
    for rate_hz in RATES_HZ:
        ints = voice(rate_hz)
        floats = as_float(ints)
        silent = [Block(np.zeros_like(block.samples), rate_hz) for block in ints]
        for gain_db in GAINS_DB:
            share = f"{100 * turned_down(gain_db, ints):.0f} % turned down"
            for kind, blocks in (("int16", ints), ("float32", floats)):
                found[f"{rate_hz} Hz  gain {gain_db:+g} dB, {kind}, {share}"] = len(blocks), gain(gain_db, blocks)
        found[f"{rate_hz} Hz  trim to 100 ms, while silent"] = len(silent), trim(100, silent)
        found[f"{rate_hz} Hz  trim to 100 ms, speech"] = len(ints), trim(100, ints)
        for encoding in OUTPUT_ENCODINGS:
            audio = AudioFormat(encoding=encoding, sample_rate_hz=rate_hz)
            found[f"{rate_hz} Hz  fade over 20 ms, {encoding}"] = len(ints), fade(audio, len(ints))
    return found


def main() -> None:
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}; {RUNS} runs")
    runs = cases()
    taken_us: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(RUNS):
        for name, (blocks, run) in runs.items():
            began = time.process_time()
            run()
            taken_us[name].append((time.process_time() - began) / blocks * 1e6)
    for name, values in taken_us.items():
        print(f"{statistics.median(values):7.2f} us  {name}")


if __name__ == "__main__":
    main()
