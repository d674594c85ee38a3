"""What a fake provider does with a request: a list of steps, and how they look on the wire. Pure.

    (Status(200, {"content-type": "audio/pcm"}), Send(pcm[:100]), Stall(), Send(pcm[100:]), Cut(reset=True))

A script that runs out ends its reply properly; only `Cut` ends it otherwise.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal, TypeAlias

# How the reply says where its body ends: a Content-Length, HTTP chunks, or the end of the connection.
Framing: TypeAlias = int | Literal["chunked", "close"]


@dataclass(frozen=True, slots=True)
class Status:
    """The status line and headers, and with them the framing of all that follows."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    framing: Framing = "chunked"


@dataclass(frozen=True, slots=True)
class Send:
    """A piece of the body, framed: one write, and with chunked framing one HTTP chunk."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Raw:
    """These bytes exactly, framed by nobody."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Drip:
    """The data in pieces of `size` bytes, one every `every_s` seconds."""

    data: bytes
    size: int
    every_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same piece of the body until the client leaves."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing for a time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing until the test releases it, or the client leaves."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends here: by FIN, as when a process dies, or by RST, as when a machine does."""

    reset: bool = False


Step: TypeAlias = Status | Send | Raw | Drip | Repeat | Pause | Stall | Cut
Script: TypeAlias = tuple[Step, ...]


def head(status: Status) -> bytes:
    """The status line and headers on the wire."""
    try:
        reason = HTTPStatus(status.status).phrase
    except ValueError:
        reason = "Unknown"
    headers = dict(status.headers)
    if status.framing == "chunked":
        headers["transfer-encoding"] = "chunked"
    elif status.framing == "close":
        headers["connection"] = "close"
    else:
        headers["content-length"] = str(status.framing)
    lines = [f"HTTP/1.1 {status.status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def framed(data: bytes, framing: Framing) -> bytes:
    """A piece of the body on the wire."""
    return b"%x\r\n%b\r\n" % (len(data), data) if framing == "chunked" and data else data


def end_of_body(framing: Framing) -> bytes:
    """What says that the body is complete."""
    return b"0\r\n\r\n" if framing == "chunked" else b""


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """`data` cut every `size` bytes."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
