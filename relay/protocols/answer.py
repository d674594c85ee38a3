"""What doors write alike: answers in JSON, instants, and base64 of bytes that come in pieces. Pure."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from relay.protocols.base import HttpAnswer


def json_answer(
    fields: Any,
    *,
    status: int = 200,
    media_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> HttpAnswer:
    return HttpAnswer(
        status=status,
        headers={"Content-Type": media_type, "Cache-Control": "no-store", **(headers or {})},
        body=msgspec.json.encode(fields),
    )


def rfc3339(instant_s: float) -> str:
    """Seconds since the Unix epoch, in UTC, to the millisecond."""
    return datetime.fromtimestamp(instant_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Base64Text:
    """Bytes in any cut -> their base64 as ASCII, as if they had come at once."""

    def __init__(self) -> None:
        # One or two bytes that do not fill a group of four characters yet.
        self._carried = b""

    def feed(self, data: bytes) -> bytes:
        data = self._carried + data
        whole = len(data) - len(data) % 3
        self._carried = data[whole:]
        return base64.b64encode(data[:whole])

    def flush(self) -> bytes:
        carried, self._carried = self._carried, b""
        return base64.b64encode(carried)
