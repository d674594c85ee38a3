"""What the built-in voice costs: the start of its workers, its first byte, its speed, the relay's own part of it.

Run: `python -m bench.micro.builtin_voice`
"""

import asyncio
import platform
import re
import statistics
import time
from pathlib import Path

import uvloop

from relay.core.timings import Stage, Timings
from relay.drivers.local.driver import LocalDriver
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.espeak.provider import WORKER_MODULE, Espeak

RUNS = 300
AT_ONCE = 50
SENTENCE = "The quick brown fox jumps over the lazy dog, and it does so again."
PROVIDER = Espeak(ProviderSettings())


async def speak(driver: LocalDriver) -> tuple[float, float]:
    """Says the sentence; milliseconds until the first byte, and seconds of audio."""
    timings = Timings()
    timings.mark(Stage.TEXT_READY, time.monotonic())
    request = PROVIDER.request(PROVIDER.resolve(SpeechRequest()), SENTENCE)
    size_bytes = 0
    async with driver.open(request, timings) as reply:
        async for piece in reply:
            size_bytes += len(piece) if isinstance(piece, bytes) else 0
        pcm = reply.facts.source.pcm
    first_byte_s = timings.between_s(Stage.TEXT_READY, Stage.FIRST_BYTE)
    assert first_byte_s is not None
    assert pcm is not None
    return first_byte_s * 1000, size_bytes / pcm.block_align / pcm.sample_rate_hz


def spread(values_ms: list[float]) -> str:
    ordered = sorted(values_ms)
    return f"p50 {statistics.median(ordered):.2f}  p99 {ordered[len(ordered) * 99 // 100]:.2f} ms"


def memory_kb(pid: int) -> int:
    """Proportional set size: what the process adds to the machine."""
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


async def measure() -> None:
    begin_s = time.monotonic()
    driver = LocalDriver([WORKER_MODULE])
    await driver.start()
    started_ms = (time.monotonic() - begin_s) * 1000
    await speak(driver)
    print(
        f"start() returns after {started_ms:.2f} ms; first sentence spoken whole {_since_ms(begin_s):.0f} ms after it"
    )

    begin_s, cpu_s = time.monotonic(), time.process_time()
    spoken = [await speak(driver) for _ in range(RUNS)]
    wall_s, cpu_s = time.monotonic() - begin_s, time.process_time() - cpu_s
    audio_s = sum(duration_s for _, duration_s in spoken)
    print(f"one after the other: first byte {spread([first_ms for first_ms, _ in spoken])}")
    print(f"  {audio_s / wall_s:.0f} x real time; the relay's own CPU {cpu_s / RUNS * 1e3:.2f} ms a sentence")

    together = await asyncio.gather(*(speak(driver) for _ in range(AT_ONCE)))
    print(f"{AT_ONCE} at once, 2 workers: first byte {spread([first_ms for first_ms, _ in together])}")

    pids = [process.pid for pool in driver._pools.values() for process in pool._processes]  # noqa: SLF001
    print(f"memory of a worker: {', '.join(str(memory_kb(pid)) for pid in pids if pid)} KB (PSS)")
    begin_s = time.monotonic()
    await driver.close()
    print(f"close() returns after {_since_ms(begin_s):.1f} ms")


def _since_ms(begin_s: float) -> float:
    return (time.monotonic() - begin_s) * 1000


if __name__ == "__main__":
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, uvloop")
    uvloop.run(measure())
