"""The one error tree, and the codes that go on the wire.

::

    RelayError              code, message, retryable, retry_after_s
    ├── ClientError         the caller broke our contract; the same message will fail again
    ├── LimitError          the relay is full, draining, or the caller is over one of the relay's own limits
    ├── ProviderError       the provider refused, failed, stalled, or sent what is not audio; carries `provider`
    └── InternalError       a bug of ours

The class says whose fault it is, `code` says what happened, the message says what was wrong and what would be right.
No message ever holds a key, a token, or the text to be spoken.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

# A sentence or three. Answers that a client leaves unread are bounded in number, and so in bytes.
MAX_MESSAGE_CHARS = 2000


class Code(StrEnum):
    """What a client is told; each member knows its HTTP status and whether trying again may help."""

    http_status: int
    retryable: bool

    def __new__(cls, value: str, http_status: int, retryable: bool) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.http_status = http_status
        member.retryable = retryable
        return member

    INVALID_MESSAGE = "invalid_message", 400, False
    INVALID_CONFIG = "invalid_config", 400, False
    UNKNOWN_TURN = "unknown_turn", 400, False
    UNKNOWN_JOB = "unknown_job", 404, False
    UNKNOWN_HISTORY = "unknown_history", 404, False
    JOB_NOT_READY = "job_not_ready", 409, True
    TEXT_TOO_LONG = "text_too_long", 413, False
    UNAUTHORIZED = "unauthorized", 401, False
    FORBIDDEN = "forbidden", 403, False
    VOICE_NOT_FOUND = "voice_not_found", 404, False
    RATE_LIMITED = "rate_limited", 429, True
    OVER_CAPACITY = "over_capacity", 503, True
    SHUTTING_DOWN = "shutting_down", 503, True
    PROVIDER_AUTH = "provider_auth", 502, False
    PROVIDER_REJECTED = "provider_rejected", 422, False
    PROVIDER_RATE_LIMITED = "provider_rate_limited", 429, True
    PROVIDER_UNAVAILABLE = "provider_unavailable", 503, True
    PROVIDER_TIMEOUT = "provider_timeout", 504, True
    PROVIDER_CUT = "provider_cut", 502, True
    BAD_AUDIO = "bad_audio", 502, False
    SLOW_CLIENT = "slow_client", 408, True
    IDLE_TIMEOUT = "idle_timeout", 408, True
    INTERNAL = "internal", 500, False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFault:
    """What the provider itself said, for the client's `error.provider`. `message` is bounded and holds no key."""

    name: str
    status: int | None = None
    code: str | None = None
    message: str | None = None
    request_id: str | None = None


class RelayError(Exception):
    """Base of everything the relay reports. `retryable` defaults to what the code says."""

    def __init__(
        self, code: Code, message: str, *, retryable: bool | None = None, retry_after_s: float | None = None
    ) -> None:
        # It may quote a name of a client's choosing.
        message = message if len(message) <= MAX_MESSAGE_CHARS else f"{message[:MAX_MESSAGE_CHARS]}..."
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = code.retryable if retryable is None else retryable
        self.retry_after_s = retry_after_s


class ClientError(RelayError):
    """The caller broke our contract."""


class LimitError(RelayError):
    """One of the relay's own limits."""


class ProviderError(RelayError):
    """The provider's fault; `provider` names it and quotes its own words."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        provider: ProviderFault,
        retryable: bool | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(code, message, retryable=retryable, retry_after_s=retry_after_s)
        self.provider = provider


class InternalError(RelayError):
    """A bug of ours: it is logged with its traceback, the client learns only that it happened."""

    def __init__(self, message: str = "internal error; the relay's log has the details") -> None:
        super().__init__(Code.INTERNAL, message)


def untrace(error: BaseException) -> None:
    """Takes away the traceback of an error, and those of the errors that led to it.

    For errors that are expected, whose message is all that anybody wants: a traceback holds all that was at work where
    the error was raised, and where that holds the error in turn, it stays until the garbage collector looks for it.
    """
    behind: BaseException | None = error
    while behind is not None and behind.__traceback__ is not None:
        behind.__traceback__ = None
        behind = behind.__cause__ or behind.__context__
