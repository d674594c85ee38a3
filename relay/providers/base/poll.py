"""The seam of polled work: a job is made, asked about, and its audio fetched."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from relay.core.events import Progress
from relay.providers.base.http import HttpRequest, Piece, ReplyFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole reply of a job's API, whatever its status below 500 (a 5xx is raised by the driver as the request's
    `refuse` reads it). Lower-case header names; the body is bounded by the driver."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Send this, `after_s` seconds from now, and show the answer to the job. `accept` and `unwrap` are not used.

    `progress` is what the answer before says of the job; None where it does not say, for nothing is guessed.
    """

    request: HttpRequest
    after_s: float = 0.0
    progress: Progress | None = None


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
    """Work that is polled for. `timeout_s` bounds the whole job up to the first byte of its audio.

    `on_progress` is called with each state that the provider tells, or that follows, and the seconds since the job was
    asked for. It must not block.
    """

    provider: str
    job: Callable[[], PollJob]
    timeout_s: float
    on_progress: Callable[[Progress, float], None] | None = None
