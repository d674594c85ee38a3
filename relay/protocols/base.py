"""The seam of wire protocols: messages of clients -> commands, and events, audio and errors -> messages. Pure.

A protocol is a description with its routes, its credentials and its refusals, which opens one object for each session.
State of its own (contexts, sequence numbers, ids, base64) lives there. It never sees a socket, a request object or a
clock.

::

    protocol.credential(handshake)           -> the key or token that is shown
    protocol.refusal(error)                  -> HttpAnswer, in that API's own form
    protocol.open(handshake)                 -> SessionProtocol, for a WebSocket
    session.receive(message)                 -> [Command]
    session.send(event or Run)               -> [Message]
    session.close_code(error)                -> the WebSocket's close code
    protocol.parse(handshake, body)          -> SpeechCall, for one turn over HTTP; or JobRequest, for a job instead
    protocol.reply(call)                     -> SpeechReply: headers and chunks of the body
    protocol.lists[path](handshake, known)   -> HttpAnswer, for a list of voices or models
    protocol.wish(handshake, body)           -> TokenWish, for a token of its own
    protocol.minted(handshake, wish, token, expires_at_s) -> HttpAnswer
    protocol.submissions[path](handshake, body) -> JobRequest
    protocol.created(handshake, job)         -> HttpAnswer
    protocol.job_states[path](handshake, job) -> HttpAnswer
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from relay.core.events import Command, Event, TurnRequest
from relay.core.job import Job, JobRequest
from relay.core.playout import Run
from relay.core.record import TurnRecord
from relay.errors import RelayError


class Text(NamedTuple):
    """A text message, as UTF-8."""

    payload: bytes


class Binary(NamedTuple):
    """A binary message."""

    payload: bytes


class Frames(NamedTuple):
    """Binary messages of `size` bytes each, cut from `payload`; the last one may be shorter."""

    payload: bytes
    size: int


Message: TypeAlias = Text | Binary | Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """What a request says before its body: names of headers are in lower case; `path` holds the parts of the
    `route`, which is one of the protocol's paths.

    The rest is the server's: a unique `id` of the request, whether it came by TLS (`secure`), once its credential was
    checked a public name of the key that it came with (`key_id`), and what the protocol put into the token that was
    shown (`granted`, see `TokenWish`).
    """

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    route: str = ""
    id: str = ""
    secure: bool = False
    key_id: str | None = None
    granted: str = ""


class Credential(NamedTuple):
    """What a client shows. `token_only`: it came by a way on which keys leak, so a key is not taken."""

    value: str
    token_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A whole answer over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class SessionProtocol(Protocol):
    """One session's translator. Methods never block; `receive` never raises for what a client sent."""

    def receive(self, message: str | bytes, /) -> list[Command]:
        """The commands in a message; what cannot be read is the command `Unreadable`."""
        ...

    def send(self, item: Event | Run, /) -> list[Message]:
        """The messages that tell of an event, or carry a run of frames; none where the protocol has no words for it."""
        ...

    def close_code(self, error: RelayError | None, /) -> int:
        """The WebSocket's close code for a session that `error` ended; None: as the client asked."""
        ...


class HttpProtocol(Protocol):
    """What every protocol has over HTTP."""

    name: str
    # How a client shows its key, for the error that says there was none.
    credential_hint: str
    # What is asked below it and is none of the routes is refused in this protocol's form; the longest one counts.
    prefix: str

    def credential(self, handshake: Handshake) -> Credential | None:
        """The key or token that the client shows, wherever this protocol has it. Raises ClientError."""
        ...

    def refusal(self, error: RelayError, status: int | None = None) -> HttpAnswer:
        """A refusal in this protocol's own form; `status` where it is not that of the error's code."""
        ...


