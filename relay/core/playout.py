"""The schedule of one listener: everything between "audio of a turn exists" and "these bytes leave now".

Sans-I/O: time is an argument, in seconds of one monotonic clock; nothing is awaited and nothing is called back. Audio
is held as blocks, and cut into frames as it leaves. Events stand between samples.

::

    playout.open("a", Pacing(mode="realtime"))
    playout.set_format("a", frame_format)
    playout.feed("a", pcm)                  # encoded samples, in any cut between samples
    playout.end("a")
    for item in playout.due(now_s, room_bytes=16_384):
        ...                                 # Run, an event, or Ended: in the order in which they leave
    wait_until(playout.next_due_s)

This file does not know a socket, a wire protocol or a provider.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from relay.core.events import Pacing
from relay.core.formats import FrameFormat
from relay.core.held import HeldAudio
from relay.core.listener_clock import ListenerClock
from relay.core.sent import SentAudio
from relay.errors import RelayError

# Audio held for a listener, all turns together: above the first the feeding turn waits, and with it the provider's
# socket; at the second it goes on. A second hides a provider's hiccups from a listener that reads in bursts; more
# would be synthesised for nothing at a cancel, and held for every listener that stopped reading.
HIGH_WATER_MS, LOW_WATER_MS = 1000, 500

# Urgent answers that may wait. A client that reads leaves a handful unread; at the bound it is cut off.
MAX_URGENT = 1024

NEVER_S = float("inf")
AT_ONCE_S = float("-inf")

# Two instants that differ by less are the same. They are sums of floats, and a monotonic clock counts from the boot of
# the machine: after 200 days floats of it are 4 ns apart, after 30 years a tenth of this.
_SAME_S = 1e-6

# More frames than there ever are.
_ANY = 1 << 62


class UrgentFull(Exception):  # noqa: N818 - like asyncio.QueueFull
    """More answers wait than a client that reads would ever leave waiting."""


class Run(NamedTuple):
    """Consecutive frames of one turn that leave together.

    `payload` holds `frames` frames of `frame_format.frame_bytes` each; only the turn's last one may be short, or hold
    `padding` samples of silence. `samples` counts speech, per channel. `last`: the turn has no frame after these.
    `fades`: the samples are yet to be made to fall to silence, by who takes the run.
    """

    turn_id: str
    frame_format: FrameFormat
    first_sample: int
    frames: int
    samples: int
    padding: int
    last: bool
    payload: bytes
    fades: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The turn's end stands here: all of it was sent, or `error` ended it after the good audio."""

    turn_id: str
    error: RelayError | None = None


@dataclass(slots=True)
class _Turn:
    turn_id: str
    sent: SentAudio
    held: HeldAudio
    # None: not paced.
    lead_s: float | None
    low_s: float
    credit_ms: int | None
    fade_ms: float
    credit_samples: int | None = None
    ended: Ended | None = None
    # Frames leave as they come until the lead is full; then when it has fallen to `low_s`.
    filling: bool = True
    # A frame is held though there is one: how late it leaves is the caller's doing.
    waited: bool = False


