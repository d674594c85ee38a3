"""Where audio goes: a WAV file, a pipe, the speaker. One file per sink."""

from relay_client.sinks.base import Sink, play
from relay_client.sinks.raw import RawSink
from relay_client.sinks.speaker import SpeakerSink
from relay_client.sinks.wav import WavSink

__all__ = ["RawSink", "Sink", "SpeakerSink", "WavSink", "play"]
