"""What the chunker costs: microseconds for an appended delta and the `take` after it; and filters before it.

Run: `python -m bench.micro.chunker`
"""

import platform
import time
from collections.abc import Callable
from functools import partial

from relay.core.text.chunker import TextChunker
from relay.core.text.filters import TextFilter, rewriters
from relay.core.text.lexicon import Lexicon
from relay.core.text.spoken import SpokenText

RUNS = 5
PROSE = (
    "Sure, I can help you with that. First, preheat the oven to 180.5 degrees and mix the flour with 1,000 g of "
    "sugar, e.g. brown sugar. Dr. Smith of the U.S. says that it takes 3.14 hours; others, who know better, do not "
    'agree. "Really?" she asked. Well... we shall see. Write to cook@example.com, or see https://example.com/a.b. '
)
CHINESE = "今天天气很好，我们一起去公园散步吧。你觉得怎么样？如果下雨的话，我们就在家里看书、喝茶。“好的。”他说。"
CHINESE_PLAIN = "今天天气很好，我们一起去公园散步吧。你觉得怎么样？如果下雨的话，我们就在家里看书、喝茶。好的。他说。"
MARKDOWN = (
    "## Baking\n\nSure, **I can help** you 🎉. First:\n- preheat the *oven* to 180.5 degrees\n- mix `flour` with "
    "sugar, see [the docs](https://example.com/a.b) or https://example.com/c?d=e. Dr. Smith says SQL takes 3 hours.\n\n"
)
LEXICON = Lexicon.parse({"sql": "sequel", "nginx": "engine x", **{f"word{n}": "x" for n in range(500)}})
# name: (text, characters in a delta). A delta of an LLM is a word or less: 4 characters of English on average.
CASES = {
    "English, 4 chars a delta": (PROSE * 240, 4),
    "English, 1 char a delta": (PROSE * 240, 1),
    "English, all in one delta": (PROSE * 240, 10**9),
    "Chinese, 2 chars a delta": (CHINESE * 600, 2),
    "Chinese without quotations": (CHINESE_PLAIN * 600, 2),
    "no sentence end, 1 char": ("word " * 20_000, 1),
    "no break at all, 1 char": ("a" * 100_000, 1),
    "full stops only, 1 char": ("." * 100_000, 1),
    "undecided stops, 1 char": ("a. " * 33_333, 1),
    "spaces only, 1 char": (" " * 100_000, 1),
}


def speak(text: str, delta_chars: int) -> tuple[int, int]:
    """Runs `text` through a chunker; how many deltas and how many segments it was."""
    chunker = TextChunker()
    segments = deltas = 0
    for begin in range(0, len(text), delta_chars):
        now_s = deltas * 0.02
        chunker.append(text[begin : begin + delta_chars], now_s)
        deltas += 1
        while chunker.take(now_s) is not None:
            segments += 1
    chunker.end_input()
    while chunker.take(0.0) is not None:
        segments += 1
    return deltas, segments


# name: (text, characters in a delta, what is changed before the chunker).
REWRITTEN = {
    "prose, all filters": (PROSE * 60, 4, tuple(TextFilter), None),
    "prose, lexicon of 502": (PROSE * 60, 4, (), LEXICON),
    "Markdown, all filters": (MARKDOWN * 60, 4, tuple(TextFilter), None),
    "Markdown, filters, lexicon": (MARKDOWN * 60, 4, tuple(TextFilter), LEXICON),
    "Markdown, 1 char a delta": (MARKDOWN * 60, 1, tuple(TextFilter), LEXICON),
}


def speak_rewritten(
    text: str, delta_chars: int, filters: tuple[TextFilter, ...], lexicon: Lexicon | None
) -> tuple[int, int]:
    """The same with filters and a lexicon before the chunker, and the given text of each segment behind it."""
    given, chunker = SpokenText(rewriters(filters, lexicon)), TextChunker()
    segments = deltas = 0
    for begin in range(0, len(text), delta_chars):
        now_s = deltas * 0.02
        chunker.append(given.feed(text[begin : begin + delta_chars]), now_s)
        deltas += 1
        while (spoken := chunker.take(now_s)) is not None:
            given.take(spoken)
            segments += 1
    chunker.append(given.flush(), 0.0)
    chunker.end_input()
    while (spoken := chunker.take(0.0)) is not None:
        given.take(spoken, last=chunker.exhausted)
        segments += 1
    return deltas, segments


def main() -> None:
    """Prints the best of RUNS for each case: the machine's other work only ever adds."""
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    print(f"{'case':28} {'chars':>8} {'segments':>9} {'us/delta':>9} {'ns/char':>8}")
    for name, (text, delta_chars) in CASES.items():
        measure(name, text, partial(speak, text, delta_chars))
    for name, (text, delta_chars, filters, lexicon) in REWRITTEN.items():
        measure(name, text, partial(speak_rewritten, text, delta_chars, filters, lexicon))


def measure(name: str, text: str, run: Callable[[], tuple[int, int]]) -> None:
    """Prints the best of RUNS."""
    best_s = float("inf")
    for _ in range(RUNS):
        begin_s = time.perf_counter()
        deltas, segments = run()
        best_s = min(best_s, time.perf_counter() - begin_s)
    print(f"{name:28} {len(text):8} {segments:9} {best_s / deltas * 1e6:9.2f} {best_s / len(text) * 1e9:8.0f}")


if __name__ == "__main__":
    main()
