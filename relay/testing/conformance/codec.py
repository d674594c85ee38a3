"""Decoders and encoders: exact for every cut, honest about what does not decode.

check_decoder(Mp3Decoder, MP3_FILE, [Block(samples, 24000)], within=1)
check_encoder(lambda: encoder_for(form), samples, expected, form)
"""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby, pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from relay.codecs.base import Block, CorruptAudioError, Decoder, Encoder, Samples, TruncatedAudioError
from relay.core.formats import AudioFormat
from relay.core.transform import Transform
from relay.testing.conformance.transform import check_transform, every_cut
from relay.testing.cuts import run

# Inputs that end too early, and inputs of noise, that are tried of each kind.
ENDS, NOISES = 16, 16

# Audio at one rate: the rate, the name of the dtype, the samples' bytes.
Run: TypeAlias = tuple[int, str, bytes]


def check_decoder(
    make: Callable[[], Decoder],
    data: bytes,
    expected: Sequence[Block],
    *,
    trailing: Sequence[bytes] = (),
    within: float = 0,
    may_raise: tuple[type[Exception], ...] = (CorruptAudioError, TruncatedAudioError),
) -> None:
    """`data` decodes to `expected`, no sample further off than `within` steps; the same bit for bit for every cut.

    `trailing` is what may stand behind the audio and is not heard. `may_raise` is all that any bytes may lead to.
    """
    whole = run(make(), [data])
    check_blocks(whole)
    _check_close(whole, expected, within)
    runs = runs_of(whole)
    check_transform(make, every_cut(data), runs_of, expected=runs)
    for tail in trailing:
        for name, pieces in every_cut(data + tail).items():
            assert runs_of(run(make(), pieces)) == runs, f"cut as {name}, {tail[:8]!r}... behind the audio changes it"
    _check_nothing(make, may_raise)
    _check_early_ends(make, data, runs, may_raise)
    _check_noise(make, data, may_raise)


def check_encoder(make: Callable[[], Encoder], samples: Samples, expected: bytes, form: AudioFormat) -> None:
    """`samples` become `expected`, in blocks of any length, and all of a block at once."""
    blocks = blocks_of(samples, form.sample_rate_hz)
    check_transform(make, blocks, b"".join, expected=expected)
    encoder = make()
    for block in blocks["sevens"]:
        size = sum(len(piece) for piece in encoder.feed(block))
        assert size == len(block.samples) * form.block_align, "an encoder keeps nothing back"
    assert not encoder.flush(), "an encoder keeps nothing back"


def check_block_transform(make: Callable[[], Transform[Block, Block]], samples: Samples, rate_hz: int) -> None:
    """Blocks to blocks (a resampler, say): the same for every way of cutting `samples`."""
    check_transform(make, blocks_of(samples, rate_hz), runs_of)
    check_blocks(run(make(), [Block(samples, rate_hz)]))


def check_blocks(blocks: Sequence[Block]) -> None:
    """Each is what `Block` promises."""
    for block in blocks:
        samples = block.samples
        assert samples.ndim == 1, "a block is mono"
        assert samples.size, "a block is never empty"
        assert samples.dtype in (np.dtype(np.int16), np.dtype(np.float32)), f"samples are {samples.dtype}"
        assert block.sample_rate_hz > 0
        if samples.dtype == np.float32:
            assert np.isfinite(samples).all(), "a sample is not a number"
            assert np.abs(samples).max() <= 1, "float samples are within -1..1"


def runs_of(blocks: Sequence[Block]) -> list[Run]:
    """The audio, however it was cut: what a comparison needs."""
    kinds = groupby(blocks, lambda block: (block.sample_rate_hz, block.samples.dtype))
    return [
        (rate_hz, dtype.name, b"".join(block.samples.tobytes() for block in kin)) for (rate_hz, dtype), kin in kinds
    ]


def blocks_of(samples: Samples, rate_hz: int) -> dict[str, Sequence[Block]]:
    """`samples` as blocks of several lengths, by name."""
    source, places = random.Random(20), [0]
    while places[-1] < len(samples):
        places.append(min(len(samples), places[-1] + source.randint(1, 600)))
    cuts = {
        "whole": [0, len(samples)],
        "sevens": [*range(0, len(samples), 7), len(samples)],
        "frames": [*range(0, len(samples), 480), len(samples)],
        "random": places,
    }
    return {name: [Block(samples[a:b], rate_hz) for a, b in pairwise(at)] for name, at in cuts.items()}


def _check_close(blocks: Sequence[Block], expected: Sequence[Block], within: float) -> None:
    ours, theirs = runs_of(blocks), runs_of(expected)
    assert [kind[:2] for kind in ours] == [kind[:2] for kind in theirs], "rates or sample types differ"
    for (rate_hz, dtype, one), (_, _, other) in zip(ours, theirs, strict=True):
        a, b = _numbers(one, dtype), _numbers(other, dtype)
        assert len(a) == len(b), f"{len(a)} samples at {rate_hz} Hz, {len(b)} expected"
        off = float(np.abs(a - b).max(initial=0))
        assert off <= within, f"a sample is {off} off"


def _numbers(data: bytes, dtype: str) -> NDArray[np.float64]:
    return np.frombuffer(data, dtype).astype(np.float64)


def _check_nothing(make: Callable[[], Decoder], may_raise: tuple[type[Exception], ...]) -> None:
    decoder = make()
    assert not list(decoder.feed(b"")), "of nothing comes nothing"
    # An empty file may well be called truncated.
    with suppress(*may_raise):
        assert not list(decoder.flush()), "of nothing comes nothing"


def _check_early_ends(
    make: Callable[[], Decoder], data: bytes, runs: list[Run], may_raise: tuple[type[Exception], ...]
) -> None:
    """What was given of an input that ends early begins the audio; the end is an error or none."""
    source = random.Random(21)
    for end in sorted(source.randrange(len(data)) for _ in range(ENDS)):
        decoder = make()
        blocks = list(decoder.feed(data[:end]))
        with suppress(*may_raise):
            blocks += decoder.flush()
        for (rate_hz, dtype, part), (full_rate_hz, full_dtype, full) in zip(runs_of(blocks), runs, strict=False):
            assert (rate_hz, dtype) == (full_rate_hz, full_dtype), f"after {end} bytes the audio is of another kind"
            assert full.startswith(part), f"after {end} bytes there is audio that the whole does not have"


def _check_noise(make: Callable[[], Decoder], data: bytes, may_raise: tuple[type[Exception], ...]) -> None:
    """Nothing but the documented errors, whatever comes: noise, and the data with noise in it."""
    source = random.Random(22)
    for _ in range(NOISES):
        at = source.randrange(len(data))
        noise = source.randbytes(source.randrange(1, 2000))
        for wrong in (noise, data[:at] + noise + data[at:]):
            decoder = make()
            try:
                check_blocks(decoder.feed(wrong))
                check_blocks(decoder.flush())
            except may_raise as error:
                assert str(error), "an error says what was found"
