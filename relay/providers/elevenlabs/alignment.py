"""Times of characters, as ElevenLabs gives them, joined to times of words.

Over HTTP they are `characters`, `character_start_times_seconds` and `character_end_times_seconds`, from the start of
the reply; on a socket `chars`, `charStartTimesMs` and `charDurationsMs`, from the start of the chunk's audio (SDK
2.78.0; `chars_...` with another s is in its documentation and was seen).
"""

import math
from collections.abc import Iterator, Mapping

from relay.providers.base.http import WordTime

# The longest word: what never ends is given in parts.
_MAX_WORD_CHARS = 200


class WordJoiner:
    """Alignments in order -> the words that are known to be whole; a space ends one. A transform."""

    def __init__(self) -> None:
        self._text = ""
        self._start_s = self._end_s = 0.0

    def feed(self, alignment: object, offset_s: float = 0.0) -> list[WordTime]:
        """`offset_s` is added to the times. What is no alignment gives nothing: the audio is worth more."""
        words: list[WordTime] = []
        for character, start_s, end_s in _characters(alignment):
            if character.isspace():
                words += self.flush()
                continue
            if not self._text:
                self._start_s = offset_s + start_s
                self._end_s = self._start_s
            self._text += character
            self._end_s = max(self._end_s, offset_s + end_s)
            if len(self._text) >= _MAX_WORD_CHARS:
                words += self.flush()
        return words

    def flush(self) -> list[WordTime]:
        text, self._text = self._text, ""
        return [WordTime(text=text, start_s=self._start_s, end_s=self._end_s)] if text else []


def _characters(alignment: object) -> Iterator[tuple[str, float, float]]:
    if not isinstance(alignment, Mapping):
        return
    characters, starts, ends = (
        alignment.get(key) for key in ("characters", "character_start_times_seconds", "character_end_times_seconds")
    )
    unit_s, is_duration = 1.0, False
    if characters is None:
        characters = alignment.get("chars")
        starts = alignment.get("charStartTimesMs", alignment.get("charsStartTimesMs"))
        ends = alignment.get("charDurationsMs", alignment.get("charsDurationsMs"))
        unit_s, is_duration = 0.001, True
    if not (isinstance(characters, list) and isinstance(starts, list) and isinstance(ends, list)):
        return
    for character, start, end in zip(characters, starts, ends, strict=False):
        if isinstance(character, str) and character and _is_time(start) and _is_time(end):
            start_s = start * unit_s
            yield character, start_s, start_s + end * unit_s if is_duration else max(start_s, end * unit_s)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
