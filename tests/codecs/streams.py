"""What the tests of the compressed codecs share: the files, what independent decoders make of them, and damage."""

import io
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import strategies as st
from numpy.typing import NDArray

from relay.codecs.base import Block, CorruptAudioError, Decoder, TruncatedAudioError
from relay.testing.conformance.codec import check_blocks, runs_of

GOLDEN = Path(__file__).parents[1] / "golden" / "codecs"
ERRORS = (CorruptAudioError, TruncatedAudioError)
# Behind the sound: nothing of it is heard.
JUNK = (b"\r\n", bytes(40), b"TAG" + b"no title".ljust(125, b"\0"))

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
needs_faad = pytest.mark.skipif(shutil.which("faad") is None, reason="faad is not installed")


def load(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def joined(blocks: Sequence[Block]) -> NDArray[np.float64]:
    """All samples, in steps of 16 bits."""
    parts = [block.samples.astype(np.float64) * (1 if block.samples.dtype == np.int16 else 1 << 15) for block in blocks]
    return np.concatenate([np.empty(0), *parts])


def decode(make: Callable[[], Decoder], data: bytes, piece_bytes: int = 1 << 20) -> NDArray[np.float64]:
    decoder = make()
    blocks = [block for at in range(0, len(data), piece_bytes) for block in decoder.feed(data[at : at + piece_bytes])]
    return joined([*blocks, *decoder.flush()])


def outcome(make: Callable[[], Decoder], pieces: Sequence[bytes]) -> tuple[list[Block], Exception | None, Decoder]:
    """What comes, and the error that ends it. Any other error is one of the test."""
    decoder = make()
    blocks: list[Block] = []
    try:
        for piece in pieces:
            blocks += decoder.feed(piece)
        blocks += decoder.flush()
    except ERRORS as error:
        check_blocks(blocks)
        return blocks, error, decoder
    check_blocks(blocks)
    return blocks, None, decoder


def first_block_at(make: Callable[[], Decoder], data: bytes) -> int:
    """After how many bytes, one by one, the first block comes; a few pieces must not change that."""
    decoder = make()
    end = next(at + 1 for at in range(len(data)) if decoder.feed(data[at : at + 1]))
    at_once = make()
    assert not at_once.feed(data[: end - 1])
    assert at_once.feed(data[end - 1 : end])
    return end


def sndfile_channels(data: bytes, dtype: str = "float64") -> tuple[NDArray[Any], int]:
    """libsndfile's decode of a file of a minute at most, whose length it need not know; and the rate."""
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        return file.read(60 * file.samplerate, dtype=dtype, always_2d=True), file.samplerate


def sndfile(data: bytes) -> NDArray[np.float64]:
    """The same, the mean of the channels, in steps of 16 bits."""
    samples, _ = sndfile_channels(data)
    return np.asarray(samples.mean(axis=1) * (1 << 15))


def opus_at_48k(data: bytes) -> bytes:
    """libsndfile decodes Opus at the rate of the encoder's input, which the header states: make that 48 kHz."""
    at = data.index(b"OpusHead") + 12
    data = data[:at] + (48000).to_bytes(4, "little") + data[at + 4 :]
    return with_checksum(data[: at + 7]) + data[at + 7 :]


def with_checksum(page: bytes) -> bytes:
    """One Ogg page with the checksum that it should have."""
    page = page[:22] + bytes(4) + page[26:]
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x104C11DB7 if crc & 1 << 31 else 0)
    return page[:22] + crc.to_bytes(4, "little") + page[26:]


def ogg_pages(data: bytes) -> list[bytes]:
    pages = []
    while data:
        table = data[27 : 27 + data[26]]
        size = 27 + len(table) + sum(table)
        pages.append(data[:size])
        data = data[size:]
    return pages


def by_ffmpeg(name: str) -> NDArray[np.float64]:
    """FFmpeg's decode, the mean of the channels, in steps of 16 bits."""
    command = ["ffmpeg", "-v", "error", "-i", str(GOLDEN / name), "-f", "wav", "-c:a", "pcm_f32le", "-"]
    return sndfile(subprocess.run(command, capture_output=True, check=True).stdout)


def apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The largest difference, in steps of 16 bits; lengths are the same."""
    assert len(one) == len(other)
    return float(np.abs(one - other).max(initial=0))


MUTATIONS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=6), st.integers(0, 300)), max_size=8
)


def mutated(data: bytes, mutations: list[tuple[float, bytes, int]]) -> bytes:
    for place, new, gone in mutations:
        at = int(place * len(data))
        data = data[:at] + new + data[at + gone :]
    return data


def check_any_input(make: Callable[[], Decoder], data: bytes, pieces: Sequence[bytes]) -> None:
    """Whatever `data` is, only the documented errors come, and the same for `pieces` of it."""
    blocks, error, decoder = outcome(make, [data])
    others, other_error, other = outcome(make, pieces)
    assert runs_of(others) == runs_of(blocks)
    assert (type(other_error), str(other_error)) == (type(error), str(error))
    assert (other.damaged_samples, other.junk_bytes) == (decoder.damaged_samples, decoder.junk_bytes)  # type: ignore[attr-defined]
