"""A record -> a line for each case: quantiles, intervals, failures, what the relay adds, what it costs. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from relay.bench.record import STAGES, Record, Turn
from relay.bench.stats import FAILED, Difference, Interval, difference_of_medians, median_interval, quantile

__all__ = [
    "Added",
    "CaseKey",
    "CaseSummary",
    "Cost",
    "StageSummary",
    "Summary",
    "key_of",
    "labels_of",
    "summarise",
    "with_summary",
]

# Below this a p99 is hardly more than the slowest of all.
ENOUGH_FOR_P99 = 100


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CaseKey:
    """What turns are compared by."""

    provider: str
    voice: str
    model: str
    text: str
    path: str
    connection: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSummary:
    """One stage of one case. A FAILED quantile: so many turns failed that it lies among them."""

    count: int
    p50: float
    p90: float
    p99: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSummary:
    """One case. `codes` counts what turns failed with; `reused` is the share whose provider's connection was."""

    key: CaseKey
    label: str
    turns: int
    failed: int
    codes: dict[str, int]
    stages: dict[str, StageSummary]
    # The turn whose time to first audio is the median one's.
    median_turn: Turn | None
    reused: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """The relay against direct, same provider, text and connection: how much later the first audio is."""

    label: str
    ttfa: Difference

    @property
    def shows(self) -> bool:
        """Whether the interval leaves zero out."""
        return not self.ttfa.interval.low <= 0 <= self.ttfa.interval.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one provider was sent, and what that costs in US dollars; None: not known. `told`: the provider said so."""

    provider: str
    chars: int
    usd: tuple[float, float] | None
    told: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`cases` with the fastest first (by median TTFA); a case without a good turn comes last."""

    cases: list[CaseSummary]
    added: list[Added]
    costs: list[Cost]
    few_for_p99: bool

    @property
    def verdict(self) -> str:
        """In one sentence, who begins first and how sure that is: of one path, connection and text."""
        return _verdict(self.cases)


def summarise(record: Record) -> Summary:
    groups: dict[CaseKey, list[Turn]] = {}
    for turn in record.turns:
        groups.setdefault(key_of(turn), []).append(turn)
    labels = labels_of(list(groups))
    cases = [_case(key, labels[key], turns) for key, turns in groups.items()]
    cases.sort(key=lambda case: (_ttfa(case), case.key))
    return Summary(
        cases=cases,
        added=_added(groups, labels, record.settings.seed),
        costs=[_cost(provider, record) for provider in dict.fromkeys(turn.provider for turn in record.turns)],
        few_for_p99=any(case.turns < ENOUGH_FOR_P99 for case in cases),
    )


def with_summary(record: Record, summary: Summary) -> bytes:
    """The record as JSON, and in it what was made of it: `record.read` does not need that, people may. A quantile that
    lies among failed turns is null."""
    cases = [
        {
            "case": case.label,
            **msgspec.to_builtins(case.key),
            "turns": case.turns,
            "failed": case.failed,
            "codes": case.codes,
            **{stage: _figures(found) for stage, found in case.stages.items()},
        }
        for case in summary.cases
    ]
    made = {**msgspec.to_builtins(record), "verdict": summary.verdict, "summary": cases}
    return msgspec.json.format(msgspec.json.encode(made), indent=1)


def _figures(found: StageSummary) -> dict[str, float | None]:
    ends = (found.interval.low, found.interval.high) if found.interval else (FAILED, FAILED)
    names = ("p50", "p90", "p99", "p50_low", "p50_high")
    values = (found.p50, found.p90, found.p99, *ends)
    return {name: None if value == FAILED else round(value, 4) for name, value in zip(names, values, strict=True)}


def key_of(turn: Turn) -> CaseKey:
    return CaseKey(
        provider=turn.provider,
        voice=turn.voice or "",
        model=turn.model or "",
        text=turn.text,
        path=turn.path,
        connection=turn.connection,
    )


