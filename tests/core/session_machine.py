"""Any number of turns, commands, cuts and stalls, on a clock of numbers: a machine that plays the client, the engine
and the listener of one session, and knows by its own arithmetic what may leave and what must."""

import random
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from relay.core.effects import CutOff, Effect, EndText, GiveText, OpenTurn, StopTurns
from relay.core.events import (
    AppendText,
    AudioStarted,
    CancelTurn,
    CloseSession,
    Command,
    EndTurn,
    Failed,
    FlushDone,
    GrantFlow,
    Pacing,
    Ping,
    Pong,
    ReportPlayback,
    SegmentStarted,
    SessionDefaults,
    SessionEnded,
    SessionLimits,
    SessionReady,
    Speak,
    StartTurn,
    TextPaused,
    TextResumed,
    TurnCancelled,
    TurnDone,
    TurnRequest,
    TurnStarted,
    Unreadable,
)
from relay.core.formats import NATIVE, AudioRequest, FrameFormat
from relay.core.playout import HIGH_WATER_MS, MAX_URGENT, NEVER_S, Run
from relay.core.record import TurnEnded, TurnRecord
from relay.core.session import Session
from relay.core.states import SessionState
from relay.errors import ClientError, Code, LimitError, ProviderError, ProviderFault, RelayError
from tests.core.listener import TINY_S, Listener

EVERYTHING = 1 << 40
LIMITS = SessionLimits(max_turn_chars=300, max_open_turns=6, text_high_water_chars=40, text_low_water_chars=10)

_NOISE = random.Random(7).randbytes(1_000_003)
_NOISE_TWICE = _NOISE * 2

AUDIO: list[dict[str, Any]] = [
    {},
    {"frame_ms": 100, "tail": "short"},
    {"encoding": "mulaw", "sample_rate": 8000, "header": True},
    {"encoding": "alaw", "sample_rate": 16000, "frame_ms": 5},
    {"encoding": "pcm_f32le", "sample_rate": 44100, "channels": 2, "frame_ms": 30, "tail": "short"},
    {"sample_rate": 11025, "frame_ms": 40, "header": True},
    {"sample_rate": 8000, "frame_ms": 1000},
    {"sample_rate": NATIVE, "frame_ms": 20},
    {"sample_rate": NATIVE, "frame_ms": 40, "channels": 2, "tail": "short"},
]
PACING: list[dict[str, Any]] = [
    {},
    {},
    {"mode": "realtime"},
    {"mode": "realtime", "lead_ms": 0},
    {"mode": "realtime", "lead_ms": 40, "burst_ms": 0},
    {"mode": "realtime", "burst_ms": 0},
    {"mode": "realtime", "burst_ms": 200},
    {"mode": "realtime", "lead_ms": 90, "burst_ms": 50},
    {"mode": "realtime", "lead_ms": 1500, "burst_ms": 300},
]
RATES_HZ = (8000, 24000, 48000)

# What an engine does for a turn: tenths of milliseconds of audio, characters taken, or what stands between samples.
WORK = st.one_of(
    st.tuples(st.just("feed"), st.integers(1, 300)),
    st.tuples(st.just("feed"), st.integers(1, 12_000)),
    st.tuples(st.sampled_from(["segment", "flush", "flush", "idle"]), st.integers(1, 60)),
)


def check(opened: OpenTurn) -> None:
    """Every provider is known here."""


def noise(turn_index: int, align: int, first: int, samples: int) -> bytes:
    """Audio of which no two places are alike."""
    begin = (turn_index * 7919 + first * align) % len(_NOISE)
    return _NOISE_TWICE[begin : begin + samples * align]