class Playout:
    """Turns are spoken in the order in which they were opened. Every method but `due` is safe for ids it does not know.

    What it guarantees, whatever is called when: every sample leaves once and in order; nothing of a cancelled turn
    leaves after `cancel`; an event never leaves before the sample it stands at; an end leaves once, last. `realtime`
    audio of all turns together is never more than the turn's lead and one frame ahead of a listener that plays
    without gaps.
    """

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}
        self._urgent: deque[Any] = deque()
        self._full = False
        # Whether a turn had frames that are longer than the lower mark.
        self._long_frames = False
        self._clock = ListenerClock()
        self.next_due_s = NEVER_S
        self._holding = False
        self.peak_ms = 0.0

    # What a turn brings.

    def open(self, turn_id: str, pacing: Pacing, window_ms: int | None = None, *, fade_ms: float = 0) -> SentAudio:
        """Adds a turn behind all others. `window_ms` bounds its audio altogether until `grant` adds to it; `fade_ms` is
        for `cancel`."""
        assert turn_id not in self._turns, "a turn is opened once"
        lead_s = pacing.lead_ms / 1000 if pacing.mode == "realtime" else None
        low_s = 0.0 if lead_s is None else lead_s - pacing.group_ms / 1000
        sent = SentAudio()
        self._turns[turn_id] = _Turn(turn_id, sent, HeldAudio(), lead_s, low_s, window_ms, fade_ms)
        return sent

    def set_format(self, turn_id: str, frame_format: FrameFormat) -> None:
        """Says what the turn's frames are. To be called once, before its first `feed`."""
        if turn := self._turns.get(turn_id):
            turn.held.set_format(frame_format)
            self._long_frames = self._long_frames or turn.held.frame_s * 1000 > LOW_WATER_MS
            if turn.credit_ms is not None:
                turn.credit_samples = frame_format.samples_in(turn.credit_ms)

    def feed(self, turn_id: str, pcm: bytes) -> None:
        """More encoded audio of the turn: whole samples."""
        turn = self._turns.get(turn_id)
        if turn is None or not pcm:
            return
        assert turn.ended is None, "an end is last"
        turn.held.feed(pcm)
        held_ms = self.held_ms
        if held_ms > self.peak_ms:
            self.peak_ms = held_ms
        if held_ms > HIGH_WATER_MS:
            self._full = True

    def mark(self, turn_id: str, event: Any, *, behind: bool = False) -> None:
        """An event that stands after all that was fed so far. It leaves before the first frame that holds what is fed
        next; `behind`: once all that was fed before it has left."""
        if turn := self._turns.get(turn_id):
            assert turn.ended is None, "an end is last"
            held = turn.held
            (held.behind if behind else held.ahead).append((held.fed_samples, event))

    def idle(self, turn_id: str) -> None:
        """No audio is on its way before the client says more: events that stand behind samples of an unfilled frame
        leave without it. Until the next `feed`."""
        if turn := self._turns.get(turn_id):
            turn.held.idle = True

    def end(self, turn_id: str, error: RelayError | None = None) -> None:
        """All was fed. The last frame is padded or short, as its format says, and the end stands behind it."""
        turn = self._turns.get(turn_id)
        if turn is not None and turn.ended is None:
            turn.ended = Ended(turn_id, error)

    @property
    def holds(self) -> bool:
        """Whether nothing leaves before `next_due_s`, however much audio is fed: the lead is full."""
        return self._holding and not self._urgent

    @property
    def current(self) -> str | None:
        """The turn that is being fed: the first whose audio is not all there."""
        for turn in self._turns.values():
            if turn.ended is None:
                return turn.turn_id
        return None

    def wants(self, turn_id: str) -> bool:
        """Whether the turn may feed now: it is the current one, and little enough is held."""
        return not self._full and self.current == turn_id

    # What the client says.

    def urgent(self, event: Any, *, last: bool = False) -> None:
        """An answer that leaves before all audio. Raises UrgentFull at MAX_URGENT, unless it must be said as one of the
        `last` ones."""
        if len(self._urgent) >= MAX_URGENT and not last:
            raise UrgentFull
        self._urgent.append(event)

    def grant(self, turn_id: str, ms: int) -> None:
        """More credit. Without a window there is nothing to add to."""
        turn = self._turns.get(turn_id)
        if turn is None or turn.credit_ms is None:
            return
        turn.credit_ms += ms
        if turn.held.format is not None:
            turn.credit_samples = turn.held.format.samples_in(turn.credit_ms)

    def cancel(self, turn_ids: Iterable[str], now_s: float, *, forget: bool = True) -> dict[str, float]:
        """From here on nothing of these turns leaves. Atomic. `forget`: the listener has dropped what it held of them.

        Of a turn that is being heard and has a `fade_ms`, so much of what would have left next stands among the urgent
        answers now, before what is said of the cancel: in whole frames, and nothing where nothing is held.

        Turns that have ended and may still be heard may be named too. Returns the milliseconds of audio dropped, of
        each turn that was open.
        """
        dropped_ms = {}
        named = set(turn_ids)
        self._holding = False
        head = next(iter(self._turns), None)
        for turn_id in named:
            if turn := self._turns.pop(turn_id, None):
                if turn.fade_ms and forget:
                    self._fade(turn, now_s)
                dropped_ms[turn_id] = turn.held.ms
        if forget:
            self._clock.forget(named, now_s)
        if head in named:
            self._next_becomes_head(now_s)
        self._reopen()
        return dropped_ms

    def forget_heard(self) -> None:
        """The listener has dropped all that it held, of whatever turn."""
        self._holding = False
        self._clock.forget_all()

    def drop_all(self) -> None:
        """Forgets everything: nothing leaves any more."""
        self._turns.clear()
        self._urgent.clear()
        self._full = self._holding = False
        self.next_due_s = NEVER_S

    # What leaves.

    def due(self, now_s: float, room_bytes: int) -> list[Any]:
        """What leaves now, in order, until its audio fills `room_bytes`: urgent events, Runs, events of turns, Ended.

        Gives at least one item if any may leave. What is returned counts as sent. Afterwards `next_due_s` says when to
        ask again if nothing is fed, granted or said until then: at once where the room was too small.
        """
        out: list[Any] = []
        if self._urgent:
            out.extend(self._urgent)
            self._urgent.clear()
        used_bytes = 0
        self.next_due_s = NEVER_S
        self._holding = False
        while self._turns:
            turn = next(iter(self._turns.values()))
            held = turn.held
            if held.ahead or held.behind:
                held.take_events(out)
            if used_bytes >= room_bytes and out:
                self.next_due_s = AT_ONCE_S
                break
            run = self._run(turn, now_s, room_bytes - used_bytes)
            if run is not None:
                out.append(run)
                used_bytes += len(run.payload)
                if self.next_due_s == NEVER_S:
                    continue
                # The lead is full: only events that stand here leave too.
                if held.ahead or held.behind:
                    held.take_events(out)
                break
            if turn.ended is None or held.samples:
                break
            held.take_rest(out)
            out.append(turn.ended)
            del self._turns[turn.turn_id]
            self._next_becomes_head(now_s)
        if used_bytes and self._full:
            self._reopen()
        return out

    def heard(self, now_s: float) -> float:
        """Seconds of paced audio that were sent and that the listener has still to hear."""
        return self._clock.heard(now_s)

    def hearing(self, now_s: float) -> str | None:
        """The turn whose paced audio a listener that plays without gaps hears now."""
        return self._clock.hearing(now_s)

    @property
    def held_ms(self) -> float:
        """Milliseconds of audio that wait to leave, of all turns."""
        held_ms = 0.0
        for turn in self._turns.values():
            held_ms += turn.held.ms
        return held_ms

    @property
    def waiting(self) -> bool:
        """Whether anything waits to leave, an answer or audio."""
        return bool(self._urgent) or any(turn.held.samples or turn.ended for turn in self._turns.values())

    # Inside.

    def _run(self, turn: _Turn, now_s: float, room_bytes: int) -> Run | None:
        """The frames of the turn that leave now."""
        held, frame_format = turn.held, turn.held.format
        if frame_format is None:
            return None
        step = frame_format.frame_samples
        frames, rest = divmod(held.fed_samples - held.cut_samples, step)
        # The last one may be unfilled.
        if rest > 0 and turn.ended is not None:
            frames += 1
        if frames <= 0:
            return None
        allowed = self._allowed(turn, now_s)
        if allowed <= 0:
            if turn.sent.first_frame_s is None:
                turn.sent.held_until_s = now_s if self.next_due_s == NEVER_S else self.next_due_s
            return None
        there = frames
        if frames > allowed:
            frames = allowed
        if frames * frame_format.frame_bytes > room_bytes:
            frames = max(1, room_bytes // frame_format.frame_bytes)
        if held.ahead or held.behind:
            frames = held.frames_before_event(frames, step)
        run = self._cut(turn, frame_format, frames, now_s)
        # As nearly always: the lead is full. Where credit bounds it, or the lead is still low, `_allowed` looks again.
        paced_only = turn.lead_s is not None and turn.credit_samples is None
        if run.frames == allowed < there and paced_only and self._clock.playing_until_s - now_s > turn.low_s + _SAME_S:
            self._hold(turn, turn.low_s)
        return run

    def _allowed(self, turn: _Turn, now_s: float) -> int:
        """How many frames pacing and credit let leave now; if none, sets `next_due_s`."""
        allowed = _ANY
        if turn.credit_samples is not None:
            assert turn.held.format is not None
            allowed = (turn.credit_samples - turn.held.cut_samples) // turn.held.format.frame_samples
            if allowed <= 0:
                turn.waited = False
                return 0
        if turn.lead_s is None:
            return allowed
        lead_s = self._clock.lead_s(now_s, first=turn.sent.first_frame_s is None)
        fit = int((turn.lead_s - lead_s + _SAME_S) / turn.held.frame_s)
        if turn.filling and fit > 0:
            return min(allowed, fit)
        # The first frame of a turn waits for the lead, never for a group.
        low_s = turn.lead_s if turn.sent.first_frame_s is None else turn.low_s
        if lead_s <= low_s + _SAME_S:
            turn.filling = True
            return min(allowed, max(1, fit))
        self._hold(turn, low_s)
        return 0

    def _hold(self, turn: _Turn, low_s: float) -> None:
        """The turn has frames, and the lead is full: they leave when it has fallen to `low_s`."""
        turn.filling = False
        turn.waited = self._holding = True
        self.next_due_s = self._clock.playing_until_s - low_s

    def _cut(self, turn: _Turn, frame_format: FrameFormat, frames: int, now_s: float) -> Run:
        """The turn's next frames, which the listener gets now."""
        held, sent = turn.held, turn.sent
        if sent.first_frame_s is None:
            sent.first_frame_s = now_s
            sent.playing_from_s = max(now_s, self._clock.playing_until_s)
        samples = min(frames * frame_format.frame_samples, held.fed_samples - held.cut_samples)
        run = _take_run(turn, frame_format, frames, samples, pads=frame_format.tail == "pad", now_s=now_s)
        if turn.lead_s is not None:
            if turn.waited:
                sent.count_lateness(frames, now_s - self._clock.playing_until_s, held.frame_s)
                # A frame that stays was there as well.
                turn.waited = held.fed_samples - held.cut_samples >= frame_format.frame_samples
            duration_s = (samples + run.padding) / held.rate_hz
            ran_dry_s = self._clock.play(turn.turn_id, duration_s, now_s, first=sent.frames == frames)
            if ran_dry_s:
                sent.ran_dry += 1
                sent.ran_dry_s += ran_dry_s
        return run

    def _fade(self, turn: _Turn, now_s: float) -> None:
        """The last frames of a turn that is being heard: beyond pacing and credit, for it is silent after them."""
        frame_format = turn.held.format
        samples = 0 if frame_format is None else min(frame_format.samples_in(turn.fade_ms), turn.held.samples)
        if frame_format is None or not turn.sent.frames or not samples:
            return
        run = _take_run(turn, frame_format, -(-samples // frame_format.frame_samples), samples, pads=True, now_s=now_s)
        self._urgent.append(run._replace(last=True, fades=True))

    def _next_becomes_head(self, now_s: float) -> None:
        """The turn that now is first may have had its first frame for a while."""
        turn = next(iter(self._turns.values()), None)
        held = turn.held if turn is not None else None
        if turn is None or held is None or held.format is None or not held.fed_samples:
            return
        if held.fed_samples >= held.format.frame_samples or turn.ended is not None:
            turn.sent.held_until_s = now_s

    def _reopen(self) -> None:
        if not self._full:
            return
        held_ms = self.held_ms
        if held_ms > LOW_WATER_MS and self._long_frames:
            # An unfilled frame does not count: it cannot leave before the turn feeds more.
            held_ms = sum(map(_leavable_ms, self._turns.values()))
        self._full = held_ms > LOW_WATER_MS


def _leavable_ms(turn: _Turn) -> float:
    """Audio that is held, without an unfilled frame unless that is the last."""
    return turn.held.whole_frames_ms if turn.ended is None else turn.held.ms


def _take_run(turn: _Turn, frame_format: FrameFormat, frames: int, samples: int, *, pads: bool, now_s: float) -> Run:
    """So many samples of the turn, as so many frames; with `pads` the last one is filled with silence."""
    held, first = turn.held, turn.held.cut_samples
    payload = held.take(samples)
    padding = frames * frame_format.frame_samples - samples if pads else 0
    if padding:
        payload += frame_format.audio.encoding.silence * (padding * frame_format.audio.channels)
    turn.sent.add(frames, samples, padding, now_s)
    last = turn.ended is not None and held.cut_samples == held.fed_samples
    return Run(turn.turn_id, frame_format, first, frames, samples, padding, last, payload)
