"""Asks a Prometheus everything that the dashboard and the alerts ask, and says what has no answer.

Run: `python deploy/check.py [URL]` (default http://127.0.0.1:9090), a minute after turns have been spoken. An alert's
condition is asked without its threshold: what is compared has to be there. Status 1 if a query is refused or empty.
"""

import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DASHBOARD, ALERTS = HERE / "grafana-dashboard.json", HERE / "alerts.yml"
# What only happens when something goes wrong: without an answer until it has.
RARE = re.compile(
    r"relay_(turns_unheard|errors|sessions_refused|tokens_refused|failovers|frames_late|frames_paced|min_ahead)"
    r"|provider_auth|relay_provider_places_limit|by \(provider\) \(rate\(relay_turns_ended_total\{end!~"
)
THRESHOLD = re.compile(r" (?:==|[<>]=?) [\d.]+$")
EXPRESSION = re.compile(r"^ *expr: (.+)$", re.MULTILINE)


def dashboard() -> Iterator[tuple[str, str]]:
    """Every panel's title and query, the variables filled in."""
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel["targets"]:
            expression: str = target["expr"].replace("$__rate_interval", "5m").replace("$provider", ".*")
            yield panel["title"], expression


def alerts() -> Iterator[tuple[str, str]]:
    """Every alert's name and condition."""
    text = ALERTS.read_text("utf-8")
    yield from zip(re.findall(r"- alert: (\w+)", text), EXPRESSION.findall(text), strict=True)


def answer(url: str, expression: str) -> list[Any]:
    """The series of an instant query. Raises urllib.error.HTTPError when Prometheus refuses it."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=10) as reply:
        series: list[Any] = json.load(reply)["data"]["result"]
    return series


def main(url: str = "http://127.0.0.1:9090") -> int:
    asked = [*dashboard(), *((name, THRESHOLD.sub("", expression)) for name, expression in alerts())]
    missing = 0
    for name, expression in asked:
        try:
            found, trouble = len(answer(url, expression)), ""
        except urllib.error.HTTPError as error:
            found, trouble = 0, json.load(error)["error"]
        may_be_empty = bool(RARE.search(expression)) and not trouble
        missing += not found and not may_be_empty
        said = trouble or (f"{found} series" if found else "nothing yet" if may_be_empty else "NOTHING")
        print(f"{said:14} {name}: {expression}")
    print(f"\n{len(asked)} queries, {missing} without an answer")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
