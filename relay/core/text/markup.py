"""Markdown, and code in it, as language models write it: the words stay, the marks are left out.

It is read as it comes, so an emphasis counts from its opening mark on, closed or not; all else is as CommonMark 0.31
and GitHub's tables have it, where that can be known in bounded text. A line that is a heading, an item, a row or a rule
ends a sentence: its line end is spoken as an empty line. The cells of a row are spoken with a comma between them.
"""

import re

from relay.core.text.characters import HANGUL, IDEOGRAPHIC, PHRASE_SPACED
from relay.core.text.markup_lines import Begin, Line, begin_of_line, closes_fence
from relay.core.text.runs import Run
from relay.core.text.scanner import Found, Scanner, left_out, literal

# What is held back of text that is spoken if the mark that it began with is not closed; longer ones are no marks.
MAX_LINK_TEXT_CHARS = 128
MAX_UNDERSCORED_CHARS = 128
MAX_INLINE_CODE_CHARS = 256
MAX_TAG_CHARS = 256
# The same where nothing of it would be spoken.
MAX_DESTINATION_CHARS = 2048
MAX_SPACES = 64
_MAX_MARKS = 16


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_UNSPACED = re.compile(f"[{IDEOGRAPHIC}{HANGUL}{PHRASE_SPACED}]")
# Before an opening mark: marks of addresses, paths, formulas and words are not.
_BEFORE_NO_EMPHASIS = frozenset("/\\=&.@?%$^<")
_AFTER_NO_EMPHASIS = frozenset("/\\,;:!?)]}=.*%")
# Before or behind an opening underscore, besides letters and spaces; ;_; and ^_^ are smileys.
_BEFORE_UNDERSCORES = frozenset("([{\"'“‘«„¿¡*~`—–|>")
_MARKS = re.compile(r"([*~_`])\1*")

_LINK_TEXT = re.compile(rf"\[((?:[^\[\]\n\\]|\\[^\n]|\[[^\[\]\n]*\]){{0,{MAX_LINK_TEXT_CHARS}}})\]")
_LINK_TEXT_BEGUN = re.compile(r"\[(?:[^\[\]\n\\]|\\(?:[^\n]|\Z)|\[[^\[\]\n]*(?:\]|\Z))*\Z")
_DESTINATION = re.compile(
    r"\([ \t]*(?:<[^<>\n]*>|[^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)*)"
    r"(?:[ \t]+(?:\"[^\"\n]*\"|'[^'\n]*'|\([^()\n]*\)))?[ \t]*\)"
)
_FOOTNOTE = re.compile(r"\[\^[^\[\]\s]{1,32}\]:?")

_TAGS = _words(
    "a abbr b big blockquote br center cite code dd del details div dl dt em font h1 h2 h3 h4 h5 h6 hr i img ins kbd "
    "li mark ol p pre q s samp small span strike strong sub summary sup table tbody td th thead tr tt u ul var"
)
# Words on both sides of these are two.
_DIVIDING_TAGS = _words("blockquote br dd div dl dt h1 h2 h3 h4 h5 h6 hr li ol p pre table td th tr ul")
_VALUE = r"(?:\"[^\"<>\n]*\"|'[^'<>\n]*'|[^\s\"'<>=]+)"
_ATTRIBUTE = rf"[ \t]+[a-zA-Z][\w:-]*[ \t]*=[ \t]*{_VALUE}"
_TAG = re.compile(rf"</?([a-zA-Z][a-zA-Z0-9]*)(?:{_ATTRIBUTE})*[ \t]*/?>")
_TAG_NAME = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)?")
_TAG_BEGUN = re.compile(
    rf"</?[a-zA-Z][a-zA-Z0-9]*(?:{_ATTRIBUTE})*"
    r"(?:[ \t]*/?|[ \t]+[a-zA-Z][\w:-]*[ \t]*(?:=[ \t]*(?:\"[^\"<>\n]*|'[^'<>\n]*|[^\s\"'<>=]*))?)\Z"
)
_AUTOLINK = re.compile(r"<((?:[a-zA-Z][a-zA-Z0-9+.-]*://|mailto:|[\w.+-]+@|[\w-]+\.)[^\s<>]*)>")
_AUTOLINK_BEGUN = re.compile(r"<[\w.+:@-]+(?:[/?#][^\s<>]*)?\Z")
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&#39;": "'", "&nbsp;": "\u00a0"}
_MAX_ENTITY_CHARS = max(map(len, _ENTITIES))

