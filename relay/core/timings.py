"""When what happened to a request and to a turn -> the timings that the protocol reports. One monotonic clock, read by
the caller; this file does not know what time of day it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from relay.core.margin import Margin
from relay.core.sent import SentAudio

# Segments whose own timings a turn keeps and reports, the first ones: some minutes of speech in 20 KB.
MAX_SEGMENTS = 32

Report: TypeAlias = Mapping[str, object]


class Stage(StrEnum):
    """What happens to a request, in the order in which it does."""

    TEXT_READY = "text_ready"  # its text is whole: a sentence has ended, or was flushed
    PLACE_ASKED = "place_asked"  # of the provider that is to speak it, after those that failed
    PLACE_GIVEN = "place_given"
    REQUEST_SENT = "request_sent"
    RESPONSE_HEADERS = "response_headers"
    FIRST_BYTE = "first_byte"
    FIRST_SAMPLE = "first_sample"
    LAST_BYTE = "last_byte"


class Share(StrEnum):
    """What the time to first audio is spent on, in this order; HELD may stand on either side of DECODE."""

    TEXT = "text"  # until a sentence is whole
    FAILED = "failed"  # on providers that failed
    QUEUE = "queue"  # for a place at the provider
    CONNECT = "connect"  # until the request goes out
    HEADERS = "headers"  # the provider's answer
    BODY = "body"  # and its first byte of audio
    FILL = "fill"  # the provider's bytes, until they complete the first frame
    HELD = "held"  # by the client's own wish: the turn before, pacing, credit
    DECODE = "decode"
    FRAME = "frame"  # resample, encode, fill a frame, hand it to the socket


@dataclass(slots=True)
class Tally:
    """What a turn's requests to one provider add up to."""

    retries: int = 0
    received_bytes: int = 0
    # Audio that could not be decoded, and was left out or silenced.
    damaged_ms: float = 0.0
    # Replies of headerless audio that would sound like audio in another encoding, and as they were played do not.
    implausible_replies: int = 0


@dataclass(slots=True)
class Timings:
    """One request, from its text to its last byte: instants in seconds of a monotonic clock. The first mark counts."""

    instants_s: dict[Stage, float] = field(default_factory=dict)
    connection_reused: bool | None = None
    tally: Tally = field(default_factory=Tally)
    provider: str = ""
    # Which `text.segment` its audio begins with, and how much audio has come.
    index: int | None = None
    audio_ms: float = 0.0
    # When the bytes came that were taken last.
    came_s: float = 0.0

    def received(self, size_bytes: int, came_s: float) -> None:
        """More of its reply has been taken, which had come at that instant."""
        self.tally.received_bytes += size_bytes
        self.came_s = came_s

    def mark(self, stage: Stage, now_s: float) -> None:
        self.instants_s.setdefault(stage, now_s)

    def between_s(self, earlier: Stage, later: Stage) -> float | None:
        """Seconds from one stage to another; None where either did not happen."""
        begin_s, end_s = self.instants_s.get(earlier), self.instants_s.get(later)
        return None if begin_s is None or end_s is None else end_s - begin_s


