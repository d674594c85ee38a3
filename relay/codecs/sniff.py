"""Which container is it? The bytes decide; what was asked for and the Content-Type settle what the bytes leave open.

Nothing that can be played is held back: only bytes that may yet turn out to be the start of something else wait, and
never more than 15. Text (an error message where audio should be) is collected, so that it can be read.
"""

import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from relay.codecs.base import Block, CorruptAudioError, Decoder
from relay.core.formats import Container

# Any provider's error message; the rest of a longer text is dropped.
HEAD_BYTES_MAX = 4096

# So many printable characters in a row are text: as samples they would be a loud and odd way to start.
_TEXT_BYTES = 16

_Pattern: TypeAlias = Sequence[Collection[int]]  # for each byte, what it may be
_ANY = range(256)


def _letters(text: bytes) -> list[Collection[int]]:
    return [(letter,) for letter in text]


_MAGICS: tuple[tuple[Container, _Pattern], ...] = (
    (Container.WAV, [*_letters(b"RIFF"), *[_ANY] * 4, *_letters(b"WAVE")]),
    # ID3v2: version, revision, flags, and a size of four bytes below 0x80 (id3.org, ID3v2.4 structure, 3.1).
    (Container.MP3, [*_letters(b"ID3"), range(2, 5), range(0xFF), _ANY, *[range(0x80)] * 4]),
    (Container.OGG, _letters(b"OggS")),
    (Container.FLAC, _letters(b"fLaC")),
)
# The header of an MP3 frame as far as it can be wrong: sync and Layer III; neither free format nor a reserved rate.
_MP3_FRAME: _Pattern = [
    (0xFF,),
    (0xE2, 0xE3, 0xF2, 0xF3, 0xFA, 0xFB),
    [byte for byte in range(0x10, 0xF0) if byte & 0x0C != 0x0C],
]

_MAGICS_WITH_FRAMES = (*_MAGICS, (Container.MP3, _MP3_FRAME))
# Input that ends inside a longer magic, but after so many bytes of it, was going to be that.
_TELLING_BYTES = 4

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHITE_SPACE = b" \t\r\n"
_NO_WHITE_SPACE = dict.fromkeys(_WHITE_SPACE)
# How JSON may go on after its first character. Not every way that JSON can: `[[`, `{}~` and `""#` are mulaw as well.
_JSON = re.compile(rb"""\{\s*("|\}?\s*\Z)|\[\s*(["{]|\Z)|"([A-Za-z]|\Z)""")
_HTML = (b"<!doctype", b"<html", b"<?xml")

# What all of the above may begin with. Headerless audio mostly begins otherwise, and its first frame need not wait for
# every pattern to be tried: 25 us in a loop, several times that when the code was not in use just before.
_TELLING_STARTS = frozenset(byte for _, pattern in _MAGICS_WITH_FRAMES for byte in pattern[0]).union(
    _BYTE_ORDER_MARK[:1], _WHITE_SPACE, b'{["<'
)


