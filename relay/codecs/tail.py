"""The end of headerless audio: a provider that fails in the middle of a reply may write its error behind the samples.

Samples have no end that can be seen, so text is looked for at the end of what has come so far, and what may be the
start of one waits for the next byte. Nothing else does:

* JSON, HTML, XML: the second of two characters that begin one (`{"`, `<h`, a line end before them), and what follows
  as long as all of it is printable. Of noise one piece in 4,000 ends so. With 8-bit samples the first character too,
  but not within the first FREE_BYTES, so that no first frame ever waits: there one sample of a text may be played.
* Plain words: from their 16th letter on, and where samples have 16 bits or more, behind the first FREE_BYTES, from the
  second.
"""

import re
from collections.abc import Callable

from relay.codecs.base import HEAD_BYTES_MAX, NotAudioError
from relay.codecs.texts import OPENINGS, WORD_CHARACTERS, WORDS_BYTES, text_kind, words_fail_at, words_kind

# No byte of these waits because of one character: 100 ms of the leanest audio there is, mulaw at 8 kHz, and more than
# a first frame.
FREE_BYTES = 1024

# All bytes that text is made of, in UTF-8: printable ASCII, white space, and the parts of longer characters.
TEXT = bytes([*b"\t\r\n", *range(0x20, 0x7F), *range(0x80, 0xF5)])
SINGLE_TEXT = frozenset(bytes([byte]) for byte in TEXT)

# What JSON, HTML, XML and events begin with, as far as it has come.
_MARK = re.compile(
    rb"""[\r\n]{0,8}(
        \Z
        | (\{ | \[ \s{0,32} \{?) \s{0,32} (\Z | "(\Z | [A-Za-z_\x80-\xf4]))
        | < (\Z | [A-Za-z?] | ! (\Z | [Dd] | -))
        | d(\Z | a(\Z | t(\Z | a(\Z | :)))) | e(\Z | v(\Z | e(\Z | n(\Z | t(\Z | :)))))
    )""",
    re.VERBOSE,
)
_POSSIBLE_BYTES = frozenset(b"{[<\r\nde").union(*(first for text in OPENINGS for first in (text[:1], text[:1].upper())))
# A place that is worth a look: a mark, or the first two letters of an opening at the start of a word. What is no more
# than its first character gives nothing away: see `_let_go`.
_PLACE = re.compile(
    rb"(?=[{\[<\r\nde])(?:%b)|(?<![A-Za-z0-9])(?i:%b)"
    % (
        _MARK.pattern,
        b"|".join(sorted({re.escape(opening[:2]) + b"|" + re.escape(opening[:1]) + rb"\Z" for opening in OPENINGS})),
    ),
    re.VERBOSE,
)
_MARKS = frozenset(b"{[<\r\nde")
# A mark that waits, with its second character.
_WAITS = re.compile(rb"""\{["\s]|\[[{"\s]|<[!?A-Za-z]|[\r\n][\r\n{\[<]|da|ev""")
_WAITS_OF_8_BITS = re.compile(rb"""[{\[<\r\nde]""")
_WORD_CHARACTER = frozenset(bytes([byte]) for byte in WORD_CHARACTERS)
_CAPITAL = re.compile(rb"[A-Z][A-Za-z]")
# Within so much of it nearly everything that begins like a mark and is none can be told.
_NEAR_BYTES = 64
# In a run that ends the input the first few places where a text may begin are judged, not every `{` of a thousand.
_PLACES_MAX = 32
# No text that ends the input is shorter.
_SHORTEST = len(b'{"e":1}')
_MARK_STARTS = re.compile(rb"[{\[<\r\nde]")
_BRACKETS = frozenset(b"{[<\r\n")
_WORD_BYTES = 16
_ALL_WORDS = re.compile(rb"[%b]{%d}" % (re.escape(WORD_CHARACTERS), WORDS_BYTES))
# UTF-8 without control characters, as far as it goes.
_PRINTABLE = re.compile(
    rb"(?:[\t\r\n\x20-\x7e]+|\xc2[\xa0-\xbf]|[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}"
    rb"|[\xf0-\xf4][\x80-\xbf]{3})*"
)
# A character that is not complete yet.
_HALF = re.compile(rb"(?:\xc2|[\xc3-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})?\Z")
# A text that has ended is one from so many characters on; JSON by its form, whatever its length.
_TEXT_BYTES_MIN = 16
_WORDS_BYTES_MIN, _WORDS_BYTES_MIN_8_BITS = 12, 24
_JSON_FORM = re.compile(rb"""(\{|\[\s*\{?)\s*"[^"\\\x00-\x1f]{1,64}"\s*[:,\]]""")
# Tones in mulaw are letters between brackets too: XML has a whole tag, and something between it and another one.
_XML_FORM = re.compile(rb"<(\?xml[^<>]*\?>|!--|[A-Za-z][\w:.-]*(\s[^<>]*)?/?>)[^<>]*(<[A-Za-z/!?]|\Z)")
# Of a run without a start: enough to see the character before the next one.
_KEPT_BYTES = 1


