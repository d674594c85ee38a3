"""The one error tree of the client.

::

    RelayClientError            code, message, retryable, retry_after_s
    ├── ConnectError            the relay cannot be reached at all
    ├── HandshakeError          it answered and refused the session; `status` is its HTTP status
    ├── ConnectionLostError     an open session ended under its turns; `close_code`, `close_reason`
    ├── ProtocolError           the relay sent what `relay.v1` does not allow
    ├── TurnError               one turn failed; the session and its other turns live on
    ├── TurnCancelledError      the turn was cancelled, so what was asked of it cannot be
    ├── TextSourceError         the text iterator given to `speak` raised; what it gave before has been spoken
    ├── ReplyTimeoutError       the relay did not answer a cancel in time
    └── SinkError               audio could not be written where it should go

`retryable` says whether the same request may succeed later, `retry_after_s` how long the relay asks to wait.
Misuse of this package raises ValueError, TypeError or RuntimeError. No message holds a key, a token, or text to speak.
"""

from dataclasses import dataclass

__all__ = [
    "ConnectError",
    "ConnectionLostError",
    "HandshakeError",
    "ProtocolError",
    "ProviderFault",
    "RelayClientError",
    "ReplyTimeoutError",
    "SinkError",
    "TextSourceError",
    "TurnCancelledError",
    "TurnError",
]

# 1002, 1003, 1007, 1009: what we sent was wrong and would be wrong again; 1008 is policy (but see the reasons below).
_FINAL_CLOSE_CODES = frozenset({1002, 1003, 1007, 1008, 1009})
# The relay's close reason is its error code; these two end a session under 1008 and leave nothing to mend.
_RETRYABLE_REASONS = frozenset({"slow_client", "idle_timeout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFault:
    """What the speech provider itself said, as the relay quotes it."""

    name: str
    status: int | None = None
    code: str | None = None
    message: str | None = None
    request_id: str | None = None


class RelayClientError(Exception):
    """Base of everything that goes wrong between this client and the relay.

    `code` is the relay's own error code where it gave one.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class ConnectError(RelayClientError):
    """No connection: refused, unknown host, TLS, a timeout, or something that is not a relay."""


class HandshakeError(RelayClientError):
    """The relay refused the session. `status` is the HTTP status; None when it refused after the upgrade."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None,
        code: str | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code, retryable=retryable, retry_after_s=retry_after_s)
        self.status = status


class ConnectionLostError(RelayClientError):
    """The session ended before what was asked of it was done, whatever the close code: 1000 is no success either."""

    def __init__(
        self,
        message: str,
        *,
        close_code: int | None = None,
        close_reason: str = "",
        retryable: bool | None = None,
    ) -> None:
        if retryable is None:
            retryable = close_code not in _FINAL_CLOSE_CODES or close_reason in _RETRYABLE_REASONS
        super().__init__(message, code=close_reason or None, retryable=retryable)
        self.close_code = close_code
        self.close_reason = close_reason


class ProtocolError(RelayClientError):
    """A message the contract does not allow, or audio that does not add up."""


class TurnError(RelayClientError):
    """The relay ended one turn with an error. Audio that came before it was good and has been delivered."""

    def __init__(
        self,
        message: str,
        *,
        turn_id: str,
        code: str,
        retryable: bool,
        retry_after_s: float | None = None,
        provider: ProviderFault | None = None,
    ) -> None:
        super().__init__(message, code=code, retryable=retryable, retry_after_s=retry_after_s)
        self.turn_id = turn_id
        self.provider = provider


class TurnCancelledError(RelayClientError):
    """The turn was cancelled: by this client (then text can no longer be added to it), or by the relay."""


class TextSourceError(RelayClientError):
    """The caller's text iterator raised; `__cause__` is what it raised."""


class ReplyTimeoutError(RelayClientError):
    """No answer in time. The turn is cancelled all the same: not one more frame of it reaches the caller."""


class SinkError(RelayClientError):
    """The file, pipe or speaker cannot take the audio."""
