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

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from relay.core.events import Pacing
from relay.core.formats import FrameFormat
from relay.errors import RelayError

# Audio held for a listener, all turns together: above the first the feeding turn waits, and with it the provider's
# socket; at the second it goes on. A second hides a provider's hiccups from a listener that reads in bursts; more
# would be synthesised for nothing at a cancel, and held for every listener that stopped reading.
HIGH_WATER_MS, LOW_WATER_MS = 1000, 500

# Urgent answers that may wait. A client that reads leaves a handful unread; at the bound it is cut off.
MAX_URGENT = 1024

# How long after its playout instant a frame may leave before its listener counts as having run dry, so that the clock
# starts anew. Listeners hide about this much jitter; below it, catching up at once is right.
RAN_DRY_S = 0.1

# Upper bounds of the lateness buckets: seconds after the instant at which the listener needed the frame.
LATE_BY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)

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
class SentAudio:
    """What of one turn has left. Counts are per channel; instants are those given to `due`."""

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


@dataclass(slots=True)
class _Turn:
    turn_id: str
    sent: SentAudio
    # None: not paced.
    lead_s: float | None
    low_s: float
    credit_ms: int | None
    fade_ms: float
    format: FrameFormat | None = None
    # Of the format: looked up for every group of frames.
    rate_hz: int = 0
    align_bytes: int = 0
    frame_s: float = 0.0
    credit_samples: int | None = None
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
    ended: Ended | None = None
    # Frames leave as they come until the lead is full; then when it has fallen to `low_s`.
    filling: bool = True
    # A frame is held though there is one: how late it leaves is the caller's doing.
    waited: bool = False

    @property
    def held_samples(self) -> int:
        return max(0, self.fed_samples - self.cut_samples)


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
        # Until when the listener has something to play of the paced audio; and whose it is, oldest first.
        self._playing_until_s = AT_ONCE_S
        self._unheard: deque[tuple[str, float]] = deque()
        self.next_due_s = NEVER_S
        self.peak_ms = 0.0

    # What a turn brings.

    def open(self, turn_id: str, pacing: Pacing, window_ms: int | None = None, *, fade_ms: float = 0) -> SentAudio:
        """Adds a turn behind all others. `window_ms` bounds its audio altogether until `grant` adds to it; `fade_ms` is
        for `cancel`."""
        assert turn_id not in self._turns, "a turn is opened once"
        lead_s = pacing.lead_ms / 1000 if pacing.mode == "realtime" else None
        low_s = 0.0 if lead_s is None else lead_s - pacing.group_ms / 1000
        sent = SentAudio()
        self._turns[turn_id] = _Turn(turn_id, sent, lead_s, low_s, window_ms, fade_ms)
        return sent

    def set_format(self, turn_id: str, frame_format: FrameFormat) -> None:
        """Says what the turn's frames are. To be called once, before its first `feed`."""
        if turn := self._turns.get(turn_id):
            turn.format = frame_format
            turn.rate_hz, turn.align_bytes = frame_format.audio.sample_rate_hz, frame_format.audio.block_align
            turn.frame_s = frame_format.frame_samples / turn.rate_hz
            if turn.credit_ms is not None:
                turn.credit_samples = frame_format.samples_in(turn.credit_ms)

    def feed(self, turn_id: str, pcm: bytes) -> None:
        """More encoded audio of the turn: whole samples."""
        turn = self._turns.get(turn_id)
        if turn is None or not pcm:
            return
        assert turn.format is not None and turn.ended is None, "audio has a format, and comes before the end"
        samples, cut = divmod(len(pcm), turn.align_bytes)
        assert not cut, "audio is cut between samples"
        turn.blocks.append(pcm)
        turn.fed_samples += samples
        turn.idle = False
        held_ms = self.held_ms
        self.peak_ms = max(self.peak_ms, held_ms)
        self._full = self._full or held_ms > HIGH_WATER_MS

    def mark(self, turn_id: str, event: Any, *, behind: bool = False) -> None:
        """An event that stands after all that was fed so far. It leaves before the first frame that holds what is fed
        next; `behind`: once all that was fed before it has left."""
        if turn := self._turns.get(turn_id):
            assert turn.ended is None, "an end is last"
            (turn.behind if behind else turn.ahead).append((turn.fed_samples, event))

    def idle(self, turn_id: str) -> None:
        """No audio is on its way before the client says more: events that stand behind samples of an unfilled frame
        leave without it. Until the next `feed`."""
        if turn := self._turns.get(turn_id):
            turn.idle = True

    def end(self, turn_id: str, error: RelayError | None = None) -> None:
        """All was fed. The last frame is padded or short, as its format says, and the end stands behind it."""
        turn = self._turns.get(turn_id)
        if turn is not None and turn.ended is None:
            turn.ended = Ended(turn_id, error)

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
        if turn.format is not None:
            turn.credit_samples = turn.format.samples_in(turn.credit_ms)

    def cancel(self, turn_ids: Iterable[str], now_s: float, *, forget: bool = True) -> dict[str, float]:
        """From here on nothing of these turns leaves. Atomic. `forget`: the listener has dropped what it held of them.

        Of a turn that is being heard and has a `fade_ms`, so much of what would have left next stands among the urgent
        answers now, before what is said of the cancel: in whole frames, and nothing where nothing is held.

        Turns that have ended and may still be heard may be named too. Returns the milliseconds of audio dropped, of
        each turn that was open.
        """
        dropped_ms = {}
        named = set(turn_ids)
        head = next(iter(self._turns), None)
        for turn_id in named:
            if turn := self._turns.pop(turn_id, None):
                if turn.fade_ms and forget:
                    self._fade(turn, now_s)
                dropped_ms[turn_id] = _ms(turn)
        if forget:
            self._forget(named, now_s)
        if head in named:
            self._next_becomes_head(now_s)
        self._reopen()
        return dropped_ms

    def forget_heard(self) -> None:
        """The listener has dropped all that it held, of whatever turn."""
        self._unheard.clear()
        self._playing_until_s = AT_ONCE_S

    def drop_all(self) -> None:
        """Forgets everything: nothing leaves any more."""
        self._turns.clear()
        self._urgent.clear()
        self._full = False
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
        while self._turns:
            turn = next(iter(self._turns.values()))
            _take_behind(turn, out)
            _take_ahead(turn, out)
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
                _take_behind(turn, out)
                _take_ahead(turn, out)
                break
            if turn.ended is None or turn.held_samples:
                break
            out.extend(event for _, event in turn.ahead)
            out.extend(event for _, event in turn.behind)
            out.append(turn.ended)
            del self._turns[turn.turn_id]
            self._next_becomes_head(now_s)
        if used_bytes:
            self._reopen()
        return out

    def heard(self, now_s: float) -> float:
        """Seconds of paced audio that were sent and that the listener has still to hear."""
        return max(0.0, self._playing_until_s - now_s)

    def hearing(self, now_s: float) -> str | None:
        """The turn whose paced audio a listener that plays without gaps hears now."""
        for turn_id, end_s in self._unheard:
            if end_s > now_s:
                return turn_id
        return None

    @property
    def held_ms(self) -> float:
        """Milliseconds of audio that wait to leave, of all turns."""
        held_ms = 0.0
        for turn in self._turns.values():
            if turn.fed_samples > turn.cut_samples:
                held_ms += (turn.fed_samples - turn.cut_samples) * 1000 / turn.rate_hz
        return held_ms

    @property
    def waiting(self) -> bool:
        """Whether anything waits to leave, an answer or audio."""
        return bool(self._urgent) or any(turn.held_samples or turn.ended for turn in self._turns.values())

    # Inside.

    def _run(self, turn: _Turn, now_s: float, room_bytes: int) -> Run | None:
        """The frames of the turn that leave now."""
        form = turn.format
        if form is None:
            return None
        step = form.frame_samples
        frames, rest = divmod(turn.fed_samples - turn.cut_samples, step)
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
        if frames * form.frame_bytes > room_bytes:
            frames = max(1, room_bytes // form.frame_bytes)
        # No frame overtakes an event.
        if turn.ahead:
            frames = min(frames, (turn.ahead[0][0] - turn.cut_samples) // step)
        if turn.behind:
            frames = min(frames, -((turn.cut_samples - turn.behind[0][0]) // step))
        run = self._cut(turn, form, frames, now_s)
        # As nearly always: the lead is full. Where credit bounds it, or the lead is still low, `_allowed` looks again.
        paced_only = turn.lead_s is not None and turn.credit_samples is None
        if frames == allowed < there and paced_only and self._playing_until_s - now_s > turn.low_s + _SAME_S:
            self._hold(turn, turn.low_s)
        return run

    def _allowed(self, turn: _Turn, now_s: float) -> int:
        """How many frames pacing and credit let leave now; if none, sets `next_due_s`."""
        allowed = _ANY
        if turn.credit_samples is not None:
            assert turn.format is not None
            allowed = (turn.credit_samples - turn.cut_samples) // turn.format.frame_samples
            if allowed <= 0:
                turn.waited = False
                return 0
        if turn.lead_s is None:
            return allowed
        # How far the listener is behind what was sent to it; below 0 where the turn's next frame is late.
        lead_s = self._playing_until_s - now_s
        if lead_s < 0 and (lead_s < -RAN_DRY_S or turn.sent.first_frame_s is None):
            lead_s = 0.0
        fit = int((turn.lead_s - lead_s + _SAME_S) / turn.frame_s)
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
        turn.waited = True
        self.next_due_s = self._playing_until_s - low_s

    def _cut(self, turn: _Turn, form: FrameFormat, frames: int, now_s: float) -> Run:
        step, first, sent = form.frame_samples, turn.cut_samples, turn.sent
        samples = min(frames * step, turn.fed_samples - first)
        payload = _take_bytes(turn, samples * turn.align_bytes)
        padding = 0
        if samples < frames * step and form.tail == "pad":
            padding = frames * step - samples
            payload += form.audio.encoding.silence * (padding * form.audio.channels)
        turn.cut_samples = first + samples
        last = turn.ended is not None and turn.cut_samples == turn.fed_samples
        if sent.first_frame_s is None:
            sent.first_frame_s = now_s
            sent.playing_from_s = max(now_s, self._playing_until_s)
        sent.last_frame_s = now_s
        sent.frames += frames
        sent.samples += samples
        sent.padding_samples += padding
        if turn.lead_s is not None:
            self._play(turn, frames, (samples + padding) / turn.rate_hz, now_s)
            # A frame that stays was there as well.
            turn.waited = turn.waited and turn.held_samples >= step
        return Run(turn.turn_id, form, first, frames, samples, padding, last, payload)

    def _fade(self, turn: _Turn, now_s: float) -> None:
        """The last frames of a turn that is being heard: beyond pacing and credit, for it is silent after them."""
        form, sent = turn.format, turn.sent
        samples = 0 if form is None else min(form.samples_in(turn.fade_ms), turn.held_samples)
        if form is None or not sent.frames or not samples:
            return
        frames = -(-samples // form.frame_samples)
        padding = frames * form.frame_samples - samples
        payload = _take_bytes(turn, samples * turn.align_bytes)
        payload += form.audio.encoding.silence * (padding * form.audio.channels)
        first, turn.cut_samples = turn.cut_samples, turn.cut_samples + samples
        sent.last_frame_s = now_s
        sent.frames += frames
        sent.samples += samples
        sent.padding_samples += padding
        self._urgent.append(Run(turn.turn_id, form, first, frames, samples, padding, True, payload, True))

    def _play(self, turn: _Turn, frames: int, duration_s: float, now_s: float) -> None:
        """The listener gets so many paced frames now."""
        sent, needed_s = turn.sent, self._playing_until_s
        late_s = now_s - needed_s
        if turn.waited:
            for index in range(frames):
                if late_s - index * turn.frame_s <= LATE_BY_S[0]:
                    sent.lateness[0] += frames - index
                    break
                sent.lateness[bisect_left(LATE_BY_S, late_s - index * turn.frame_s)] += 1
        first = sent.frames == frames
        if late_s > RAN_DRY_S or (first and late_s > 0):
            if not first and needed_s != AT_ONCE_S:
                sent.ran_dry += 1
                sent.ran_dry_s += late_s
            needed_s = now_s
        self._playing_until_s = needed_s + duration_s
        unheard = self._unheard
        while unheard and unheard[0][1] <= now_s:
            unheard.popleft()
        if unheard and unheard[-1][0] == turn.turn_id:
            unheard.pop()
        unheard.append((turn.turn_id, self._playing_until_s))

    def _forget(self, turn_ids: set[str], now_s: float) -> None:
        """The listener drops what it holds of these turns; what it holds of others moves up."""
        kept: deque[tuple[str, float]] = deque()
        begin_s = until_s = now_s
        dropped = False
        for turn_id, end_s in self._unheard:
            if end_s > now_s:
                if turn_id in turn_ids:
                    dropped = True
                else:
                    until_s += end_s - max(begin_s, now_s)
                    kept.append((turn_id, until_s))
            begin_s = end_s
        # Otherwise the clock stays, even where it is late: a turn that goes on catches up.
        if dropped:
            self._unheard = kept
            self._playing_until_s = until_s if kept else AT_ONCE_S

    def _next_becomes_head(self, now_s: float) -> None:
        """The turn that now is first may have had its first frame for a while."""
        turn = next(iter(self._turns.values()), None)
        if turn is None or turn.format is None or not turn.fed_samples:
            return
        if turn.fed_samples >= turn.format.frame_samples or turn.ended is not None:
            turn.sent.held_until_s = now_s

    def _reopen(self) -> None:
        # An unfilled frame does not count: it cannot leave before the turn feeds more, and may be longer than the mark.
        if not self._full:
            return
        held_ms = self.held_ms
        if held_ms > LOW_WATER_MS and any(turn.frame_s * 1000 > LOW_WATER_MS for turn in self._turns.values()):
            held_ms = sum(map(_leavable_ms, self._turns.values()))
        self._full = held_ms > LOW_WATER_MS


def _ms(turn: _Turn) -> float:
    """Audio that is held, in ms."""
    return max(0, turn.fed_samples - turn.cut_samples) * 1000 / turn.rate_hz if turn.rate_hz else 0.0


def _leavable_ms(turn: _Turn) -> float:
    """The same without an unfilled frame, unless that is the last."""
    if turn.format is None or turn.ended is not None:
        return _ms(turn)
    held = turn.fed_samples - turn.cut_samples
    return (held - held % turn.format.frame_samples) * 1000 / turn.rate_hz


def _take_ahead(turn: _Turn, out: list[Any]) -> None:
    """Events that leave before the next frame."""
    ahead = turn.ahead
    if ahead:
        step = turn.format.frame_samples if turn.format else 1
        while ahead and ahead[0][0] < turn.cut_samples + step:
            out.append(ahead.popleft()[1])


def _take_behind(turn: _Turn, out: list[Any]) -> None:
    """Events all of whose samples have left."""
    behind = turn.behind
    if behind:
        left = turn.cut_samples
        if turn.idle and turn.format and turn.held_samples < turn.format.frame_samples:
            left = turn.fed_samples
        while behind and behind[0][0] <= left:
            out.append(behind.popleft()[1])


def _take_bytes(turn: _Turn, size: int) -> bytes:
    """The next bytes of the turn's audio: one slice of a block, where they are in one."""
    blocks, begin = turn.blocks, turn.taken_bytes
    end = begin + size
    first = blocks[0]
    if end < len(first):
        turn.taken_bytes = end
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
    turn.taken_bytes = begin
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
