"""A measurement as one HTML file that needs nothing else: the answer first, then how it comes about. Pure."""

from collections.abc import Iterable, Sequence
from html import escape

from relay.bench.charts import differences, strips, timeline, waterfall
from relay.bench.figures import STAGE_NAMES, UNKNOWN, dollars, interval_text, stage_value
from relay.bench.record import STAGES, Record
from relay.bench.style import STYLE
from relay.bench.summary import CaseKey, CaseSummary, Summary, key_of
from relay.bench.texts import BUILT_IN

__all__ = ["document", "page", "table", "unbroken"]

READING = (
    "Each dot is a turn. The line is the median, the shade about it its 95 % confidence interval, and the box the "
    "middle half of the turns. A turn that failed counts as one whose audio never came (×)."
)
METHOD = (
    "One turn at a time. Every round spoke each case once, in an order drawn for that round, so that a slow minute "
    "of the network is in all of them. Times begin when the text is sent: through the relay with the client's "
    "message, direct with the call of the provider's adapter. A warm turn finds its connection open; in a cold one "
    "the handshake counts. First audio is the first frame that the client has read, or direct the first decoded "
    "sample. Slow turns delay those after them, so a slow spell has fewer turns than it had seconds: see the times in "
    "their order."
)


def page(record: Record, summary: Summary) -> str:
    """The report. It holds names and lengths of texts, and the wording of built-in ones only."""
    values: dict[str, dict[CaseKey, list[float]]] = {
        stage: {
            case.key: [
                value for turn in record.turns if key_of(turn) == case.key and (value := turn.time(stage)) is not None
            ]
            for case in summary.cases
        }
        for stage in STAGES
    }
    good = sum(turn.code is None for turn in record.turns)
    ended = " It was interrupted." if record.interrupted else ""
    parts = [
        "<h1>Time to first audio</h1>",
        f'<p class="verdict">{unbroken(escape(summary.verdict))}</p>',
        f'<p class="soft">{escape(_begun(record, good))}{ended}</p>',
        f'<p class="bad">{escape(record.machine.busy or "")}</p>',
        strips("ttfa_ms", summary.cases, values["ttfa_ms"]),
        f'<p class="soft">{READING}</p>',
        *_section(
            "Relay against direct",
            "How much later the first audio comes through the relay than past it, on warm connections. Where the shade "
            "holds zero, no difference was shown.",
            differences(summary.added),
        ),
        *_section(
            "Where the time goes",
            "The steps of each case's median turn, of those that ended well.",
            waterfall(summary.cases),
        ),
        "<h2>All figures</h2>",
        _figures(summary),
        *_section("In the order in which they were spoken", "Times are UTC.", timeline(record, summary.cases, key_of)),
    ]
    for stage in STAGES:
        if stage != "ttfa_ms":
            name, meaning = STAGE_NAMES[stage]
            unit = "s" if stage == "rtf" else "ms"
            parts += _section(
                name, f"{meaning[0].upper()}{meaning[1:]}.", strips(stage, summary.cases, values[stage], unit)
            )
    parts += [*_failures(summary), *_costs(summary), "<h2>How it was measured</h2>", f"<p>{METHOD}</p>", _facts(record)]
    return document("Time to first audio", parts)


def document(title: str, parts: Iterable[str]) -> str:
    """A whole page."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are text."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _section(title: str, meaning: str, content: str) -> list[str]:
    """Nothing where there is nothing to show."""
    return [f"<h2>{escape(title)}</h2>", f'<p class="soft">{escape(meaning)}</p>', content] if content else []


def _figures(summary: Summary) -> str:
    heads = ["case", "turns", "failed", "stage", "p50", "95 % of p50", "p90", "p99"]
    note = ""
    if summary.few_for_p99:
        note = '<p class="soft">A p99 of fewer than 100 turns is little more than the slowest of them.</p>'
    return table(heads, (row for case in summary.cases for row in _rows(case))) + note


def _rows(case: CaseSummary) -> Iterable[list[str]]:
    begin = [case.label, str(case.turns), str(case.failed)]
    if not case.stages:
        yield [*begin, *[UNKNOWN] * 5]
    for name, stage in case.stages.items():
        p50, p90, p99 = (stage_value(name, value) for value in (stage.p50, stage.p90, stage.p99))
        yield [*begin, STAGE_NAMES[name][0], p50, interval_text(name, stage.interval), p90, p99]
        begin = ["", "", ""]


def _failures(summary: Summary) -> list[str]:
    rows = [
        [case.label, code, str(count), str(case.turns)] for case in summary.cases for code, count in case.codes.items()
    ]
    return ["<h2>Failures</h2>", table(["case", "code", "turns", "of"], rows)] if rows else []


def _costs(summary: Summary) -> list[str]:
    rows = [
        [cost.provider, f"{cost.chars:,}", dollars(cost.usd) + (" (as it said)" if cost.told else "")]
        for cost in summary.costs
    ]
    return ["<h2>Characters and cost</h2>", table(["provider", "characters", "cost"], rows)]


def _facts(record: Record) -> str:
    settings, machine = record.settings, record.machine
    texts = [f"{name} ({chars} characters)" for name, chars in settings.texts.items()]
    said = [BUILT_IN[name].said(0) for name in settings.texts if settings.built_in_texts and name in BUILT_IN]
    load = "" if machine.load_before is None else f", load {machine.load_before} before"
    facts = {
        "begun": record.started_at,
        "turns": f"{settings.rounds} of each case, after {settings.warm_ups} to warm up; seed {settings.seed}",
        "format": f"{settings.encoding} at {settings.sample_rate} Hz",
        "relay": f"{settings.relay}, version {machine.relay_version}",
        "texts": ", ".join(texts),
        "such as": " / ".join(said),
        "patience": f"{settings.timeout_s:g} s for a turn, {settings.pause_s:g} s between turns",
        "measured on": f"{machine.system}, {machine.cores} cores{load}; {machine.python}",
    }
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{escape(fact)}</dd>' for name, fact in facts.items() if fact)}</dl>"


def unbroken(sentence: str) -> str:
    """A number and its unit on one line."""
    return sentence.replace(" ms", "&nbsp;ms").replace(" %", "&nbsp;%")


def _begun(record: Record, good: int) -> str:
    when = record.started_at.replace("T", " ").removesuffix("+00:00")
    turns = len(record.turns)
    return f"{when} UTC: {turns:,} of {record.planned:,} turns spoken, {turns - good:,} of them failed."
