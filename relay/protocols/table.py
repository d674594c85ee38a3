"""The wire protocols that the server speaks, a line each. A new one is picked up everywhere from here."""

from relay.protocols.base import SpeechProtocol, StreamProtocol
from relay.protocols.native import TokenBody, error_fields, receive_token
from relay.protocols.native_http import Native

__all__ = ["OWN", "SPEECHES", "STREAMS", "TokenBody", "error_fields", "receive_token"]

# The relay's own, which also speaks for the routes that belong to none.
OWN = Native()

STREAMS: tuple[StreamProtocol, ...] = (OWN,)
SPEECHES: tuple[SpeechProtocol, ...] = (OWN,)
