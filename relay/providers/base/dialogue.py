"""The seam of dialogues: text goes to the provider over a WebSocket as it is typed, and audio comes back meanwhile."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeGuard

from relay.core.formats import SourceFormat
from relay.core.timings import Timings
from relay.errors import ProviderError
from relay.providers.base.http import HttpRequest, Piece, Refusal, ReplyFacts, Sign
from relay.providers.base.provider import Provider, Reply, Speech


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAddress:
    """Where and how to open a WebSocket. `url`, `secret_headers` and `subprotocols` never reach a log: each may carry a
    credential. Where subprotocols are offered, the server has to select the first; the others are credentials. `sign`
    is that of `HttpRequest`, for the handshake."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, str] = field(default_factory=dict)
    subprotocols: tuple[str, ...] = ()
    sign: Sign | None = None


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


class StreamingProvider(Provider, Protocol):
    """A provider that takes text as it is typed."""

    def converse(self, speech: Speech) -> DialogueRequest:
        """What to open for one turn whose speech says `streaming_text`."""
        ...


def takes_text_as_typed(provider: Provider, speech: Speech) -> TypeGuard[StreamingProvider]:
    """Whether this turn is a conversation."""
    return speech.streaming_text
