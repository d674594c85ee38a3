"""The dashboard and the alerts ask for what /metrics has: every name, every label, every value that is named."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy import check
from relay.core.events import TurnFailedOver
from relay.core.playout import Playout
from relay.core.sent import LATE_BY_S
from relay.errors import Code
from relay.metrics import Metrics
from tests.test_metrics import Levels, turn

ASKED = [*check.dashboard(), *check.alerts()]
# Words of the query language, and what every scrape has.
WORDS = {
    "sum",
    "max",
    "by",
    "le",
    "rate",
    "increase",
    "changes",
    "scalar",
    "histogram_quantile",
    "up",
    "vector",
    "or",
    "job",
    "instance",
}


def series() -> dict[str, set[str]]:
    """Every sample's name and the labels it has, after everything has happened once."""
    metrics, spoken = Metrics(), turn(paced=True)
    spoken.timings.margin.least_s = 0.1
    spoken.failovers = [
        TurnFailedOver(turn_id="t", from_provider="q", to_provider="p", voice="v", code=Code.PROVIDER_CUT, at_sample=0)
    ]
    metrics.connection_opened()
    metrics.connection_ended("shed")
    metrics.out_of_files()
    metrics.session_opened()
    metrics.session_refused(Code.RATE_LIMITED)
    metrics.token_minted()
    metrics.token_spent()
    metrics.token_refused("spent")
    metrics.error_told(Code.INTERNAL)
    for each, end in ((spoken, "done"), (turn(heard=False), "cancelled")):
        metrics.turn_opened(each, Playout())
        metrics.turn_ended(each, end)
    metrics.sample_gauges(sessions_limit=1, slots=[Levels("p", 3, 2, 1, 9)])
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


SERIES = series()


@pytest.mark.parametrize(("name", "expression"), ASKED)
def test_every_name_and_label_is_there(name: str, expression: str) -> None:
    bare = re.sub(r'"[^"]*"', '""', expression)
    metrics = set(re.findall(r"\brelay_\w+", bare))
    assert metrics <= SERIES.keys(), f"{name} asks for what is not there"
    assert metrics or "up{" in bare
    labels = set().union(*(SERIES[metric] for metric in metrics), WORDS)
    assert set(re.findall(r"\b[a-z_]+\b", re.sub(r"\[\w+\]", "", bare))) - metrics <= labels, name


@pytest.mark.parametrize(("name", "expression"), ASKED)
def test_every_value_that_is_named_can_occur(name: str, expression: str) -> None:
    ends = {"done", "cancelled", "disconnected", *Code}
    known = {"end": ends, "code": set(Code), "over_ms": {f"{by_s * 1000:g}" for by_s in LATE_BY_S}, "job": {"relay"}}
    known["le"] = {"0.0"}
    for label, values in re.findall(r'(\w+)[!=]=?~?"([^"]*)"', expression):
        if label != "provider":
            assert set(values.split("|")) <= known[label], name


def test_every_metric_is_looked_at() -> None:
    """On the dashboard: what nobody looks at need not be counted."""
    shown = " ".join(expression for _, expression in check.dashboard())
    families = {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in SERIES}
    assert not {name for name in families if not re.search(rf"\b{name}(_total|_bucket|_sum|_count)?\b", shown)}


def test_the_example_reads_the_alerts_and_the_address_a_relay_has() -> None:
    text = (check.HERE / "prometheus.yml").read_text("utf-8")
    assert f"- {check.ALERTS.name}" in text
    assert '"127.0.0.1:8765"' in text
    assert "job_name: relay" in text, "which the first alert asks for"


def test_the_dashboard_is_whole() -> None:
    panels = json.loads(Path(check.DASHBOARD).read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert {target["refId"] for target in panel["targets"]} == set("ABCDEFGH"[: len(panel["targets"])])
