"""What is spoken of a text, run by run: the form in which filters and lexicons give their results.

This file does not know what is left out or respelled, nor where text is cut.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Rewriter", "Run", "Stages", "given_of", "merged", "spoken_of"]


@dataclass(frozen=True, slots=True)
class Run:
    """`given` is what the client wrote and `spoken` what is said for it: the same, another text, or nothing.

    `ipa` is how the whole of `spoken` is pronounced, for a provider that takes phonemes.
    """

    given: str
    spoken: str
    ipa: str | None = None

    @property
    def plain(self) -> bool:
        """Spoken as it was given: the run may be divided between any two characters."""
        return self.given == self.spoken and self.ipa is None


class Rewriter(Protocol):
    """Text in, runs out. The `given` of all runs, joined, is the text; how the text was cut changes nothing.

    No run has an empty `given`. What must wait for more text is held back: `held_chars` of it, which is bounded, and
    `flush` gives it as it is then understood. Text may follow a flush.
    """

    @property
    def held_chars(self) -> int: ...

    def feed(self, text: str) -> list[Run]: ...

    def flush(self) -> list[Run]: ...


def given_of(runs: Iterable[Run]) -> str:
    """The text that these runs are of."""
    return "".join(run.given for run in runs)


def spoken_of(runs: Iterable[Run]) -> str:
    """What is said for it."""
    return "".join(run.spoken for run in runs)


def merged(runs: Iterable[Run]) -> list[Run]:
    """The same with neighbours joined where both are plain, or nothing is said for either."""
    joined: list[Run] = []
    for run in runs:
        last = joined[-1] if joined else None
        if last is not None and ((last.plain and run.plain) or not (last.spoken or run.spoken)):
            joined[-1] = Run(last.given + run.given, last.spoken + run.spoken)
        else:
            joined.append(run)
    return joined


class Stages:
    """Rewriters one behind the other: each rewrites what is spoken of the one before. A rewriter itself."""

    def __init__(self, rewriters: Sequence[Rewriter]) -> None:
        self._stages = [_Stage(rewriter) for rewriter in rewriters]

    @property
    def held_chars(self) -> int:
        return sum(stage.held_chars for stage in self._stages)

    def feed(self, text: str) -> list[Run]:
        runs = [Run(text, text)] if text else []
        for stage in self._stages:
            runs = stage.feed(runs)
        return runs

    def flush(self) -> list[Run]:
        runs: list[Run] = []
        for stage in self._stages:
            runs = [*stage.feed(runs), *stage.flush()]
        return runs


class _Stage:
    """One rewriter behind others: it reads what is spoken of their runs, and its own runs are told in what was given.

    Runs that wait are those of which the rewriter holds a part.
    """

    def __init__(self, rewriter: Rewriter) -> None:
        self._rewriter = rewriter
        self._waiting: deque[Run] = deque()
        # How much of the first waiting run's `spoken` was used, where it cannot be divided; and what became of it.
        self._used = 0
        self._given = ""
        self._spoken = ""

    @property
    def held_chars(self) -> int:
        return self._rewriter.held_chars

    def feed(self, runs: list[Run]) -> list[Run]:
        self._waiting.extend(runs)
        return self._join(self._rewriter.feed(spoken_of(runs)))

    def flush(self) -> list[Run]:
        return self._join(self._rewriter.flush())

    def _join(self, rewritten: list[Run]) -> list[Run]:
        joined: list[Run] = []
        for run in rewritten:
            self._join_one(run, joined)
        self._pass_unspoken(joined)
        return joined

    def _join_one(self, run: Run, joined: list[Run]) -> None:
        """Adds what stands for `run` to `joined`: its `given` is the next of what is spoken of the waiting runs."""
        if run.plain and self._used:
            # Only the rest of a run that was divided is joined to its beginning.
            rest = len(self._waiting[0].spoken) - self._used
            run, behind = Run(run.given[:rest], run.spoken[:rest]), run.given[rest:]
            self._merge(run, joined)
            run = Run(behind, behind)
        if run.plain:
            passed = self._pass_plain(len(run.given), joined)
            run = Run(run.given[passed:], run.spoken[passed:])
        if run.given:
            self._merge(run, joined)

    def _merge(self, run: Run, joined: list[Run]) -> None:
        """Makes one run of all waiting runs that `run` is about, once it is about the whole of the last one."""
        self._pass_unspoken(joined)
        left = len(run.given)
        whole = not self._used
        self._spoken += run.spoken
        while left:
            first = self._waiting[0]
            free = len(first.spoken) - self._used
            if free > left and first.plain:
                self._given += first.given[:left]
                self._waiting[0] = Run(first.given[left:], first.spoken[left:])
                left = 0
            elif free > left:
                self._used += left
                left = 0
            else:
                self._given += first.given
                self._waiting.popleft()
                self._used = 0
                left -= free
        if not self._used:
            # A pronunciation is of the whole of what is spoken, or of nothing.
            joined.append(Run(self._given, self._spoken, run.ipa if whole else None))
            self._given = self._spoken = ""

    def _pass_plain(self, chars: int, joined: list[Run]) -> int:
        """Passes runs on of which `chars` of `spoken` stay as they are; returns of how many."""
        passed = 0
        while passed < chars and self._waiting:
            first = self._waiting[0]
            free = chars - passed
            if len(first.spoken) <= free:
                joined.append(self._waiting.popleft())
                passed += len(first.spoken)
            elif first.plain:
                joined.append(Run(first.given[:free], first.spoken[:free]))
                self._waiting[0] = Run(first.given[free:], first.spoken[free:])
                passed = chars
            else:
                break
        return passed

    def _pass_unspoken(self, joined: list[Run]) -> None:
        while self._waiting and not self._used and not self._waiting[0].spoken:
            joined.append(self._waiting.popleft())
