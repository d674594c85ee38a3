"""The plots: everything that was measured is in them, at its place."""

import re

from relay.bench.charts import differences, strips, timeline, waterfall
from relay.bench.stats import FAILED
from relay.bench.summary import key_of, summarise
from relay.bench.svg import FAILED_AT
from tests.bench.records import failed, record, turn, typical


def test_every_turn_is_a_dot_and_every_failure_a_cross() -> None:
    made = record([turn(ttfa_ms=100.0 + number) for number in range(12)] + [failed()] * 3)
    (case,) = summarise(made).cases
    drawn = strips("ttfa_ms", [case], {case.key: [each.time("ttfa_ms") or 0.0 for each in made.turns]})
    assert drawn.count("<circle") == 12
    assert drawn.count("×") == 3
    assert f'x="{FAILED_AT}%"' in drawn
    assert "3 of 15 failed" in drawn
    assert "<b>107</b> ms" in drawn


def test_a_case_without_the_stage_has_no_row() -> None:
    made = typical(8)
    cases = summarise(made).cases
    values = {case.key: [t.relay_ms or FAILED for t in made.turns if key_of(t) == case.key] for case in cases}
    drawn = strips("relay_ms", cases, values)
    assert drawn.count('class="plot"') == 3 + 1  # and the axis
    assert "breeze, direct" not in drawn
    assert strips("rtf", [], {}) == ""


def test_the_steps_of_a_turn_are_side_by_side_and_as_long_as_they_took() -> None:
    one = turn(request_sent_ms=10.0, ttfb_ms=60.0, first_sample_ms=60.0, ttfa_ms=80.0, ttfs_ms=100.0)
    drawn = waterfall(summarise(record([one])).cases)
    bars = [
        (float(x), float(width)) for x, width in re.findall(r'<rect class="step.*?x="(.*?)%".*?width="(.*?)%"', drawn)
    ]
    widths = [width for _, width in bars]
    # 10 to send, 50 for the provider, none to decode, 20 to frame, 20 of silence.
    assert [round(width / widths[0], 1) for width in widths] == [1.0, 5.0, 2.0, 2.0]
    ends = [round(x + width, 1) for x, width in bars]
    assert ends[:-1] == [round(x, 1) for x, _ in bars[1:]]
    assert "the provider: 50.0 ms" in drawn
    assert "decoding" not in drawn
    assert waterfall([]) == ""


def test_the_timeline_has_every_turn_in_its_order() -> None:
    made = typical(10)
    drawn = timeline(made, summarise(made).cases, key_of)
    bad = sum(each.code is not None for each in made.turns)
    assert drawn.count("<circle") == len(made.turns) - bad
    assert drawn.count("×") == bad
    assert "14:27:01" in drawn
    assert timeline(record([failed()]), [], key_of) == ""


def test_a_difference_stands_about_zero() -> None:
    turns = [turn(ttfa_ms=110.0 + n) for n in range(20)] + [turn(path="direct", ttfa_ms=100.0 + n) for n in range(20)]
    drawn = differences(summarise(record(turns)).added)
    assert "<b>+10.0</b> ms" in drawn
    assert drawn.count('class="zero"') == 1
    assert differences([]) == ""
