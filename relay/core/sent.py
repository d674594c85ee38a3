"""What of one turn has left for its listener: counts and instants, as the playout keeps them."""

from bisect import bisect_left
from dataclasses import dataclass, field

# Upper bounds of the lateness buckets: seconds after the instant at which the listener needed the frame.
LATE_BY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


@dataclass(slots=True)
class SentAudio:
    """What of one turn has left. Counts are per channel; instants are those given to the playout."""

    frames: int = 0
    samples: int = 0
    padding_samples: int = 0
    first_frame_s: float | None = None
    last_frame_s: float | None = None
    # When a listener that plays at once hears the first frame: after the turns before it.
    playing_from_s: float | None = None
    # Until when the client's own wishes held the first frame: the turn before it, pacing, credit.
    held_until_s: float | None = None
    # Paced frames that were there in time, by how late they left: up to each of LATE_BY_S, then beyond the last.
    lateness: list[int] = field(default_factory=lambda: [0] * (len(LATE_BY_S) + 1))
    ran_dry: int = 0
    ran_dry_s: float = 0.0

    def add(self, frames: int, samples: int, padding: int, now_s: float) -> None:
        """So many frames leave now."""
        self.last_frame_s = now_s
        self.frames += frames
        self.samples += samples
        self.padding_samples += padding

    def count_lateness(self, frames: int, late_s: float, frame_s: float) -> None:
        """So many frames leave together, the first of them `late_s` after it was needed."""
        for index in range(frames):
            if late_s <= LATE_BY_S[0]:
                self.lateness[0] += frames - index
                return
            self.lateness[bisect_left(LATE_BY_S, late_s)] += 1
            late_s -= frame_s
