"""The seam between the relay and a speech provider.

A provider is a pure description: it turns what a client wants into what to send, and what comes back into audio bytes,
word times and typed errors. It opens nothing. The drivers (`http`, `local`, ...) do the I/O, once for all providers.
What is sent, and what comes back, is described apart for each kind of upstream: `base_http`, `base_poll` (jobs) and
`base_dialogue` (WebSockets).

::

    Provider.resolve(wanted)  -> Speech          checked settings, or a ClientError
    Provider.request(speech, text) -> Upstream   what to send for one segment
    Driver.open(upstream, timings) -> Reply      the bytes that come back, first one already there
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

from relay.core.formats import Container, SourceFormat
from relay.core.timings import Timings
from relay.errors import ProviderError
from relay.providers.base.http import HttpRequest, Piece, ReplyFacts
from relay.providers.base.poll import PollRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """What the operator configured for one provider; every provider is built from this alone."""

    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    # The account, where the key alone does not say it.
    user_id: str | None = field(default=None, repr=False)
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
    # True: the provider can take text as it is typed, and the relay does not split it. For which turns it does,
    # `Speech.streaming_text` says.
    streaming_text: bool = False
    # Longest text of one request, in characters; None where the provider states no limit.
    max_segment_chars: int | None = None
    # How long segments after the first should be, where the provider's limits or prices make many short ones costly.
    target_segment_chars: int | None = None
    # Requests that may run at a time, where the provider documents it for every plan; the operator may configure it.
    max_concurrent: int | None = None
    needs_key: bool = True
    needs_user_id: bool = False
    # True: there is no public service, so the operator says where the server is.
    needs_base_url: bool = False
    # The provider's own settings, the keys of `options`.
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRequest:
    """What a client asks of a provider; None means "the default". `sample_rate_hz` is the client's own rate."""

    voice: str | None = None
    model: str | None = None
    language: str | None = None
    instructions: str | None = None
    sample_rate_hz: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """`SpeechRequest`, checked and with every default filled in. `settings` is the provider's own, opaque to the relay.

    `streaming_text`: this turn's text goes to the provider as it is typed, by `StreamingProvider.converse`; otherwise
    it is cut into segments for `Provider.request`.
    """

    voice: str
    model: str | None = None
    streaming_text: bool = False
    settings: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRequest:
    """Work for a worker process on this machine: `module` is run by `python -m`, `job` is its JSON message."""

    module: str
    job: Mapping[str, Any]
    source: SourceFormat


Upstream: TypeAlias = HttpRequest | LocalRequest | PollRequest


class Reply(Protocol):
    """What comes back for one segment. Iterate once; a fault in the middle raises after the good bytes. A read that is
    cancelled loses nothing: the next one goes on where it was.

    Three members are optional, for only some replies can tell; a reply without one is taken to have its default.

    * `piece_came_s: float | None = None`: when the connection had brought the piece yielded last, whole; an instant of
      `time.monotonic`. It may have waited here for its reader since.
    * `complete: bool = False`: the provider has sent all, though all may not have been read.
    * `abort() -> None`: makes the provider stop, now and without waiting; idempotent. Nothing more is to be read then,
      and leaving the reply does the rest. Without it leaving does all.
    """

    @property
    def facts(self) -> ReplyFacts: ...

    @property
    def content_type(self) -> str | None: ...

    def __aiter__(self) -> AsyncIterator[Piece]: ...

    def refuse(self, body: bytes) -> ProviderError | None:
        """The error that a body which is no audio stands for, if the provider can read it."""
        ...


class Driver(Protocol):
    """Does the I/O for one kind of upstream."""

    def open(self, upstream: Any, timings: Timings) -> AbstractAsyncContextManager[Reply]:
        """Entered when the first piece is there. Leaving it ends the provider's work at once, finished or not.

        Marks REQUEST_SENT, RESPONSE_HEADERS, FIRST_BYTE and `connection_reused`, and LAST_BYTE where all can have come
        before all is taken. Retries what may be retried before it is entered; never after. Raises ProviderError only.
        """
        ...


class Provider(Protocol):
    """One speech service, described. A provider with `capabilities.streaming_text` also has `converse`."""

    name: str
    capabilities: Capabilities

    def resolve(self, wanted: SpeechRequest) -> Speech:
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

Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query(Generic[Answered]):
    """A question to the provider's API: a request, and what its whole body says. `parse` raises ProviderError only."""

    request: HttpRequest
    parse: Callable[[bytes], Answered]


# How many requests the operator's plan lets run at a time; None where the answer states no limit.
LimitQuery: TypeAlias = Query[int | None]


@runtime_checkable
class KnowsItsLimits(Protocol):
    """A provider whose API tells how many requests may run at a time."""

    def limits(self) -> LimitQuery | None:
        """The question, or None where it cannot be asked."""
        ...
