"""Blocks at any rate -> blocks at one rate. One `Resampler` per turn: what it remembers is the turn's.

A windowed-sinc FIR filter, applied as matrix products (`resample_filters`). Resamplers that work in large blocks (soxr)
wait for 20-150 ms of audio before their first output; this one waits for 30 samples of the lower of the two rates.
This file does not know how an output is computed, only which inputs it takes and when they are all there.
"""

from collections.abc import Iterable

import numpy as np

from relay.codecs.base import Block, Samples
from relay.codecs.resample_filters import Doubles, Filter, Floats, filter_for, on_grid

__all__ = ["Resampler", "warm_up"]


class Resampler:
    """A transform from blocks of any rate to blocks of `target_rate_hz`.

    Output sample k is the sound at k/target of the input's time: no net delay. n input samples become
    ceil(n * target / source), the same, bit for bit, for every way of cutting them into blocks. An output is given as
    soon as the 30 samples of the lower rate after it are known. So much, rounded up to whole inputs, is the most that
    is ever held (3.9 ms at 8 kHz, 2 ms at 16 kHz); only `flush`, at the end of the turn, gives it out.

    Up to 0.8 of the lower Nyquist frequency the passband is flat within 0.01 dB, at 0.85 it is 0.12 dB down, at 0.9
    3.6 dB. Aliases and images of any frequency are at least 80 dB below their tone.

    Blocks that already have the target rate pass through as they are. Elsewhere the output is float32 within -1..1
    (overshoot of a full-scale input is clipped). Float input is rounded to 24 bits.

    When the input's rate changes, what the old rate still holds comes out whole before the new one begins, as after a
    `flush`. Raises CorruptAudioError for a rate outside CONVERTIBLE_RATES_HZ; `flush` still gives what was held.
    """

    def __init__(self, target_rate_hz: int) -> None:
        self._target_rate_hz = target_rate_hz
        self._source_rate_hz = target_rate_hz
        self._conversion: _Conversion | None = None

    def feed(self, piece: Block) -> list[Block]:
        if piece.sample_rate_hz != self._source_rate_hz:
            return [*self._change_rate(piece.sample_rate_hz), *self.feed(piece)]
        if self._conversion is None:
            return [piece]
        return self._blocks(self._conversion.feed(piece.samples))

    def flush(self) -> list[Block]:
        conversion, self._conversion = self._conversion, None
        self._source_rate_hz = self._target_rate_hz
        return [] if conversion is None else self._blocks(conversion.finish())

    def _change_rate(self, rate_hz: int) -> list[Block]:
        target_rate_hz = self._target_rate_hz
        conversion = None if rate_hz == target_rate_hz else _Conversion(filter_for(rate_hz, target_rate_hz))
        held = self.flush()
        self._source_rate_hz, self._conversion = rate_hz, conversion
        return held

    def _blocks(self, outputs: list[Floats]) -> list[Block]:
        return [Block(samples, self._target_rate_hz) for samples in outputs]


def warm_up(pairs: Iterable[tuple[int, int]]) -> None:
    """Builds the filters of (source, target) pairs, 0.3 to 10 ms each, so that no turn has to wait for it."""
    for source_rate_hz, target_rate_hz in pairs:
        if source_rate_hz != target_rate_hz:
            filter_for(source_rate_hz, target_rate_hz)


class _Conversion:
    """The part of a turn between two changes of rate: which inputs are still needed, which outputs were given."""

    def __init__(self, filter_: Filter) -> None:
        self._filter = filter_
        # From the first input that the next output's block needs (at the start: silence) to the last one known.
        self._carry: Doubles = np.zeros(filter_.ratio.reach - 1)
        self._carried_from = filter_.ratio.first_input(0)
        self._taken = 0
        self._given = 0

    def feed(self, samples: Samples) -> list[Floats]:
        step = self._filter.feed_samples
        if len(samples) <= step:
            return self._convert(samples)
        pieces = (samples[start : start + step] for start in range(0, len(samples), step))
        return [outputs for piece in pieces for outputs in self._convert(piece)]

    def finish(self) -> list[Floats]:
        """As if silence followed, for just as long as outputs are due."""
        due = self._filter.ratio.total(self._taken)
        silence = np.zeros(min(self._filter.feed_samples, self._filter.ratio.reach), np.int16)
        outputs: list[Floats] = []
        while self._given < due:
            outputs += self._convert(silence, due)
        return outputs

    def _convert(self, samples: Samples, due: int | None = None) -> list[Floats]:
        filter_, ratio = self._filter, self._filter.ratio
        self._taken += len(samples)
        end = ratio.ready(self._taken) if due is None else min(ratio.ready(self._taken), due)
        if end <= self._given:
            self._carry = np.concatenate((self._carry, on_grid(samples)), dtype=np.float64)
            return []
        inputs = np.concatenate((self._carry, on_grid(samples), filter_.margin), dtype=np.float64)
        # Whole blocks are computed and what was given or is not ready is cut away: nothing waits for a block to fill.
        size = filter_.block_outputs
        block, next_block = self._given // size, end // size
        blocks = filter_.apply(inputs, block, -(-end // size) - block)
        outputs = blocks[self._given - block * size : end - block * size].astype(np.float32)
        outputs.clip(-1.0, 1.0, out=outputs)
        next_input = ratio.first_input(next_block * size)
        self._carry = inputs[next_input - self._carried_from : -len(filter_.margin)].copy()
        self._carried_from, self._given = next_input, end
        return [outputs]
