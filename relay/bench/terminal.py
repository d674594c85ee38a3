"""A summary on a terminal: a table, and a picture of it in characters. Pure but for rich's own look at its width."""

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from relay.bench.figures import STAGE_NAMES, UNKNOWN, dollars, interval_text, ms, stage_value
from relay.bench.record import STAGES, Record
from relay.bench.stats import quantile
from relay.bench.summary import Added, CaseSummary, Summary, key_of

__all__ = ["box", "report"]

BOX_COLUMNS = 56


def report(record: Record, summary: Summary) -> RenderableType:
    """All that is said on the terminal at the end."""
    parts: list[RenderableType] = [_table(summary), "", _picture(record, summary), "", Text(summary.verdict, "bold")]
    parts += [_added(added) for added in summary.added]
    parts += [_failures(case) for case in summary.cases if case.failed]
    if record.machine.busy:
        parts.append(Text(record.machine.busy, "yellow"))
    if summary.few_for_p99:
        parts.append(Text("A p99 of fewer than 100 turns is little more than the slowest of them.", "dim"))
    parts += [
        Text(f"{cost.provider}: {cost.chars:,} characters, {dollars(cost.usd)}{' (as it said)' if cost.told else ''}")
        for cost in summary.costs
    ]
    return Group(*parts)


def _table(summary: Summary) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("case")
    for name in ("turns", "failed"):
        table.add_column(name, justify="right")
    for stage in STAGES:
        name, _ = STAGE_NAMES[stage]
        if stage == "ttfa_ms":
            for head in (f"{name} p50", "95 % of p50", "p90", "p99"):
                table.add_column(head, justify="right", style="bold" if head == f"{name} p50" else "")
        else:
            table.add_column(f"{name} p50" if stage != "relay_ms" else f"{name} p50 / p99", justify="right")
    for case in summary.cases:
        table.add_row(case.label, str(case.turns), str(case.failed or UNKNOWN), *_cells(case))
    return table


def _cells(case: CaseSummary) -> list[str]:
    cells = []
    for name in STAGES:
        stage = case.stages.get(name)
        if stage is None:
            cells += [UNKNOWN] * (4 if name == "ttfa_ms" else 1)
        elif name == "ttfa_ms":
            cells += [ms(stage.p50), interval_text(name, stage.interval), ms(stage.p90), ms(stage.p99)]
        elif name == "relay_ms":
            cells.append(f"{ms(stage.p50)} / {ms(stage.p99)}")
        else:
            cells.append(stage_value(name, stage.p50))
    return cells


def _added(added: Added) -> str:
    low, high = added.ttfa.interval.low, added.ttfa.interval.high
    doubt = "" if added.shows else "; it may well be none"
    later = f"{added.label}: through the relay {ms(added.ttfa.of_medians)} ms later than direct"
    return f"{later} (95 %: {ms(low)} to {ms(high)}{doubt})."


def _failures(case: CaseSummary) -> str:
    codes = ", ".join(f"{code} x {count}" for code, count in case.codes.items())
    return f"{case.label}: {case.failed} of {case.turns} turns failed ({codes})"


def _picture(record: Record, summary: Summary) -> Table:
    """A line a case: where its times to first audio lie, all on one scale."""
    times = {
        case.key: [turn.ttfa_ms for turn in record.turns if key_of(turn) == case.key and _is_good(turn.code)]
        for case in summary.cases
    }
    known = {key: [value for value in values if value is not None] for key, values in times.items()}
    everything = [value for values in known.values() for value in values]
    table = Table(box=None, pad_edge=False, show_header=False)
    if not everything:
        return table
    low, high = min(everything), max(everything)
    for case in summary.cases:
        if known[case.key]:
            table.add_row(case.label, Text(box(known[case.key], low, high, BOX_COLUMNS), "cyan"))
    left, right = f"{ms(low)} ms", f"{ms(high)} ms to first audio"
    table.add_row("", Text(left + right.rjust(max(0, BOX_COLUMNS - len(left))), "dim"))
    return table


def _is_good(code: str | None) -> bool:
    return code is None


def box(values: Sequence[float], low: float, high: float, columns: int) -> str:
    """A box plot in one line, on a logarithmic scale from `low` to `high`: whiskers from the p5 to the p95, a box for
    the middle half, `┃` at the median."""
    span = math.log(high / low) if high > low > 0 else 0.0

    def column(value: float) -> int:
        share = math.log(value / low) / span if span else 0.0
        return min(columns - 1, max(0, round(share * (columns - 1))))

    p5, p25, p50, p75, p95 = (column(quantile(values, share)) for share in (0.05, 0.25, 0.5, 0.75, 0.95))
    line = [" "] * columns
    line[p5 : p95 + 1] = "─" * (p95 - p5 + 1)
    line[p5], line[p95] = "├", "┤"
    line[p25 : p75 + 1] = "█" * (p75 - p25 + 1)
    line[p50] = "┃"
    return "".join(line)