_CLOSING_HASHES = re.compile(rf"#{{1,{_MAX_MARKS}}}[ \t\r]{{0,{_MAX_MARKS}}}")
_CELL_SPACES = re.compile(rf"[ \t]{{0,{MAX_SPACES}}}")


class MarkupFilter(Scanner):
    """Leaves out the marks of Markdown (`markdown`), and code in backticks and fenced blocks (`code`).

    Holds back at most what the constants above say, and MAX_BEGIN_CHARS of a line whose kind is not known.
    """

    _INLINE = re.compile(r"[*_~`\\\[<&|#\n]|!(?=\[|\Z)")
    _IN_ROW = re.compile(r"[*_~`\\\[<&|#\n \t]|!(?=\[|\Z)")
    _CODE_ONLY = re.compile(r"[`\n]")
    _IN_CODE = re.compile(r"[`\n]")
    _IN_FENCE = re.compile(r"\n")
    _ANY = re.compile(r"[\s\S]")

    def __init__(self, *, markdown: bool, code: bool) -> None:
        super().__init__()
        self._markdown = markdown
        self._code = code
        self.special = self._ANY
        self._at_line_start = True
        self._line = Line.BLANK
        self._table = False
        self._fence = ""
        self._ticks = 0  # of the code that is open
        self._opened = {"*": 0, "~": 0}  # marks of emphasis

    def found(self, text: str, at: int, final: bool) -> Found:
        if self._at_line_start:
            return self._begin_line(text, at, final)
        if text[at] == "\n":
            return self._end_line(text, at, final)
        if text[at] == "`":
            return self._backticks(text, at, final)
        rule = {
            "*": self._emphasis,
            "~": self._emphasis,
            "_": self._underscores,
            "\\": self._escape,
            "[": self._link,
            "!": self._image,
            "<": self._tag,
            "&": self._entity,
            "|": self._pipe,
            " ": self._pipe,
            "\t": self._pipe,
            "#": self._closing_hashes,
        }[text[at]]
        return rule(text, at, final)

    def _pass(self, text: str, runs: list[Run]) -> None:
        runs.append(Run(text, "" if self._fence and self._code else text))

    # --- lines ---

    def _begin_line(self, text: str, at: int, final: bool) -> Found:
        if self._fence:
            end = closes_fence(text, at, self._fence, final)
            if end is None:
                return None
            self._at_line_start = False
            self.special = self._IN_FENCE
            if end > at:
                self._fence, self._line = "", Line.FENCE
                self.special = self._inline()
            return left_out(text, at, end)
        begin = begin_of_line(text, at, final, markdown=self._markdown)
        if begin is None:
            return None
        self._at_line_start = False
        self._line = begin.line
        self._fence = begin.fence
        if begin.line in (Line.BLANK, Line.HEADING, Line.ITEM, Line.RULE, Line.FENCE):
            self._opened = {"*": 0, "~": 0}
        self._table = (self._table or begin.line in (Line.TABLE_RULE, Line.ROW)) and begin.line is not Line.BLANK
        self.special = self._IN_FENCE if self._fence else self._inline()
        return left_out(text, at, begin.end)

    def _inline(self) -> re.Pattern[str]:
        if not self._markdown:
            return self._CODE_ONLY
        return self._IN_ROW if self._table else self._INLINE

    def _end_line(self, text: str, at: int, final: bool) -> Found:
        if self._fence:
            self._next_line()
            return at + 1, [Run("\n", "" if self._code else "\n")]
        following = begin_of_line(text, at + 1, final, markdown=self._markdown)
        if following is None:
            return None
        self._next_line()
        return at + 1, [Run("\n", "\n\n" if self._ends_sentence(text, following) else "\n")]

    def _next_line(self) -> None:
        self._at_line_start = True
        self._ticks = 0
        self.special = self._ANY

    def _ends_sentence(self, text: str, following: Begin) -> bool:
        """Must the line end be heard, because what marks one of the two lines is not?"""
        before, after = self._line, following.line
        unmarked = (Line.TEXT, Line.BLANK, Line.FENCE)
        if Line.BLANK in (before, after):
            return False
        if after not in (Line.TEXT, Line.QUOTE):
            return before not in (Line.RULE, Line.TABLE_RULE)
        if Line.QUOTE in (before, after):
            return before is not after
        if not self._markdown or before in unmarked or before in (Line.RULE, Line.TABLE_RULE):
            return False
        begin = text[following.end : following.end + MAX_SPACES].lstrip()[:1]
        return self._table or before is Line.HEADING or not begin.islower()

    # --- emphasis ---

    def _emphasis(self, text: str, at: int, final: bool) -> Found:
        marks = self._marks(text, at, final)
        if marks is None:
            return None
        count, after = len(marks), text[at + len(marks) : at + len(marks) + 1]
        before, end = self.char_before(text, at), at + len(marks)
        if count > 3 or (marks[0] == "~" and count != 2):
            return literal(text, at, end)
        closing = bool(before) and not before.isspace() and self._opened[marks[0]]
        if closing:
            self._opened[marks[0]] = max(0, self._opened[marks[0]] - count)
            return left_out(text, at, end)
        if self._opens(text, at, before, after, single=count == 1):
            self._opened[marks[0]] += count
            return left_out(text, at, end)
        return literal(text, at, end)

    def _marks(self, text: str, at: int, final: bool) -> str | None:
        """The run of marks at `at`, once it is seen what follows it."""
        match = _MARKS.match(text, at, at + _MAX_MARKS)
        assert match is not None, "there is one"
        undecided = match.end() == len(text) and match.end() - at < _MAX_MARKS and not final
        return None if undecided else match[0]

    def _opens(self, text: str, at: int, before: str, after: str, *, single: bool) -> bool:
        if not after or after.isspace() or (after in _AFTER_NO_EMPHASIS and (single or after != ".")):
            return False
        if before.isalnum() and not _UNSPACED.match(before) and not _UNSPACED.match(after):
            return False
        if before in _BEFORE_NO_EMPHASIS and before:
            return False
        if single and after.isdigit():
            # 5 *3 is a product.
            return not (self._before + text[max(0, at - 2) : at])[-2:].rstrip()[-1:].isdigit()
        return True

    def _underscores(self, text: str, at: int, final: bool) -> Found:
        """Underscores are in names as often as around words: only those that are closed are marks."""
        marks = self._marks(text, at, final)
        if marks is None:
            return None
        start, before = at + len(marks), self.char_before(text, at)
        outside = not before or before.isspace() or before in _BEFORE_UNDERSCORES or _UNSPACED.match(before)
        word = start < len(text) and (text[start].isalnum() or text[start] in _BEFORE_UNDERSCORES)
        if len(marks) > 3 or not outside or not word:
            return literal(text, at, start)
        reach = text[start : start + MAX_UNDERSCORED_CHARS]
        line = reach.partition("\n")[0]
        pattern = rf"(?<=[^\s_]){marks}(?![\w])"
        closing = re.search(pattern, line)
        cut = len(line) == len(reach) < MAX_UNDERSCORED_CHARS and not final
        if closing is None or (closing.end() == len(line) and cut):
            return None if cut else literal(text, at, start)
        end = start + closing.end()
        inner = text[start : end - len(marks)]
        return end, [Run(marks, ""), *self._inner(inner), Run(marks, "")]

    def _inner(self, text: str) -> list[Run]:
        """What stands between two marks, which is whole."""
        inner = MarkupFilter(markdown=self._markdown, code=self._code)
        inner._at_line_start = False
        inner.special = inner._inline()
        return [*inner.feed(text), *inner.flush()]

    # --- code ---

    def _backticks(self, text: str, at: int, final: bool) -> Found:
        marks = self._marks(text, at, final)
        if marks is None:
            return None
        end = at + len(marks)
        if self._ticks:
            if len(marks) != self._ticks:
                return literal(text, at, end)
            self._ticks, self.special = 0, self._inline()
            return left_out(text, at, end)
        if self._code:
            return self._inline_code(text, at, end, final)
        if self.char_before(text, at).isalnum() and text[end : end + 1].isalnum() and text[end : end + 1].isascii():
            return literal(text, at, end)
        self._ticks, self.special = len(marks), self._IN_CODE
        return left_out(text, at, end)

    def _inline_code(self, text: str, at: int, start: int, final: bool) -> Found:
        """Code is left out if it is closed in its line."""
        marks = text[at:start]
        reach = text[start : start + MAX_INLINE_CODE_CHARS]
        line = reach.partition("\n")[0]
        closing = re.search(rf"(?<!`){marks}(?!`)", line)
        cut = len(line) == len(reach) < MAX_INLINE_CODE_CHARS and not final
        if closing is None or (closing.end() == len(line) and cut):
            return None if cut else literal(text, at, start)
        return left_out(text, at, start + closing.end())

    # --- links, tags, escapes ---

    def _image(self, text: str, at: int, final: bool) -> Found:
        """Behind a word "!" is a stop, at once; else it may begin an image."""
        before = self.char_before(text, at)
        if before and not before.isspace() and before not in "([|>":
            return literal(text, at)
        if at + 1 == len(text):
            return literal(text, at) if final else None
        found = self._link(text, at + 1, final)
        if found is None or found[1][0].spoken:
            return found and literal(text, at)
        return found[0], [Run("!", ""), *found[1]]

    def _link(self, text: str, at: int, final: bool) -> Found:
        footnote = _FOOTNOTE.match(text, at)
        words = _LINK_TEXT.match(text, at, at + MAX_LINK_TEXT_CHARS + 2)
        if words is None:
            reach = text[at : at + MAX_LINK_TEXT_CHARS + 2]
            whole = at + len(reach) == len(text) and len(reach) < MAX_LINK_TEXT_CHARS + 2
            return None if whole and not final and _LINK_TEXT_BEGUN.match(reach) else literal(text, at)
        end = words.end()
        if end == len(text) and not final:
            return None
        if text[end : end + 1] != "(":
            return literal(text, at) if footnote is None else left_out(text, at, footnote.end())
        reach = text[end : end + MAX_DESTINATION_CHARS]
        destination = _DESTINATION.match(reach)
        if destination is None:
            more = len(reach) < MAX_DESTINATION_CHARS and "\n" not in reach and not final
            return None if more else literal(text, at)
        end += destination.end()
        return end, [Run("[", ""), *self._inner(words[1]), Run(text[words.end() - 1 : end], "")]

    def _tag(self, text: str, at: int, final: bool) -> Found:
        reach = text[at : at + MAX_TAG_CHARS]
        whole = at + len(reach) == len(text) and len(reach) < MAX_TAG_CHARS and not final
        before = self.char_before(text, at)
        tag = _TAG.match(reach)
        if tag is not None and tag[1].lower() in _TAGS:
            spoken = " " if tag[1].lower() in _DIVIDING_TAGS else ""
            return at + tag.end(), [Run(tag[0], spoken)]
        link = None if before.isalnum() else _AUTOLINK.match(reach)
        if link is not None:
            return at + link.end(), [Run("<", ""), Run(link[1], link[1]), Run(">", "")]
        if not whole:
            return literal(text, at)
        name = _TAG_NAME.match(reach)
        if name is not None and name.end() == len(reach):
            begun = (name[1] or "").lower()
            if any(known.startswith(begun) for known in _TAGS):
                return None
        elif name is not None and (name[1] or "").lower() in _TAGS and _TAG_BEGUN.match(reach):
            return None
        return None if not before.isalnum() and _AUTOLINK_BEGUN.match(reach) else literal(text, at)

    def _entity(self, text: str, at: int, final: bool) -> Found:
        reach = text[at : at + _MAX_ENTITY_CHARS]
        for entity, char in _ENTITIES.items():
            if reach.startswith(entity):
                return at + len(entity), [Run(entity, char)]
        begun = at + len(reach) == len(text) and any(entity.startswith(reach) for entity in _ENTITIES)
        return None if begun and not final else literal(text, at)

    def _escape(self, text: str, at: int, final: bool) -> Found:
        after = text[at + 1 : at + 2]
        if not after and not final:
            return None
        if after in _PUNCTUATION:
            return at + 2, [Run("\\", ""), Run(after, after)]
        return literal(text, at)

    # --- tables and headings ---

    def _pipe(self, text: str, at: int, final: bool) -> Found:
        """Between two cells, behind the last one, or not in a table; spaces are looked at in a row only."""
        if not self._table:
            return literal(text, at)
        end = self._skip_spaces(text, at)
        if end == len(text) and not final and end - at < MAX_SPACES:
            return None
        if text[end : end + 1] != "|":
            return literal(text, at, max(end, at + 1))
        begin = end + 1
        end = self._skip_spaces(text, begin)
        many = end - begin == MAX_SPACES
        if end == len(text) and not final and not many:
            return None
        last = not many and text[end : end + 1] in ("", "\n", "\r", "|")
        return end, [Run(text[at:end], "" if last else ", ")]

    @staticmethod
    def _skip_spaces(text: str, at: int) -> int:
        match = _CELL_SPACES.match(text, at)
        return at if match is None else match.end()

    def _closing_hashes(self, text: str, at: int, final: bool) -> Found:
        if self._line is not Line.HEADING or not self.char_before(text, at).isspace():
            return literal(text, at)
        match = _CLOSING_HASHES.match(text, at)
        assert match is not None, "it begins with #"
        end = match.end()
        if end == len(text) and not final and end - at < 2 * _MAX_MARKS:
            return None
        if end - at == 2 * _MAX_MARKS:
            return literal(text, at, end)
        return left_out(text, at, end) if text[end : end + 1] in ("", "\n") else literal(text, at, end)