@runtime_checkable
class StreamProtocol(HttpProtocol, Protocol):
    """A protocol over WebSockets. `subprotocols` are those that it selects, the first that a client offers."""

    stream_paths: tuple[str, ...]
    subprotocols: tuple[str, ...]

    def open(self, handshake: Handshake) -> SessionProtocol:
        """Raises ClientError for a handshake that asks for what cannot be."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechCall:
    """One turn over HTTP: its settings, all of its text, and how the reply is packed."""

    request: TurnRequest
    text: str = field(repr=False)
    # A name of `codecs.containers`.
    container: str = "raw"
    # The reply leaves when all of it is there: every failure is a status, and its length is known. Else it leaves as
    # the audio is made.
    whole: bool = False
    # What the protocol itself wants to know again when it replies.
    own: Any = None


class SpeechReply(Protocol):
    """How one reply is packed, from its first audio on. The body's chunks are sent in order. For a whole reply
    `headers` is asked last, when all is known of the turn."""

    def headers(self, record: TurnRecord, media_type: str) -> Mapping[str, str]:
        """`media_type` is that of the audio in its container."""
        ...

    def audio(self, data: bytes) -> bytes:
        """The chunk that carries more bytes of the audio in its container."""
        ...

    def event(self, event: Event) -> bytes:
        """The chunk that tells of an event; empty where the protocol has no words for it. The end of the turn comes
        behind all of its audio."""
        ...


@runtime_checkable
class SpeechProtocol(HttpProtocol, Protocol):
    """A protocol with one turn a request."""

    speech_paths: tuple[str, ...]

    def parse(self, handshake: Handshake, body: bytes) -> SpeechCall | JobRequest:
        """A JobRequest (of a `JobProtocol`) is submitted in place of being spoken, and answered by `created`. Raises
        ClientError."""
        ...

    def reply(self, call: SpeechCall) -> SpeechReply: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownVoice:
    """A voice that can be asked for. `id` is what a client of the protocol names it by."""

    id: str
    name: str
    provider: str
    languages: tuple[str, ...] = ()
    gender: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What there is to choose from. `models` are names that a client may give."""

    voices: Sequence[KnownVoice] = ()
    models: Sequence[str] = ()

    def find(self, voice: str) -> KnownVoice | None:
        """By its id, its name, `provider:id`, or `provider:` for any of that provider's."""
        for each in self.voices:
            if voice in (each.id, each.name, f"{each.provider}:{each.id}", f"{each.provider}:"):
                return each
        return None


@runtime_checkable
class ListProtocol(HttpProtocol, Protocol):
    """A protocol that lists voices or models: `GET` of each path is answered by its function."""

    lists: Mapping[str, Callable[[Handshake, Known], HttpAnswer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWish:
    """What a short-lived token is to be good for; None means no bound, or the default.

    `granted` is the protocol's own: the token carries it, signed but readable by its holder, and `Handshake.granted`
    shows it again.
    """

    ttl_s: float | None = None
    max_chars: int | None = None
    provider: str | None = None
    voice: str | None = None
    origin: str | None = None
    granted: str = ""


@runtime_checkable
class MintProtocol(HttpProtocol, Protocol):
    """A protocol with tokens for pages: `POST` of each path makes one."""

    mint_paths: tuple[str, ...]

    def wish(self, handshake: Handshake, body: bytes) -> TokenWish:
        """Raises ClientError."""
        ...

    def minted(self, handshake: Handshake, wish: TokenWish, token: str, expires_at_s: int) -> HttpAnswer:
        """`expires_at_s` is in seconds since the Unix epoch."""
        ...


@runtime_checkable
class JobProtocol(HttpProtocol, Protocol):
    """A protocol with jobs: text is submitted, asked about, and its audio fetched.

    In a path, `{job}` is a job as the client knows it. A job is found by who submitted it, through this protocol, and
    by no other: everyone else gets `unknown_job`. What there is to say of a job that is not there, or of audio before
    its time, is an error (`unknown_job`, `job_not_ready`) for `refusal`.
    """

    # `POST` of each path submits a job.
    submissions: Mapping[str, Callable[[Handshake, bytes], JobRequest]]
    # `GET` of each path tells of one; its request holds its text.
    job_states: Mapping[str, Callable[[Handshake, Job], HttpAnswer]]
    # `GET` of each path fetches the audio: with the client's key, or, below `open_job_audio`, by knowing the job's id,
    # which cannot be guessed.
    job_audio: tuple[str, ...]
    open_job_audio: tuple[str, ...]

    def job_id(self, shown: str) -> str:
        """The relay's own id of a job. Raises ClientError for what cannot be one."""
        ...

    def created(self, handshake: Handshake, job: Job) -> HttpAnswer: ...
