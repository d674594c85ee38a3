"""What of one turn waits to leave: its audio as blocks, and the events that stand between its samples."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from relay.core.formats import FrameFormat


@dataclass(slots=True)
class HeldAudio:
    """Counts are of samples per channel, from the turn's first one on.

    Nothing here is bounded: the playout bounds the audio of all turns together, the session the text and the flushes
    that events are about.
    """

    format: FrameFormat | None = None
    # Of the format: looked up for every group of frames.
    rate_hz: int = 0
    align_bytes: int = 0
    frame_s: float = 0.0
    blocks: deque[bytes] = field(default_factory=deque)
    # Bytes of the first block that have left.
    taken_bytes: int = 0
    fed_samples: int = 0
    # Samples that have left: whole frames until the last one.
    cut_samples: int = 0
    # (sample, event) in order: those that leave before the frame with that sample, and those after all before it.
    ahead: deque[tuple[int, Any]] = field(default_factory=deque)
    behind: deque[tuple[int, Any]] = field(default_factory=deque)
    # No audio is on its way: what stands behind the samples of an unfilled frame need not wait for it.
    idle: bool = False

    def set_format(self, frame_format: FrameFormat) -> None:
        self.format = frame_format
        self.rate_hz, self.align_bytes = frame_format.audio.sample_rate_hz, frame_format.audio.block_align
        self.frame_s = frame_format.frame_samples / self.rate_hz

    def feed(self, pcm: bytes) -> None:
        assert self.format is not None, "audio has a format"
        samples, cut = divmod(len(pcm), self.align_bytes)
        assert not cut, "audio is cut between samples"
        self.blocks.append(pcm)
        self.fed_samples += samples
        self.idle = False

    @property
    def samples(self) -> int:
        return self.fed_samples - self.cut_samples

    @property
    def ms(self) -> float:
        return (self.fed_samples - self.cut_samples) * 1000 / self.rate_hz if self.rate_hz else 0.0

    @property
    def whole_frames_ms(self) -> float:
        """The same without an unfilled frame."""
        if self.format is None:
            return 0.0
        return (self.samples - self.samples % self.format.frame_samples) * 1000 / self.rate_hz

    def frames_before_event(self, frames: int, step: int) -> int:
        """So many frames of `step` samples, or fewer: none overtakes an event."""
        if self.ahead:
            frames = min(frames, (self.ahead[0][0] - self.cut_samples) // step)
        if self.behind:
            frames = min(frames, -((self.cut_samples - self.behind[0][0]) // step))
        return frames

    def take_events(self, out: list[Any]) -> None:
        """Those all of whose samples have left, then those that leave before the next frame."""
        if self.behind:
            left = self.cut_samples
            if self.idle and self.format and self.samples < self.format.frame_samples:
                left = self.fed_samples
            while self.behind and self.behind[0][0] <= left:
                out.append(self.behind.popleft()[1])
        if self.ahead:
            step = self.format.frame_samples if self.format else 1
            while self.ahead and self.ahead[0][0] < self.cut_samples + step:
                out.append(self.ahead.popleft()[1])

    def take_rest(self, out: list[Any]) -> None:
        """All events: no audio follows."""
        out.extend(event for _, event in self.ahead)
        out.extend(event for _, event in self.behind)

    def take(self, samples: int) -> bytes:
        """The next samples: one slice of a block, where they are in one."""
        self.cut_samples += samples
        blocks, begin, size = self.blocks, self.taken_bytes, samples * self.align_bytes
        end = begin + size
        first = blocks[0]
        if end < len(first):
            self.taken_bytes = end
            return first[begin:end]
        pieces = []
        while blocks and size >= len(blocks[0]) - begin:
            block = blocks.popleft()
            piece = block[begin:] if begin else block
            pieces.append(piece)
            size -= len(piece)
            begin = 0
        if size:
            pieces.append(blocks[0][begin : begin + size])
            begin += size
        self.taken_bytes = begin
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
