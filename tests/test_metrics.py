"""What /metrics says of turns: which are counted, by labels of which there is a bounded number."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from relay.core.events import Pacing, TurnFailedOver
from relay.core.formats import AudioFormat, AudioRequest, Encoding, FrameFormat
from relay.core.frames import Frame
from relay.core.sent import SentAudio
from relay.core.timings import Share, Stage, TurnTimings
from relay.errors import Code
from relay.metrics import Metrics
from relay.metrics_labels import DEFAULT, MAX_LABEL_SETS, OTHER, LabelSets


def form(encoding: Encoding = Encoding.PCM_S16LE, rate_hz: int = 24000) -> FrameFormat:
    return AudioRequest(encoding=encoding).resolve(rate_hz)


FIRST, SECOND = Frame(0, 480, 0, b""), Frame(480, 420, 60, b"", last=True)


@dataclass
class Held:
    held_ms: int = 0
    peak_ms: int = 0


@dataclass(eq=False)
class Ended:
    """A turn that is over: first byte after 100 ms, first frame after 101, 40 ms of silence, two frames, of which the
    second is padded; `paced`, it was ready before its instant, and left 30 ms after it."""

    provider_name: str = "p"
    model: str | None = None
    form: FrameFormat | None = field(default_factory=form)
    heard: bool = True
    paced: bool = False
    text_chars: int = 5
    pending_chars: int = 0
    outbox: Held = field(default_factory=Held)
    failovers: list[TurnFailedOver] = field(default_factory=list)
    timings: TurnTimings = field(default_factory=TurnTimings)

    def __post_init__(self) -> None:
        self.timings.text_came(0.0)
        request = self.timings.request(0, self.provider_name, 0.0, 0.0)
        request.tally.retries, request.tally.received_bytes = 1, 1800
        self.sent = SentAudio(Pacing(mode="realtime" if self.paced else "fast", lead_ms=0), self.timings)
        if self.heard:
            for stage in Stage:
                request.mark(stage, 0.1)
            request.index = 0
            self.sent.begin(form())
            for frame, now_s in ((FIRST, 0.101), (SECOND, 0.102), *([(SECOND, 0.151)] if self.paced else [])):
                self.sent.leave(frame, now_s)
            self.timings.leading_silence_ms = 40.0


@dataclass
class Levels:
    """The places at one provider."""

    provider: str
    limit: int | None
    taken: int
    waiting: int
    most_waiting: int


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by its name and its labels' values, in the order of the labels' names."""
    text = metrics.render().decode()
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ended(*turns: Ended, end: str = "done", **settings: Any) -> dict[tuple[str, tuple[str, ...]], float]:
    metrics = Metrics(**settings)
    for turn in turns:
        metrics.turn_opened(turn)
        metrics.turn_ended(turn, end)
    return samples(metrics)


def test_a_turn_that_was_spoken() -> None:
    turn = Ended()
    turn.timings.margin.least_s = -0.03
    turn.failovers = [
        TurnFailedOver(turn_id="t", from_provider="q", to_provider="p", voice="v", code=Code.PROVIDER_CUT, at_sample=0)
    ]
    found, labels = ended(turn), ("pcm_s16le_24000", DEFAULT, "p")
    assert found["relay_turns_ended_total", ("done", "p")] == 1
    assert found["relay_ttfa_seconds_sum", labels] == pytest.approx(0.101)
    assert found["relay_ttfs_seconds_sum", labels] == pytest.approx(0.141)
    assert found["relay_first_byte_seconds_sum", labels] == pytest.approx(0.1)
    assert found["relay_added_seconds_sum", labels] == pytest.approx(0.001)
    shares = [found["relay_ttfa_share_seconds_sum", (*labels, share)] for share in Share]
    assert sum(shares) == pytest.approx(0.101)
    assert found["relay_provider_ttfb_seconds_count", (DEFAULT, "p")] == 1
    assert found["relay_min_ahead_seconds_bucket", ("0.0", "p")] == 1
    assert found["relay_audio_sent_bytes_total", ("p",)] == 1920
    assert found["relay_provider_retries_total", ("p",)] == 1
    assert found["relay_provider_received_bytes_total", ("p",)] == 1800
    assert found["relay_failovers_total", ("provider_cut", "q", "p")] == 1
    assert found["relay_turns", ()] == 0
    assert not [name for name, _ in found if "unheard" in name and "total" in name]


