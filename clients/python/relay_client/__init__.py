"""Speech from a relay: text in, exact frames of audio out.

::

    async with connect("ws://127.0.0.1:8765/v1/stream") as session:
        turn = await session.speak("Hello.")
        async for frame in turn:
            play(frame.payload)
        print(turn.summary.samples)
"""

from relay_client.errors import (
    ConnectError,
    ConnectionLostError,
    HandshakeError,
    ProtocolError,
    ProviderFault,
    RelayClientError,
    ReplyTimeoutError,
    SinkError,
    TextSourceError,
    TurnCancelledError,
    TurnError,
)
from relay_client.events import (
    AudioStarted,
    Event,
    FlushDone,
    Limits,
    SegmentTimings,
    SessionClosing,
    SessionReady,
    TextPaused,
    TextResumed,
    TextSegment,
    TextWords,
    Timings,
    TurnCancelled,
    TurnDone,
    TurnFailover,
    TurnProgress,
    TurnStarted,
    TurnWaiting,
    Word,
)
from relay_client.frames import AudioFormat, Frame
from relay_client.handshake import DEFAULT_URL
from relay_client.minting import MintedToken, mint_token
from relay_client.opening import ConnectOptions, backoff, connect, connect_with_retries
from relay_client.options import Audio, Encoding, Flow, Pacing, Pronunciation, TextFilter, TurnOptions
from relay_client.session import Session
from relay_client.sinks import RawSink, Sink, SpeakerSink, WavSink, play
from relay_client.turn import Turn

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_URL",
    "Audio",
    "AudioFormat",
    "AudioStarted",
    "ConnectError",
    "ConnectOptions",
    "ConnectionLostError",
    "Encoding",
    "Event",
    "Flow",
    "FlushDone",
    "Frame",
    "HandshakeError",
    "Limits",
    "MintedToken",
    "Pacing",
    "Pronunciation",
    "ProtocolError",
    "ProviderFault",
    "RawSink",
    "RelayClientError",
    "ReplyTimeoutError",
    "SegmentTimings",
    "Session",
    "SessionClosing",
    "SessionReady",
    "Sink",
    "SinkError",
    "SpeakerSink",
    "TextFilter",
    "TextPaused",
    "TextResumed",
    "TextSegment",
    "TextSourceError",
    "TextWords",
    "Timings",
    "Turn",
    "TurnCancelled",
    "TurnCancelledError",
    "TurnDone",
    "TurnError",
    "TurnFailover",
    "TurnOptions",
    "TurnProgress",
    "TurnStarted",
    "TurnWaiting",
    "WavSink",
    "Word",
    "backoff",
    "connect",
    "connect_with_retries",
    "mint_token",
    "play",
]
