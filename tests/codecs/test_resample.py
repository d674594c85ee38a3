"""The promises of `Resampler`, measured: length, place, cut, delay, tones, aliases; and two independent references."""

import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from relay.codecs import resample_filters
from relay.codecs.base import Block, CorruptAudioError, Samples
from relay.codecs.resample import Resampler, warm_up
from relay.codecs.resample_filters import CONVERTIBLE_RATES_HZ, Polynomial, Polyphase, Ratio, filter_for
from relay.core.formats import OUTPUT_RATES_HZ
from tests.covering import each
from tests.cuts import run

Doubles = NDArray[np.float64]

PAIRS = list(permutations(OUTPUT_RATES_HZ, 2))
# Rates whose phases come round too late for a table, from just beside a usual one to a sound card's.
ODD_PAIRS = [(16001, 16000), (16001, 48000), (22051, 8000), (44099, 16000), (44100, 44099), (191_999, 8000)]
TELLING_PAIRS = [(24000, 16000), (24000, 8000), (24000, 48000), (44100, 16000), (22050, 24000), (8000, 11025)]
SEED = 11


def resampled(samples: Samples, source: int, target: int, cuts: tuple[int, ...] = ()) -> NDArray[np.float32]:
    ends = [*cuts, len(samples)]
    pieces = [samples[start:end] for start, end in zip([0, *cuts], ends, strict=True) if end > start]
    return joined(run(Resampler(target), [Block(piece, source) for piece in pieces]))


def joined(blocks: list[Block]) -> NDArray[np.float32]:
    assert all(len(block.samples) for block in blocks), "a block has at least one sample"
    return np.concatenate([np.zeros(0, np.float32), *(block.samples for block in blocks)])


def noise(samples: int, dtype: type = np.int16, seed: int = SEED) -> Samples:
    full_scale = np.random.default_rng(seed).integers(-(2**15), 2**15, samples)
    return full_scale.astype(np.int16) if dtype is np.int16 else (full_scale / 2**15 * 0.99999).astype(np.float32)


