"""Plots in SVG whose x is in percent of their width and whose y is in pixels: text keeps its size on a phone. Pure.

Colours are classes of the page's style (`c0` to `c7`), which knows dark from light.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["COLOURS", "Scale", "circle", "cross", "line", "plot", "rect", "scale_of", "text"]

COLOURS = 8
# Where the scale begins and ends, in percent: a dot at either end is whole.
LEFT, RIGHT = 1.0, 93.0
# What failed stands here, apart from every time.
FAILED_AT = 97.5
# From this ratio of the greatest to the least a linear scale shows only the greatest.
LOGARITHMIC_FROM = 30.0
TICKS = 6


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high`, to percent."""

    low: float
    high: float
    logarithmic: bool

    def at(self, value: float) -> float:
        """Percent of the width; FAILED_AT for what never happened."""
        if math.isinf(value):
            return FAILED_AT
        return round(LEFT + (RIGHT - LEFT) * self.share(value), 2)

    def share(self, value: float) -> float:
        """0 at `low`, 1 at `high`."""
        low, high, value = (math.log(max(x, 1e-9)) if self.logarithmic else x for x in (self.low, self.high, value))
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def ticks(self) -> list[float]:
        """Round values within the scale, few enough to be read."""
        if not self.logarithmic:
            step = _round_up((self.high - self.low) / TICKS)
            first = math.ceil(self.low / step - 1e-9)
            return [round(number * step, 10) for number in range(first, math.floor(self.high / step + 1e-9) + 1)]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for digits in ((1, 2, 5), (1,)):
            found = [digit * 10.0**decade for decade in decades for digit in digits]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= TICKS + 1:
                break
        return found


def scale_of(values: Iterable[float], *, logarithmic: bool | None = None) -> Scale:
    """A scale that holds the finite ones of `values`: from zero where that shows them all, else logarithmic."""
    finite = [value for value in values if math.isfinite(value)]
    high = max([value for value in finite if value > 0], default=1.0)
    positive = [value for value in finite if value > 0]
    if logarithmic is None:
        logarithmic = bool(positive) and high / min(positive) >= LOGARITHMIC_FROM
    if logarithmic and positive:
        return Scale(min(positive) / 1.1, high * 1.1, True)
    low = min([0.0, *finite])
    return Scale(low * 1.05, high * 1.05, False)


def _round_up(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= step * (1 - 1e-9))


def plot(parts: Iterable[str], height: int, label: str) -> str:
    """The whole picture; `label` says in words what is to be seen."""
    body = "".join(parts)
    return f'<svg role="img" aria-label="{escape(label)}" width="100%" height="{height}">{body}</svg>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1}%" y1="{y1:g}" x2="{x2}%" y2="{y2:g}"/>'


def rect(x1: float, x2: float, y: float, height: float, kind: str, title: str = "") -> str:
    told = f"<title>{escape(title)}</title>" if title else ""
    width = max(0.0, round(x2 - x1, 2))
    return f'<rect class="{kind}" x="{x1}%" y="{y:g}" width="{width}%" height="{height:g}">{told}</rect>'


def circle(x: float, y: float, radius: float, kind: str) -> str:
    return f'<circle class="{kind}" cx="{x}%" cy="{y:g}" r="{radius:g}"/>'


def cross(x: float, y: float) -> str:
    """What failed."""
    return text(x, y + 4, "×", "middle", "bad")


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x}%" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def thinned(values: Sequence[float], most: int) -> list[float]:
    """At most `most` of them, evenly by rank, the least and the greatest among them."""
    ordered = sorted(values)
    if len(ordered) <= most:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / (most - 1))] for place in range(most)]