class TurnTimings:
    """A turn, from its first text to its last frame. What it says of requests is said of the first segment's: a turn's
    report is about its first audio; `segments` tells the others.

    Of a segment that was asked of several providers only the last one counts, whose audio it is.
    """

    def __init__(self, sent: SentAudio | None = None) -> None:
        """`sent` is what the playout keeps of the turn."""
        self.sent = sent if sent is not None else SentAudio()
        self.text_s: float | None = None
        # When the provider's bytes had come that complete the first frame, or the turn if that is shorter.
        self.first_frame_complete_s: float | None = None
        self.last_byte_s: float | None = None
        self.leading_silence_ms: float | None = None
        # Until when the engine held the first audio back for the turn before it.
        self.waited_until_s: float | None = None
        self.margin = Margin()
        self.requests: list[Timings] = []
        self.tallies: dict[str, Tally] = {}

    def text_came(self, now_s: float) -> None:
        if self.text_s is None:
            self.text_s = now_s

    def request(self, segment: int, provider: str, text_ready_s: float, now_s: float) -> Timings:
        """A new request for the text of that segment, counted from 0 among those that are spoken.

        The text of one that is asked for again was ready when it was asked for first.
        """
        if segment < len(self.requests):
            text_ready_s = min(text_ready_s, self.requests[segment].instants_s[Stage.TEXT_READY])
        made = Timings(tally=self.tallies.setdefault(provider, Tally()), provider=provider)
        made.mark(Stage.TEXT_READY, text_ready_s)
        made.mark(Stage.PLACE_ASKED, now_s)
        if segment < len(self.requests):
            self.requests[segment] = made
        elif segment < MAX_SEGMENTS:
            assert segment == len(self.requests), "segments are asked for in order"
            self.requests.append(made)
        return made

    def reply_ended(self, request: Timings) -> None:
        """All of a request's audio has been taken. Its last byte came with its last piece, where the driver has not
        marked it better."""
        request.mark(Stage.LAST_BYTE, request.came_s)
        self.last_byte_s = request.instants_s[Stage.LAST_BYTE]

    def frame_completed(self, came_s: float) -> None:
        """Bytes that came at `came_s` complete the first frame. The first call counts."""
        if self.first_frame_complete_s is None:
            self.first_frame_complete_s = came_s

    @property
    def first_frame_s(self) -> float | None:
        return self.sent.first_frame_s

    @property
    def held_until_s(self) -> float | None:
        """Until when the first frame was held by the client's own wish: the turn before it, pacing, credit."""
        waited_s, held_s = self.waited_until_s, self.sent.held_until_s
        if waited_s is None or held_s is None:
            return held_s if waited_s is None else waited_s
        return max(waited_s, held_s)

    @property
    def first(self) -> Timings | None:
        """The request for the turn's first audio."""
        return self.requests[0] if self.requests else None

    @property
    def ttfa_ms(self) -> float | None:
        """Milliseconds from the turn's first text to its first frame; None where either did not happen."""
        return self._after_text_ms(self.first_frame_s)

    @property
    def first_byte_ms(self) -> float | None:
        """Milliseconds from the turn's first text to the provider's first byte."""
        return self._after_text_ms(self._first(Stage.FIRST_BYTE))

    @property
    def ttfs_ms(self) -> float | None:
        """Milliseconds to first speech: to the first frame, and through the silence that the audio begins with."""
        ttfa_ms, silence_ms = self.ttfa_ms, self.leading_silence_ms
        return None if ttfa_ms is None or silence_ms is None else round(ttfa_ms + silence_ms, 3)

    @property
    def relay_ms(self) -> float | None:
        """What the relay itself added to the first frame, from the instant at which the provider's bytes had come that
        complete it: not the time for which the frame had to wait for the turn before it, its instant, or credit."""
        begin_s = self._complete_s()
        if begin_s is None or self.first_frame_s is None:
            return None
        if self.held_until_s is not None:
            begin_s = max(begin_s, min(self.held_until_s, self.first_frame_s))
        return round((self.first_frame_s - begin_s) * 1000, 3)

    def shares_s(self) -> dict[Share, float]:
        """The time to first audio, shared out: seconds that add up to it. Empty where there was no audio."""
        complete_s = self._complete_s()
        if self.text_s is None or self.first_frame_s is None or self.first is None or complete_s is None:
            return {}
        at, before_s = self.first.instants_s, self.text_s
        shares: dict[Share, float] = {}
        for share, stage in _ENDS.items():
            # A WebSocket has no headers; then its first byte is what comes after the request.
            if (now_s := at.get(stage)) is not None:
                shares[share], before_s = now_s - before_s, now_s
        shares[Share.FILL] = complete_s - before_s
        held_until_s = complete_s if self.held_until_s is None else min(self.held_until_s, self.first_frame_s)
        decoded_s = max(at[Stage.FIRST_SAMPLE], complete_s)
        decoding_from_s = max(complete_s, held_until_s) if held_until_s <= decoded_s else complete_s
        shares[Share.DECODE] = decoded_s - decoding_from_s
        shares[Share.FRAME] = self.first_frame_s - max(decoded_s, held_until_s)
        shares[Share.HELD] = self.first_frame_s - complete_s - shares[Share.DECODE] - shares[Share.FRAME]
        return shares

    def report(self) -> Report:
        """The `timings` object of `turn.done` and `turn.cancelled`."""
        # The first of them is made right before a turn's first frame leaves.
        after_text_ms, first, ttfa_ms = self._after_text_ms, self.first, self.ttfa_ms
        at = first.instants_s if first is not None else {}
        silence_ms = None if self.leading_silence_ms is None else round(self.leading_silence_ms, 3)
        least_ms = None if self.margin.least_s is None else round(self.margin.least_s * 1000, 3)
        return {
            **{name: after_text_ms(at.get(stage)) for name, stage in _BEFORE_FIRST_FRAME},
            "first_frame_complete": after_text_ms(self._complete_s()),
            "first_frame": ttfa_ms,
            "last_byte": after_text_ms(self.last_byte_s),
            "last_frame": after_text_ms(self.sent.last_frame_s),
            "ttfa_ms": ttfa_ms,
            "leading_silence_ms": silence_ms,
            "ttfs_ms": self.ttfs_ms,
            "relay_ms": self.relay_ms,
            "connection_reused": first.connection_reused if first is not None else None,
            "min_ahead_ms": least_ms,
            "segments": [self._segment(request) for request in self.requests if request.index is not None],
        }

    def _complete_s(self) -> float | None:
        """The instant of FIRST_BYTE where nobody said when the first frame was complete."""
        first_byte_s = self._first(Stage.FIRST_BYTE)
        if first_byte_s is None or self.first_frame_complete_s is None:
            return first_byte_s
        return max(first_byte_s, self.first_frame_complete_s)

    def _segment(self, request: Timings) -> Report:
        stages = {name: self._after_text_ms(request.instants_s.get(stage)) for name, stage in _STAGES}
        return {"index": request.index, **stages, "audio_ms": round(request.audio_ms, 3)}

    def _first(self, stage: Stage) -> float | None:
        return self.first.instants_s.get(stage) if self.first else None

    def _after_text_ms(self, instant_s: float | None) -> float | None:
        return None if self.text_s is None or instant_s is None else round((instant_s - self.text_s) * 1000, 3)


# What the shares before the first byte end with.
_ENDS = {
    Share.TEXT: Stage.TEXT_READY,
    Share.FAILED: Stage.PLACE_ASKED,
    Share.QUEUE: Stage.PLACE_GIVEN,
    Share.CONNECT: Stage.REQUEST_SENT,
    Share.HEADERS: Stage.RESPONSE_HEADERS,
    Share.BODY: Stage.FIRST_BYTE,
}
# Their names beside them: `value` of an enumeration's member is a call.
_STAGES = tuple((stage.value, stage) for stage in Stage)
_BEFORE_FIRST_FRAME = tuple((name, stage) for name, stage in _STAGES if stage is not Stage.LAST_BYTE)
