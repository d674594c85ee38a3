"""How long the HTTP driver waits, for what, and why."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Times in seconds. Born valid: an impossible value raises ValueError."""

    # DNS, TCP and TLS take 50-600 ms to a live host (livekit/livekit#6078); a lost SYN is sent again after 1 s and 3 s.
    connect_timeout_s: float = 5.0
    # From the request to the first byte of audio. Live providers need 0.1-2 s; after 10 s the listener has gone.
    first_byte_timeout_s: float = 10.0
    # Silence in the middle of a reply (livekit/agents-js#1174: 66 s of "speaking", cured by a limit of 10 s).
    stall_timeout_s: float = 10.0
    # All before the first piece together: attempts, waits between them, timeouts.
    open_timeout_s: float = 20.0
    # New attempts after the first.
    retries: int = 2
    # Doubles with each retry, and any part of it may be drawn ("full jitter"), so that those who failed together do not
    # come back together.
    backoff_s: float = 0.1
    # A longer Retry-After is not waited for: the client is told at once, and decides.
    longest_retry_wait_s: float = 2.0
    # Idle connections are kept this long. Providers close theirs after 60 s (AWS load balancers; Sarvam, livekit#5681)
    # or later, mostly; who closes first never writes into a closing connection.
    keepalive_s: float = 50.0
    # Two (this segment and the next) for each of 2,000 turns. More is a leak, and waits.
    connections: int = 4096
    # Hosts that may be connected to whatever their address, where a provider's reply names one.
    download_hosts: Sequence[str] = ()
    # Proxy and netrc from the environment. Off: a variable left in a shell must not route keys elsewhere.
    trust_env: bool = False

    def __post_init__(self) -> None:
        for name in ("connect_timeout_s", "first_byte_timeout_s", "stall_timeout_s", "open_timeout_s", "connections"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("retries", "backoff_s", "longest_retry_wait_s", "keepalive_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")
