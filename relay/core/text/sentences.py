"""Where sentences end, in text of any language that may still be growing.

The rules are those of UAX #29 (revision 45, section 5), made stricter where a false end would be heard, and decided
before the whole text is there. This file does not know how much text a segment holds, nor when it is wanted.
"""

import re
from enum import Enum
from typing import NamedTuple

from relay.core.text.abbreviations import BEFORE_FIGURE, MAYBE_LAST, NEVER_LAST, STARTERS
from relay.core.text.characters import HANGUL, IDEOGRAPHIC, NO_BREAK_SPACES, glued, is_ideograph
from relay.core.text.quotations import closes, open_marks

# How far before a mark the rules look: the longest abbreviation, and a line long enough to begin with a list marker.
WORD_CHARS = 40
LOOKBACK_CHARS = 256

# Unicode property Sentence_Terminal without ASCII. They have no other use, so they are certain at once.
_FULL_STOPS = "。！？｡؟۔؞։।॥។៕၊။።፧፨᠃᠉᥄᥅‼‽⁇⁈⁉﹒﹖﹗܀܁܂"
_DOTS = ".…‥．"
_GREEK_QUESTION_MARKS = ";\u037e"
_LINE_ENDS = "\n\u0085\u2028\u2029"
_PARAGRAPH_END = "\u2029"
_CLOSERS = "\"'”’»›“‘«‹)]}*_~`）】」』〉》〕｝］＂＇｣〗〙〞〟﹂﹄﹚"
_OPENERS = "\"'“‘„‚«»‹›([{*_~`¿¡（【「『〈《〔｛［＂＇｢〖〘〝﹁﹃﹙#–—-"
_GOING_ON = ",;:.!?…،؛、，；：)]}%"

_FULL_STOP = re.compile(f"[{_FULL_STOPS}]")
_MARK = re.compile(f"[{_FULL_STOPS}{_DOTS}!?{_GREEK_QUESTION_MARKS}{_LINE_ENDS}]")
# With variation selectors: the emoji forms of ‼ and ⁉, the centred form of 。
_RUN = re.compile(f"[{_FULL_STOPS}{_DOTS}!?\ufe00-\ufe0f]+")
_CLOSING = re.compile(f"[{re.escape(_CLOSERS)}]*")
# After a full stop of an unspaced script these open, as in 他说。“好”, unless there is something for them to close.
_ALSO_OPENING = frozenset("“‘«‹»›\"'＂＇")
# French sets spaces inside its quotation marks, and some set them inside others: « Bonjour ! », “ Oui. ”
_SPACED_OPENING = re.compile(r"[«‹“‘„»›(\[]\s")
_SPACED_CLOSERS = "»›«‹”’“)]"
_SPACED_CLOSING = re.compile(rf"\s*[{re.escape(_SPACED_CLOSERS)}]+")
_SPACES = re.compile(r"\s*")
_NO_BREAKS = re.compile(f"[{NO_BREAK_SPACES}]*")
_OPENING = re.compile(rf"[\s{re.escape(_OPENERS)}]*")
_WORD = re.compile(r"\w+")
_GREEK = re.compile("[\u0370-\u03ff\u1f00-\u1fff]")
# 「はい。」と答えた, 『君の名は。』を見た: the sentence goes on after what it quotes or names. These are particles, not
# the words that begin as they do: はい, はじめ, もう, もし, もっと, もちろん, でも, できる, だから, だが, やはり.
_PARTICLE = re.compile(
    "[とっをがへにの]|は(?![いじや])|も(?![うしっち])|で(?![もき])|な(?:ら|ど)|だ(?![かがけ])"
    "|ま[でし]|か[らも]|より|さえ|しか|や(?![あっは])"
)
# Two characters tell these from other words.
_PARTICLE_OR_WORD = "はもでなだまかよさしや"
_KANA = re.compile("[\u3041-\u30ff]")
# Enough before a mark to see which of the two languages with ideographs it is.
_KANA_CHARS = 32
# 我看了《你好。》很高兴: what is in these is a name in its sentence.
_TITLE_CLOSERS = "》〉"
_CHINESE_CLOSERS = '”’"'

_LINE_MARKER = re.compile(r"\s*(?:[-*+•‣◦▪–—>]|#{1,6}|\d{1,3}[.)]|[^\W\d_][.)])(?=\s)")
_LINE_MARKER_BEGUN = re.compile(r"(?:[-*+•‣◦▪–—>]|#{1,6}|\d{1,3}[.)]?|[^\W\d_][.)]?)\Z")
_LIST_NUMBER = re.compile(r"[\s>*#•-]*\d{1,3}\Z")
_DIALOGUE = re.compile(r"\s*[–—]")

