"""What is said while it is measured."""

import pytest

from relay.bench.progress import Progress
from tests.bench.records import failed, turn


def test_without_a_terminal_only_what_fails_to_warm_up_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(2, 2) as progress:
        progress.warm_up(turn())
        progress.warm_up(failed("provider_auth", path="direct"))
        progress.turn(turn())
        progress.turn(failed())
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.split("\n") == ["one (direct): a turn to warm up failed with provider_auth", ""]