@dataclass(slots=True)
class ExpectedTurn:
    """What was asked of one turn, what was fed of it, and what its listener got."""

    record: TurnRecord
    audio: AudioRequest
    pacing: Pacing
    window_ms: int | None
    index: int
    # What the engine will do for it.
    work: deque[tuple[str, int]]
    rate_hz: int
    form: FrameFormat | None = None
    text_open: bool = True
    chars: int = 0
    taken_chars: int = 0
    paused: bool = False
    fed: int = 0
    fed_all: bool = False
    error: RelayError | None = None
    # (sample, event, whether it stands behind the sample)
    marks: list[tuple[int, Any, bool]] = field(default_factory=list)
    idle: bool = False
    started: bool = False
    audio_started: bool = False
    sent: int = 0
    frames: int = 0
    padding: int = 0
    # Frames leave as they come, until the lead is full.
    filling: bool = True
    stopped: bool = False
    ended: bool = False

    @property
    def turn_id(self) -> str:
        return self.record.turn_id

    @property
    def step(self) -> int:
        return self.form.frame_samples if self.form else 1

    @property
    def frame_s(self) -> float:
        return self.step / self.form.audio.sample_rate_hz if self.form else 0.0

    @property
    def realtime(self) -> bool:
        return self.pacing.mode == "realtime"

    @property
    def lead_s(self) -> float:
        return self.pacing.lead_ms / 1000

    @property
    def low_s(self) -> float:
        """At which lead a frame that waits leaves: a turn's first one does not wait for a group."""
        return self.lead_s if self.frames == 0 else (self.pacing.lead_ms - self.pacing.group_ms) / 1000

    @property
    def has_frame(self) -> bool:
        waiting = self.fed - self.sent
        return self.form is not None and (waiting >= self.step or (self.fed_all and waiting > 0))

    def has_credit(self, frames: int) -> bool:
        assert self.form is not None
        samples = self.sent + frames * self.step
        return self.window_ms is None or samples * 1000 <= self.window_ms * self.form.audio.sample_rate_hz

    def may_leave(self, sample: int, behind: bool) -> bool:
        """Whether what stands there neither comes too early now, nor too late after this."""
        if not behind:
            return sample < self.sent + self.step
        return sample <= self.sent or (self.idle and self.fed - self.sent < self.step)


