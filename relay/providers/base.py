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
from typing import Any, Generic, Protocol, TypeAlias, TypeGuard, TypeVar, runtime_checkable

from relay.core.formats import Container, SourceFormat
from relay.core.timings import Timings
from relay.core.transform import Transform
from relay.errors import ProviderError


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
    """`Wanted`, checked and with every default filled in. `settings` is the provider's own, opaque to the relay.

    `streaming_text`: this turn's text goes to the provider as it is typed, by `StreamingProvider.converse`; otherwise
    it is cut into segments for `Provider.request`.
    """

    voice: str
    model: str | None = None
    streaming_text: bool = False
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


# A polled upstream: a job is made, asked about, and its audio fetched.


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole reply of a job's API, whatever its status below 500 (a 5xx is raised by the driver as the request's
    `refuse` reads it). Lower-case header names; the body is bounded by the driver."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Send this, `after_s` seconds from now, and show the answer to the job. `accept` and `unwrap` are not used."""

    request: HttpRequest
    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """The audio is there: its reply is streamed, as that of any HttpRequest."""

    request: HttpRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """The audio was in the answer itself."""

    facts: ReplyFacts
    pieces: tuple[Piece, ...]


class PollJob(Protocol):
    """One job from its making to its audio. Pure: it is shown each answer and says the next step."""

    def start(self) -> Ask: ...

    def receive(self, answer: Answer) -> Ask | Fetch | Arrived:
        """Raises ProviderError when the job has failed or was refused."""
        ...

    def withdraw(self) -> HttpRequest | None:
        """How to tell the provider that nobody wants the job any more, if it can be told."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRequest:
    """Work that is polled for. `timeout_s` bounds the whole job up to the first byte of its audio."""

    provider: str
    job: Callable[[], PollJob]
    timeout_s: float


# A WebSocket upstream: text goes to the provider as it is typed.


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAddress:
    """Where and how to open a WebSocket. `url`, `secret_headers` and `subprotocols` never reach a log: each may carry a
    credential. Where subprotocols are offered, the server has to select the first; the others are credentials."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, str] = field(default_factory=dict)
    subprotocols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The socket has been greeted: a turn may begin. `facts` where the greeting says more than was asked for."""

    facts: ReplyFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOver:
    """The provider has sent all audio of the turn, or confirmed its cancel."""

    ids: Mapping[str, str] = field(default_factory=dict)
    # False: the socket must not be used for another turn (its session expires, say).
    reusable: bool = True


Heard: TypeAlias = Piece | Ready | TurnOver


class Dialogue(Protocol):
    """One socket's conversation with a provider: a greeting, then one turn after another. Pure.

    Every method but `receive` gives the messages to send, in order; an empty list where the API has none. They raise
    ProviderError for text that the API does not take.
    """

    def greet(self) -> list[str]: ...

    def begin(self, turn_id: str) -> list[str]: ...

    def give(self, text: str) -> list[str]: ...

    def flush(self) -> list[str]: ...

    def end_text(self) -> list[str]: ...

    def cancel(self) -> list[str]:
        """Ends the turn before its time: its audio is dropped from here on, and its TurnOver confirms the cancel."""
        ...

    def keep_alive(self) -> list[str]:
        """What keeps a socket open that has been quiet for half of `DialogueRequest.idle_close_s`."""
        ...

    def receive(self, message: str | bytes) -> list[Heard]:
        """What a message means. Raises ProviderError when it ends the turn; between turns, when it ends the socket.

        Audio that belongs to no turn, or to one that was cancelled, means nothing: it is dropped here.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueRequest:
    """A turn over a WebSocket.

    `mint`, where the API wants it, is asked first; `connect` is given its body (empty without `mint`), and raises
    ProviderError for one it cannot read. `refuse` turns an answer to the handshake that is no WebSocket into the error
    to raise. A socket that is free may serve a turn with the same `key` (voice, model, format; never a secret).
    """

    provider: str
    key: str
    mint: HttpRequest | None
    connect: Callable[[bytes], SocketAddress]
    dialogue: Callable[[], Dialogue]
    refuse: Callable[[Refusal], ProviderError]
    source: SourceFormat
    # Seconds without a message of ours after which the provider closes the socket; None where it states none.
    idle_close_s: float | None = None
    # False where the provider says nothing before the first turn: then nothing is waited for.
    greeted: bool = True


Upstream: TypeAlias = HttpRequest | LocalRequest | PollRequest


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


class Conversation(Reply, Protocol):
    """A Reply whose text is given while it is read. Text is sent at once; the waits are for the socket's own room."""

    async def give(self, text: str) -> None: ...

    async def flush(self) -> None: ...

    async def end_text(self) -> None: ...


class DialogueDriver(Protocol):
    """Does the I/O of dialogues."""

    def converse(self, request: DialogueRequest, timings: Timings) -> AbstractAsyncContextManager[Conversation]:
        """Entered when the socket is open, greeted, and the turn has begun. Leaving early cancels the turn at the
        provider; the socket goes back to the pool when the provider has confirmed the turn's end, else it is closed.
        Raises ProviderError only. A socket that was idle and died is replaced before anything was given."""
        ...


class Provider(Protocol):
    """One speech service, described. A provider with `capabilities.streaming_text` also has `converse`."""

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


class StreamingProvider(Provider, Protocol):
    """A provider that takes text as it is typed."""

    def converse(self, speech: Speech) -> DialogueRequest:
        """What to open for one turn whose speech says `streaming_text`."""
        ...


def takes_text_as_typed(provider: Provider, speech: Speech) -> TypeGuard[StreamingProvider]:
    """Whether this turn is a conversation."""
    return speech.streaming_text


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