_ACRONYM = re.compile(r"[^\W\d_]{1,3}(?:\.[^\W\d_]{1,3})+")
# "z. B", "и т. д", "i. d. R": one abbreviation, written with spaces.
_SPACED_ACRONYM = re.compile(r"(?:(?<!\w)[^\W\d_]\.[ \u00a0\u202f])+[^\W\d_]{1,3}\Z")
_INITIAL = re.compile(rf"[^\W\d_{IDEOGRAPHIC}{HANGUL}][\u0300-\u036f]*")
_ORDINAL = re.compile(r"\d{1,2}|[IVXLC]{1,6}")
# German writes the street and its name in one word: Hauptstr. 5
_STREET = "str"
# A word this long and in lower case is no abbreviation: its stop needs no look at the next word.
_PLAIN_WORD_CHARS = 5


class SentenceScan(NamedTuple):
    """What is known of a text that may still grow.

    `ends` are behind the stop and what closes it, before the space. `resume` is where to start the next scan, once
    there is more text: what is before it is decided for good. `early` is an end at the very end of the text that
    need not wait for the next character: it is certain that a sentence ends, and no quotation or bracket is open that
    a mark still to come could close. (One that closes nothing may yet come, and then begins what follows.)
    """

    ends: list[int]
    resume: int
    early: int | None


class Ending(Enum):
    """What the end of a text looks like."""

    SENTENCE = "sentence"
    NUMBER = "number"  # "3." is the end of a sentence, or the beginning of 3.14
    UNFINISHED = "unfinished"


class _Verdict(Enum):
    END = "end"
    GOES_ON = "goes on"
    UNKNOWN = "unknown"  # more text decides


class _Judged(NamedTuple):
    verdict: _Verdict
    end: int  # of the sentence, if it is one
    resume: int  # where to look for the next mark


class _Next(Enum):
    """What stands behind the space that follows a stop."""

    UNKNOWN = "unknown"
    NOTHING = "nothing"  # the text is over
    LOWER = "lower"
    FIGURE = "figure"
    PUNCTUATION = "punctuation"
    CAPITAL = "capital"
    OTHER = "other"  # letters without case, emoji, symbols


def find_sentence_ends(text: str, start: int, stop: int, *, final: bool) -> SentenceScan:
    """The sentence ends of `text[start:stop]`; `final` says that nothing follows.

    Looks back behind `start`, up to LOOKBACK_CHARS, but never beyond `stop`. However the text grows, scans that go on
    at `resume` find what one scan of the whole finds (an end may be told twice).
    """
    ends: list[int] = []
    at = start
    while (mark := _MARK.search(text, at, stop)) is not None:
        at = mark.start()
        judge = _judge_line_end if text[at] in _LINE_ENDS else _judge_stop
        judged = judge(text, at, stop, final)
        if judged.verdict is _Verdict.UNKNOWN:
            return SentenceScan(ends, at, judged.end if _is_early(text, at, judged.end) else None)
        if judged.verdict is _Verdict.END and judged.end > (ends[-1] if ends else 0):
            ends.append(judged.end)
        at = judged.resume
    return SentenceScan(ends, stop, None)


def ending(text: str, start: int, stop: int) -> Ending:
    """What the end of `text[start:stop]` looks like, should nothing more come."""
    tail = text[max(start, stop - LOOKBACK_CHARS) : stop].rstrip()
    bare = tail.rstrip(_CLOSERS)
    marks = bare[len(bare.rstrip(f"{_FULL_STOPS}{_DOTS}!?")) :]
    if not marks:
        asks = bare[-1:] in _GREEK_QUESTION_MARKS and _GREEK.match(bare[-2:])
        return Ending.SENTENCE if bare and asks else Ending.UNFINISHED
    if marks != ".":
        return Ending.SENTENCE
    word = _word_before(bare, len(bare) - 1)
    if word[-1:].isdigit():
        return Ending.NUMBER
    if word.casefold() in NEVER_LAST or _INITIAL.fullmatch(word):
        return Ending.UNFINISHED
    return Ending.SENTENCE


def _judge_stop(text: str, at: int, stop: int, final: bool) -> _Judged:
    """Is the run of marks that begins at `at` the end of a sentence?"""
    if text[at] in _GREEK_QUESTION_MARKS:
        run = at + 1
        if _GREEK.match(text, max(0, at - 1), at) is None:
            return _Judged(_Verdict.GOES_ON, run, run)
    else:
        run = _skip(_RUN, text, at, stop)
    full_stop = _is_full_stop(text, at, run)
    end = _skip(_CLOSING, text, run, stop)
    if full_stop and end > run:
        end = _closed(text, run, end)
    if end < stop and text[end].isspace():
        spaces = _skip(_SPACES, text, end, stop)
        if (spaces == stop or text[spaces] in _SPACED_CLOSERS) and _in_spaced_quotation(text, at):
            if spaces == stop and not final:
                return _Judged(_Verdict.UNKNOWN, end, end)
            end = _skip(_SPACED_CLOSING, text, end, stop)
    if end == stop:
        return _Judged(_Verdict.END if final else _Verdict.UNKNOWN, end, end)
    if full_stop:
        if end > run:
            return _Judged(_judge_quoted(text, end, stop, final), end, end)
        return _Judged(_Verdict.GOES_ON if glued(text, end) else _Verdict.END, end, end)
    if text[end].isspace():
        return _Judged(_judge_before_space(text, at, run, end, stop, final), end, end)
    if text[run - 1] in "!?" and is_ideograph(text[end]):
        return _Judged(_Verdict.END, end, end)
    return _Judged(_Verdict.GOES_ON, end, end)