def by_the_formula(samples: Samples, source: int, target: int) -> Doubles:
    """The windowed sinc of the docstring, summed output by output."""
    lower = max(1, source / target)
    instants = np.arange(-(-len(samples) * target // source)) * source / target
    before = after = int(np.ceil(30 * lower)) + 1
    inputs = np.arange(-before, len(samples) + after)
    place = (instants[:, None] - inputs) / lower
    window = np.where(abs(place) < 30 - 1e-9, np.i0(8.2 * np.sqrt(np.maximum(0, 1 - (place / 30) ** 2))), 0)
    weights = window * np.sinc(0.913 * place)
    padded = np.pad(samples / 2**15, (before, after))
    result: Doubles = np.clip((weights / weights.sum(axis=1, keepdims=True)) @ padded, -1, 1)
    return result


def tone(frequency_hz: float, source: int, target: int) -> Doubles:
    """The middle of a tone of amplitude 0.5, resampled: what the ends do is not its business."""
    samples = 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(source // 10) / source)
    return resampled(samples.astype(np.float32), source, target).astype(np.float64)


def fitted(outputs: Doubles, frequency_hz: float, rate_hz: int) -> tuple[float, float, float]:
    """Gain against amplitude 0.5 and everything else against the tone, both in dB, and the phase in radians."""
    instants = np.arange(len(outputs))
    middle = slice(rate_hz // 50, -rate_hz // 50)
    turns = 2 * np.pi * frequency_hz * instants / rate_hz
    waves = np.stack([np.sin(turns), np.cos(turns)], axis=1)[middle]
    (sine, cosine), *_ = np.linalg.lstsq(waves, outputs[middle])
    rest = outputs[middle] - waves @ np.array([sine, cosine])
    amplitude = np.hypot(sine, cosine)
    gain_db, rest_db = 20 * np.log10(amplitude / 0.5), 20 * np.log10(rest.std() / (amplitude / np.sqrt(2)))
    return float(gain_db), float(rest_db), float(np.arctan2(cosine, sine))


rates = st.one_of(st.sampled_from(OUTPUT_RATES_HZ), st.integers(8000, 48000))


@st.composite
def cut_noise(draw: st.DrawFn) -> tuple[Samples, tuple[int, ...]]:
    samples = noise(draw(st.integers(1, 4000)), draw(st.sampled_from([np.int16, np.float32])), draw(st.integers(0, 99)))
    return samples, tuple(sorted(draw(st.lists(st.integers(0, len(samples)), max_size=8))))


@given(rates, st.sampled_from(OUTPUT_RATES_HZ), cut_noise())
def test_every_cut_gives_the_same_bits_and_the_exact_length(
    source: int, target: int, cut: tuple[Samples, tuple[int, ...]]
) -> None:
    samples, cuts = cut
    whole = resampled(samples, source, target)
    assert len(whole) == -(-len(samples) * target // source)
    assert np.array_equal(resampled(samples, source, target, cuts), whole)


@each(("source", "target"), [*TELLING_PAIRS, (16001, 16000)])
@each("dtype", [np.int16, np.float32])
def test_sample_by_sample_gives_the_same_bits(source: int, target: int, dtype: type) -> None:
    samples = noise(1000, dtype)
    assert np.array_equal(resampled(samples, source, target, tuple(range(1, 1000))), resampled(samples, source, target))


@pytest.mark.parametrize(("source", "target"), [(24000, 48000), (44100, 16000), (16001, 16000)])
def test_a_large_piece_is_worked_off_in_bounded_products(source: int, target: int) -> None:
    samples = noise(3 * source)
    whole = Resampler(target).feed(Block(samples, source))
    most = filter_for(source, target).feed_samples * target // source + 1
    assert len(whole) > 1
    assert max(len(block.samples) for block in whole) <= most
    cuts = tuple(range(7, len(samples), 997))
    assert np.array_equal(resampled(samples, source, target, cuts), resampled(samples, source, target))


@each(("source", "target"), PAIRS)
def test_every_output_is_the_formula(source: int, target: int) -> None:
    """From the first sample to the last of the tail: no delay, no gain, nothing shifted, nothing lost."""
    samples = noise(100 * max(1, source // target) + 7)
    assert np.allclose(resampled(samples, source, target), by_the_formula(samples, source, target), rtol=0, atol=3e-6)


@pytest.mark.parametrize(("source", "target"), ODD_PAIRS)
def test_rates_without_a_table_are_the_formula_too(source: int, target: int) -> None:
    assert isinstance(filter_for(source, target), Polynomial)
    samples = noise(100 * max(1, source // target) + 7)
    assert np.allclose(resampled(samples, source, target), by_the_formula(samples, source, target), rtol=0, atol=1e-4)


@each(("source", "target"), PAIRS + ODD_PAIRS)
def test_first_sound_after_4_ms_and_never_more_held(source: int, target: int) -> None:
    resampler, given_out, first_at = Resampler(target), 0, 0
    for taken in range(1, source // 100):
        given_out += sum(len(block.samples) for block in resampler.feed(Block(noise(1), source)))
        first_at = first_at or (taken if given_out else 0)
        assert taken / source - given_out / target <= 0.004
    assert 0 < first_at / source <= 0.004


@each(("source", "target"), TELLING_PAIRS + ODD_PAIRS)
def test_tones_pass_clean_level_and_in_place(source: int, target: int) -> None:
    nyquist = min(source, target) / 2
    for share in (0.03, 0.21, 0.5, 0.71, 0.8):
        gain_db, rest_db, phase = fitted(tone(share * nyquist, source, target), share * nyquist, target)
        assert abs(gain_db) < 0.01
        assert rest_db <= -80
        assert abs(phase) < 1e-4
    gain_db, rest_db, _ = fitted(tone(0.85 * nyquist, source, target), 0.85 * nyquist, target)
    assert -0.13 < gain_db < -0.1
    assert rest_db <= -80


@each(("source", "target"), TELLING_PAIRS + ODD_PAIRS)
def test_images_stay_80_db_down_up_to_the_edge(source: int, target: int) -> None:
    """The part of a tone near the Nyquist frequency that passes has an image just beyond it."""
    nyquist = min(source, target) / 2
    for share in (0.9, 0.95, 0.99):
        outputs = tone(share * nyquist, source, target)
        gain_db, rest_db, _ = fitted(outputs, share * nyquist, target)
        assert gain_db + rest_db <= -80


@pytest.mark.parametrize(("source", "target"), [pair for pair in TELLING_PAIRS + ODD_PAIRS if pair[0] > pair[1] + 999])
def test_aliases_are_80_db_down_from_the_nyquist_frequency_on(source: int, target: int) -> None:
    nyquist = target / 2
    near, far = np.linspace(1.001, 1.1, 12) * nyquist, np.linspace(1.11 * nyquist, 0.999 * source / 2, 12)
    for frequency_hz in (*near, *far):
        outputs = tone(frequency_hz, source, target)[target // 50 : -target // 50]
        assert 20 * np.log10(np.sqrt(np.mean(outputs**2)) / (0.5 / np.sqrt(2))) <= -80


@each(("source", "target"), TELLING_PAIRS + ODD_PAIRS)
def test_1_khz_in_s16_keeps_80_db(source: int, target: int) -> None:
    wave = np.rint(2**14 * np.sin(2 * np.pi * 1000 * np.arange(source // 5) / source)).astype(np.int16)
    rounded = np.rint(resampled(wave, source, target).astype(np.float64) * 2**15) / 2**15
    _, noise_db, _ = fitted(rounded, 1000, target)
    assert noise_db <= -80


@pytest.mark.parametrize(("source", "target"), TELLING_PAIRS)
def test_agrees_with_soxr_within_the_passband(source: int, target: int) -> None:
    spectrum = np.fft.rfft(np.random.default_rng(SEED).normal(size=source // 2))
    spectrum[int(0.8 * min(source, target) / 4) :] = 0  # bins of 2 Hz
    wave = np.fft.irfft(spectrum)
    wave *= 0.5 / abs(wave).max()
    ours = resampled(wave.astype(np.float32), source, target)
    theirs = soxr.resample(wave, source, target, quality="VHQ")
    middle = slice(target // 10, -target // 10)
    assert abs(len(ours) - len(theirs)) <= 1
    difference = ours[: len(theirs)][middle] - theirs[: len(ours)][middle]
    assert 20 * np.log10(difference.std() / theirs[middle].std()) <= -75


@pytest.mark.parametrize("rate_hz", [16000, 1, 10**9])
def test_the_same_rate_passes_the_same_blocks(rate_hz: int) -> None:
    resampler = Resampler(rate_hz)
    blocks = [Block(noise(480), rate_hz), Block(noise(1, np.float32), rate_hz)]
    assert [out for block in blocks for out in resampler.feed(block)] == blocks
    assert resampler.feed(blocks[0])[0] is blocks[0]
    assert resampler.flush() == []


@given(
    st.lists(st.tuples(st.sampled_from([8000, 16000, 22050, 24000]), st.integers(1, 500)), min_size=1, max_size=5),
    st.integers(1, 300),
)
def test_each_change_of_rate_gives_out_the_old_tail_whole(parts: list[tuple[int, int]], step: int) -> None:
    merged = [part for at, part in enumerate(parts) if at == 0 or part[0] != parts[at - 1][0]]
    resampler, fed, expected = Resampler(16000), [], []
    for rate_hz, count in merged:
        samples = noise(count)
        for start in range(0, count, step):
            fed += resampler.feed(Block(samples[start : start + step], rate_hz))
        expected += run(Resampler(16000), [Block(samples, rate_hz)])
    as_float = [block.samples / 2**15 if block.samples.dtype == np.int16 else block.samples for block in expected]
    outputs = [*fed, *resampler.flush()]
    assert {block.sample_rate_hz for block in outputs} == {16000}
    got = [block.samples / 2**15 if block.samples.dtype == np.int16 else block.samples for block in outputs]
    assert np.array_equal(np.concatenate(got), np.concatenate(as_float))


@pytest.mark.parametrize("rate_hz", [0, 1, CONVERTIBLE_RATES_HZ[0] - 1, CONVERTIBLE_RATES_HZ[-1] + 1, 2**32 - 1])
def test_a_rate_that_no_audio_has_is_refused_and_nothing_is_lost(rate_hz: int) -> None:
    resampler = Resampler(16000)
    before = resampler.feed(Block(noise(500), 24000))
    with pytest.raises(CorruptAudioError, match=f"audio at {rate_hz} Hz"):
        resampler.feed(Block(noise(1), rate_hz))
    assert np.array_equal(joined([*before, *resampler.flush()]), resampled(noise(500), 24000, 16000))


@pytest.mark.parametrize("source", [CONVERTIBLE_RATES_HZ[0], CONVERTIBLE_RATES_HZ[-1]])
@pytest.mark.parametrize("target", [8000, 48000])
def test_the_most_distant_rates_still_convert(source: int, target: int) -> None:
    samples = noise(source // 20)
    assert len(resampled(samples, source, target, (1, 100))) == -(-len(samples) * target // source)


@pytest.mark.parametrize(("source", "target"), [*TELLING_PAIRS, (16001, 16000)])
def test_full_scale_is_safe(source: int, target: int) -> None:
    square = np.where(np.arange(source // 10) // 40 % 2, 2**15 - 1, -(2**15)).astype(np.int16)
    outputs = resampled(square, source, target)
    assert outputs.dtype == np.float32
    assert abs(outputs).max() == 1.0, "the overshoot of a square wave is clipped, not wrapped"
    floor = resampled(np.full(source // 10, -(2**15), np.int16), source, target)
    assert np.allclose(floor[target // 100 : -target // 100], -1, rtol=0, atol=1e-6)


def test_int16_and_float32_of_the_same_audio_give_the_same_bits() -> None:
    samples = noise(5000)
    as_float = (samples / 2**15).astype(np.float32)
    assert np.array_equal(resampled(samples, 44100, 16000), resampled(as_float, 44100, 16000))


def test_float_input_is_rounded_to_24_bits() -> None:
    fine = (noise(2000) / 2**15 / 1000).astype(np.float32)
    rounded = (np.rint(fine * 2**23) / 2**23).astype(np.float32)
    assert not np.array_equal(fine, rounded)
    assert np.array_equal(resampled(fine, 24000, 16000), resampled(rounded, 24000, 16000))


def test_input_is_left_as_it_was() -> None:
    for dtype in (np.int16, np.float32):
        samples = noise(1000, dtype)
        samples.setflags(write=False)
        resampled(samples, 24000, 16000, (10, 500))
        assert np.array_equal(samples, noise(1000, dtype))


@each(("source", "target"), PAIRS + ODD_PAIRS)
def test_sums_are_exact_and_tables_bounded(source: int, target: int) -> None:
    filter_ = filter_for(source, target)
    assert isinstance(filter_, Polyphase | Polynomial)
    table = filter_._matrices if isinstance(filter_, Polyphase) else filter_._powers
    steps = table * (resample_filters._S16_SCALE / resample_filters._COEFFICIENT_STEP)
    assert np.array_equal(steps, np.rint(steps))
    largest_sum = abs(steps).sum(axis=-2).max() * (2**15 / resample_filters._INPUT_STEP)
    assert largest_sum < 2**53 / 8, "exact for input of 8 times full scale"
    assert table.nbytes <= 2 * resample_filters._TABLE_LIMIT_BYTES


@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(0, 10**7))
def test_ratio_agrees_with_fractions(up: int, down: int, count: int) -> None:
    """Output k lies at k * down / up inputs; its sum ends less than 30 samples of the lower rate later."""
    ratio = Ratio(up, down)
    width = 30 * max(up, down)
    total, ready = ratio.total(count), ratio.ready(count)
    assert (total - 1) * down < count * up <= total * down
    if ready > 0:
        assert (ready - 1) * down + width < count * up + up
    assert ratio.first_input(count) * up > count * down - width - 2 * up
    assert (ratio.first_input(count) - 1) * up <= count * down - width


def test_what_a_turn_keeps_does_not_grow() -> None:
    resampler, piece = Resampler(16000), Block(noise(997), 44100)
    kept = set()
    for _ in range(300):
        resampler.feed(piece)
        assert resampler._conversion is not None
        kept.add(len(resampler._conversion._carry))
        assert resampler._conversion._carry.base is None, "no view that keeps a whole piece alive"
    assert max(kept) < 2 * 83 + 16 * 3 + 2


def test_filters_are_shared_and_few_are_kept() -> None:
    warm_up([(24000, 16000), (16000, 16000)])
    before = filter_for.cache_info()
    warm_up([(24000, 16000)])
    after = filter_for.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)
    warm_up((rate_hz, 16000) for rate_hz in range(16001, 16101))
    info = filter_for.cache_info()
    assert info.currsize == info.maxsize == 32


THREADS = """
import os
from pathlib import Path
import numpy as np
from relay.codecs.base import Block
from relay.codecs.resample import Resampler

def others(name):
    tasks = Path("/proc/self/task").iterdir()
    return [(task / name).read_text() for task in tasks if task.name != str(os.getpid())]

def ran_ns():
    return sum(int(text.split()[0]) for text in others("schedstat"))

while any(text.rsplit(") ", 1)[1][0] == "R" for text in others("stat")):
    pass  # a BLAS thread spins for a while after its start
before = ran_ns()
for source, target in [(24000, 16000), (24000, 48000), (44100, 16000), (48000, 8000), (192000, 8000), (16001, 16000)]:
    resampler = Resampler(target)
    for share in (1, 10, 50, 1000):
        resampler.feed(Block(np.ones(-(-source // share), np.int16), source))
    resampler.flush()
resampling = ran_ns()
square = np.ones((1000, 1000))
square @ square
print(resampling - before, ran_ns() - resampling)
"""


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="reads the times of threads from /proc")
def test_no_thread_wakes() -> None:
    program = [sys.executable, "-c", THREADS]
    resampling_ns, square_ns = map(int, subprocess.check_output(program, text=True, timeout=30).split())
    if square_ns == 0:
        pytest.skip("BLAS has one thread here: nothing could wake")
    assert resampling_ns == 0
