"""A ramp as one HTML file, and on a terminal. Pure."""

from collections.abc import Callable, Mapping
from html import escape
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from relay.bench import svg
from relay.bench.figures import UNKNOWN, ms
from relay.bench.load_plan import LATE_MS, Level, LoadRecord, best, carried, reasons, verdict
from relay.bench.page import document, table, unbroken

__all__ = ["load_page", "load_report"]

PLOT_PX, AXIS_PX, TOP_PX = 220, 24, 22
BAR_COLUMNS = 30

METHOD = (
    "Provider, relay and listeners were processes of their own on one machine. A turn is 24 kHz PCM, sent at the "
    "speed of listening. Turns began by the clock, not one after the other, so a relay that is slow was not asked "
    "for less. Lateness is what a listener saw: each frame against its schedule, from the turn's first frame. The "
    "number of turns doubled until it was too much, and was then narrowed down. What was too much was tried once more, "
    "and the better try counts: something else on the machine can spoil a try, and nothing can make one better than "
    "it is."
)

Reading = Callable[[Level], float | None]


def load_report(record: LoadRecord) -> RenderableType:
    """What is said on the terminal at the end."""
    levels = _rising(record)
    shown = Table(box=None, header_style="bold", pad_edge=False)
    heads = ("turns", "TTFA p50", "p99 ms", "late p50", "p99 ms", "gaps", "failed", "relay CPU", "listener CPU")
    for head in heads:
        shown.add_column(head, justify="right")
    shown.add_column(f"p99 of lateness, | at {LATE_MS:g} ms")
    shown.add_column("")
    worst = max([level.late_p99_ms or 0.0 for level in levels] + [2 * LATE_MS])
    for level in levels:
        shown.add_row(*_cells(level), _bar(level.late_p99_ms or 0.0, worst), "; ".join(reasons(level)))
    return Group(shown, "", Text(verdict(record), "bold"))


def _cells(level: Level) -> list[str]:
    times = (level.ttfa_p50_ms, level.ttfa_p99_ms, level.late_p50_ms, level.late_p99_ms)
    return [
        f"{level.turns:,}",
        *(UNKNOWN if time is None else ms(time) for time in times),
        f"{level.underruns:,}",
        f"{level.failed:,}",
        UNKNOWN if level.relay_cpu is None else f"{level.relay_cpu:.0%}",
        f"{level.client_cpu:.0%}",
    ]


def _bar(value: float, worst: float) -> Text:
    mark = round(LATE_MS / worst * (BAR_COLUMNS - 1))
    length = round(min(value, worst) / worst * (BAR_COLUMNS - 1))
    line = "".join("|" if place == mark else "█" if place < length else " " for place in range(BAR_COLUMNS))
    return Text(line, "red" if value > LATE_MS else "cyan")


def load_page(record: LoadRecord) -> str:
    """The report: the answer, three plots, all figures."""
    levels, settings = _rising(record), record.settings
    ended = " It was interrupted." if record.interrupted else ""
    when = record.started_at.replace("T", " ").removesuffix("+00:00")
    machine = record.machine
    facts = {
        "relay": f"{settings.relay}, version {machine.relay_version}",
        "turns": f"of {settings.seconds:g} s in frames of {settings.frame_ms} ms, {settings.lead_ms} ms ahead, begun "
        f"within {settings.spread_s:g} s; provider {settings.provider}",
        "listeners": f"{settings.clients} processes",
        "machine": f"{machine.system}, {machine.cores} cores, load {machine.load_before} before; {machine.python}",
    }
    heads = ("turns", "TTFA p50", "TTFA p99", "late p50", "late p99", "gaps", "failed", "relay CPU", "listener CPU", "")
    parts = [
        "<h1>Turns at real time</h1>",
        f'<p class="verdict">{unbroken(escape(verdict(record)))}</p>',
        f'<p class="soft">{escape(when)} UTC, {len(levels)} tries.{ended}</p>',
        *_plot(
            "How late frames came",
            "ms",
            record,
            {"p99": lambda level: level.late_p99_ms, "p50": lambda level: level.late_p50_ms},
            mark=LATE_MS,
        ),
        *_plot(
            "What it took",
            "percent of a core",
            record,
            {"the relay": _relay_cpu, "the busiest process of listeners": _client_cpu},
        ),
        *_plot(
            "Time to first audio",
            "ms",
            record,
            {"p99": lambda level: level.ttfa_p99_ms, "p50": lambda level: level.ttfa_p50_ms},
        ),
        "<h2>All figures</h2>",
        table(heads, ([*_cells(level), "; ".join(reasons(level))] for level in levels)),
        "<h2>How it was measured</h2>",
        f"<p>{METHOD}</p>",
        f"<dl>{''.join(f'<dt>{name}</dt><dd>{escape(fact)}</dd>' for name, fact in facts.items())}</dl>",
    ]
    return document("Turns at real time", parts)


def _relay_cpu(level: Level) -> float | None:
    return None if level.relay_cpu is None else level.relay_cpu * 100


def _client_cpu(level: Level) -> float | None:
    return level.client_cpu * 100


def _plot(
    title: str, unit: str, record: LoadRecord, readings: Mapping[str, Reading], mark: float | None = None
) -> list[str]:
    """A line for each reading against the number of turns; what is beyond the knee is shaded."""
    levels = best(record.levels)
    values = [value for level in levels for reading in readings.values() if (value := reading(level)) is not None]
    if not values:
        return []
    down = svg.scale_of([*values, *([mark] if mark is not None else [])])
    across = svg.Scale(0.0, max(level.turns for level in levels) * 1.04, False)
    bottom = PLOT_PX - AXIS_PX

    def at(value: float) -> float:
        return round(bottom - (bottom - TOP_PX) * down.share(value), 1)

    def left(turns: float) -> float:
        return round(8 + 91 * across.share(turns), 2)

    parts = []
    for tick in down.ticks():
        parts += [svg.line(8, at(tick), 99, at(tick), "grid"), svg.text(7.2, at(tick) + 4, f"{tick:,g}", "end")]
    for tick in across.ticks():
        parts.append(svg.text(left(tick), PLOT_PX - 6, f"{tick:,.0f}", "middle"))
    known = carried(record.levels)
    if any(level.turns > known for level in levels):
        parts.append(svg.rect(left(known), 99, TOP_PX, bottom - TOP_PX, "beyond", "beyond what is carried"))
        parts.append(svg.line(left(known), TOP_PX, left(known), bottom, "zero"))
        parts.append(svg.text(left(known), TOP_PX - 6, f"{known:,} carried", "middle" if known else "start"))
    if mark is not None:
        parts.append(svg.line(8, at(mark), 99, at(mark), "limit"))
    for number, reading in enumerate(readings.values()):
        points = [(left(level.turns), at(value)) for level in levels if (value := reading(level)) is not None]
        parts += [svg.line(x1, y1, x2, y2, f"c{number} run") for (x1, y1), (x2, y2) in pairwise(points)]
        parts += [svg.circle(x, y, 4, f"c{number} dot solid") for x, y in points]
    keys = "".join(f'<li><i class="key c{number}"></i>{escape(name)}</li>' for number, name in enumerate(readings))
    if mark is not None:
        keys += f"<li>dashed: {mark:g} {escape(unit)}, the most that counts as carried</li>"
    picture = svg.plot(parts, PLOT_PX, f"{title}, {unit}, against the number of turns")
    return [f"<h2>{escape(title)}, {escape(unit)}</h2>", f'<ul class="keys">{keys}</ul>', picture]


def _rising(record: LoadRecord) -> list[Level]:
    return sorted(record.levels, key=lambda level: level.turns)