def find_text(data: bytes) -> int | None:
    """Where in `data`, which audio stands before, JSON, HTML, XML or events begin that last until its end; None:
    nowhere."""
    at = len(data.rstrip(TEXT))
    last = len(data) - _SHORTEST + 1
    for _ in range(_PLACES_MAX):
        found = _MARK_STARTS.search(data, at, last) if at < last else None
        if found is None:
            break
        at = found.start()
        if mark_kind(data[at:]) is not None:
            return at
        at += 1
    return None


def mark_kind(text: bytes) -> str | None:
    """The kind of a complete text that begins with a bracket or an event's name; None if it is none."""
    body = text.lstrip(b"\r\n")
    if not body or not _MARK.match(body) or not _is_printable(body, 0):
        return None
    kind = text_kind(body[:HEAD_BYTES_MAX], any_text=body.startswith((b"data:", b"event:")))
    if kind == "XML" and not _XML_FORM.match(body):
        return None
    return kind if len(body) >= _TEXT_BYTES_MIN or _JSON_FORM.match(body) else None


def _is_printable(data: bytes, at: int) -> bool:
    return _fails_at(data, at) is None


def _fails_at(data: bytes, at: int) -> int | None:
    """The byte at which what begins at `at` stops being text; None if it does not, as far as it goes."""
    printable = _PRINTABLE.match(data, at)
    assert printable is not None, "it matches nothing too"
    end = printable.end()
    if _HALF.match(data, end):
        return None
    return end + _first(lambda size: not _HALF.match(data[end : end + size]), min(4, len(data) - end))


def _first(fails: Callable[[int], bool], size: int) -> int:
    """The index of the byte with which the first of `size` bytes fail; once they do, more of them fail too."""
    low, high = 0, size
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(middle) else (middle, high)
    return high - 1