class NotAudioError(CorruptAudioError):
    """Text came instead of audio. `head` is how it begins, at most HEAD_BYTES_MAX bytes; the message quotes none."""

    def __init__(self, kind: str, head: bytes) -> None:
        super().__init__(f"{kind} instead of audio")
        self.head = head


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What to expect: the container that was asked for, and what the Content-Type says: a container, or just text."""

    asked: Container
    said: Container | None = None
    said_text: bool = False

    def __contains__(self, container: Container) -> bool:
        return container in (self.asked, self.said)


class SniffingDecoder:
    """A decoder of whatever comes. `container` is what its first bytes turned out to be.

    `openers` makes the decoder of each container; there is none for RAW where nobody knows the shape of the samples.
    `mp3_frame_bytes(data, at)` is the size of the MP3 frame whose header stands there, 0 if none does.

    MP3 where headerless audio was promised is found by its ID3 tag, or by two frames in a row if the first pieces
    happen to hold them: playable bytes do not wait for more. No bytes at all give no blocks and no error.
    """

    def __init__(
        self,
        hints: Hints,
        openers: Mapping[Container, Callable[[], Decoder]],
        mp3_frame_bytes: Callable[[bytes, int], int],
    ) -> None:
        self.container: Container | None = None
        self._hints = hints
        self._openers = openers
        self._mp3_frame_bytes = mp3_frame_bytes
        self._decoder: Decoder | None = None
        self._text: str | None = None
        self._head = b""

    def feed(self, piece: bytes) -> Sequence[Block]:
        if self._decoder is not None:
            return self._decoder.feed(piece)
        self._head += piece
        return self._begin(ended=False) if self._head else []

    def flush(self) -> Sequence[Block]:
        begun = self._begin(ended=True) if self._head else []
        return begun if self._decoder is None else [*begun, *self._decoder.flush()]

    def _begin(self, *, ended: bool) -> Sequence[Block]:
        """Decodes the head if it is known what it is."""
        if self._text is None:
            self.container = self._recognise(ended=ended)
        if self._text is not None and (ended or len(self._head) >= HEAD_BYTES_MAX):
            raise NotAudioError(self._text, self._head[:HEAD_BYTES_MAX])
        if self.container is None:
            return []
        if self.container not in self._openers:
            shapeless = "headerless audio, and nothing says its rate and encoding"
            undecodable = f"{self.container} audio, which has no decoder here"
            raise CorruptAudioError(shapeless if self.container is Container.RAW else undecodable)
        self._decoder = self._openers[self.container]()
        head, self._head = self._head, b""
        return self._decoder.feed(head)

    def _recognise(self, *, ended: bool) -> Container | None:
        """The container of the head; None when it takes more bytes to tell, or when it is text."""
        head, hints = self._head, self._hints
        if head[0] not in _TELLING_STARTS and Container.RAW in hints and not hints.said_text:
            return self._fallback()
        undecided = False
        for container, pattern in _MAGICS_WITH_FRAMES if self._mp3_expected else _MAGICS:
            fit = _fit(head, pattern)
            if fit or (fit is None and ended and len(head) >= _TELLING_BYTES):
                return container
            undecided |= fit is None
        text = _text_kind(head[:_TEXT_BYTES], any_text=hints.said_text or Container.RAW not in hints)
        if text and (len(head) >= _TEXT_BYTES or (ended and not undecided)):
            self._text = text
            return None
        if (text or undecided) and not ended:
            return None
        return Container.MP3 if self._two_mp3_frames() else self._fallback()

    @property
    def _mp3_expected(self) -> bool:
        """Whether one frame header is enough: headerless audio may well begin like one."""
        return Container.MP3 in self._hints or self._hints.asked is not Container.RAW

    def _two_mp3_frames(self) -> bool:
        """Whether the head begins with two MP3 frame headers, one a frame after the other, that agree."""
        head = self._head
        second = self._mp3_frame_bytes(head, 0)
        if not second or not self._mp3_frame_bytes(head, second):
            return False
        # Version and layer, then the sample rate.
        return head[1] & 0xFE == head[second + 1] & 0xFE and head[2] & 0x0C == head[second + 2] & 0x0C

    def _fallback(self) -> Container:
        """What to take bytes for that say nothing themselves. Headerless audio first: it never says anything."""
        for container in (Container.RAW, Container.MP3, Container.WAV):
            if container in self._hints and container in self._openers:
                return container
        return self._hints.asked


def _fit(head: bytes, pattern: _Pattern) -> bool | None:
    """Whether `head` begins as `pattern` says; None when it does so far."""
    if any(byte not in allowed for byte, allowed in zip(head, pattern, strict=False)):
        return False
    return True if len(head) >= len(pattern) else None


def _text_kind(head: bytes, *, any_text: bool) -> str | None:
    """What kind of text `head` begins, or may still come to begin; None when it is none."""
    body = b"" if _BYTE_ORDER_MARK.startswith(head) else head.removeprefix(_BYTE_ORDER_MARK).lstrip(_WHITE_SPACE)
    if not body:
        kind = "white space"
    elif _JSON.match(body):
        kind = "JSON"
    elif any(body.lower().startswith(mark[: len(body)]) for mark in _HTML):
        kind = "HTML"
    elif any_text:
        kind = "text"
    else:
        return None
    return kind if _is_printable(head) else None


def _is_printable(head: bytes) -> bool:
    """Whether `head`, which may end inside a character, is UTF-8 without control characters but white space."""
    try:
        text = getincrementaldecoder("utf-8")().decode(head.removeprefix(_BYTE_ORDER_MARK))
    except UnicodeDecodeError:
        return False
    return text.translate(_NO_WHITE_SPACE).isprintable()