def _case(key: CaseKey, label: str, turns: list[Turn]) -> CaseSummary:
    codes = Counter(turn.code for turn in turns if turn.code is not None)
    good = sorted((turn for turn in turns if turn.code is None and turn.ttfa_ms is not None), key=_by_ttfa)
    reused = [turn.connection_reused for turn in turns if turn.connection_reused is not None]
    return CaseSummary(
        key=key,
        label=label,
        turns=len(turns),
        failed=sum(codes.values()),
        codes=dict(codes.most_common()),
        stages={stage: found for stage in STAGES if (found := _stage(turns, stage)) is not None},
        median_turn=good[(len(good) - 1) // 2] if good else None,
        reused=sum(reused) / len(reused) if reused else None,
    )


def _stage(turns: list[Turn], stage: str) -> StageSummary | None:
    """None where the stage never happened to a turn that ended well."""
    values = [value for turn in turns if (value := turn.time(stage)) is not None]
    if all(value == FAILED for value in values):
        return None
    p50, p90, p99 = (quantile(values, share) for share in (0.5, 0.9, 0.99))
    return StageSummary(count=len(values), p50=p50, p90=p90, p99=p99, interval=median_interval(values))


def _added(groups: dict[CaseKey, list[Turn]], labels: dict[CaseKey, str], seed: int) -> list[Added]:
    found = []
    for key, turns in groups.items():
        twin = replace(key, path="direct")
        # Cold, the two open different things: a session with the relay, a connection to the provider.
        if key.path != "relay" or key.connection != "warm" or twin not in groups:
            continue
        through, direct = ([turn.ttfa_ms for turn in each if _good(turn)] for each in (turns, groups[twin]))
        ttfa = difference_of_medians(_known(direct), _known(through), seed=seed)
        if ttfa is not None:
            found.append(Added(label=labels[key], ttfa=ttfa))
    return found


def _cost(provider: str, record: Record) -> Cost:
    turns = [turn for turn in record.turns if turn.provider == provider]
    told = [turn.cost_usd for turn in turns if turn.cost_usd is not None]
    chars = sum(turn.chars for turn in turns)
    if told and len(told) == len(turns):
        return Cost(provider=provider, chars=chars, usd=(sum(told), sum(told)), told=True)
    if (price := record.prices.get(provider)) is None:
        return Cost(provider=provider, chars=chars, usd=None, told=False)
    low, high = price
    return Cost(provider=provider, chars=chars, usd=(low * chars / 1e6, high * chars / 1e6), told=False)


def labels_of(keys: Sequence[CaseKey]) -> dict[CaseKey, str]:
    """What tells each case from the others, and no more: the provider, and whatever differs beside it."""
    differing = [name for name in ("voice", "model", "text") if len({getattr(key, name) for key in keys}) > 1]
    paths, connections = ({getattr(key, name) for key in keys} for name in ("path", "connection"))
    labels = {}
    for key in keys:
        words = [key.provider, *(getattr(key, name) for name in differing)]
        if len(paths) > 1 or key.path == "direct":
            words += ["direct"] if key.path == "direct" else []
        if len(connections) > 1 or key.connection == "cold":
            words.append(key.connection)
        labels[key] = ", ".join(word for word in words if word)
    return labels


def _verdict(cases: Sequence[CaseSummary]) -> str:
    if all(_ttfa(case) == FAILED for case in cases):
        return "No case ended well more often than not."
    # What people will do with it is compared: through the relay and warm, where that was measured.
    pool = [case for case in cases if _like(case) == max(map(_like, cases))]
    pool = [case for case in pool if case.key.text == pool[0].key.text]
    first, *others = pool
    if _ttfa(first) == FAILED:
        return f"{first.label} fails more often than not."
    interval = first.stages["ttfa_ms"].interval
    if not others:
        return f"{first.label}: {_ms(_ttfa(first))} to first audio in the median{_between(interval)}."
    begins = f"{first.label} begins first: {_ms(_ttfa(first))} to first audio in the median"
    second = others[0]
    if _ttfa(second) == FAILED:
        return f"{begins}, while {second.label} fails more often than not."
    doubt = _doubt(interval, second.stages["ttfa_ms"].interval)
    return f"{begins}, against {_ms(_ttfa(second))} for {second.label}{doubt}.{_heard_first(pool)}"


def _heard_first(pool: Sequence[CaseSummary]) -> str:
    """Who begins with silence is not the first to be heard."""
    heard = [case for case in pool if "ttfs_ms" in case.stages]
    first = min(heard, key=_ttfs, default=pool[0])
    if first is pool[0] or pool[0] not in heard:
        return ""
    return (
        f" But {first.label} is heard first, since {pool[0].label} begins with silence: "
        f"{_ms(_ttfs(first))} against {_ms(_ttfs(pool[0]))} to first speech."
    )


def _ttfs(case: CaseSummary) -> float:
    return case.stages["ttfs_ms"].p50


def _like(case: CaseSummary) -> tuple[bool, bool]:
    return case.key.path == "relay", case.key.connection == "warm"


def _doubt(first: Interval | None, second: Interval | None) -> str:
    if first is None or second is None:
        return ", of too few turns to be sure"
    if first.high < second.low:
        return " (their 95 % intervals are apart)"
    return "; but their 95 % intervals overlap, so it may be the other way round"


def _between(interval: Interval | None) -> str:
    if interval is None:
        return ", of too few turns to say how sure that is"
    high = _ms(interval.high) if interval.high != FAILED else "never"
    return f", with 95 % confidence between {_ms(interval.low)} and {high}"


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def _ttfa(case: CaseSummary) -> float:
    return case.stages["ttfa_ms"].p50 if "ttfa_ms" in case.stages else FAILED


def _by_ttfa(turn: Turn) -> float:
    return turn.ttfa_ms or 0.0


def _good(turn: Turn) -> bool:
    return turn.code is None and turn.ttfa_ms is not None


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]
