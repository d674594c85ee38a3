"""How long the WebSocket driver waits, what it keeps, and why."""

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class WsSettings:
    """Times in seconds. Born valid: an impossible value raises ValueError."""

    # DNS, TCP, TLS and the upgrade take 150-800 ms to a live host; a lost SYN is sent again after 1 s and 3 s.
    connect_timeout_s: float = 5.0
    # From the open socket to the provider's greeting, which is one message (Bland admits credits and concurrency here).
    greeting_timeout_s: float = 5.0
    # From the end of the text (or a flush) to the first audio. Live providers need 0.1-2 s.
    first_audio_timeout_s: float = 10.0
    # Silence in the middle of a turn whose text has ended (livekit/agents-js#1174: 66 s of "speaking").
    stall_timeout_s: float = 10.0
    # For a provider that does not read its socket: then text cannot be given.
    write_timeout_s: float = 5.0
    # From a cancel to its confirmation. Who takes longer costs a handshake at the next turn, nobody's time now.
    confirm_timeout_s: float = 2.0
    # A closing handshake, behind everybody's back.
    close_timeout_s: float = 1.0
    # A socket without a turn is kept this long: most people answer a voice within it, and providers count open sockets
    # (Breeze: 20 a key). Shorter where the provider closes earlier: see `CLOSE_MARGIN`.
    idle_s: float = 45.0
    # Idle sockets of one key, and of all. Sessions with one voice share them; more would only count as concurrency.
    idle_per_key: int = 2
    idle_sockets: int = 32
    # An idle socket is asked for a sign of life this often, so that one that a firewall forgot is found by us and not
    # by the next turn; and how long the sign may take.
    probe_every_s: float = 10.0
    probe_timeout_s: float = 3.0
    # Sockets in use, two for each of 2,000 turns; more is a leak, and waits for a place.
    connections: int = 4096
    # Longest message taken: 10 s of 48 kHz s16. A longer one is held whole before anyone can hear it.
    message_bytes: int = 1024 * 1024

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if not 0 < value < math.inf:
                raise ValueError(f"{setting.name} is {value}; it must be above 0")
