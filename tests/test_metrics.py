"""What /metrics says of turns: which are counted, by labels of which there is a bounded number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from relay.core.events import Pacing, TurnFailedOver
from relay.core.formats import AudioFormat, AudioRequest, Encoding, FrameFormat
from relay.core.playout import Playout
from relay.core.record import TurnRecord
from relay.core.timings import Share, Stage
from relay.errors import Code
from relay.metrics import Metrics
from relay.metrics_labels import DEFAULT, MAX_LABEL_SETS, OTHER, LabelSets


def form(encoding: Encoding = Encoding.PCM_S16LE, rate_hz: int = 24000) -> FrameFormat:
    return AudioRequest(encoding=encoding).resolve(rate_hz)


def held(ms: int) -> Playout:
    """A schedule that holds this much audio."""
    playout = Playout()
    playout.open("a", Pacing())
    playout.set_format("a", form())
    playout.feed("a", bytes(ms * 48))
    return playout


def turn(
    *,
    model: str | None = None,
    frame_format: FrameFormat | None = None,
    heard: bool = True,
    paced: bool = False,
    text_chars: int = 5,
    pending_chars: int = 0,
) -> TurnRecord:
    """A turn that is over: first byte after 100 ms, first frame after 101, 40 ms of silence, two frames, of which the
    second is padded; `paced`, that one was there in time, and left 30 ms after it was needed."""
    record = TurnRecord(turn_id="t", index=0, provider="p", model=model, text_chars=text_chars)
    record.pending_chars = pending_chars
    record.frame_format = frame_format or form()
    timings = record.timings
    timings.text_came(0.0)
    request = timings.request(0, "p", 0.0, 0.0)
    request.tally.retries, request.tally.received_bytes = 1, 1800
    request.tally.damaged_ms, request.tally.implausible_replies = 24.0, 2
    if not heard:
        return record
    for stage in Stage:
        request.mark(stage, 0.1)
    request.index = 0
    playout = Playout()
    record.sent = timings.sent = playout.open("t", Pacing(mode="realtime" if paced else "fast", lead_ms=0))
    playout.set_format("t", form())
    playout.feed("t", bytes(960 + 840))
    playout.end("t")
    for now_s in (0.101, 0.102, 0.151):
        playout.due(now_s, 1 << 20)
    assert (record.sent.frames, record.sent.padding_samples) == (2, 60)
    timings.leading_silence_ms = 40.0
    return record


@dataclass
class Levels:
    """The places at one provider."""

    provider: str
    limit: int | None
    in_use: int
    waiting: int
    peak_waiting: int


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by its name and its labels' values, in the order of the labels' names."""
    text = metrics.render().decode()
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ended(*turns: TurnRecord, end: str = "done", **settings: Any) -> dict[tuple[str, tuple[str, ...]], float]:
    metrics = Metrics(**settings)
    for each in turns:
        metrics.turn_opened(each, Playout())
        metrics.turn_ended(each, end)
    return samples(metrics)


def test_a_turn_that_was_spoken() -> None:
    spoken = turn()
    spoken.timings.margin.least_s = -0.03
    spoken.failovers = [
        TurnFailedOver(turn_id="t", from_provider="q", to_provider="p", voice="v", code=Code.PROVIDER_CUT, at_sample=0)
    ]
    found, labels = ended(spoken), ("pcm_s16le_24000", DEFAULT, "p")
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
    assert found["relay_audio_damaged_seconds_total", ("p",)] == pytest.approx(0.024)
    assert found["relay_audio_implausible_total", ("p",)] == 2
    assert found["relay_failovers_total", ("provider_cut", "q", "p")] == 1
    assert found["relay_turns", ()] == 0
    assert not [name for name, _ in found if "unheard" in name and "total" in name]


@pytest.mark.parametrize("end", ["disconnected", *(code.value for code in Code)])
def test_a_turn_that_failed_is_not_a_fast_one(end: str) -> None:
    found = ended(turn(), end=end)
    assert found["relay_turns_ended_total", (end, "p")] == 1
    assert not [name for name, _ in found if name.endswith(("_seconds_count", "_seconds_bucket"))]


@pytest.mark.parametrize("end", ["cancelled", "provider_timeout"])
def test_a_turn_that_nobody_heard_has_no_time_but_is_counted(end: str) -> None:
    found = ended(turn(heard=False), end=end)
    assert found["relay_turns_unheard_total", (end, "p")] == 1
    assert not [name for name, _ in found if name.startswith("relay_ttfa")]


def test_frames_that_left_late() -> None:
    found = ended(turn(paced=True))
    assert found["relay_frames_paced_total", ()] == 1
    late = {
        float(over_ms): count
        for (name, labels), count in found.items()
        if name == "relay_frames_late_total"
        for over_ms in labels
    }
    assert late == {1: 1, 2: 1, 5: 1, 10: 1, 20: 1, 50: 0, 100: 0}


def test_a_turn_without_text_is_not_unheard() -> None:
    found = ended(turn(heard=False, text_chars=0))
    assert not [name for name, _ in found if name == "relay_turns_unheard_total"]


def test_levels_and_peaks() -> None:
    metrics, shared, other = Metrics(), held(700), held(20)
    turns = [turn(pending_chars=10), turn(pending_chars=40), turn()]
    for each, playout in zip(turns, (shared, shared, other), strict=True):
        metrics.turn_opened(each, playout)
    shared.due(0.0, 400 * 48)
    metrics.sample_gauges(sessions_limit=7, slots=[Levels("p", 3, 2, 1, 9), Levels("q", None, 5, 0, 0)])
    found = samples(metrics)
    assert found["relay_outbox_held_ms", ()] == 320, "turns of one session share a schedule"
    assert found["relay_outbox_peak_ms", ()] == 700
    assert found["relay_text_pending_characters", ()] == 50
    assert (found["relay_sessions_limit", ()], found["relay_turns", ()]) == (7, 3)
    assert (found["relay_provider_places", ("p",)], found["relay_provider_places_limit", ("p",)]) == (2, 3)
    assert (found["relay_provider_queue", ("p",)], found["relay_provider_queue_peak", ("p",)]) == (1, 9)
    assert ("relay_provider_places_limit", ("q",)) not in found, "no limit is not zero"
    for each in turns:
        metrics.turn_ended(each, "done")
    metrics.sample_gauges(sessions_limit=7, slots=[])
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
    one, two = (len(ended(*turns)) for turns in ([turn()], [turn(), turn(frame_format=form(Encoding.MULAW, 8000))]))
    assert 200 < two - one < 330
