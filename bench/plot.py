"""The relay's CPU against the number of turns, as SVG: `python -m bench.plot RESULT.md PLOT.svg`.

Reads the rows of `bench.load` in a result, and draws one line for each case.
"""

import sys
from collections import defaultdict
from pathlib import Path

from bench.load import CASES

WIDTH, HEIGHT, MARGIN = 640, 360, 56
COLOURS = ("#0b6e99", "#c2541b", "#4b7f2f", "#7a4fa3")
# Where in a row of bench.load, counted from its end: the CPU share is third to last.
CPU_FIELD = -3

Points = dict[str, list[tuple[int, float]]]


def read(text: str) -> Points:
    """case: (turns, CPU in percent of one core) in rising order."""
    points: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 10 and fields[0] in CASES and fields[CPU_FIELD].endswith("%"):
            points[fields[0]].append((int(fields[1]), float(fields[CPU_FIELD].rstrip("%"))))
    return {case: sorted(of_case) for case, of_case in points.items()}


def draw(points: Points) -> str:
    most = max(turns for of_case in points.values() for turns, _ in of_case)

    def at(turns: float, cpu: float) -> tuple[float, float]:
        x = MARGIN + turns / most * (WIDTH - 2 * MARGIN)
        return round(x, 1), round(HEIGHT - MARGIN - cpu / 100 * (HEIGHT - 2 * MARGIN), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"',
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(MARGIN, 24, "CPU of the relay, percent of one core", "start"),
        _text(WIDTH - MARGIN, HEIGHT - 12, "turns at real time", "end"),
    ]
    for cpu in range(0, 101, 25):
        x, y = at(0, cpu)
        parts.append(f'<line x1="{x}" y1="{y}" x2="{WIDTH - MARGIN}" y2="{y}" stroke="#ddd"/>')
        parts.append(_text(x - 8, y + 4, str(cpu), "end"))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = at(most * share, 0)
        parts.append(_text(x, y + 18, f"{most * share:.0f}", "middle"))
    for (case, of_case), colour in zip(sorted(points.items()), COLOURS, strict=False):
        places = [at(turns, cpu) for turns, cpu in of_case]
        line = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(_text(places[-1][0] - 4, places[-1][1] - 8, case, "end", colour))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#222") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{text}</text>'


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(draw(read(Path(sys.argv[1]).read_text("utf-8"))), "utf-8")