class SessionMachine(RuleBasedStateMachine):
    """Override `make_session` to see what it finds."""

    def make_session(self) -> Session:
        return Session(SessionDefaults(provider="p"), LIMITS, check)

    # A session begins.

    @initialize()
    def connect(self) -> None:
        self.session = self.make_session()
        # A machine that has been up for months: floats of its clock are nanoseconds apart.
        self.now_s = 20_000_000.3
        self.listener = Listener()
        self.listener.lead_s(self.now_s)
        self.turns: dict[str, ExpectedTurn] = {}
        # Turns whose end has not left yet, in order; then the answers that are to leave past the audio, in order.
        self.live: list[ExpectedTurn] = []
        self.answers: deque[tuple[type, str | None]] = deque()
        self.largest_ms = 0.0
        self.blocked = False
        self.eager = True
        self.room_bytes = EVERYTHING
        # The session ends with its last turn; its end is decided; has left. It was cut off; the connection is gone.
        self.winding_up = self.decided = self.over = self.cut_off = self.gone = False
        self.begins: ExpectedTurn | None = None
        self.session.greet("s")
        self.answers.append((SessionReady, None))
        self._nudge()

    @precondition(lambda self: self.over or self.gone)
    @rule()
    def connect_again(self) -> None:
        assert self.session.receive(Ping(), self.now_s) == []
        assert self.session.due(self.now_s, EVERYTHING) == []
        assert self.session.close(None, self.now_s) == []
        assert self.session.abandon() == []
        self.session.drain()
        assert self.session.due(self.now_s + 9, EVERYTHING) == []
        assert self.session.next_due_s == NEVER_S
        self.connect()

    # What the client says.

    @precondition(lambda self: self._listens())
    @rule(
        audio=st.sampled_from(AUDIO),
        pacing=st.sampled_from(PACING),
        window=st.integers(0, 9),
        whole=st.integers(0, 3),
        work=st.lists(WORK, max_size=8),
        rate_hz=st.sampled_from(RATES_HZ),
        broken=st.integers(0, 5),
    )
    def open_turn(
        self,
        audio: Mapping[str, Any],
        pacing: Mapping[str, Any],
        window: int,
        whole: int,
        work: list[tuple[str, int]],
        rate_hz: int,
        broken: int,
    ) -> None:
        """A turn, what the engine will make of it, and whether it fails after that."""
        frame_ms = audio.get("frame_ms", 20)
        window_ms = {0: frame_ms, 1: frame_ms + 150}.get(window)
        turn_id = f"t{len(self.turns)}"
        request = TurnRequest(turn_id=turn_id, audio=audio, pacing=pacing, window_ms=window_ms)
        refused = self.winding_up or len(self._going()) >= LIMITS.max_open_turns
        command: Command = Speak(request=request, text="Hello there.") if whole else StartTurn(request=request)
        effects = self._receive(command)
        if refused:
            assert effects == []
            self.answers.append((Failed, turn_id))
        else:
            opened, *rest = effects
            assert isinstance(opened, OpenTurn)
            assert opened.turn_index == len(self.turns)
            turn = ExpectedTurn(
                opened.record, opened.audio, opened.pacing, window_ms, opened.turn_index, deque(work), rate_hz
            )
            self.turns[turn_id] = turn
            self.live.append(turn)
            if whole:
                assert rest == [GiveText(turn_id, "Hello there."), EndText(turn_id)]
                turn.text_open, turn.chars = False, 12
            if not broken:
                turn.error = ProviderError(Code.PROVIDER_CUT, "cut", provider=ProviderFault(name="p"))
            if opened.audio.sample_rate != NATIVE:
                self._set_format(turn)
        self._nudge()

    @precondition(lambda self: self._listens() and self._going())
    @rule(which=st.integers(0, 5), chars=st.sampled_from([0, 1, 15, 50, 200]), ms=st.sampled_from([1, 20, 500, 5000]))
    def go_on(self, which: int, chars: int, ms: int) -> None:
        """More text, or its end where it was enough; and more credit."""
        turn = self._one_of(which)
        turn_id = turn.turn_id
        assert self._receive(GrantFlow(turn_id=turn_id, ms=ms)) == []
        if turn.window_ms is not None:
            turn.window_ms += ms
        if chars == 1 and turn.text_open:
            assert self._receive(EndTurn(turn_id=turn_id)) == [EndText(turn_id)]
            turn.text_open = False
        effects = self._receive(AppendText(turn_id=turn_id, text="x" * chars))
        if not turn.text_open:
            assert effects == []
            self.answers.append((Failed, None))
        elif turn.chars + chars > LIMITS.max_turn_chars:
            self._stopped(effects, [turn], Failed)
        else:
            turn.chars += chars
            assert effects == ([GiveText(turn_id, "x" * chars)] if chars else [])
            if chars and not turn.paused and turn.chars - turn.taken_chars > LIMITS.text_high_water_chars:
                turn.paused = True
                self.answers.append((TextPaused, turn_id))
        self._nudge()

    @precondition(lambda self: self._listens() and self.turns)
    @rule(which=st.integers(0, 50), samples=st.sampled_from([0, 300, 10**15]))
    def talk(self, which: int, samples: int) -> None:
        turn = list(self.turns.values())[which % len(self.turns)]
        assert self._receive(ReportPlayback(turn_id=turn.turn_id, samples=samples)) == []
        assert self._receive(CancelTurn(turn_id="unknown")) == []
        assert self._receive(AppendText(turn_id="unknown", text="x")) == []
        assert self._receive(Unreadable(error=ClientError(Code.INVALID_MESSAGE, "not JSON"))) == []
        assert self._receive(Ping()) == []
        self.answers += [(Failed, None), (Failed, None), (Pong, None)]
        self._nudge()

    @precondition(lambda self: self._listens() and self.blocked)
    @rule(few=st.integers(0, 3))
    def flood(self, few: int) -> None:
        for _ in range(few or MAX_URGENT):
            assert self._receive(Ping()) == []
            self.answers.append((Pong, None))
            assert self.cut_off == (len(self.answers) > MAX_URGENT)
            if self.cut_off:
                break
        self._nudge()

    @precondition(lambda self: self._listens() and self.turns)
    @rule(played=st.sampled_from([None, 0, 700, 10**15]))
    def cancel_all(self, played: int | None) -> None:
        going = self._going()
        before = {turn.turn_id: turn.record.samples_played for turn in going}
        effects = self._receive(CancelTurn(played_samples=played))
        heard = self.listener.hearing(self.now_s) or {turn.turn_id for turn in going[:1] if turn.frames}
        for turn in going:
            if turn.record.samples_played != before[turn.turn_id]:
                assert turn.turn_id in heard
                assert turn.record.samples_played == min(played or 0, turn.sent)
        self.listener.drop_all(self.now_s)
        self._stopped(effects, going, TurnCancelled)
        self._nudge()

    @precondition(lambda self: self._listens() and self.turns)
    @rule(which=st.integers(0, 50), played=st.sampled_from([None, 0, 700, 10**15]))
    def cancel_one(self, which: int, played: int | None) -> None:
        """Of the last ones, dead or alive."""
        turn = list(self.turns.values())[-1 - which % min(4, len(self.turns))]
        effects = self._receive(CancelTurn(turn_id=turn.turn_id, played_samples=played))
        self.listener.drop({turn.turn_id}, self.now_s)
        self._stopped(effects, [turn] if turn in self._going() else [], TurnCancelled)
        self._nudge()

    # What the engine does.

    @precondition(lambda self: not self.gone)
    @rule(eager=st.booleans(), steps=st.integers(1, 3))
    def work(self, eager: bool, steps: int) -> None:
        """It brings audio as soon as the turn may feed, or only some pieces now and then."""
        self.eager = eager
        for _ in range(steps):
            if self._work():
                self._nudge()

    @precondition(lambda self: self._listens() and self._going())
    @rule(which=st.integers(0, 5))
    def fail_turn(self, which: int) -> None:
        turn = self._one_of(which)
        error = LimitError(Code.RATE_LIMITED, "too many")
        self._stopped(self.session.fail(turn.turn_id, error, self.now_s), [turn], Failed)
        self._nudge()

    # What the clock and the listener's socket do.

    @rule(ms=st.integers(1, 600))
    def play(self, ms: int) -> None:
        self._play_until(self.now_s + ms / 1000)

    @rule(ms=st.sampled_from([1, 25, 80, 130, 1000]))
    def stall(self, ms: int) -> None:
        """The process is held up. The fraction keeps instants off the bounds, where floats decide."""
        self.now_s += ms / 1000 + 0.000371
        self._nudge()

    @rule(blocked=st.booleans(), room_bytes=st.sampled_from([0, 1, 961, 5000, EVERYTHING]))
    def socket(self, blocked: bool, room_bytes: int) -> None:
        self.blocked, self.room_bytes = blocked, room_bytes
        self._nudge()

    # How the session ends.

    @precondition(lambda self: self._listens() and len(self.turns) > 3)
    @rule(how=st.sampled_from(["close", "finish", "finish", "drain", "drain", "fail", "unreadable", "abandon"]))
    def end_session(self, how: str) -> None:
        going = self._going()
        error = ClientError(Code.INVALID_MESSAGE, "not JSON")
        match how:
            case "finish":
                effects = self._receive(CloseSession(finish=True))
                assert effects == [EndText(turn.turn_id) for turn in going if turn.text_open]
                for turn in going:
                    turn.text_open = False
                self._wind_up()
            case "drain":
                self.session.drain()
                self._wind_up()
            case "abandon":
                self._abandon()
                return
            case _:
                if how != "close" and not going:
                    self.answers.append((Failed, None))
                if how == "unreadable":
                    effects = self._receive(Unreadable(error=error, fatal=True))
                elif how == "fail":
                    effects = self.session.close(error, self.now_s)
                else:
                    effects = self._receive(CloseSession())
                self.winding_up = True
                self._stopped(effects, going, TurnCancelled if how == "close" else Failed)
                self._wind_up()
        self._nudge()

    def teardown(self) -> None:
        """Whatever happened: once there is credit, and all text and audio has ended, so does every turn."""
        if sys.exc_info()[0] is not None or self.gone:
            return  # one fault is enough
        self.blocked, self.room_bytes = False, EVERYTHING
        for turn in self._going():
            if turn.text_open:
                self._receive(EndTurn(turn_id=turn.turn_id))
                turn.text_open = False
            if turn.window_ms is not None:
                self._receive(GrantFlow(turn_id=turn.turn_id, ms=10**6))
                turn.window_ms += 10**6
        self.eager = True
        self._nudge()
        while self.live:
            assert self.session.next_due_s != NEVER_S, "a turn that may leave must"
            self._play_until(self.session.next_due_s)
        if not self.decided:
            self._receive(CloseSession())
            self._wind_up(at_once=True)
            self._nudge()
        assert self.over
        assert not self.answers

    # Of the turns.

    def _listens(self) -> bool:
        return not (self.decided or self.gone)

    def _going(self) -> list[ExpectedTurn]:
        return [turn for turn in self.live if not turn.stopped]

    def _one_of(self, which: int) -> ExpectedTurn:
        going = self._going()
        return going[which % len(going)]

    def _fed_now(self) -> ExpectedTurn | None:
        """The turn whose audio the engine brings."""
        if self.gone:
            return None
        return next((turn for turn in self._going() if not turn.fed_all), None)

    def _receive(self, command: Command) -> list[Effect]:
        effects = self.session.receive(command, self.now_s)
        if effects and isinstance(effects[-1], CutOff):
            self.cut_off = True
            return effects[:-1]
        return effects

    def _set_format(self, turn: ExpectedTurn) -> None:
        turn.form = turn.audio.resolve(turn.rate_hz)
        self.session.set_format(turn.turn_id, turn.form)
        self.answers.append((TurnStarted, turn.turn_id))

    def _work(self) -> bool:
        """The next thing that the engine does for the turn whose audio it brings, if it may."""
        turn = self._fed_now()
        if turn is None:
            return False
        if not turn.work:
            if turn.text_open and turn.error is None:
                return False
            self._end(turn)
            return True
        what, size = turn.work[0]
        playout = self.session.playout
        if what == "feed":
            if not playout.wants(turn.turn_id):
                return False
            if turn.form is None:
                self._set_format(turn)
            assert turn.form is not None
            samples = turn.form.samples_in(size // 10) + size % 10
            playout.feed(turn.turn_id, noise(turn.index, turn.form.audio.block_align, turn.fed, samples))
            turn.fed += samples
            turn.idle = turn.idle and not samples
            self.largest_ms = max(self.largest_ms, turn.form.duration_ms(samples))
            assert playout.held_ms <= HIGH_WATER_MS + self.largest_ms
        elif what == "idle":
            self.session.taken(turn.turn_id, taken := min(size, turn.chars - turn.taken_chars))
            turn.taken_chars += taken
            if turn.paused and turn.chars - turn.taken_chars <= LIMITS.text_low_water_chars:
                turn.paused = False
                self.answers.append((TextResumed, turn.turn_id))
            playout.idle(turn.turn_id)
            turn.idle = True
        else:
            event: FlushDone | SegmentStarted = (
                FlushDone(turn_id=turn.turn_id, flush_id=None, end_sample=turn.fed)
                if what == "flush"
                else SegmentStarted(turn_id=turn.turn_id, index=0, text="x", start_sample=turn.fed)
            )
            playout.mark(turn.turn_id, event, behind=what == "flush")
            turn.marks.append((turn.fed, event, what == "flush"))
        turn.work.popleft()
        return True

    def _end(self, turn: ExpectedTurn) -> None:
        turn.fed_all = True
        self.session.playout.end(turn.turn_id, turn.error)

    def _stopped(self, effects: list[Effect], named: list[ExpectedTurn], end: type) -> None:
        """From here on nothing of these turns may leave."""
        ended = [one.record.turn_id for effect in effects if isinstance(effect, StopTurns) for one in effect.ended]
        assert ended == [turn.turn_id for turn in named]
        for turn in named:
            turn.stopped = True
            self.answers.append((end, turn.turn_id))
        if self.winding_up:
            self._wind_up()

    def _wind_up(self, *, at_once: bool = False) -> None:
        self.winding_up = True
        if not self.decided and (at_once or not self._going()):
            self.decided = True
            self.answers.append((SessionEnded, None))
            assert self.session.state is SessionState.CLOSED

    def _abandon(self) -> None:
        assert [record.turn_id for record in self.session.abandon()] == [turn.turn_id for turn in self._going()]
        self.gone = True
        self.live.clear()
        self.answers.clear()

    # What leaves.

    def _play_until(self, end_s: float) -> None:
        """Asks in time."""
        while not self.blocked and not self.gone and (due_s := self.session.next_due_s) <= end_s:
            if due_s - 2 * TINY_S > self.now_s:
                assert self.session.due(due_s - 2 * TINY_S, EVERYTHING) == [], "nothing was due yet"
                assert self.session.next_due_s == due_s
            self.now_s = max(self.now_s, due_s)
            head = self.live[0]
            assert abs(self.listener.lead_s(self.now_s, first=head.frames == 0) - head.low_s) < TINY_S
            frames = head.frames
            self._nudge()
            assert head.frames > frames, "something was due"
        self.now_s = max(self.now_s, end_s)
        self._nudge()

    def _nudge(self) -> None:
        """After anything has happened, the engine goes on, and all that is due leaves."""
        if self.cut_off and not self.gone:
            assert self.blocked, "a client that reads is not cut off"
            assert len(self.answers) > MAX_URGENT
            self._abandon()
        if self.gone:
            return
        self._flow()
        while self.eager and self._work():
            self._flow()

    def _flow(self) -> None:
        if self.blocked:
            return
        while True:
            left = self.session.due(self.now_s, self.room_bytes)
            for item in left:
                self._leaves(item)
            if self.session.next_due_s > self.now_s:
                break
            assert left, "what is due at once leaves"
        assert self.begins is None
        self._rests()
        if not self.decided:
            lead_s = self.listener.lead_s(self.now_s)
            assert abs(self.session.playout.heard(self.now_s) - max(0.0, lead_s)) < TINY_S

    def _rests(self) -> None:
        """Nothing stays that may leave, and the next look is at the right instant."""
        head = self.live[0] if self.live else None
        next_due_s = self.session.next_due_s
        assert not self.answers
        if head is None:
            assert next_due_s == NEVER_S
            return
        assert not any(head.may_leave(sample, behind) for sample, _, behind in head.marks)
        assert not (head.fed_all and head.sent == head.fed), "its end leaves"
        if not head.has_frame or not head.has_credit(1):
            assert next_due_s == NEVER_S
        else:
            assert head.realtime, "nothing holds it"
            lead_s = self.listener.lead_s(self.now_s, first=head.frames == 0)
            assert lead_s > head.low_s - TINY_S
            if head.filling:
                assert lead_s + head.frame_s > head.lead_s - TINY_S
            head.filling = False
            assert abs(next_due_s - (self.now_s + lead_s - head.low_s)) < TINY_S
        fed_now = self._fed_now()
        if fed_now is not None and not any(turn.has_frame for turn in self.live):
            assert self.session.playout.wants(fed_now.turn_id), "nothing is held that could leave first"

    def _leaves(self, item: Any) -> None:
        assert not self.over, "the end of the session is last"
        begins, self.begins = self.begins, None
        assert begins is None or (isinstance(item, Run) and item.turn_id == begins.turn_id)
        match item:
            case Run():
                self._run(item)
            case AudioStarted(turn_id=turn_id):
                turn = self.turns[turn_id]
                assert not turn.audio_started
                turn.audio_started, self.begins = True, turn
            case SegmentStarted(turn_id=turn_id) | FlushDone(turn_id=turn_id):
                self._marked(self.turns[turn_id], item)
            case TurnEnded():
                self._ends(item)
            case _:
                self._answered(item)

    def _run(self, run: Run) -> None:
        turn = self.turns[run.turn_id]
        form = turn.form
        assert turn is self.live[0], "turns are spoken in order, and not after their end"
        assert not turn.stopped, "nothing leaves after the command"
        assert turn.started
        assert turn.audio_started
        assert form is not None
        assert run.frame_format is form
        whole = run.frames * turn.step
        assert run.frames > 0
        assert run.first_sample == turn.sent
        assert run.samples == min(whole, turn.fed - turn.sent)
        assert run.samples > whole - turn.step
        assert run.samples == whole or turn.fed_all
        assert run.padding == (whole - run.samples if form.tail == "pad" else 0)
        assert run.last == (turn.fed_all and turn.sent + run.samples == turn.fed)
        speech = noise(turn.index, form.audio.block_align, turn.sent, run.samples)
        assert run.payload == speech + form.audio.encoding.silence * (run.padding * form.audio.channels)
        assert turn.has_credit(run.frames)
        for sample, _, behind in turn.marks:
            assert sample > turn.sent if behind else sample >= turn.sent + whole, "no frame overtakes an event"
            assert not behind or sample > turn.sent + whole - turn.step
        rate_hz = form.audio.sample_rate_hz
        for index in range(run.frames):
            duration_s = (
                min(turn.step, run.samples - index * turn.step) + run.padding * (form.tail == "pad")
            ) / rate_hz
            if turn.realtime:
                first = turn.frames == 0
                lead_s = self.listener.lead_s(self.now_s, first=first)
                group = lead_s <= turn.low_s + TINY_S
                assert group or turn.filling, "between groups nothing leaves"
                assert group or lead_s + turn.frame_s <= turn.lead_s + TINY_S, "no more than the lead"
                turn.filling = True
                self.listener.take(turn.turn_id, min(duration_s, turn.frame_s), self.now_s, first=first)
            turn.frames += 1
        turn.sent += run.samples
        turn.padding += run.padding

    def _marked(self, turn: ExpectedTurn, event: Any) -> None:
        assert turn is self.live[0]
        assert not turn.stopped
        behind = isinstance(event, FlushDone)
        at = next(at for at, (_, _, other) in enumerate(turn.marks) if other is behind)
        sample, expected, _ = turn.marks.pop(at)
        assert event is expected
        assert turn.may_leave(sample, behind)

    def _ends(self, ended: TurnEnded) -> None:
        """The end that stands behind all that was fed."""
        turn = self.live.pop(0)
        assert ended.record is turn.record
        assert not turn.stopped
        assert turn.fed_all
        assert turn.sent == turn.fed
        assert not turn.marks
        assert ended.error is turn.error
        match ended.event:
            case Failed(error=error, turn_id=turn_id):
                assert (error, turn_id) == (turn.error, turn.turn_id)
            case TurnDone(turn_id=turn_id, frames=frames, samples=samples, padding_samples=padding):
                assert turn.error is None
                assert (turn_id, frames, samples, padding) == (turn.turn_id, turn.frames, turn.sent, turn.padding)
            case other:
                raise AssertionError(f"{other} is no end")
        turn.ended = True
        if self.winding_up:
            self._wind_up()

    def _answered(self, event: Any) -> None:
        assert self.answers, "nothing else is to be said"
        kind, turn_id = self.answers.popleft()
        assert type(event) is kind
        assert getattr(event, "turn_id", None) == turn_id
        turn = self.turns.get(turn_id or "")
        match event:
            case TurnStarted(frame_format=form):
                assert turn is not None
                assert not turn.started
                assert form is turn.form
                turn.started = True
            case SessionEnded():
                assert not self.live
                self.over = True
            case TurnCancelled() | Failed() if turn is not None and turn in self.live:
                assert turn.stopped
                self.live.remove(turn)
                turn.ended = True
                if isinstance(event, TurnCancelled):
                    assert (event.frames, event.samples_sent) == (turn.frames, turn.sent)
                    assert event.samples_played == turn.record.samples_played
                    assert (event.samples_played or 0) <= turn.sent
