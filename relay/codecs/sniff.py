"""What is a reply? One judge, in this order:

1. The bytes. A signature (`signatures`), text (`texts`), or frames of a codec without a container (`framed`): of these
   one header is enough where that codec was asked for or is declared (and of MP3 where no headerless audio can come);
   elsewhere the next one must stand where the first frame ends, for headerless audio may begin like a header.
2. The declared type, where bytes say nothing: headerless audio, or a headerless codec. A type whose files begin with a
   signature is refuted by bytes that have none.
3. What was asked for.

The judgement is the same for every cut of the same bytes. Nothing that can be played is held back: only bytes that may
yet turn out to be the start of something else wait: 21 of a signature, 131 of a Macintosh file (which begins with a
zero and the length of a name, so that digital silence is none), 15 of a text with a bracket, 47 of words, one frame of
a codec, seven of GSM. Text (an error message where audio should be) is collected, so that it can be read.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from relay.codecs import framed
from relay.codecs.base import (
    HEAD_BYTES_MAX,
    Block,
    CorruptAudioError,
    Damage,
    Decoder,
    NotAudioError,
    TruncatedAudioError,
)
from relay.codecs.framed import FRAMINGS, frames_begin
from relay.codecs.media_type import HEADERLESS_CODECS
from relay.codecs.signatures import BY_FIRST_BYTE
from relay.codecs.texts import BRACKETS, TEXT_BYTES, WORDS_BYTES, text_kind, words_kind
from relay.codecs.texts import FIRST_BYTES as TEXT_FIRST_BYTES
from relay.core.formats import Container

__all__ = ["HEAD_BYTES_MAX", "Hints", "NotAudioError", "SniffingDecoder"]

# What all of the above may begin with. Headerless audio mostly begins otherwise, and its first frame need not wait for
# anything to be tried.
_TELLING_STARTS = frozenset(BY_FIRST_BYTE) | framed.FIRST_BYTES | TEXT_FIRST_BYTES

_ZERO_SAMPLE = bytes(2)
_SILENT_SAMPLE = np.zeros(1, np.int16)
_SILENT_SAMPLE.flags.writeable = False
_ID3_HEADER_BYTES = 10
_ID3_FOOTER = 0x10


class Hints(NamedTuple):
    """What to expect: the container that was asked for, and what the Content-Type says: a container, or just text."""

    asked: Container
    said: Container | None = None
    said_text: bool = False
    # The rate of 16-bit mono that was asked for and is declared: its first sample, if it is zero, does not wait.
    at_once_hz: int = 0


class _Found(NamedTuple):
    """What the head is: a container by its name, or something that is no audio (`container` is None)."""

    name: str
    container: Container | None


class SniffingDecoder:
    """A decoder of whatever comes. `container` is what its first bytes turned out to be.

    `open_one` makes the decoder of each of the `decodable` containers; RAW is none of them where nobody knows the shape
    of the samples. No bytes at all give no blocks and no error.

    `flush` raises CorruptAudioError where too much of the audio was damaged (`Damage.is_too_much`).
    """

    def __init__(
        self, hints: Hints, decodable: Collection[Container], open_one: Callable[[Container], Decoder]
    ) -> None:
        self.container: Container | None = None
        self._hints = hints
        self._decodable = decodable
        self._open_one = open_one
        self._decoder: Decoder | None = None
        self._text: str | None = None
        self._head = b""
        self._tag_left = 0
        self._has_tag = False
        self._fault: CorruptAudioError | None = None
        self._given_early = False

    @property
    def damage(self) -> Damage:
        """What could not be decoded so far; all of it after `flush`."""
        damage: Damage = getattr(self._decoder, "damage", Damage())
        return damage

    @property
    def likelier_encoding(self) -> str | None:
        """For headerless audio: the encoding in which it would sound like audio, if as it was played it does not. A
        warning; see `plausible`. To be asked once, at the end."""
        likelier: str | None = getattr(self._decoder, "likelier_encoding", None)
        return likelier

    def feed(self, piece: bytes) -> Sequence[Block]:
        if self._decoder is not None:
            return self._decoder.feed(piece)
        if self._fault is not None:
            raise self._fault
        if self._tag_left:
            step = min(self._tag_left, len(piece))
            self._tag_left -= step
            piece = piece[step:]
        self._head += piece
        if self._head[:2] == _ZERO_SAMPLE and self._hints.at_once_hz:
            return self._begin_with_silence(ended=False)
        return self._begin(ended=False) if self._head else []

    def flush(self) -> Sequence[Block]:
        if self._tag_left:
            raise TruncatedAudioError(f"the input ended {self._tag_left} bytes short of the end of an ID3 tag")
        if self._fault is not None:
            raise self._fault
        if self._head[:2] == _ZERO_SAMPLE and self._hints.at_once_hz:
            begun = self._begin_with_silence(ended=True)
        else:
            begun = self._begin(ended=True) if self._head else []
        if self._decoder is None:
            if self._has_tag:
                raise TruncatedAudioError("the input ended after an ID3 tag, before any audio")
            return begun
        blocks = [*begun, *self._decoder.flush()]
        damage = self.damage
        if damage.is_too_much:
            raise CorruptAudioError(f"{damage.ms:.0f} of {damage.audio_ms:.0f} ms of audio could not be decoded")
        return blocks

    def _begin_with_silence(self, *, ended: bool) -> Sequence[Block]:
        """Digital silence begins like some containers. Its first sample does not wait until they are told apart: one
        silent sample is given whatever it turns out to be, and for every cut."""
        early = [] if self._given_early else [Block(_SILENT_SAMPLE, self._hints.at_once_hz)]
        self._given_early = True
        try:
            blocks = self._begin(ended=ended)
        except CorruptAudioError as fault:
            if not early or ended:
                raise
            self._fault = fault
            return early
        if self.container is Container.RAW and blocks:
            # That sample is the first of these.
            first, *rest = blocks
            blocks = [Block(first.samples[1:], first.sample_rate_hz)] if first.samples.size > 1 else []
            blocks = [*blocks, *rest]
        return [*early, *blocks]

    def _begin(self, *, ended: bool) -> Sequence[Block]:
        """Decodes the head if it is known what it is."""
        found = self._judge(ended=ended) if self._text is None else None
        if self._text is not None:
            if ended or len(self._head) >= HEAD_BYTES_MAX:
                raise NotAudioError(self._text, self._head[:HEAD_BYTES_MAX])
            return []
        if found is None:
            return []
        if found.container is None:
            raise CorruptAudioError(f"{found.name} instead of audio")
        if found.container is Container.MP3 and self._head.startswith(b"ID3"):
            return self._skip_tag(ended=ended)
        self.container = found.container
        if found.container not in self._decodable:
            shapeless = "headerless audio, and nothing says its rate and encoding"
            undecodable = f"{found.name} audio, which has no decoder here"
            raise CorruptAudioError(shapeless if found.container is Container.RAW else undecodable)
        decoder = self._open_one(found.container)
        self._decoder = decoder if hasattr(type(decoder), "damage") else _Counted(decoder)
        head, self._head = self._head, b""
        return self._decoder.feed(head)

    def _skip_tag(self, *, ended: bool) -> Sequence[Block]:
        """ID3 stands before MP3 mostly, but also before AAC, FLAC and others: what follows it decides."""
        head = self._head
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9] if len(head) >= _ID3_HEADER_BYTES else 0
        end = _ID3_HEADER_BYTES + size + (_ID3_HEADER_BYTES if len(head) > 5 and head[5] & _ID3_FOOTER else 0)
        self._has_tag, self.container = True, Container.MP3
        self._tag_left = max(0, end - len(head))
        self._head = head[end:]
        if ended and self._tag_left:
            raise TruncatedAudioError(f"the input ended {self._tag_left} bytes short of the end of an ID3 tag")
        return self._begin(ended=ended) if self._head else []

    def _judge(self, *, ended: bool) -> _Found | None:
        """What the head is; None when it takes more bytes to tell, or when it is text (`_text` says so)."""
        head, hints = self._head, self._hints
        raw = (hints.asked is Container.RAW or hints.said is Container.RAW) and not self._has_tag
        if raw and head[0] not in _TELLING_STARTS and not hints.said_text:
            return self._fallback()
        undecided = False
        for signature in BY_FIRST_BYTE.get(head[0], ()):
            fit = signature.fits(head)
            if fit or (fit is None and ended and signature.tells(head)):
                return _Found(signature.name, signature.container)
            undecided |= fit is None
        text = False
        if head[0] in TEXT_FIRST_BYTES or hints.said_text or not raw:
            text = self._text_of(head, raw=raw, ended=ended, undecided=undecided)
            if self._text is not None:
                return None
        if head[0] in framed.FIRST_BYTES:
            for framing in FRAMINGS:
                expected = framing.container in (hints.asked, hints.said) or (
                    framing.container is Container.MP3 and not raw
                )
                proof = 1 if expected else framing.proof
                begins = frames_begin(head, framing, proof, ended=ended)
                if begins:
                    return _Found(framing.name, framing.container)
                undecided |= begins is None
        if (text or undecided) and not ended:
            return None
        return self._fallback()

    def _text_of(self, head: bytes, *, raw: bool, ended: bool, undecided: bool) -> bool:
        """Whether the head may still be text; `_text` is set if it is."""
        any_text = self._hints.said_text or not raw
        kind = None
        if any_text or head[0] in BRACKETS:
            kind = text_kind(head[:TEXT_BYTES], any_text=any_text)
        if kind and (len(head) >= TEXT_BYTES or (ended and not undecided)):
            self._text = kind
        elif kind is None and not any_text:
            kind = words_kind(head[:WORDS_BYTES], ended=ended)
            if kind and (len(head) >= WORDS_BYTES or ended):
                self._text = kind
        return kind is not None

    def _fallback(self) -> _Found:
        """What to take bytes for that say nothing themselves. Headerless audio first: it never says anything."""
        if self._has_tag:
            return _Found("MP3", Container.MP3)
        hints = self._hints
        if hints.said in HEADERLESS_CODECS:
            return _Found(str(hints.said), hints.said)
        for container in (Container.RAW, Container.MP3, Container.WAV):
            if container in (hints.asked, hints.said) and container in self._decodable:
                return _Found(container.value, container)
        return _Found(hints.asked.value, hints.asked)


class _Counted:
    """A decoder that counts the samples that it lost, and what it gave, in time."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._given_ms = 0.0
        self._rate_hz = 0

    @property
    def damage(self) -> Damage:
        lost = getattr(self._decoder, "damaged_samples", 0)
        lost_ms = lost * 1000 / self._rate_hz if self._rate_hz else 0.0
        return Damage(lost_ms, max(lost_ms, self._given_ms))

    def feed(self, piece: bytes) -> Sequence[Block]:
        return self._count(self._decoder.feed(piece))

    def flush(self) -> Sequence[Block]:
        return self._count(self._decoder.flush())

    def _count(self, blocks: Sequence[Block]) -> Sequence[Block]:
        for block in blocks:
            self._rate_hz = block.sample_rate_hz
            self._given_ms += block.samples.size * 1000 / block.sample_rate_hz
        return blocks
