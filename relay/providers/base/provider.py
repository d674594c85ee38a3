"""The seam between the relay and a speech provider.

A provider is a pure description: it turns what a client wants into what to send, and what comes back into audio bytes,
word times and typed errors. It opens nothing. The drivers (`http`, `local`, ...) do the I/O, once for all providers.
What is sent, and what comes back, is described apart for each kind of upstream: `http`, `poll` (jobs) and `dialogue`
(WebSockets).

::

    Provider.resolve(wanted)  -> Speech          checked settings, or a ClientError
    Provider.request(speech, text) -> Upstream   what to send for one segment
    Driver.open(upstream, timings) -> Reply      the bytes that come back, first one already there
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeGuard, TypeVar, runtime_checkable

from relay.core.formats import Container, SourceFormat
from relay.core.text.spoken import Phonemes
from relay.core.timings import Timings
from relay.errors import ProviderError
from relay.providers.base.http import HttpRequest, Piece, ReplyFacts
from relay.providers.base.poll import Answer, PollRequest

if TYPE_CHECKING:
    from relay.providers.base.dialogue import DialogueRequest


# The widest character of UTF-8 (RFC 3629, 3).
UTF8_CHARACTER_BYTES = 4
# Processes of a local provider, where it does not say: one to speak while the other is being replaced.
WORKERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """What the operator configured for one instance of a provider; it is built from this alone.

    `name` is the instance's: it is in its messages, its requests and its errors. None: the adapter's own.
    """

    name: str | None = None
    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    # The account, where the key alone does not say it.
    user_id: str | None = field(default=None, repr=False)
    voice: str | None = None
    model: str | None = None
    language: str | None = None
    # Which of the services that speak the adapter's API it is; None: the adapter's own, or what `base_url` is.
    preset: str | None = None
    # Defaults for the provider's own options, under its own field names.
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice as `GET /v1/voices` lists it. `languages` are BCP-47 tags as far as the provider uses them.

    `stands_for`: `id` is a name of the operator's for this voice of the provider (`[voices]` in the configuration).
    """

    id: str
    name: str
    languages: tuple[str, ...] = ()
    gender: str | None = None
    description: str | None = None
    stands_for: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A Python package that a provider cannot do without: the module it is imported as, and the extra with it."""

    module: str
    extra: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Facts about a provider that the relay decides by; all are listed in `GET /v1/providers`."""

    formats: tuple[Container, ...]
    languages: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    word_times: bool = False
    # True: words may come with their pronunciation in IPA, by `PronouncingProvider.pronounce`.
    phonemes: bool = False
    # True: the provider can take text as it is typed, and the relay does not split it. For which turns it does,
    # `Speech.streaming_text` says.
    streaming_text: bool = False
    # Longest text of one request, in characters; None where the provider states no limit.
    max_segment_chars: int | None = None
    # The same in bytes of UTF-8, where the provider counts those. Both bounds hold where both are stated.
    max_segment_bytes: int | None = None
    # How long segments after the first should be, where the provider's limits or prices make many short ones costly.
    target_segment_chars: int | None = None
    # Requests that may run at a time, where the provider documents it for every plan; the operator may configure it.
    max_concurrent: int | None = None
    # Every voice that may be asked for is in `Provider.voices`: one that is not there cannot be spoken with.
    lists_every_voice: bool = True
    needs_key: bool = True
    needs_user_id: bool = False
    # True: there is no public service, so the operator says where the server is.
    needs_base_url: bool = False
    needs_packages: tuple[Package, ...] = ()
    # The provider's own settings, the keys of `options`.
    options: tuple[str, ...] = ()
    # The services that speak the adapter's API, each with its own address and facts: what `preset` may be.
    presets: tuple[str, ...] = ()

    @property
    def longest_segment_chars(self) -> int | None:
        """How many characters of any width are within both bounds: a character takes up to four bytes of UTF-8."""
        bounds = [self.max_segment_chars, self.max_segment_bytes and self.max_segment_bytes // UTF8_CHARACTER_BYTES]
        return min((bound for bound in bounds if bound is not None), default=None)


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

    `voice_name`: the operator's name for `voice` (`[voices]`), where the client asked by that; set by the engine.
    `streaming_text`: this turn's text goes to the provider as it is typed, by `StreamingProvider.converse`; otherwise
    it is cut into segments for `Provider.request`.
    """

    voice: str
    model: str | None = None
    streaming_text: bool = False
    settings: Any = None
    voice_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRequest:
    """Work for a worker process on this machine: `module` is run by `python -m`, `job` is its JSON message.

    `processes`: how many of them there are, from the first request or `Worker` on. `background`: nobody listens, so
    that it goes to a process of its own, which leaves the processor to all others.
    """

    module: str
    processes: int = WORKERS
    background: bool = False
    job: Mapping[str, Any]
    source: SourceFormat
    # Whose errors these are; None: those of the provider whose worker it is.
    provider: str | None = None


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
    """One instance of a speech service, described: an adapter with its settings. `name` is the instance's.

    A provider with `capabilities.streaming_text` also has `converse`.
    """

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

    def warm(self, wanted: SpeechRequest) -> "list[Ahead]":
        """What to have open before a turn that asks for `wanted`. Where that cannot be resolved (no voice is
        configured, say), what does not depend on it. Raises nothing, and nothing of it may cost anything, but for a
        DialogueRequest: that is opened only where the operator or `DialogueRequest.idle_is_free` says so."""
        ...

    def check(self) -> "Check":
        """The cheapest question that reaches the service and shows whether it takes the key. It makes no speech and
        costs nothing; a connection where the API has no such question."""
        ...


class PronouncingProvider(Provider, Protocol):
    """A provider that is told how words are pronounced: `capabilities.phonemes`."""

    def pronounce(self, speech: Speech, text: str, phonemes: Sequence[Phonemes]) -> Upstream:
        """As `request`, with the pronunciation of parts of `text`: at least one, in order, none within another.

        What is not IPA, or has a sound that the voice lacks, is spoken as `text` has it. What stands in `text` is never
        read as phonemes or markup.
        """
        ...


def takes_phonemes(provider: Provider) -> TypeGuard[PronouncingProvider]:
    return provider.capabilities.phonemes


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceQuery:
    """A request whose whole body `parse` turns into voices, and into the query for the next page if there is one."""

    request: Upstream
    parse: Callable[[bytes], tuple[list[Voice], "VoiceQuery | None"]]


VoiceList: TypeAlias = list[Voice] | VoiceQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """An HTTP server, by any of its URLs: a connection (TCP and TLS) is opened, and nothing is sent."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Worker processes on this machine, by their module."""

    module: str
    processes: int = WORKERS


# What can be open before it is needed.
Ahead: TypeAlias = "Origin | Worker | DialogueRequest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A request whose answer shows that the service is there and takes the key. It makes nothing, and is retried as
    any other request is.

    `read` is given any answer whose status is below 500 (a 5xx raises what `request.refuse` makes of it), and raises
    ProviderError for one that shows otherwise. What it returns says what is now known, in a few words.
    """

    request: HttpRequest
    read: Callable[[Answer], str]


# A list of voices that needs the key is the best check there is: it also shows whether the configured voice exists.
Check: TypeAlias = "VoiceQuery | Probe | Origin | DialogueRequest"

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


@runtime_checkable
class NamesItsVoices(Protocol):
    """A provider whose voices can be asked for by more than their id and their name."""

    def is_named(self, voice: str, listed: Voice) -> bool:
        """Whether `voice` asks for that voice of the list."""
        ...