def _judge_quoted(text: str, end: int, stop: int, final: bool) -> _Verdict:
    """The same for a full stop that is closed up to `end`: the sentence may go on after what it quotes."""
    if glued(text, end):
        return _Verdict.GOES_ON
    if text[end - 1] in _TITLE_CLOSERS and text[end].isalnum():
        return _Verdict.GOES_ON
    if text[end] in _PARTICLE_OR_WORD and end + 1 == stop and not final:
        return _Verdict.UNKNOWN
    return _Verdict.GOES_ON if _PARTICLE.match(text, end, stop) else _Verdict.END


def _judge_before_space(text: str, at: int, run: int, end: int, stop: int, final: bool) -> _Verdict:
    """The same for marks `text[at:run]`, closed up to `end`, that are not certain by themselves."""
    spaces = _skip(_SPACES, text, end, stop)
    if _has_blank_line(text, end, spaces):
        return _Verdict.END
    following, after = _next(text, end, stop, final)
    if text[end] in NO_BREAK_SPACES:
        if spaces == stop and not final:
            return _Verdict.UNKNOWN
        if spaces == _skip(_NO_BREAKS, text, end, stop):
            return _Verdict.GOES_ON
    if set(text[at:run]) - set(_DOTS):
        if end == run and not _in_dialogue(text, at):
            return _Verdict.END
        return _unless(following, _Next.LOWER, _Next.PUNCTUATION)
    if run - at > 1 or text[at] in "…‥":
        return _unless(following, _Next.LOWER, _Next.FIGURE, _Next.PUNCTUATION)
    word = _word_before(text, at)
    folded = word.casefold()
    if folded in NEVER_LAST or _LIST_NUMBER.match(_line_before(text, at)):
        return _Verdict.GOES_ON
    before_figure = folded in BEFORE_FIGURE or folded.endswith(_STREET)
    if before_figure and following in (_Next.FIGURE, _Next.UNKNOWN):
        return _Verdict.GOES_ON if following is _Next.FIGURE else _Verdict.UNKNOWN
    if folded in MAYBE_LAST or (word[-1:].isdigit() and not _ORDINAL.fullmatch(word)):
        return _unless(following, _Next.LOWER, _Next.FIGURE, _Next.PUNCTUATION)
    if _INITIAL.fullmatch(word) or _ACRONYM.fullmatch(word) or _ORDINAL.fullmatch(word):
        return _if_starter(text, following, after, stop, final)
    if end == run and _is_plain(word):
        return _Verdict.END
    return _unless(following, _Next.LOWER, _Next.PUNCTUATION)


def _judge_line_end(text: str, at: int, stop: int, final: bool) -> _Judged:
    """A blank line ends a sentence; so does a line end before or after a list item or a heading."""
    before = text[max(0, at - LOOKBACK_CHARS) : at]
    end = at - (len(before) - len(before.rstrip()))
    resume = _skip(_SPACES, text, at, stop)
    if _has_blank_line(text, at, resume):
        return _Judged(_Verdict.END, end, resume)
    if not final and (resume == stop or _LINE_MARKER_BEGUN.match(text, resume, stop)):
        return _Judged(_Verdict.UNKNOWN, end, resume)
    if resume == stop or _LINE_MARKER.match(text, resume, stop):
        return _Judged(_Verdict.END, end, resume)
    listed = _LINE_MARKER.match(_line_before(text, at)) and not _is_lower(text[resume])
    return _Judged(_Verdict.END if listed else _Verdict.GOES_ON, end, resume)


def _has_blank_line(text: str, at: int, resume: int) -> bool:
    """Do the spaces `text[at:resume]` separate paragraphs?"""
    spaces = text[at:resume]
    return _PARAGRAPH_END in spaces or sum(map(spaces.count, _LINE_ENDS)) > 1


