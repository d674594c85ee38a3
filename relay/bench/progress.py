"""How far a measurement is, on standard error. It is drawn between turns only: a thread that draws would take its share
of the time that is measured."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from relay.bench.figures import ms
from relay.bench.record import Turn

__all__ = ["Progress"]


class Progress:
    """Says nothing where standard error is no terminal, but what warm-ups fail with."""

    def __init__(self, warm_ups: int, turns: int) -> None:
        self._console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[last]}"),
            console=self._console,
            auto_refresh=False,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._warming = self._bar.add_task("warming up", total=warm_ups, last="", visible=bool(warm_ups))
        self._measuring = self._bar.add_task("measuring", total=turns, last="")
        self._failed = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def warm_up(self, turn: Turn) -> None:
        if turn.code is not None:
            self._console.print(f"{turn.provider} ({turn.path}): a turn to warm up failed with {turn.code}")
        self._bar.update(self._warming, advance=1, refresh=True)

    def turn(self, turn: Turn) -> None:
        self._failed += turn.code is not None
        last = turn.code or f"{turn.provider} {ms(turn.ttfa_ms or 0.0)} ms"
        failed = f", {self._failed} failed" if self._failed else ""
        self._bar.update(self._measuring, advance=1, last=f"{last}{failed}", refresh=True)