class Tail:
    """Passes audio on, but for a text at its end. `sample_width` is that of one sample of one channel.

    `pass_on` gives what is audio by now; `flush` the rest, or raises NotAudioError if that is text. A text of
    HEAD_BYTES_MAX is not waited for: the next call raises.

    Text bytes at the end of the input are its run. One place of it at most is watched, from left to right: the first
    where a text may begin. So the outcome is the same for every cut.
    """

    def __init__(self, sample_width: int) -> None:
        self._wide = sample_width > 1
        # Where audio says how long it is, an end before that is an error in any case, and only a bracket is worth it.
        self.looks_for_words = True
        # The last piece, all of which was given, and where it ended.
        self._before = b""
        self._before_end = 0
        self._waits = _WAITS if self._wide else _WAITS_OF_8_BITS
        self.run = b""
        self._run_at = 0  # where in the input the run begins
        self._given = 0  # how much of the run was given out
        self._place = 0  # the place that is watched
        self._hold: int | None = None  # from where on the run waits
        self._floor = 0  # what was given by the time when other places had turned out to be none

    def pass_on(self, piece: bytes, at: int) -> bytes:
        """What is audio by now, of `piece` and of what was held. `at` is where in the input it begins; it need not be
        known while there is a `run`. A piece that ends in none of SINGLE_TEXT need not come here if there is none."""
        run_from = len(piece.rstrip(TEXT))
        if self.run:
            if self._hold is not None or not run_from:
                return self._slowly(piece, run_from)
            # The run is over, and all of it was given.
            at = self._run_at + len(self.run)
            self._forget()
        if run_from and self._waits.search(piece, run_from) is None and not self._may_be_words(piece, run_from):
            # It waits for nothing, but text may go on from it.
            self._before, self._before_end = piece, at + len(piece)
            return piece
        self._run_at = at
        if not run_from and at == self._before_end:
            # All that came before was given.
            self.run = self._before[len(self._before.rstrip(TEXT)) :]
            self._given, self._run_at = len(self.run), at - len(self.run)
        return self._slowly(piece, run_from)

    def _forget(self) -> None:
        self.run, self._given, self._place, self._floor = b"", 0, 0, 0

    def _may_be_words(self, piece: bytes, run_from: int) -> bool:
        """Whether words that may wait end a run that begins in `piece`."""
        if piece[-2:-1] in _WORD_CHARACTER and piece[-1:] in _WORD_CHARACTER:
            words_from = len(piece.rstrip(WORD_CHARACTERS))
            if len(piece) - words_from >= _WORD_BYTES or _CAPITAL.search(piece, words_from):
                return True
        return len(piece) - run_from >= WORDS_BYTES and _ALL_WORDS.search(piece, run_from) is not None

    def _slowly(self, piece: bytes, run_from: int) -> bytes:
        if self._hold is not None and len(self.run) - self._place >= HEAD_BYTES_MAX:
            self._refuse("text")
        out = b""
        if run_from:
            out = self.run[self._given :] + piece[:run_from]
            self._run_at += len(self.run) + run_from
            self._forget()
            self.run = piece[run_from:]
        else:
            self.run += piece
        self._watch()
        return out + self._give()

    def flush(self) -> bytes:
        for _ in range(_PLACES_MAX):
            found = _PLACE.search(self.run, self._place)
            while found is not None and self.run[found.start()] not in _POSSIBLE_BYTES:
                found = _PLACE.search(self.run, found.start() + 1)
            if found is None:
                break
            self._place = found.start()
            kind = self._kind()
            if kind is not None:
                self._refuse(kind)
            self._place += 1
        return self.release()

    def release(self) -> bytes:
        """What is held, which is no text for a reason of its own: more is known to follow."""
        rest, self.run, self._hold = self.run[self._given :], b"", None
        self._given = self._place = self._floor = 0
        return rest

    def _give(self) -> bytes:
        end = max(self._given, self._floor, len(self.run) if self._hold is None else self._hold)
        out = self.run[self._given : end]
        self._given = end
        if (cut := min(self._place, self._given) - _KEPT_BYTES) > HEAD_BYTES_MAX:
            self.run, self._run_at = self.run[cut:], self._run_at + cut
            self._given, self._place, self._floor = self._given - cut, self._place - cut, 0
            self._hold = None if self._hold is None else self._hold - cut
        return out

    def _watch(self) -> None:
        """Moves on to the first place where a text may begin; it waits, or will when more of it has come."""
        self._hold = None
        run = self.run
        # Searched by one expression: hostile audio is made of places that are worth no look, thousands in a slice.
        while (found := _PLACE.search(run, self._place)) is not None:
            self._place = found.start()
            failed = self._failed() if run[self._place] in _POSSIBLE_BYTES else self._place + 1
            if failed is None:
                return
            self._place = failed
        self._place = len(self.run)

    def _failed(self) -> int | None:
        """Where to look on if no text begins at the place; else None, and `_hold` is set if it waits already."""
        run, place, self._hold = self.run, self._place, None
        within_word = place > 0 and run[place - 1 : place].isalnum()
        is_bracket = run[place] in _BRACKETS
        if run[place] in _MARKS:
            at_once = not self._wide and self._run_at + place >= FREE_BYTES
            hold = place if at_once else place + 1
            failed, beyond = self._mark_fails(place)
            if failed is None:
                self._hold = hold if at_once or len(run) - place >= 2 else None
                return None
            self._let_go(min(failed, hold))
            if is_bracket or beyond > place + 1:
                return beyond
        return self._words_failed() if self.looks_for_words and not within_word else place + 1

    def _mark_fails(self, place: int) -> tuple[int | None, int]:
        """The byte at which it is seen that no mark begins at `place`, and where to look on; None if one may."""
        run = self.run
        if not _MARK.match(run, place):
            near = run[place : place + _NEAR_BYTES]
            beginning = near if not _MARK.match(near) else run[place:]
            return place + _first(lambda size: not _MARK.match(beginning[:size]), len(beginning)), place + 1
        failed = _fails_at(run, place)
        return failed, place + 1 if failed is None else max(failed, place + 1)

    def _words_failed(self) -> int | None:
        run, place = self.run, self._place
        words = run[place : place + WORDS_BYTES]
        capital = self._wide and self._run_at + place >= FREE_BYTES and words[:1].isupper()
        hold = place + (1 if capital else _WORD_BYTES - 1)
        if (size := words_fail_at(words)) is not None:
            self._let_go(min(place + size, hold))
            return place + 1
        if place + len(words) > hold:
            self._hold = hold
        failed = _fails_at(run, place)
        if failed is not None:
            self._let_go(hold)
        return failed

    def _let_go(self, end: int) -> None:
        """So much of the run was given out by the time when the watched place turned out to be none."""
        self._floor = max(self._floor, end)

    def _kind(self) -> str | None:
        """The kind of the complete text that begins at the place."""
        text = self.run[self._place :]
        if text[0] in _MARKS and (kind := mark_kind(text)) is not None:
            return kind
        if not self.looks_for_words:
            return None
        least = _WORDS_BYTES_MIN if self._wide else _WORDS_BYTES_MIN_8_BITS
        if len(text) < least or not (self._wide or b" " in text) or not _is_printable(text, 0):
            return None
        return words_kind(text[:WORDS_BYTES], ended=True)

    def _refuse(self, kind: str) -> None:
        raise NotAudioError(kind, self.run[self._place :].lstrip(), after_audio=True)
