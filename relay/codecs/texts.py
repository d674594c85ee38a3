"""Text where audio was promised: what kind of text bytes begin, and where in audio a text begins.

Of a text nothing is ever quoted here. This file does not know what was asked for.
"""

import re
from codecs import getincrementaldecoder

# So many printable characters in a row are text: as samples they would be a loud and odd way to start.
TEXT_BYTES = 16
# Plain words have no bracket to begin with. What begins as failures are told, and goes on with characters of words
# alone, so many of them or all there are, is text, whatever was asked for: of 16-bit noise one stream in 10^12 does.
WORDS_BYTES = 48
# A whole reply of words need not be so long; fewer bytes than these are too little to tell.
WORDS_BYTES_MIN = 8

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHITE_SPACE = b" \t\r\n"
_NO_WHITE_SPACE = dict.fromkeys(_WHITE_SPACE)
# How JSON may go on after its first character. Not every way that JSON can: `[[`, `{}~` and `""#` are mulaw as well.
_JSON = re.compile(rb"""\{\s*("|\}?\s*\Z)|\[\s*(["{]|\Z)|"([A-Za-z]|\Z)""")
_HTML = (b"<!doctype", b"<html", b"<head", b"<body", b"<title")
_XML = re.compile(rb"<(\?xml|[A-Za-z][A-Za-z0-9:_-]*([\s/>]|\Z)|\?|\Z)")
_EVENTS = re.compile(rb"(data|event|id|retry):[ {\[A-Za-z0-9]")
_EVENT_STARTS = (b"data:", b"event:", b"retry:", b"id:")
# How base64 of audio begins: WAV, ID3, frames of MP3, Ogg, FLAC, and a data URL.
_BASE64_STARTS = (b"UklGR", b"SUQzB", b"//uQ", b"//vQ", b"//NE", b"//NI", b"T2dnU", b"ZkxhQ", b"data:audio")
_PREFIX_STARTS = frozenset(mark[:1] for mark in (*_EVENT_STARTS, *_BASE64_STARTS))
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}\s*\Z")

# Characters that words of an error message are made of; letters in a row are never this many.
WORD_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;!?'\"()/\r\n_-"
_WORDS = re.compile(rb"[%b]*\Z" % re.escape(WORD_CHARACTERS))
_LETTERS_MAX = 24
_LONG_RUN = re.compile(rb"[A-Za-z]{%d}" % (_LETTERS_MAX + 1))

# How servers and proxies begin when they say that they fail; no audio waits that begins otherwise.
OPENINGS = tuple(
    opening.encode()
    for opening in (
        *(f"{status} " for status in (*range(400, 432), 451, *range(500, 512), *range(520, 531))),
        *("http/1.", "http/2", "error", "internal ", "bad gateway", "bad request", "not found", "unauthorized"),
        *("unauthorised", "forbidden", "access denied", "permission denied", "too many requests", "rate limit"),
        *("service unavailable", "temporarily unavailable", "gateway time", "request time", "request failed"),
        *("upstream ", "no healthy upstream", "timeout", "timed out", "time out", "connection ", "invalid ", "failed"),
        *("failure", "an error", "an internal", "an unexpected", "unexpected ", "a server", "the model", "the server"),
        *("the service", "the request", "the voice", "your request", "your account", "unable to", "could not"),
        *("cannot ", "can't ", "something went wrong", "sorry", "exception", "traceback", "quota", "insufficient"),
        *("payment required", "out of credit", "missing ", "overloaded", "server ", "not allowed", "no such "),
        *("method not", "unsupported", "unknown ", "voice ", "model ", "generation ", "synthesis ", "fatal"),
    )
)


_WHOLE_OPENINGS = frozenset(OPENINGS)
_BEGUN_OPENINGS = frozenset(opening[:size] for opening in OPENINGS for size in range(1, len(opening)))
_OPENING_BYTES_MAX = max(len(opening) for opening in OPENINGS)

# What a text may begin with.
BRACKETS = frozenset(b'{["<\xef' + _WHITE_SPACE)
FIRST_BYTES = BRACKETS | {
    byte for mark in (*OPENINGS, *_BASE64_STARTS, *_EVENT_STARTS) for byte in (*mark[:1], *mark[:1].upper())
}


def text_kind(head: bytes, *, any_text: bool) -> str | None:
    """What kind of text `head` begins, or may still come to begin; None when it is none.

    `any_text`: whatever is printable is text. Else only what no audio begins with is.
    """
    body = b"" if _BYTE_ORDER_MARK.startswith(head) else head.removeprefix(_BYTE_ORDER_MARK).lstrip(_WHITE_SPACE)
    if not body:
        kind = "white space"
    elif _JSON.match(body):
        kind = "JSON"
    elif any(body.lower().startswith(mark[: len(body)]) for mark in _HTML):
        kind = "HTML"
    elif _XML.match(body):
        kind = "XML"
    elif any_text or head.startswith(_BYTE_ORDER_MARK):
        kind = "an event stream" if _EVENTS.match(body) else "text"
    else:
        return None
    return kind if is_printable(head) else None


def words_kind(head: bytes, *, ended: bool) -> str | None:
    """The same for text without a bracket, where headerless audio may come: `head` has WORDS_BYTES at most.

    A kind that is given before WORDS_BYTES have come may still turn out to be none; where the input has `ended` it is
    one.
    """
    if ended and len(head) < WORDS_BYTES_MIN:
        return None
    full = ended or len(head) >= WORDS_BYTES
    if head[:1] in _PREFIX_STARTS and (kind := _prefixed_kind(head, full=full)) != "":
        return kind
    if not head[:1].isalnum() or not _WORDS.match(head) or _LONG_RUN.search(head):
        return None
    fails_at, opened = _opening(head)
    return "text" if fails_at is None and (opened or not full) else None


def words_fail_at(head: bytes) -> int | None:
    """The byte with which `head` stops being words that begin as failures are told; None if it does not."""
    fails_at, _ = _opening(head)
    if fails_at is None:
        words = len(head) - len(head.lstrip(WORD_CHARACTERS))
        fails_at = words if words < len(head) else None
        if long_run := _LONG_RUN.search(head, 0, words):
            fails_at = long_run.end() - 1
    return fails_at


def _opening(head: bytes) -> tuple[int | None, bool]:
    """The byte at which `head` turns out to begin like no failure, and whether it has begun like one for sure."""
    low = head[:_OPENING_BYTES_MAX].lower()
    for size in range(1, len(low) + 1):
        begun = low[:size]
        if begun in _WHOLE_OPENINGS:
            return None, True
        if begun not in _BEGUN_OPENINGS:
            return size - 1, False
    return None, False


def _prefixed_kind(head: bytes, *, full: bool) -> str | None:
    """The kind of what begins with a fixed prefix; an empty one for what does not."""
    if any(head.startswith(mark[: len(head)]) for mark in _BASE64_STARTS):
        return "base64 text" if (is_printable if head[:5] == b"data:" else _BASE64.fullmatch)(head) else None
    if any(head.startswith(mark[: len(head)]) for mark in _EVENT_STARTS):
        return "an event stream" if is_printable(head) and (not full or _EVENTS.match(head)) else None
    return ""


def is_printable(head: bytes) -> bool:
    """Whether `head`, which may end inside a character, is UTF-8 without control characters but white space."""
    try:
        text = getincrementaldecoder("utf-8")().decode(head.removeprefix(_BYTE_ORDER_MARK))
    except UnicodeDecodeError:
        return False
    return text.translate(_NO_WHITE_SPACE).isprintable()