@pytest.mark.parametrize("end", ["disconnected", *(code.value for code in Code)])
def test_a_turn_that_failed_is_not_a_fast_one(end: str) -> None:
    found = ended(Ended(), end=end)
    assert found["relay_turns_ended_total", (end, "p")] == 1
    assert not [name for name, _ in found if name.endswith(("_seconds_count", "_seconds_bucket"))]


@pytest.mark.parametrize("end", ["cancelled", "provider_timeout"])
def test_a_turn_that_nobody_heard_has_no_time_but_is_counted(end: str) -> None:
    found = ended(Ended(heard=False), end=end)
    assert found["relay_turns_unheard_total", (end, "p")] == 1
    assert not [name for name, _ in found if name.startswith("relay_ttfa")]


def test_frames_that_left_late() -> None:
    found = ended(Ended(paced=True))
    assert found["relay_frames_paced_total", ()] == 1
    late = {
        float(over_ms): count
        for (name, labels), count in found.items()
        if name == "relay_frames_late_total"
        for over_ms in labels
    }
    assert late == {1: 1, 2: 1, 5: 1, 10: 1, 20: 1, 50: 0, 100: 0}


def test_a_turn_without_text_is_not_unheard() -> None:
    found = ended(Ended(heard=False, text_chars=0))
    assert not [name for name, _ in found if name == "relay_turns_unheard_total"]


def test_levels_and_peaks() -> None:
    metrics, shared = Metrics(), Held(held_ms=300, peak_ms=700)
    turns = [Ended(outbox=shared, pending_chars=10), Ended(outbox=shared, pending_chars=40), Ended(outbox=Held(20, 60))]
    for turn in turns:
        metrics.turn_opened(turn)
    metrics.look(sessions_limit=7, places=[Levels("p", 3, 2, 1, 9), Levels("q", None, 5, 0, 0)])
    found = samples(metrics)
    assert found["relay_outbox_held_ms", ()] == 320, "turns of one session share an outbox"
    assert found["relay_outbox_peak_ms", ()] == 700
    assert found["relay_text_pending_characters", ()] == 50
    assert (found["relay_sessions_limit", ()], found["relay_turns", ()]) == (7, 3)
    assert (found["relay_provider_places", ("p",)], found["relay_provider_places_limit", ("p",)]) == (2, 3)
    assert (found["relay_provider_queue", ("p",)], found["relay_provider_queue_peak", ("p",)]) == (1, 9)
    assert ("relay_provider_places_limit", ("q",)) not in found, "no limit is not zero"
    for turn in turns:
        metrics.turn_ended(turn, "done")
    metrics.look(sessions_limit=7, places=[])
    found = samples(metrics)
    assert found["relay_outbox_held_ms", ()] == found["relay_text_pending_characters", ()] == 0
    assert (found["relay_outbox_peak_ms", ()], found["relay_text_pending_peak_characters", ()]) == (700, 40)


MODELS = {"p": ("known", "best")}


@given(st.lists(st.tuples(st.text(max_size=5) | st.none(), st.integers(1000, 300_000)), max_size=200))
def test_what_clients_ask_for_makes_no_new_labels(asked: Sequence[tuple[str | None, int]]) -> None:
    sets = LabelSets(MODELS)
    native = [(model, FrameFormat(audio=_audio(rate_hz), frame_samples=rate_hz)) for model, rate_hz in asked]
    given_out = {sets.of("p", model, form) for model, form in native}
    assert {labels.model for labels in given_out} <= {"known", "best", DEFAULT, OTHER}
    assert len(given_out) <= MAX_LABEL_SETS + 1
    assert sets.of("p", "known", form()) in (("p", "known", "pcm_s16le_24000"), ("p", OTHER, OTHER))


def _audio(rate_hz: int) -> AudioFormat:
    return AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=rate_hz)


def test_there_is_a_bound_even_for_what_is_known() -> None:
    sets = LabelSets({"p": [f"model {number}" for number in range(1000)]})
    given_out = {sets.of("p", f"model {number}", form()) for number in range(1000)}
    assert len(given_out) == MAX_LABEL_SETS + 1
    assert sets.of("p", "model 0", form()).model == "model 0", "who came first keeps it"


def test_as_many_series_as_it_says() -> None:
    """For one set of labels, so that 64 of them are what the bound was chosen for."""
    one, two = (len(ended(*turns)) for turns in ([Ended()], [Ended(), Ended(form=form(Encoding.MULAW, 8000))]))
    assert 200 < two - one < 300
