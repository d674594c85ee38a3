"""The seam between the relay and a speech provider.

A provider is a pure description: it turns what a client wants into what to send, and what comes back into audio bytes,
word times and typed errors. It opens nothing. The drivers (`http`, `local`, ...) do the I/O, once for all providers.

::

    Provider.resolve(wanted)  -> Speech          checked settings, or a ClientError
    Provider.request(speech, text) -> Upstream   what to send for one segment
    Driver.open(upstream, timings) -> Reply      the bytes that come back, first one already there
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from relay.core.formats import Container, SourceFormat
from relay.core.timings import Timings
from relay.core.transform import Transform
from relay.errors import ProviderError


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """What the operator configured for one provider; every provider is built from this alone."""

    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    voice: str | None = None
    model: str | None = None
    language: str | None = None
    # Defaults for the provider's own options, under its own field names.
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice as `GET /v1/voices` lists it. `languages` are BCP-47 tags as far as the provider uses them."""

    id: str
    name: str
    languages: tuple[str, ...] = ()
    gender: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Facts about a provider that the relay decides by; all are listed in `GET /v1/providers`."""

    formats: tuple[Container, ...]
    languages: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    word_times: bool = False
    # True: text goes to the provider as it is typed, and the relay does not split it.
    streaming_text: bool = False
    # Longest text of one request, in characters; None where the provider states no limit.
    max_segment_chars: int | None = None
    needs_key: bool = True
    # The provider's own settings, the keys of `options`.
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a client asks of a provider; None means "the default". `sample_rate_hz` is the client's own rate."""

    voice: str | None = None
    model: str | None = None
    language: str | None = None
    instructions: str | None = None
    sample_rate_hz: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """`Wanted`, checked and with every default filled in. `settings` is the provider's own, opaque to the relay."""

    voice: str
    model: str | None = None
    settings: Any = None


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
class HttpRequest:
    """One HTTP exchange, described. `url` is complete and escaped; `secret_headers` never reach a log.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRequest:
    """Work for a worker process on this machine: `module` is run by `python -m`, `job` is its JSON message."""

    module: str
    job: Mapping[str, Any]
    source: SourceFormat


Upstream: TypeAlias = HttpRequest | LocalRequest


class Reply(Protocol):
    """What comes back for one segment. Iterate once; a fault in the middle raises after the good bytes."""

    facts: ReplyFacts
    content_type: str | None

    def __aiter__(self) -> AsyncIterator[Piece]: ...

    def refuse(self, body: bytes) -> ProviderError | None:
        """The error that a body which is no audio stands for, if the provider can read it."""
        ...


class Driver(Protocol):
    """Does the I/O for one kind of upstream."""

    def open(self, upstream: Any, timings: Timings) -> AbstractAsyncContextManager[Reply]:
        """Entered when the first piece is there. Leaving it ends the provider's work at once, finished or not.

        Marks REQUEST_SENT, RESPONSE_HEADERS, FIRST_BYTE and `connection_reused`. Retries what may be retried before
        it is entered; never after. Raises ProviderError only.
        """
        ...


class Provider(Protocol):
    """One speech service, described."""

    name: str
    capabilities: Capabilities

    def resolve(self, wanted: Wanted) -> Speech:
        """Checks settings and fills in defaults. Raises ClientError naming the field, the value and what is valid."""
        ...

    def request(self, speech: Speech, text: str) -> Upstream:
        """What to send for one segment. `text` is at most `capabilities.max_segment_chars` long."""
        ...

    def voices(self) -> "VoiceList":
        """The voices, or how to ask for them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceQuery:
    """A request whose whole body `parse` turns into voices, and into the query for the next page if there is one."""

    request: Upstream
    parse: Callable[[bytes], tuple[list[Voice], "VoiceQuery | None"]]


VoiceList: TypeAlias = list[Voice] | VoiceQuery