def _next(text: str, at: int, stop: int, final: bool) -> tuple[_Next, int]:
    """What the text goes on with after the spaces and opening marks at `at`, and where."""
    after = _skip(_OPENING, text, at, stop)
    if after == stop:
        return (_Next.NOTHING if final else _Next.UNKNOWN), after
    char = text[after]
    if _is_lower(char):
        return _Next.LOWER, after
    if char.isdigit():
        return _Next.FIGURE, after
    if char in _GOING_ON:
        return _Next.PUNCTUATION, after
    return (_Next.CAPITAL if char.isupper() else _Next.OTHER), after


def _unless(following: _Next, *going_on: _Next) -> _Verdict:
    if following is _Next.UNKNOWN:
        return _Verdict.UNKNOWN
    return _Verdict.GOES_ON if following in going_on else _Verdict.END


def _if_starter(text: str, following: _Next, after: int, stop: int, final: bool) -> _Verdict:
    """An end only if the next word is one that begins sentences, and is no initial itself."""
    if following is _Next.NOTHING:
        return _Verdict.END
    word = _skip(_WORD, text, after, stop)
    if following is _Next.UNKNOWN or (word == stop and not final):
        return _Verdict.UNKNOWN
    initial = word - after == 1 and text[word : word + 1] == "."
    return _Verdict.END if text[after:word] in STARTERS and not initial else _Verdict.GOES_ON


def _word_before(text: str, at: int) -> str:
    """The word that ends at `at`, without opening marks; an abbreviation written with spaces is one word."""
    before = text[max(0, at - WORD_CHARS) : at]
    spaced = _SPACED_ACRONYM.search(before)
    if spaced is not None:
        return "".join(spaced[0].split())
    if not before or before[-1].isspace():
        return ""
    return before.split()[-1].lstrip(f"{_OPENERS}/")


def _line_before(text: str, at: int) -> str:
    """The line up to `at`; empty if it is too long to look at its beginning."""
    earliest = max(0, at - LOOKBACK_CHARS)
    line = text[earliest:at]
    begin = max(map(line.rfind, _LINE_ENDS)) + 1
    return line[begin:] if begin or not earliest else ""


def _is_full_stop(text: str, at: int, run: int) -> bool:
    """Is there a mark in `text[at:run]` that only ever ends sentences? "．" is one behind Han and kana."""
    if text[at] in _FULL_STOPS or (text[at] == "．" and at and is_ideograph(text[at - 1])):
        return True
    return _FULL_STOP.search(text, at, run) is not None


def _is_early(text: str, at: int, end: int) -> bool:
    """Does a sentence end with `text[at:end]`, at the very end of the text, whatever comes next?

    Not while a mark may still close what is open. Where one was closed, a Japanese sentence may go on, and in scripts
    with spaces the next one belongs to it.
    """
    if not _is_full_stop(text, at, end) or open_marks(text, end):
        return False
    if text[end - 1] not in _CLOSERS:
        return True
    chinese = is_ideograph(text[at - 1 : at]) and not _KANA.search(text, max(0, at - _KANA_CHARS), at)
    return chinese and text[end - 1] in _CHINESE_CLOSERS


def _closed(text: str, run: int, end: int) -> int:
    """Where the marks `text[run:end]` behind a full stop begin to open what follows it."""
    if _ALSO_OPENING.isdisjoint(text[run:end]):
        return end
    opened = open_marks(text, run)
    for at in range(run, end):
        level = closes(text[at], opened)
        if level >= 0:
            opened = opened[:level]
        elif text[at] in _ALSO_OPENING:
            return at
    return end


def _in_spaced_quotation(text: str, at: int) -> bool:
    """Is `at` inside guillemets, or in a quotation that begins with a space?"""
    before = text[max(0, at - LOOKBACK_CHARS) : at]
    if before.rfind("«") > before.rfind("»"):
        return True
    if before.isascii() and "(" not in before and "[" not in before:
        return False
    if _SPACED_OPENING.search(before) is None:
        return False
    opened = open_marks(text, at)
    return bool(opened) and before[before.rfind(opened[-1]) + 1 :][:1].isspace()


def _in_dialogue(text: str, at: int) -> bool:
    """Does the line open with a dash, as direct speech does in Russian and Spanish?"""
    return _DIALOGUE.match(_line_before(text, at)) is not None


def _is_plain(word: str) -> bool:
    """Can only be a whole word: long enough and in lower case, or of a script that has no case."""
    if not any(map(str.isalpha, word)) or any(map(str.isupper, word)):
        return False
    return len(word) >= _PLAIN_WORD_CHARS or not any(map(_is_lower, word))


def _is_lower(char: str) -> bool:
    """Georgian letters are lower case to Unicode, but sentences begin with them."""
    return char.islower() and not "\u10d0" <= char <= "\u10ff"


def _skip(pattern: re.Pattern[str], text: str, at: int, stop: int) -> int:
    """The end of `pattern` at `at`, or `at` where it does not match."""
    match = pattern.match(text, at, stop)
    return at if match is None else match.end()
