"""Web and mail addresses, of which only the part that makes sense to a listener is spoken.

A web address (http://, https://, www.) is spoken as its host name without "www."; of a mail address what is before the
"@". Addresses in other forms (ftp://, example.org, /usr/bin) stay as they are.
"""

import re

from relay.core.text.characters import HANGUL, IDEOGRAPHIC, PHRASE_SPACED
from relay.core.text.runs import Run
from relay.core.text.scanner import Found, Scanner, left_out, literal

# The longest host name (RFC 1035, 2.3.4); a longer one is text.
MAX_HOST_CHARS = 253
# Marks behind an address that may be of it or of the sentence, until the next character tells.
MAX_TRAILING_CHARS = 16

_PREFIXES = ("https://", "http://", "www.")
# Letters of scripts without spaces are no part of an address: 见https://example.com吧
_AUTHORITY = re.compile(rf"(?:[^\W{IDEOGRAPHIC}{HANGUL}{PHRASE_SPACED}]|[.~%+:@-])+")
_DOMAIN = re.compile(r"@[A-Za-z0-9.-]*")
_MAIL_DOMAIN = re.compile(r"@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}")
# Characters of an address (RFC 3986); those in _TRAILING are, unless they are its last.
_SOLID = re.compile(r"[A-Za-z0-9/?#@$&+=%()\[\]-]")
_TRAILING = re.compile(r"[.,;:!?'*_~]+")
_CLOSES = {")": "(", "]": "["}


class UrlFilter(Scanner):
    """Holds back at most MAX_HOST_CHARS and a prefix, or MAX_TRAILING_CHARS of what may be left out."""

    # In an address every character is looked at; see `special`.
    _OUTSIDE = re.compile("[hHwW@]")
    _INSIDE = re.compile(r"[\s\S]")

    def __init__(self) -> None:
        super().__init__()
        self.special = self._OUTSIDE
        self._opened = ""  # brackets in the path

    def found(self, text: str, at: int, final: bool) -> Found:
        if self.special is self._INSIDE:
            return self._path(text, at, final)
        return self._mail(text, at, final) if text[at] == "@" else self._host(text, at, final)

    def flush(self) -> list[Run]:
        runs = super().flush()
        self.special = self._OUTSIDE
        return runs

    def _host(self, text: str, at: int, final: bool) -> Found:
        before = self.char_before(text, at)
        if (before.isalnum() and before.isascii()) or before in ("_", "/", ".", "@"):
            return literal(text, at)
        begun = text[at : at + len(_PREFIXES[0])].lower()
        prefix = next((prefix for prefix in _PREFIXES if begun.startswith(prefix)), None)
        if prefix is None:
            undecided = not final and any(prefix.startswith(begun) for prefix in _PREFIXES)
            return None if undecided else literal(text, at)
        start = at + len(prefix)
        match = _AUTHORITY.match(text, start, start + MAX_HOST_CHARS + 1)
        end = start if match is None else match.end()
        if end == len(text) and not final and end - start <= MAX_HOST_CHARS:
            return None
        end = start + len(text[start:end].rstrip(".~%+:@-_"))
        host = text[start:end].rpartition("@")[2].partition(":")[0]
        if not 0 < end - start <= MAX_HOST_CHARS or not host or (prefix == "www." and "." not in host):
            return literal(text, at, start)
        if host.lower().startswith("www."):
            host = host[len("www.") :] or host
        if text[end : end + 1] in ("/", "?", "#"):
            self.special, self._opened = self._INSIDE, ""
        return end, [Run(text[at:end], host)]

    def _path(self, text: str, at: int, final: bool) -> Found:
        """One character of the path, a query or a fragment, or the marks that may be behind it."""
        char = text[at]
        if _SOLID.match(char):
            if char in "([":
                self._opened += char
            elif char in ")]":
                if not self._opened.endswith(_CLOSES[char]):
                    return self._over(text, at, final)
                self._opened = self._opened[:-1]
            return left_out(text, at, at + 1)
        trailing = _TRAILING.match(text, at, at + MAX_TRAILING_CHARS)
        if trailing is None:
            return self._over(text, at, final)
        end = trailing.end()
        if end - at == MAX_TRAILING_CHARS:
            return left_out(text, at, end)
        if end == len(text):
            return literal(text, at, end) if final else None
        closing = text[end] in ")]" and not self._opened.endswith(_CLOSES[text[end]])
        if _SOLID.match(text, end) and not closing:
            return left_out(text, at, end)
        self.special = self._OUTSIDE
        return literal(text, at, end)

    def _over(self, text: str, at: int, final: bool) -> Found:
        """The address ended before `at`."""
        self.special = self._OUTSIDE
        return self.found(text, at, final) if self._OUTSIDE.match(text, at) else literal(text, at)

    def _mail(self, text: str, at: int, final: bool) -> Found:
        before = self.char_before(text, at)
        if not (before.isascii() and (before.isalnum() or before in "_+-%")) or not before:
            return literal(text, at)
        match = _DOMAIN.match(text, at, at + MAX_HOST_CHARS + 1)
        assert match is not None, "it begins with @"
        end = match.end()
        if end == len(text) and not final and end - at <= MAX_HOST_CHARS:
            return None
        end = at + len(text[at:end].rstrip(".-"))
        return left_out(text, at, end) if _MAIL_DOMAIN.fullmatch(text, at, end) else literal(text, at)
