"""Two records -> what has changed between them, and whether that is more than noise. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.bench.figures import STAGE_NAMES, stage_value
from relay.bench.record import STAGES, Record, Turn
from relay.bench.stats import FAILED, Difference, difference_of_medians, fisher_exact, mann_whitney, quantile
from relay.bench.summary import CaseKey, key_of, labels_of

__all__ = ["Change", "Comparison", "FailureChange", "compare"]

# A change is told as one where chance alone would show as much less often than this, by the ranks of all turns, and
# where the interval of the difference of medians leaves zero out. Not the usual 0.05: a comparison has twenty figures,
# and one of them would differ by chance every time.
SIGNIFICANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One stage of one case. `more_than_noise`: both tests say so."""

    case: str
    stage: str
    before: float
    after: float
    difference: Difference | None
    p: float
    more_than_noise: bool

    @property
    def percent(self) -> float | None:
        """How much slower it is now; None where that has no meaning."""
        if FAILED in (self.before, self.after) or not self.before:
            return None
        return (self.after - self.before) / self.before * 100

    @property
    def sentence(self) -> str:
        name, unit = STAGE_NAMES[self.stage][0], "" if self.stage == "rtf" else " ms"
        begin = f"{self.case}: {name} went from {self._figure(self.before)} to {self._figure(self.after)}{unit}"
        if self.difference is None:
            return f"{begin}; of too few turns that ended well to say more."
        low, high = (
            stage_value(self.stage, end) for end in (self.difference.interval.low, self.difference.interval.high)
        )
        bounds = f"the difference lies between {low} and {high}{unit}"
        if self.more_than_noise:
            how = "slower" if self.difference.of_medians > 0 else "faster"
            return f"{begin}: {how}, and more than noise ({bounds}, p = {self.p:.2g})."
        return f"{begin}: no more than noise ({bounds}, p = {self.p:.2g})."

    def _figure(self, value: float) -> str:
        return stage_value(self.stage, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureChange:
    """How often one case failed."""

    case: str
    before: tuple[int, int]
    after: tuple[int, int]
    p: float

    @property
    def more_than_noise(self) -> bool:
        return self.p < SIGNIFICANCE

    @property
    def sentence(self) -> str:
        (failed, turns), (failed_now, turns_now) = self.before, self.after
        sure = "more than noise" if self.more_than_noise else "no more than noise"
        now = f"{failed_now} of {turns_now} now"
        return f"{self.case}: {failed} of {turns} turns failed before, {now}: {sure} (p = {self.p:.2g})."


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`only_before` and `only_after` are cases that have no twin."""

    changes: list[Change]
    failures: list[FailureChange]
    only_before: list[str]
    only_after: list[str]
    # What was measured differently, so that the two may differ for that reason.
    caveats: list[str]

    @property
    def sentences(self) -> list[str]:
        """A sentence for each figure, what is more than noise first."""
        told = [(each.more_than_noise, each.sentence) for each in self.changes]
        told += [(each.more_than_noise, each.sentence) for each in self.failures]
        return [sentence for more in (True, False) for is_more, sentence in told if is_more is more]

    @property
    def verdict(self) -> str:
        """How much has changed, in a sentence."""
        count = sum(each.more_than_noise for each in self.changes) + sum(each.more_than_noise for each in self.failures)
        if not count:
            return "Nothing has changed by more than noise."
        return f"{count} of {len(self.sentences)} figures changed by more than noise."

    def worse_than(self, percent: float) -> list[str]:
        """The changes for the worse by more than that which are more than noise, and failures that have become more."""
        slower = [
            each.sentence
            for each in self.changes
            if each.more_than_noise and each.percent is not None and each.percent > percent
        ]
        return slower + [
            each.sentence
            for each in self.failures
            if each.more_than_noise and each.after[0] * each.before[1] > each.before[0] * each.after[1]
        ]


def compare(before: Record, after: Record) -> Comparison:
    """Case by case. Draws of the bootstrap are from the later record's seed."""
    groups = [_grouped(record) for record in (before, after)]
    labels = labels_of(list(dict.fromkeys(key for group in groups for key in group)))
    both = [key for key in groups[0] if key in groups[1]]
    changes, failures = [], []
    for key in both:
        turns = groups[0][key], groups[1][key]
        changes += [
            change
            for stage in STAGES
            if (change := _change(labels[key], stage, *turns, seed=after.settings.seed)) is not None
        ]
        (failed, count), (failed_now, count_now) = (
            (sum(t.code is not None for t in each), len(each)) for each in turns
        )
        if failed or failed_now:
            p = fisher_exact(failed, count, failed_now, count_now)
            failures.append(FailureChange(case=labels[key], before=(failed, count), after=(failed_now, count_now), p=p))
    return Comparison(
        changes=changes,
        failures=failures,
        only_before=[labels[key] for key in groups[0] if key not in groups[1]],
        only_after=[labels[key] for key in groups[1] if key not in groups[0]],
        caveats=_caveats(before, after),
    )


def _grouped(record: Record) -> dict[CaseKey, list[Turn]]:
    groups: dict[CaseKey, list[Turn]] = {}
    for turn in record.turns:
        groups.setdefault(key_of(turn), []).append(turn)
    return groups


def _change(case: str, stage: str, before: Sequence[Turn], after: Sequence[Turn], *, seed: int) -> Change | None:
    """None where neither has the stage, or only one."""
    old, new = ([value for turn in each if (value := turn.time(stage)) is not None] for each in (before, after))
    finite = [[value for value in each if value != FAILED] for each in (old, new)]
    if not all(finite):
        return None
    difference = difference_of_medians(*finite, confidence=1 - SIGNIFICANCE, seed=seed)
    # Of those that ended well: how many did not is told apart.
    p = mann_whitney(*finite)
    assert difference is not None, "neither is empty"
    apart = not difference.interval.low <= 0 <= difference.interval.high
    return Change(
        case=case,
        stage=stage,
        before=quantile(finite[0], 0.5),
        after=quantile(finite[1], 0.5),
        difference=difference if min(map(len, finite)) > 1 else None,
        p=p,
        more_than_noise=apart and p < SIGNIFICANCE,
    )


def _caveats(before: Record, after: Record) -> list[str]:
    found = []
    for name in ("encoding", "sample_rate", "relay"):
        old, new = getattr(before.settings, name), getattr(after.settings, name)
        if old != new:
            found.append(f"{name.replace('_', ' ')} was {old}, and is {new}")
    old_machine, new_machine = before.machine, after.machine
    for name in ("system", "python", "cores", "relay_version"):
        old, new = getattr(old_machine, name), getattr(new_machine, name)
        if old != new:
            found.append(f"{name.replace('_', ' ')} was {old}, and is {new}")
    found += [
        f"the {name} one was interrupted" for name, each in (("first", before), ("second", after)) if each.interrupted
    ]
    return found
