"""Processes that listen are found by what they print, and are gone afterwards."""

import os

import pytest

from relay.bench.processes import listening

LISTENS = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0));"
    "print('x listening on http://127.0.0.1:4711', file=sys.stderr, flush=True);"
    "print('a warning that', 'a warning b', file=sys.stderr, flush=True); time.sleep(60)"
)


async def test_it_runs_until_it_is_left() -> None:
    async with listening("-c", LISTENS, environment=dict(os.environ)) as running:
        assert running.port == 4711
        assert running.url == "http://127.0.0.1:4711"
        assert running.cpu_s() >= 0
        assert running.rss_kib() > 0
        os.kill(running.pid, 0)
    assert running.process.returncode == 0


async def test_one_that_ends_before_it_listens_is_an_error_with_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="ended without listening"):
        async with listening("-c", "import sys; sys.exit('no port')", environment=dict(os.environ)):
            raise AssertionError("it did not listen")
    assert "no port" in capsys.readouterr().err


async def test_it_is_ended_where_what_it_was_started_for_fails() -> None:
    with pytest.raises(KeyError):
        async with listening("-c", LISTENS, environment=dict(os.environ)) as running:
            raise KeyError("x")
    assert running.process.returncode == 0
