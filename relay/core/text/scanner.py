"""The loop that all filters of text share: plain text passes, and where it may not be plain a rule decides.

This file does not know any rule.
"""

import re
from abc import ABC, abstractmethod

from relay.core.text.runs import Run

# What a rule found: the end of what it is about, and the runs of that. None: more text decides.
Found = tuple[int, list[Run]] | None


class Scanner(ABC):
    """A rewriter that looks at text where `special` matches.

    `special` matches single characters. `found` is asked at each, in order; it may look at what is behind, and says
    None while that may still change its answer, which a bound must make impossible once enough text is there.
    """

    special: re.Pattern[str]

    def __init__(self) -> None:
        self._text = ""  # not yet decided
        self._before = ""  # the last two characters that are decided

    @property
    def held_chars(self) -> int:
        return len(self._text)

    def feed(self, text: str) -> list[Run]:
        self._text += text
        return self._scan(final=False)

    def flush(self) -> list[Run]:
        return self._scan(final=True)

    @abstractmethod
    def found(self, text: str, at: int, final: bool) -> Found:
        """What is at `at`; `final` says that nothing is known to follow the text."""

    def char_before(self, text: str, at: int) -> str:
        """The character before `at`; empty at the beginning."""
        return text[at - 1] if at else self._before[-1:]

    def _scan(self, *, final: bool) -> list[Run]:
        runs: list[Run] = []
        text, at = self._text, 0
        while at < len(text):
            match = self.special.search(text, at)
            start = len(text) if match is None else match.start()
            if start > at:
                self._pass(text[at:start], runs)
                at = start
                continue
            found = self.found(text, at, final)
            if found is None:
                assert not final, "nothing more will come to decide"
                break
            at = found[0]
            runs += found[1]
        self._before = (self._before + text[max(0, at - 2) : at])[-2:]
        self._text = text[at:]
        return runs

    def _pass(self, text: str, runs: list[Run]) -> None:
        """Adds text that no rule was asked about."""
        runs.append(Run(text, text))


def literal(text: str, at: int, end: int | None = None) -> tuple[int, list[Run]]:
    """The characters up to `end`, or one, as they are."""
    end = at + 1 if end is None else end
    return end, [Run(text[at:end], text[at:end])]


def left_out(text: str, at: int, end: int) -> tuple[int, list[Run]]:
    """Nothing is said for the characters up to `end`."""
    return end, [Run(text[at:end], "")]
