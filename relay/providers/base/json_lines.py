"""Lines of JSON objects (NDJSON), cut anywhere. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from relay.errors import ProviderError
from relay.providers.base import faults
from relay.providers.base.http import Piece

# A minute of 24 kHz PCM in base64 is 3.8 MB, and no service sends a minute at once.
MAX_LINE_BYTES = 4 * 1024 * 1024


class JsonLines:
    """Lines -> what `read` makes of the object in each; `last` gives what it held back. A transform.

    An error that `read` raises is raised by the call after the one that gave the good pieces before it. A line that is
    no object, or longer than MAX_LINE_BYTES, is `bad_audio`.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[Mapping[str, Any]], list[Piece]],
        last: Callable[[], list[Piece]] = list,
    ) -> None:
        self._name = name
        self._read = read
        self._last = last
        self._line = bytearray()
        self._looked_bytes = 0
        self._fault: ProviderError | None = None

    def feed(self, piece: bytes) -> list[Piece]:
        if self._fault:
            raise self._fault
        self._line += piece
        pieces: list[Piece] = []
        start = 0
        try:
            while (end := self._line.find(b"\n", max(start, self._looked_bytes))) >= 0:
                pieces += self._take(bytes(self._line[start:end]))
                start = end + 1
            if len(self._line) - start > MAX_LINE_BYTES:
                raise faults.unreadable(self._name, f"a line of more than {MAX_LINE_BYTES} bytes")
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
        return [*self._take(bytes(self._line)), *self._last()]

    def _take(self, line: bytes) -> list[Piece]:
        if not line.strip():
            return []
        said = faults.json_object(line)
        if not said:
            raise faults.unreadable(self._name, "a line that is no JSON object, or half of one")
        return self._read(said)
