"""The plots of a measurement's page. Pure: numbers in, HTML with inline SVG out."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape

from relay.bench import svg
from relay.bench.figures import interval_text, ms, stage_value
from relay.bench.record import Record, Turn
from relay.bench.stats import FAILED, Interval, quantile
from relay.bench.summary import Added, CaseKey, CaseSummary

__all__ = ["differences", "strips", "timeline", "waterfall"]

ROW_PX = 44
AXIS_PX = 22
TIMELINE_PX = 220
# Dots of one case that are drawn; more only darken what is dark.
DOTS = 300

# The steps of a turn: what happens, and the time at which it ends.
STEPS: Sequence[tuple[str, str]] = (
    ("connecting to the relay", "connected_ms"),
    ("until a sentence is whole", "text_ready_ms"),
    ("waiting for a place at the provider", "place_given_ms"),
    ("connecting to the provider and sending", "request_sent_ms"),
    ("the provider", "ttfb_ms"),
    ("decoding", "first_sample_ms"),
    ("framing and the way to the listener", "ttfa_ms"),
    ("silence that the audio begins with", "ttfs_ms"),
)


def colour(place: int) -> str:
    return f"c{place % svg.COLOURS}"


def strips(
    stage: str, cases: Sequence[CaseSummary], values: Mapping[CaseKey, Sequence[float]], unit: str = "ms"
) -> str:
    """A row a case: each turn a dot, the middle half a box, the median a line in its 95 % interval; `×` what failed."""
    shown = [case for case in cases if stage in case.stages]
    if not shown:
        return ""
    scale = svg.scale_of(value for case in shown for value in values[case.key])
    rows = []
    for place, case in enumerate(cases):
        if stage not in case.stages:
            continue
        found = case.stages[stage]
        figure = (
            f"<b>{stage_value(stage, found.p50)}</b> {unit}" if found.p50 != FAILED else '<b class="bad">failed</b>'
        )
        note = f"95 %: {interval_text(stage, found.interval)}"
        failed = f'<span class="bad">{case.failed} of {case.turns} failed</span>' if case.failed else ""
        told = f"{case.label}: median {stage_value(stage, found.p50)} {unit}, {note}"
        picture = svg.plot(_strip(scale, values[case.key], found.interval, colour(place)), ROW_PX, told)
        rows.append(_row(case.label, colour(place), picture, figure, f"{note} {failed}"))
    return "".join(rows) + _axis(scale, unit)


def _strip(scale: svg.Scale, values: Sequence[float], interval: Interval | None, kind: str) -> list[str]:
    middle, parts = ROW_PX / 2, _grid(scale, ROW_PX)
    if interval is not None:
        parts.append(svg.rect(scale.at(interval.low), scale.at(interval.high), 3, ROW_PX - 6, f"{kind} interval"))
    finite = [value for value in values if math.isfinite(value)]
    for number, value in enumerate(svg.thinned(finite, DOTS)):
        # Spread over the row by a rule, so that the same record is the same page.
        parts.append(svg.circle(scale.at(value), middle + (number * 7 % 5 - 2) * 4, 2.5, f"{kind} dot"))
    for number in range(min(len(values) - len(finite), 5)):
        parts.append(svg.cross(svg.FAILED_AT, middle + (number * 2 % 5 - 2) * 6))
    p25, p50, p75 = (scale.at(quantile(values, share)) for share in (0.25, 0.5, 0.75))
    parts.append(svg.rect(p25, p75, middle - 5, 10, f"{kind} box"))
    parts.append(svg.line(p50, 3, p50, ROW_PX - 3, f"{kind} median"))
    return parts


def waterfall(cases: Sequence[CaseSummary]) -> str:
    """The median turn of each case, step by step."""
    shown = [(place, case.median_turn, case) for place, case in enumerate(cases) if case.median_turn is not None]
    if not shown:
        return ""
    scale = svg.scale_of((_end(turn) for _, turn, _ in shown), logarithmic=False)
    rows, seen = [], set[int]()
    for place, turn, case in shown:
        parts, start = _grid(scale, ROW_PX), 0.0
        for number, (name, field) in enumerate(STEPS):
            end = getattr(turn, field)
            if end is None or end <= start:
                continue
            told = f"{name}: {ms(end - start)} ms"
            parts.append(svg.rect(scale.at(start), scale.at(end), 10, ROW_PX - 20, f"step s{number}", told))
            seen.add(number)
            start = end
        picture = svg.plot(parts, ROW_PX, f"{case.label}: the steps of its median turn")
        rows.append(_row(case.label, colour(place), picture, f"<b>{ms(turn.ttfa_ms or 0.0)}</b> ms", _steps_note(turn)))
    keys = "".join(
        f'<li><i class="key s{number}"></i>{name}</li>' for number, (name, _) in enumerate(STEPS) if number in seen
    )
    return f'<ul class="keys">{keys}</ul>' + "".join(rows) + _axis(scale, "ms")


def _end(turn: Turn) -> float:
    return turn.ttfs_ms or turn.ttfa_ms or 0.0


def _steps_note(turn: Turn) -> str:
    if turn.ttfb_ms is None:
        return ""
    return f"the provider: {ms(turn.ttfb_ms - (turn.request_sent_ms or 0.0))} ms"


def timeline(record: Record, cases: Sequence[CaseSummary], key_of: Callable[[Turn], CaseKey]) -> str:
    """Each turn's time to first audio against when it was spoken; what failed stands at the top."""
    turns = record.turns
    good = [turn.ttfa_ms for turn in turns if turn.code is None and turn.ttfa_ms is not None]
    if not good:
        return ""
    scale, span_s = svg.scale_of(good), max(max(turn.at_s for turn in turns), 1e-3)
    top, bottom = 16.0, TIMELINE_PX - AXIS_PX
    places = {case.key: place for place, case in enumerate(cases)}

    def down(value: float) -> float:
        return bottom - (bottom - top - 14) * scale.share(value)

    def across(at_s: float) -> float:
        return round(9 + 89 * at_s / span_s, 2)

    parts = []
    for tick in scale.ticks():
        parts.append(svg.line(9, down(tick), 99, down(tick), "grid"))
        parts.append(svg.text(8.2, down(tick) + 4, _tick(tick), "end"))
    begun = datetime.fromisoformat(record.started_at)
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = begun + timedelta(seconds=span_s * share)
        parts.append(svg.text(across(span_s * share), TIMELINE_PX - 5, f"{at:%H:%M:%S}", anchor))
    # Of very many turns, every so many of each case alike.
    step = max(1, len(turns) // 4000)
    for turn in turns[::step]:
        if turn.code is not None:
            parts.append(svg.cross(across(turn.at_s), top))
        elif turn.ttfa_ms is not None:
            parts.append(svg.circle(across(turn.at_s), down(turn.ttfa_ms), 3, f"{colour(places[key_of(turn)])} dot"))
    keys = "".join(
        f'<li><i class="key {colour(place)}"></i>{escape(case.label)}</li>' for place, case in enumerate(cases)
    )
    return f'<ul class="keys">{keys}</ul>{svg.plot(parts, TIMELINE_PX, "time to first audio of every turn, in order")}'


def differences(added: Sequence[Added]) -> str:
    """How much later the first audio is through the relay than past it, with its interval, about zero."""
    if not added:
        return ""
    ends = [end for each in added for end in (each.ttfa.interval.low, each.ttfa.interval.high, each.ttfa.of_medians)]
    scale = svg.scale_of(ends, logarithmic=False)
    rows = []
    for each in added:
        low, high, middle = each.ttfa.interval.low, each.ttfa.interval.high, ROW_PX / 2
        parts = _grid(scale, ROW_PX)
        parts.append(svg.line(scale.at(0), 0, scale.at(0), ROW_PX, "zero"))
        parts.append(svg.rect(scale.at(low), scale.at(high), middle - 6, 12, "c0 interval"))
        parts.append(svg.circle(scale.at(each.ttfa.of_medians), middle, 5, "c0 dot solid"))
        told = f"{each.label}: {ms(each.ttfa.of_medians)} ms, 95 %: {ms(low)} to {ms(high)}"
        picture = svg.plot(parts, ROW_PX, told)
        rows.append(
            _row(
                each.label,
                "c0",
                picture,
                f"<b>{_signed(each.ttfa.of_medians)}</b> ms",
                f"95 %: {ms(low)} to {ms(high)}",
            )
        )
    return "".join(rows) + _axis(scale, "ms")


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{ms(value)}"


def _row(label: str, kind: str, picture: str, figure: str, note: str) -> str:
    return (
        f'<div class="row"><div class="label"><i class="key {kind}"></i>{escape(label)}</div>'
        f'<div class="plot">{picture}</div><div class="figure">{figure}<small>{note}</small></div></div>'
    )


def _grid(scale: svg.Scale, height: float) -> list[str]:
    return [svg.line(scale.at(tick), 0, scale.at(tick), height, "grid") for tick in scale.ticks()]


def _axis(scale: svg.Scale, unit: str) -> str:
    ticks = [svg.text(scale.at(tick), 15, _tick(tick), "middle") for tick in scale.ticks()]
    note = f"{unit}, logarithmic" if scale.logarithmic else unit
    picture = svg.plot(ticks, AXIS_PX, "scale")
    return (
        f'<div class="row axis"><div class="label"></div><div class="plot">{picture}</div><small>{note}</small></div>'
    )


def _tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == round(value) else f"{value:g}"
