"""Sound whose every sample tells where it belongs, and the explanation of a capture sample by sample."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

RATE_HZ = 24000
# jitter-buffer.js
RAMP = round(0.004 * RATE_HZ)


def clip(number: int, samples: int) -> NDArray[np.int16]:
    """Never 0, no two places alike nearby, other for every number."""
    at = np.arange(samples, dtype=np.int64)
    values = (at * 7919 + number * 104_729) % 30_000 + 1
    return np.where(at % 2 == 0, values, -values).astype(np.int16)


def floats(pcm: NDArray[np.int16]) -> Samples:
    return pcm.astype(np.float32) / np.float32(32768)


@dataclass(frozen=True)
class Gap:
    at: int
    samples: int


@dataclass(frozen=True)
class Part:
    """A turn as it should be found: all of it, or up to where it was cancelled."""

    pcm: NDArray[np.int16]
    gaps: Sequence[Gap] = ()
    cancelled: bool = False


def explain(captured: Samples, parts: Sequence[Part]) -> list[int]:
    """Asserts that the capture is silence and these turns in order, with these gaps, ramps included, and nothing else.

    Returns how much of each was found.
    """
    at = 0
    found: list[int] = []
    for number, part in enumerate(parts):
        sound = np.flatnonzero(captured[at:])
        assert len(sound) or part.cancelled, f"turn {number} was not heard"
        if not len(sound):
            found.append(0)
            continue
        at += int(sound[0])
        where = f"turn {number}"
        speech = floats(part.pcm)
        start = 0
        for gap in (*part.gaps, None):
            end = len(speech) if gap is None else gap.at
            piece = speech[start:end].copy()
            if start:
                ramp = np.arange(1, RAMP + 1)[: len(piece)] / RAMP
                piece[:RAMP] = (piece[:RAMP].astype(np.float64) * ramp).astype(np.float32)
            heard = captured[at : at + len(piece)]
            if gap is None and part.cancelled:
                same = _same(heard, piece)
                at = _ramped_out(captured, at + same, piece[same:], where)
                found.append(start + same)
                break
            same = _same(heard, piece)
            assert same == len(piece), f"{where}: sample {start + same} of {len(speech)} is another"
            at += len(piece)
            down = _ramp_from(piece[-1])
            if gap is None:
                found.append(len(speech))
                # Ramped out if it had run dry before its end was known.
                at += RAMP if _same(captured[at : at + RAMP], down) == RAMP else 0
                break
            silence = captured[at : at + gap.samples]
            assert np.array_equal(silence[:RAMP], down[: gap.samples]), f"{where}: no ramp into the gap at {gap.at}"
            assert not silence[RAMP:].any(), f"{where}: sound in the gap at {gap.at}"
            at += gap.samples
            start = end
    assert not captured[at:].any(), "there is sound after the last turn"
    return found


def _same(heard: Samples, piece: Samples) -> int:
    """How many samples agree from the start."""
    size = min(len(heard), len(piece))
    differ = np.flatnonzero(heard[:size] != piece[:size])
    return int(differ[0]) if len(differ) else size


def _ramp_from(sample: np.float32) -> Samples:
    """From a sample that is held to silence."""
    return (np.float64(sample) * (1 - np.arange(1, RAMP + 1) / RAMP)).astype(np.float32)


def _ramped_out(captured: Samples, at: int, rest: Samples, where: str) -> int:
    """The ramp of a cancel, over what would have come, or, if nothing had, over the last sample. Returns its end."""
    real = rest[:RAMP]
    over = (real.astype(np.float64) * (1 - np.arange(1, len(real) + 1) / RAMP)).astype(np.float32)
    heard = captured[at : at + RAMP]
    ramped = _same(heard, over) == len(over) or _same(heard, _ramp_from(captured[at - 1])) == RAMP
    assert ramped, f"{where}: the cancel has no ramp"
    return at + RAMP
