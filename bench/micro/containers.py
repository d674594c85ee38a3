"""What compressed audio costs in each container: bytes before the first sound, and CPU for each 20 ms.

Run: `python -m bench.micro.containers`. Fed byte by byte, the first block came when `packets` packets were there as a
whole, and `beyond` more bytes behind them. More than one packet is the encoder's delay, which is not heard; of Vorbis
the first packet gives nothing by itself. Where packets end is what FFmpeg's demuxers say of the same file.

Costs are medians of RUNS interleaved runs, in pieces of PIECE_BYTES; opening a decoder counts apart. "x whole" is the
median of the ratios to libsndfile's decode of the same bytes as one whole file, where it can.
"""

import io
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import soundfile

from relay.codecs.aac import AacDecoder
from relay.codecs.flac import FlacDecoder
from relay.codecs.mp4 import Mp4Decoder
from relay.codecs.ogg import OggDecoder
from relay.codecs.pull import PullDecoder
from relay.codecs.webm import WebmDecoder

RUNS = 15
PIECE_BYTES = 1024
GOLDEN = Path(__file__).parents[2] / "tests" / "golden" / "codecs"

CASES: tuple[tuple[str, Callable[[], PullDecoder]], ...] = (
    ("mono.flac", FlacDecoder),
    ("stereo.flac", FlacDecoder),
    ("flac.oga", OggDecoder),
    ("mono.opus", OggDecoder),
    ("stereo.opus", OggDecoder),
    ("pipe.opus", OggDecoder),
    ("mono.ogg", OggDecoder),
    ("stereo.ogg", OggDecoder),
    ("mono.aac", AacDecoder),
    ("stereo.aac", AacDecoder),
    ("he.aac", AacDecoder),
    ("mono.webm", WebmDecoder),
    ("live.webm", WebmDecoder),
    ("laced.mka", WebmDecoder),
    ("vorbis.webm", WebmDecoder),
    ("first.m4a", Mp4Decoder),
    ("fragments.mp4", Mp4Decoder),
    ("last.m4a", Mp4Decoder),
)
JUDGED_BY_SNDFILE = ("mono.flac", "stereo.flac", "mono.opus", "stereo.opus", "pipe.opus", "mono.ogg", "stereo.ogg")


@dataclass(frozen=True, slots=True)
class Row:
    """Of one file: `packets` and `beyond` as above; microseconds to open, of the call that gives the first block, and
    of 20 ms; and how many times libsndfile's."""

    name: str
    packets: int
    beyond: int
    open_us: float
    first_us: float
    period_us: float
    ratio: float | None


def first_block_at(make: Callable[[], PullDecoder], data: bytes) -> int:
    decoder = make()
    return next(at + 1 for at in range(len(data)) if decoder.feed(data[at : at + 1]))


def packet_ends(path: Path) -> list[int]:
    """Where in the file each packet of audio ends."""
    data, at, ends = path.read_bytes(), 0, []
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            content = bytes(packet)
            if content and (place := data.find(content, at)) >= 0:
                at = place + len(content)
                ends.append(at)
    return ends


def measure(make: Callable[[], PullDecoder], data: bytes, first_at: int) -> tuple[float, float, float]:
    """CPU microseconds: of opening, of the call that brings the last byte of the first block, of 20 ms."""
    begin_s = time.process_time()
    decoder = make()
    open_s = time.process_time() - begin_s
    decoder.feed(data[: first_at - 1])
    begin_s = time.process_time()
    blocks = decoder.feed(data[first_at - 1 : first_at])
    first_s = time.process_time() - begin_s
    decoder = make()
    decoder.feed(data[:1])
    begin_s = time.process_time()
    blocks = [block for at in range(1, len(data), PIECE_BYTES) for block in decoder.feed(data[at : at + PIECE_BYTES])]
    spent_s = time.process_time() - begin_s
    periods = sum(len(block.samples) / block.sample_rate_hz for block in blocks) * 50
    return open_s * 1e6, first_s * 1e6, spent_s / periods * 1e6


def whole_file_us(data: bytes) -> float:
    """libsndfile's, for 20 ms."""
    begin_s = time.process_time()
    samples, rate_hz = soundfile.read(io.BytesIO(data), dtype="int16")
    spent_s = time.process_time() - begin_s
    return spent_s * 1e6 / (len(samples) / int(rate_hz) * 50)


def row(name: str, make: Callable[[], PullDecoder]) -> Row:
    path = GOLDEN / name
    data = path.read_bytes()
    first_at = first_block_at(make, data)
    whole = [end for end in packet_ends(path) if end <= first_at]
    spent, floors = [], []
    for _ in range(RUNS):
        spent.append(measure(make, data, first_at))
        if name in JUDGED_BY_SNDFILE:
            floors.append(whole_file_us(data))
    opened, first, period = (statistics.median(column) for column in zip(*spent, strict=True))
    ratios = [mine[2] / floor for mine, floor in zip(spent, floors, strict=False)]
    return Row(
        name, len(whole), first_at - whole[-1], opened, first, period, statistics.median(ratios) if ratios else None
    )


def main() -> list[Row]:
    """Prints a table, and returns its rows."""
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, av {av.__version__}")
    for name, make in CASES:
        measure(make, (GOLDEN / name).read_bytes(), 100)  # what the first of a process costs
    rows = [row(name, make) for name, make in CASES]
    print(
        f"{'file':16} {'packets':>8} {'beyond, B':>10} {'open, us':>9} {'first, us':>10} {'us/20 ms':>9} {'x whole':>8}"
    )
    for one in rows:
        ratio = "" if one.ratio is None else format(one.ratio, "8.2f")
        print(
            f"{one.name:16} {one.packets:8} {one.beyond:10} {one.open_us:9.0f} {one.first_us:10.0f} "
            f"{one.period_us:9.1f} {ratio}"
        )
    return rows


if __name__ == "__main__":
    main()
