"""The seam of HTTP: one exchange, described, and what a reply of any kind is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from relay.core.formats import SourceFormat
from relay.core.transform import Transform
from relay.errors import ProviderError


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTime:
    """When a word is spoken, in seconds from the start of the segment's audio."""

    text: str
    start_s: float
    end_s: float


# What a provider's reply is made of, in order: audio bytes, or times of words (before or with the audio they are in).
Piece: TypeAlias = bytes | WordTime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFacts:
    """What a reply's headers say: the format (where they say more than was asked for) and the provider's ids."""

    source: SourceFormat
    ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A reply that is not audio: status, lower-case header names, and at most 64 KiB of body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """What one attempt can be signed with. `now_s` is Unix time; `nonce` is 32 hexadecimal digits, new each time."""

    now_s: float
    nonce: str


NONCE_BYTES = 16
# Headers that authenticate one attempt. Pure; raises nothing.
Sign: TypeAlias = Callable[[AttemptFacts], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One HTTP exchange, described. `url` is complete and escaped; `secret_headers` never reach a log.

    `sign`, where the API wants each attempt signed, is called right before an attempt is sent (a retry is another one);
    what it returns is laid over the other headers, and is as secret as `secret_headers`.

    `accept` reads the headers of a 2xx reply; `refuse` turns any other reply (and a 2xx whose body turns out to be an
    error message) into the error to raise; `unwrap` makes the transform for a body that is not bare audio. All three
    raise ProviderError only. `provider` is the name that the driver's own errors (no connection, stall, cut) carry.
    """

    provider: str
    method: str
    url: str
    headers: Mapping[str, str]
    secret_headers: Mapping[str, str]
    body: bytes | None
    accept: Callable[[Mapping[str, str]], ReplyFacts]
    refuse: Callable[[Refusal], ProviderError]
    unwrap: Callable[[], Transform[bytes, Piece]] | None = None
    # Seconds from request to first byte, where the driver's own patience is too short: a provider that does not
    # stream answers only when the whole clip is made.
    first_byte_timeout_s: float | None = None
    sign: Sign | None = None
    # Where a reply of the provider has named `url`: the provider's own configured address. The driver connects to a
    # public address then, or to one of the same kind as that one.
    named_by: str | None = None
