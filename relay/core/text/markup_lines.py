"""What a line of Markdown begins with. This file does not know what stands in the line behind it."""

import re
from enum import Enum, auto
from typing import NamedTuple

# How much of a line may have to be seen before it is known what it is: a rule, a fence with the name of a language.
MAX_BEGIN_CHARS = 256
# Quotations in one another beyond this are text.
_MAX_QUOTES = 8


class Line(Enum):
    """Kinds of lines."""

    TEXT = auto()
    BLANK = auto()
    HEADING = auto()
    ITEM = auto()
    QUOTE = auto()
    ROW = auto()  # of a table
    RULE = auto()
    TABLE_RULE = auto()  # the line below a table's head
    FENCE = auto()


class Begin(NamedTuple):
    """A line and where its text begins: what is before it marks the line. `fence` is what closes a block of code."""

    line: Line
    end: int
    fence: str = ""


_EDGE = r"[ \t\r]*(?=\n|\Z)"
_BLANK = re.compile(_EDGE)
_SPACES = re.compile(r"[ \t\r]*\Z")
_QUOTE = re.compile(r"[ \t]{0,3}>(?:[ \t]|(?=[>\r\n])|\Z)")
_HEADING = re.compile(r"[ \t]{0,3}#{1,6}[ \t]+(?=\S)")
_HEADING_BEGUN = re.compile(r"[ \t]{0,3}#{1,6}[ \t]*\Z")
_ITEM = re.compile(r"[ \t]*[-*+•‣◦▪][ \t]+(?:\[[ xX]\][ \t]+)?(?=\S)")
_ITEM_BEGUN = re.compile(r"[ \t]*[-*+•‣◦▪](?:[ \t]+(?:\[(?:[ xX](?:\][ \t]*)?)?)?)?\Z")
_RULE = re.compile(rf"[ \t]*([-*_=])(?:[ \t]*\1){{2,}}{_EDGE}")
_TABLE_RULE = re.compile(rf"[ \t]*(?=[^\n]*-)(?=[^\n]*\|)[|:\- \t]+{_EDGE}")
_RULE_BEGUN = re.compile(r"[-*_=|: \t\r]*\Z")
# A bar alone may be that of |x|: a row has a space behind it, or ends with one too.
_ROW = re.compile(rf"[ \t]*\|(?:[ \t]+|(?=[^\s|][^\n]*\|{_EDGE}))")
_ROW_BEGUN = re.compile(r"[ \t]*\|[^\s|][^\n]*\Z")
_FENCE = re.compile(rf"[ \t]*(?:(`{{3,}})[^`\n]*|(~{{3,}})[^\n]*){_EDGE}")
_FENCE_BEGUN = re.compile(r"[ \t]*(?:`{1,2}|`{3,}[^`\n]*|~{1,2}|~{3,}[^\n]*)\Z")


def begin_of_line(text: str, at: int, final: bool, *, markdown: bool, depth: int = 0) -> Begin | None:
    """What the line that begins at `at` is; None if more text decides, which MAX_BEGIN_CHARS of it always do.

    Without `markdown` only blocks of code are known. Quotations may stand in one another: this one is in `depth`.
    """
    line = text[at : at + MAX_BEGIN_CHARS]
    open_ended = not final and at + len(line) == len(text) and "\n" not in line and len(line) < MAX_BEGIN_CHARS
    if _SPACES.fullmatch(line) and open_ended:
        return None
    if _BLANK.match(line) and not open_ended:
        return Begin(Line.BLANK, at)
    if open_ended and (_FENCE_BEGUN.match(line) or (markdown and _begun(line))):
        return None
    fence = _FENCE.match(line)
    if fence is not None:
        return Begin(Line.FENCE, at + fence.end(), fence[1] or fence[2])
    return _marked(text, line, at, final, depth) if markdown else Begin(Line.TEXT, at)


def _begun(line: str) -> bool:
    patterns = (_RULE_BEGUN, _HEADING_BEGUN, _ITEM_BEGUN, _ROW_BEGUN)
    return any(pattern.match(line) for pattern in patterns)


def _marked(text: str, line: str, at: int, final: bool, depth: int) -> Begin | None:
    quote = _QUOTE.match(line)
    if quote is not None and depth < _MAX_QUOTES:
        inner = begin_of_line(text, at + quote.end(), final, markdown=True, depth=depth + 1)
        plain = inner is not None and inner.line in (Line.TEXT, Line.BLANK)
        return Begin(Line.QUOTE, at + quote.end()) if plain else inner
    for pattern, kind in ((_RULE, Line.RULE), (_TABLE_RULE, Line.TABLE_RULE), (_HEADING, Line.HEADING)):
        match = pattern.match(line)
        if match is not None:
            return Begin(kind, at + match.end())
    for pattern, kind in ((_ITEM, Line.ITEM), (_ROW, Line.ROW)):
        match = pattern.match(line)
        if match is not None:
            return Begin(kind, at + match.end())
    return Begin(Line.TEXT, at)


def closes_fence(text: str, at: int, fence: str, final: bool) -> int | None:
    """Where the line at `at` ends if it closes the block of code that `fence` opened, else `at`; None as above."""
    line = text[at : at + MAX_BEGIN_CHARS]
    open_ended = not final and at + len(line) == len(text) and "\n" not in line and len(line) < MAX_BEGIN_CHARS
    mark = re.escape(fence[0])
    match = re.match(rf"[ \t>]*{mark}{{{len(fence)},}}{_EDGE}", line)
    if open_ended and re.match(rf"[ \t>]*{mark}*[ \t\r]*\Z", line):
        return None
    return at if match is None else at + match.end()
