"""The filters of `resample`, one for each pair of rates, shared by all turns.

How one answer comes out of every cut: inputs and coefficients are rounded to binary grids that are coarse enough for
every product and every partial sum to be an exact double. Then the order of summation, which BLAS chooses by shape and
by processor, cannot matter: one sample at a time or a second at once, the outputs are the same bits.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from math import gcd, log
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from relay.codecs.base import CorruptAudioError, Samples

__all__ = ["CONVERTIBLE_RATES_HZ", "Doubles", "Filter", "Floats", "Ratio", "filter_for", "on_grid"]

Doubles: TypeAlias = NDArray[np.float64]
Floats: TypeAlias = NDArray[np.float32]

# A header that claims 1 Hz or 4 GHz must not be able to ask for a filter as long as the audio.
CONVERTIBLE_RATES_HZ = range(2_000, 384_001)

# The filter, in samples of the lower rate and fractions of its Nyquist frequency. 30 samples are 3.75 ms at 8 kHz and
# 1.9 ms at 16 kHz; of what fits into them, this pair passes most while everything from the Nyquist frequency on, which
# is where aliases and images begin, stays 82 dB down. (24 samples would lose 1.3 dB at 0.85 of it instead of 0.12 dB.)
_HALF_WIDTH = 30
_CUTOFF = 0.913
_KAISER_BETA = 8.2

# The grids: inputs in steps of 1/256 of an s16 step (24 bits), coefficients in steps of 2**-24. The coefficients of an
# output add up to less than 6, so no sum of full-scale input comes near 2**53 steps, where doubles stop being exact.
_S16_SCALE = 2.0**15
_INPUT_STEP = 2.0**-8
_COEFFICIENT_STEP = 2.0**-24

# OpenBLAS computes a product on the calling thread while m*n*k is at most 2**18 (interface/gemm.c: SMP_THRESHOLD_MIN
# 65536 x GEMM_MULTITHREAD_THRESHOLD 4), and vector x matrix below 9216 coefficients (interface/gemv.c: 2304 x 4). More
# would wake threads, which costs more than it saves here and takes the other cores from someone.
_PRODUCT_LIMIT = 2**18
_MATRIX_LIMIT = 9216

# Outputs per row of a product: with fewer there are more rows, with more there are more zeros. Within 10 % of the best
# for every pair tried.
_BLOCK_OUTPUTS = 16
_TABLE_LIMIT_BYTES = 2**20
# Nine terms leave an error of -94 dB against the table: below what the window leaves.
_POLYNOMIAL_TERMS = 9


@dataclass(frozen=True, slots=True)
class Ratio:
    """`up` outputs for every `down` inputs, in lowest terms; exact arithmetic on their instants.

    `lower` is the step of the lower rate, in 1/up of an input. `reach` is half the filter's width: the inputs on
    either side of an output that its sum takes in.
    """

    up: int
    down: int
    lower: int = field(init=False)
    reach: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", max(self.up, self.down))
        object.__setattr__(self, "reach", -(-_HALF_WIDTH * self.lower // self.up))

    def first_input(self, output: int) -> int:
        """The first input that `output` needs; negative before the start."""
        return output * self.down // self.up - self.reach + 1

    def ready(self, inputs: int) -> int:
        """Outputs whose sums take in nothing after the first `inputs` inputs; none if negative."""
        return self.total(inputs - self.reach)

    def total(self, inputs: int) -> int:
        """Outputs whose instant lies before the end of `inputs` inputs."""
        return -(-inputs * self.up // self.down)


class Filter(Protocol):
    """The coefficients of one ratio.

    `apply` gives `block_outputs` outputs for each of `blocks` blocks from `first` on. `inputs` begins with the first
    input of block `first` and ends with `margin`: zeros in place of what is not known yet, so that outputs which need
    more than is known are wrong, and others right. With at most `feed_samples` new inputs nothing leaves this thread.
    """

    ratio: Ratio
    block_outputs: int
    feed_samples: int
    margin: Doubles

    def apply(self, inputs: Doubles, first: int, blocks: int) -> Doubles: ...


# 32 pairs of at most 2 MiB (mostly 20 to 500 KB): a bound on what hostile headers can make a relay keep.
@lru_cache(maxsize=32)
def filter_for(source_rate_hz: int, target_rate_hz: int) -> Filter:
    """The filter of two different rates. Raises CorruptAudioError for what is outside CONVERTIBLE_RATES_HZ."""
    if source_rate_hz not in CONVERTIBLE_RATES_HZ or target_rate_hz not in CONVERTIBLE_RATES_HZ:
        raise CorruptAudioError(
            f"audio at {source_rate_hz} Hz cannot become audio at {target_rate_hz} Hz: both must be from "
            f"{CONVERTIBLE_RATES_HZ[0]} to {CONVERTIBLE_RATES_HZ[-1]} Hz"
        )
    divisor = gcd(source_rate_hz, target_rate_hz)
    ratio = Ratio(target_rate_hz // divisor, source_rate_hz // divisor)
    sizes = [
        size
        for size in range(1, 4 * _BLOCK_OUTPUTS + 1)
        if (size % ratio.up == 0 or ratio.up % size == 0) and _window(ratio, size) * size < _MATRIX_LIMIT
    ]
    size = min(sizes, key=lambda size: abs(log(size / _BLOCK_OUTPUTS)), default=0)
    if size and _cycle(ratio, size) * _window(ratio, size) * size * 8 <= _TABLE_LIMIT_BYTES:
        return Polyphase(ratio, size)
    return Polynomial(ratio)


def on_grid(samples: Samples) -> Samples | Doubles:
    """In steps of s16. int16 is there already, and becomes double when it is joined to the carry."""
    if samples.dtype == np.int16:
        return samples
    scaled = np.multiply(samples, _S16_SCALE / _INPUT_STEP, dtype=np.float64)
    np.rint(scaled, out=scaled)
    return np.multiply(scaled, _INPUT_STEP, out=scaled)


class Polyphase:
    """Ratios that come round again: one matrix of coefficients for each block of the cycle."""

    def __init__(self, ratio: Ratio, block_outputs: int) -> None:
        self.ratio = ratio
        self.block_outputs = block_outputs
        self._window = _window(ratio, block_outputs)
        self._cycle = _cycle(ratio, block_outputs)
        self._cycle_inputs = self._cycle * block_outputs * ratio.down // ratio.up
        most_blocks = _PRODUCT_LIMIT // (self._window * block_outputs)
        self.feed_samples = _feed_samples(ratio, most_blocks, block_outputs)
        self.margin = np.zeros(self._window + self._cycle_inputs)
        # Of two cycles in a row, so that one may begin at any block. A column and a row: see `apply`.
        self._firsts = np.array([[ratio.first_input(block * block_outputs)] for block in range(2 * self._cycle)])
        self._cycles = np.arange(most_blocks // self._cycle + 1) * self._cycle_inputs
        # One by one: all at once would take five times their memory for a moment, which the process then keeps.
        self._matrices = np.stack([self._matrix(block) for block in range(self._cycle)])

    def _matrix(self, block: int) -> Doubles:
        """[i, output]: what input i of the block's window adds to an output."""
        ratio, size = self.ratio, self.block_outputs
        outputs = block * size + np.arange(size)
        window = self._firsts[block] + np.arange(self._window)[:, None]
        # In 1/up of an input.
        return _quantised(_coefficients(outputs * ratio.down - window * ratio.up, ratio))

    def apply(self, inputs: Doubles, first: int, blocks: int) -> Doubles:
        if self._cycle == 1:
            rows = _windows(inputs, blocks, self._window, self._cycle_inputs).copy()
            outputs: Doubles = np.dot(rows, self._matrices[0])
            return outputs.reshape(-1)
        # One product for each phase of the cycle, with a row for each cycle begun.
        phase = first % self._cycle
        count = min(self._cycle, blocks)
        phases = slice(phase, phase + count)
        starts = self._firsts[phases] - self._firsts[phase] + self._cycles[: -(-blocks // self._cycle)]
        rows = _windows(inputs, len(inputs) - self._window + 1, self._window)[starts]
        until_wrap = self._cycle - phase
        if count <= until_wrap:
            outputs = np.matmul(rows, self._matrices[phases])
        else:
            outputs = np.empty((*rows.shape[:2], self.block_outputs))
            np.matmul(rows[:until_wrap], self._matrices[phase:], out=outputs[:until_wrap])
            np.matmul(rows[until_wrap:], self._matrices[: count - until_wrap], out=outputs[until_wrap:])
        return outputs.transpose(1, 0, 2).reshape(-1)


class Polynomial:
    """Any ratio, in little memory: each coefficient is a polynomial of the output's place between two inputs.

    The sums of each power are exact, and the polynomial is computed for each output alone: so no cut shows here either.
    About three times the work of a table. For rates that nobody should send, but somebody does.
    """

    block_outputs = 1

    def __init__(self, ratio: Ratio) -> None:
        self.ratio = ratio
        self._window = 2 * ratio.reach
        self.feed_samples = _feed_samples(ratio, _PRODUCT_LIMIT // (self._window * _POLYNOMIAL_TERMS))
        self.margin = np.zeros(self._window)
        # Through Chebyshev's points, between which a polynomial of this order does not swing out.
        places = np.cos(np.pi * (np.arange(_POLYNOMIAL_TERMS) + 0.5) / _POLYNOMIAL_TERMS) / 2
        distance = (places + 0.5 + ratio.reach - 1 - np.arange(self._window)[:, None]) * ratio.up
        to_powers = np.linalg.inv(np.vander(places, increasing=True).T)
        self._powers = _quantised(np.dot(_coefficients(distance, ratio), to_powers))

    def apply(self, inputs: Doubles, first: int, blocks: int) -> Doubles:
        instants = first * self.ratio.down % self.ratio.up + np.arange(blocks) * self.ratio.down
        starts, between = np.divmod(instants, self.ratio.up)
        rows = _windows(inputs, len(inputs) - self._window + 1, self._window)[starts]
        sums = rows.dot(self._powers).T
        places = between / self.ratio.up - 0.5
        outputs: Doubles = sums[-1].copy()
        for power in sums[-2::-1]:
            outputs *= places
            outputs += power
        return outputs


def _cycle(ratio: Ratio, block_outputs: int) -> int:
    """Blocks until one begins on an input again, as block 0 does."""
    return ratio.up // gcd(block_outputs, ratio.up)


def _window(ratio: Ratio, block_outputs: int) -> int:
    """Inputs that a block takes in, wherever between two inputs it begins."""
    latest_end = ratio.up - gcd(block_outputs, ratio.up) + (block_outputs - 1) * ratio.down
    return latest_end // ratio.up + 2 * ratio.reach


def _feed_samples(ratio: Ratio, most_blocks: int, block_outputs: int = 1) -> int:
    """Inputs that touch at most `most_blocks` blocks, one begun before them and one ended after them included."""
    return max(1, (most_blocks - 2) * block_outputs * ratio.down // ratio.up)


def _windows(inputs: Doubles, count: int, size: int, step: int = 1) -> Doubles:
    """`count` overlapping windows of `inputs`, as a view. (The constructor costs a tenth of `as_strided`.)"""
    stride = inputs.itemsize
    return np.ndarray((count, size), inputs.dtype, inputs, 0, (step * stride, stride))


def _coefficients(distance: NDArray[Any], ratio: Ratio) -> Doubles:
    """The filter at `distance` (1/up of an input) from its centre.

    The last axis but one runs over the inputs of an output; along it the sum is 1, so that DC passes exactly.
    """
    place = distance / ratio.lower
    inside = np.sqrt(np.maximum(0.0, 1.0 - (place / _HALF_WIDTH) ** 2))
    weights = np.sinc(_CUTOFF * place) * np.i0(_KAISER_BETA * inside) * (np.abs(place) < _HALF_WIDTH)
    normalised: Doubles = weights / weights.sum(axis=-2, keepdims=True)
    return normalised


def _quantised(coefficients: Doubles) -> Doubles:
    """On the grid, and scaled from steps of s16 to -1..1 (by a power of two: exact)."""
    return np.rint(coefficients / _COEFFICIENT_STEP) * (_COEFFICIENT_STEP / _S16_SCALE)
