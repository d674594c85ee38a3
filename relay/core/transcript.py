"""Which text a turn's audio speaks, for telling how far a listener came."""

from dataclasses import dataclass, field

from relay.core.events import MAX_LEAD_MS, Word
from relay.core.formats import OUTPUT_RATES_HZ

# How far a listener may be behind what was sent, in samples: the longest lead at the highest rate. The words of what
# was sent longer ago are dropped, a few hundred kilobytes in an hour; how far it was heard is then told to the segment.
MOST_BEHIND_SAMPLES = MAX_LEAD_MS * max(OUTPUT_RATES_HZ) // 1000


@dataclass(slots=True)
class _Segment:
    """Text whose audio starts at `start_sample`."""

    start_sample: int
    text: str
    words: list[Word] = field(default_factory=list)
    # Whether `words` are all that will come.
    whole: bool = False


class Transcript:
    """The segments of a turn in order, with the times of their words where the provider gives them."""

    def __init__(self) -> None:
        self._segments: list[_Segment] = []
        # Of how many of them the words were dropped.
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._segments)

    def begin(self, text: str, start_sample: int, samples_sent: int) -> None:
        self._segments.append(_Segment(start_sample, text))
        heard_samples = samples_sent - MOST_BEHIND_SAMPLES
        while self._dropped < len(self._segments) - 1 and (
            self._segments[self._dropped + 1].start_sample <= heard_samples
        ):
            self._segments[self._dropped].words.clear()
            self._segments[self._dropped].whole = True
            self._dropped += 1

    def time(self, words: tuple[Word, ...]) -> None:
        """More words of the last segment."""
        self._segments[-1].words.extend(words)

    def complete(self) -> None:
        """No more words of the last segment will come."""
        self._segments[-1].whole = True

    def move(self, samples: int) -> None:
        """So many samples were left out at the beginning: all that begins after them does so that much earlier."""
        for segment in self._segments:
            segment.start_sample = max(0, segment.start_sample - samples)
            segment.words = [word.moved(samples) for word in segment.words]

    def until(self, sample: int) -> str:
        """The text whose audio begins before `sample`; to the word where the provider gave word times."""
        heard = [segment for segment in self._segments if segment.start_sample < sample]
        if not heard:
            return ""
        last = heard[-1]
        return "".join(segment.text for segment in heard[:-1]) + _words_until(last, sample)


def _words_until(segment: _Segment, sample: int) -> str:
    end = 0
    for word in segment.words:
        if word.start_sample >= sample:
            return segment.text[:end]
        at = segment.text.find(word.text, end)
        end = at + len(word.text) if at >= 0 else end
    return segment.text if segment.whole or not segment.words else segment.text[:end]
