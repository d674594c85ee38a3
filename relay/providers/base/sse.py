"""Server-sent events (WHATWG HTML, 9.2), and the audio in them: JSON objects that hold it in base64. Pure."""

import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import faults
from relay.providers.base.http import Piece, Refusal, WordTime

# Data of one event: a minute of 24 kHz PCM in base64 is 3.8 MB, and no server sends a minute at once. More would hold
# the event loop for longer than a frame lasts.
MAX_EVENT_BYTES = 4 * 1024 * 1024
# What is kept of a body that turns out to hold no event, so that an error message in it can be read.
_HEAD_BYTES = 16 * 1024

# How events begin; what begins otherwise is something else, of which no line may be taken for an event.
_BEGINNING = re.compile(rb"(\xef\xbb\xbf)?[\r\n]{0,16}(:|(data|event|id|retry)[:\r\n])")
# A byte that no text has; every kind of audio has one among its first, and of headerless samples few look like letters.
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]|\xff[\xe0-\xff]")
_TELLING_BYTES = 64
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its type, `message` where the server names none, and its data, the lines of it joined by LF."""

    type: str
    data: bytes


class EventLines:
    """Bytes cut anywhere -> the events in them. A transform.

    `flush` also gives the last event where its blank line is missing; the standard drops that one, and servers that end
    the body with the line of their last event exist. Raises ValueError for an event of more than MAX_EVENT_BYTES.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._looked_bytes = 0
        self._after_cr = False
        self._at_start = True
        self._type = ""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, piece: bytes) -> list[ServerEvent]:
        if not piece:
            return []
        self._line += piece
        if self._at_start:
            if len(self._line) < len(_BOM) and _BOM.startswith(self._line):
                return []
            self._at_start = False
            if self._line.startswith(_BOM):
                del self._line[: len(_BOM)]
        events: list[ServerEvent] = []
        start = 0
        if self._after_cr:
            start = self._line.startswith(b"\n")
            self._after_cr = False
        while found := _LINE_END.search(self._line, max(start, self._looked_bytes)):
            events += self._take(bytes(self._line[start : found.start()]))
            start = found.end()
        # The LF of a CR that is the last byte so far may still come.
        self._after_cr = self._line.endswith(b"\r")
        del self._line[:start]
        self._looked_bytes = len(self._line)
        if len(self._line) + self._data_bytes > MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return events

    def flush(self) -> list[ServerEvent]:
        return [*self._take(bytes(self._line)), *self._take(b"")] if self._line else self._take(b"")

    def _take(self, line: bytes) -> list[ServerEvent]:
        """A line without its end. A blank one ends the event."""
        if not line:
            kind, data = self._type, self._data
            self._type, self._data, self._data_bytes = "", [], 0
            return [ServerEvent(kind or "message", b"\n".join(data))] if data else []
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioEvents:
    """How an API puts audio into events: the keys that may hold it, in base64, and the `type` of the last event.

    An event with an `error` that is set ends the reply, whatever its type; so does one of a type in `errors`. `words`
    finds the times of words in an event.
    """

    audio: tuple[str, ...]
    done: tuple[str, ...]
    errors: tuple[str, ...] = ()
    words: Callable[[Mapping[str, Any]], Sequence[WordTime]] | None = None


class EventAudio:
    """The body of a reply in events, cut anywhere -> its audio. A transform.

    `refuse` makes the error of an event that tells one, and of a body that is no events at all; it is given the event's
    JSON with the status that its `code` or `status_code` says, else 200 before any audio and 500 after it. The error is
    raised by the call after the one that gave the good pieces before it. A body that ends without the last event
    was cut.

    Bare audio in place of events, from a server that does not know them, is given as it is.
    """

    def __init__(self, name: str, shape: AudioEvents, refuse: Callable[[Refusal], ProviderError]) -> None:
        self._name = name
        self._shape = shape
        self._refuse = refuse
        self._lines = EventLines()
        self._head = bytearray()
        self._is_bare = self._has_begun = self._has_audio = self._is_done = False
        self._fault: ProviderError | None = None

    def feed(self, piece: bytes) -> list[Piece]:
        if self._fault:
            raise self._fault
        if not self._has_begun:
            self._head += piece
            if self._is_bare or not _BEGINNING.match(self._head):
                if self._is_bare or self._is_audio():
                    self._is_bare, bare = True, bytes(self._head)
                    self._head.clear()
                    return [bare] if bare else []
                if len(self._head) >= _HEAD_BYTES:
                    self._fault = self._no_events()
                    raise self._fault
                return []
            self._has_begun, piece = True, bytes(self._head)
        pieces: list[Piece] = []
        try:
            for event in self._lines.feed(piece):
                pieces += self._read(event)
        except ValueError as error:
            self._fault = faults.unreadable(self._name, str(error))
        except ProviderError as error:
            self._fault = error
        if self._fault and not pieces:
            raise self._fault
        return pieces

    def flush(self) -> list[Piece]:
        if self._fault:
            raise self._fault
        pieces: list[Piece] = []
        for event in self._lines.flush():
            # One without its blank line may have been cut.
            if event.data.strip() == b"[DONE]" or faults.json_object(event.data):
                pieces += self._read(event)
        if self._is_bare:
            return []
        if not self._has_begun:
            raise self._no_events()
        if not self._is_done:
            raise ProviderError(
                Code.PROVIDER_CUT,
                f"{self._name} ended its events without {' or '.join(self._shape.done)}",
                provider=ProviderFault(name=self._name),
            )
        return pieces

    def _read(self, event: ServerEvent) -> list[Piece]:
        if self._is_done:
            return []
        if event.data.strip() == b"[DONE]":
            self._is_done = True
            return []
        said = faults.json_object(event.data)
        if not said:
            raise faults.unreadable(self._name, "an event that is no JSON object, or half of one")
        if said.get("error") or {said.get("type"), event.type}.intersection(self._shape.errors):
            raise self._refuse(Refusal(status=self._status_of(said), headers={}, body=event.data))
        encoded = next((said[key] for key in self._shape.audio if isinstance(said.get(key), str)), "")
        self._is_done = said.get("type") in self._shape.done or event.type in self._shape.done
        try:
            audio = binascii.a2b_base64(encoded, strict_mode=True) if encoded else b""
        except ValueError:
            raise faults.unreadable(self._name, "audio that is not base64") from None
        self._has_audio |= bool(audio)
        words = self._shape.words(said) if self._shape.words else ()
        return [*words, *([audio] if audio else [])]

    def _is_audio(self) -> bool:
        """Whether the body is bare audio, as of a server that knows no events: its first bytes are those of no text."""
        return _NO_TEXT.search(self._head[:_TELLING_BYTES]) is not None

    def _no_events(self) -> ProviderError:
        return self._refuse(Refusal(status=200, headers={}, body=bytes(self._head)))

    def _status_of(self, said: Mapping[str, Any]) -> int:
        error = said.get("error")
        code = error.get("code") if isinstance(error, Mapping) else said.get("status_code")
        if isinstance(code, int) and 400 <= code <= 599:
            return code
        return 500 if self._has_audio else 200
