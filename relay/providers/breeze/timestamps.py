"""The body of `/stream/with-timestamps`: lines of JSON, each with audio in base64 and the times of words.

::

    {"audio_base64": "...", "word_timestamps": [{"index": 0, "word": "Hello", "start": 0.0, "end": 0.31}]}

`start` and `end` are taken as seconds from the beginning of the whole reply. The vendor's types say numbers with a
fraction and no unit, where all its other durations are integers whose names end in `_ms` or `_seconds` (SDK 0.21.1,
`_timestamps.py`, `types.py`); its guide says that a word whose index is repeated by the next line goes on there, which
only times on one clock can do.
"""

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.errors import Code, ProviderError
from relay.providers.base import faults
from relay.providers.base.http import Piece, WordTime
from relay.providers.breeze.api import KNOWN_CODES, Api

# The vendor's SDK takes no longer line (`_timestamps.py`); it is a minute of audio.
MAX_LINE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Word:
    index: int
    time: WordTime


class TimedLines:
    """Lines cut anywhere -> words and audio, the words of a line first. A transform.

    The last word of a line waits for the next line, which may say that it goes on. An error (`failed` makes it of a
    line that tells one) is raised by the call after the one that gave the good pieces before it.
    """

    def __init__(self, api: Api, failed: Callable[[Mapping[str, Any]], ProviderError]) -> None:
        self._api = api
        self._failed = failed
        self._line = bytearray()
        self._looked_bytes = 0
        self._last: _Word | None = None
        self._fault: ProviderError | None = None
        self._audio_came = False

    def feed(self, data: bytes) -> list[Piece]:
        if self._fault:
            raise self._fault
        self._line += data
        pieces: list[Piece] = []
        start = 0
        try:
            while (end := self._line.find(b"\n", max(start, self._looked_bytes))) >= 0:
                pieces += self._read(bytes(self._line[start:end]))
                start = end + 1
            if len(self._line) - start > MAX_LINE_BYTES:
                raise self._api.problem(Code.BAD_AUDIO, f"sent a line of more than {MAX_LINE_BYTES} bytes")
        except ProviderError as error:
            if not pieces:
                raise
            self._fault = error
        del self._line[:start]
        self._looked_bytes = len(self._line)
        return pieces

    def flush(self) -> list[Piece]:
        if self._fault:
            raise self._fault
        pieces = self._read(bytes(self._line))
        if self._last:
            pieces.append(self._last.time)
        return pieces

    def _read(self, line: bytes) -> list[Piece]:
        if not line.strip():
            return []
        told = faults.json_object(line)
        if not told:
            raise faults.unreadable(self._api.name, "a line that is no JSON object, or half of one")
        if "error" in told:
            error = told["error"]
            raise self._error(error if isinstance(error, Mapping) else told)
        encoded, words = told.get("audio_base64"), told.get("word_timestamps")
        if not isinstance(encoded, str) or not isinstance(words, list):
            raise faults.unreadable(self._api.name, "a line without audio_base64 and word_timestamps")
        try:
            audio = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise self._api.problem(Code.BAD_AUDIO, "sent audio that is not base64") from None
        pieces: list[Piece] = list(self._finished(words))
        if audio:
            self._audio_came = True
            pieces.append(audio)
        return pieces

    def _error(self, event: Mapping[str, Any]) -> ProviderError:
        """Before any audio, an error of no known code is as good as a page: no audio."""
        error = self._failed(event)
        if self._audio_came or str(event.get("code")) in KNOWN_CODES:
            return error
        return ProviderError(Code.BAD_AUDIO, error.message, provider=error.provider)

    def _finished(self, entries: list[object]) -> list[WordTime]:
        """The words that are known to be whole."""
        finished: list[WordTime] = []
        for entry in entries:
            if (word := _word(entry)) is None:
                continue  # a word without its time is worth nothing, but the audio is
            if self._last and self._last.index == word.index:
                word = _Word(word.index, _joined(self._last.time, word.time))
            elif self._last:
                finished.append(self._last.time)
            self._last = word
        return finished


def _word(entry: object) -> _Word | None:
    if not isinstance(entry, Mapping):
        return None
    index, text, start_s, end_s = (entry.get(name) for name in ("index", "word", "start", "end"))
    if not isinstance(index, int) or not isinstance(text, str) or not _instant(start_s) or not _instant(end_s):
        return None
    assert isinstance(start_s, int | float)
    assert isinstance(end_s, int | float)
    if end_s < start_s:
        return None
    return _Word(index, WordTime(text=text, start_s=float(start_s), end_s=float(end_s)))


def _instant(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _joined(earlier: WordTime, later: WordTime) -> WordTime:
    return WordTime(text=later.text, start_s=earlier.start_s, end_s=max(earlier.end_s, later.end_s))
