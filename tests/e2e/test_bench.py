"""`relay bench` as a process, against a provider that answers by script."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from relay.bench.record import read
from relay.testing.fake_provider import FakeProvider, FakeRequest, in_turn
from relay.testing.scenarios import scenario
from relay.testing.script import Script
from tests.e2e.process import PATIENCE_S, environment, run_relay, service_at

KEY = "brz_secret_key_of_the_tests"
OK = scenario("ok")


def settings(fake: FakeProvider) -> dict[str, Any]:
    return {**service_at(fake), "BREEZE_API_KEY": KEY}


def speech_only(request: FakeRequest) -> Script:
    """Every third request is cut."""
    said = request.json()["text"]
    return scenario("cut_chunked_rst") if said.startswith("One") else OK


async def test_a_measurement_is_reported_whole(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("One secret of ours.\nTwo of them.\n")
    async with FakeProvider(speech_only) as fake:
        status, out, err = await run_relay(
            *("bench", "--provider", "breeze", "--direct", "--cold", "-n", "3", "--warm-up", "0"),
            *("--text-file", str(tmp_path / "texts"), "--out", str(tmp_path / "report")),
            **settings(fake),
        )
    assert status == 0, err
    record = read((tmp_path / "report.json").read_bytes())
    assert (len(record.turns), record.planned, record.interrupted) == (24, 24, False)
    assert {turn.code for turn in record.turns if turn.text == "line-1"} == {"provider_cut"}
    assert {turn.code for turn in record.turns if turn.text == "line-2"} == {None}
    assert "provider_cut x 3" in out.decode()
    for file in tmp_path.glob("report.*"):
        content = file.read_text("utf-8")
        assert KEY not in content
        assert "secret" not in content
        assert fake.url not in content
    assert len(list(tmp_path.glob("report.*"))) == 3
    assert KEY not in err


async def test_ctrl_c_reports_what_was_measured(tmp_path: Path) -> None:
    async with FakeProvider(in_turn(OK, OK, OK, scenario("stall_before_headers"))) as fake:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relay", "bench", "--provider", "breeze", "-n", "9", "--text", "one-sentence"),
            *("--out", str(tmp_path / "report")),
            env=environment(**settings(fake)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        await fake.exchange(3, PATIENCE_S)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE_S):
            out, err = await process.communicate()
    assert process.returncode == 1, err
    assert b"interrupted after 2 of 9 turns" in err
    assert b"Traceback" not in err
    assert b"breeze: 2" not in err
    written = json.loads((tmp_path / "report.json").read_bytes())
    assert (len(written["turns"]), written["interrupted"]) == (2, True)
    assert b"breeze" in out
    assert "It was interrupted." in (tmp_path / "report.html").read_text("utf-8")


async def test_a_provider_that_refuses_is_a_failure_told_in_one_line(tmp_path: Path) -> None:
    async with FakeProvider(scenario("status_401")) as fake:
        status, _, err = await run_relay(
            *("bench", "--provider", "breeze", "-n", "2", "--out", str(tmp_path / "report"), "--direct"),
            **settings(fake),
        )
    assert status == 1
    assert err.rstrip().endswith("relay: no turn ended well")
    assert KEY not in err
    assert {turn.code for turn in read((tmp_path / "report.json").read_bytes()).turns} == {"provider_auth"}


async def test_a_ramp_is_reported(tmp_path: Path) -> None:
    status, out, err = await run_relay(
        *("bench", "load", "--max-turns", "1", "--seconds", "1", "--out", str(tmp_path / "load"))
    )
    assert status == 0, err
    written = json.loads((tmp_path / "load.json").read_bytes())
    # Where the machine is busy, what was too much is tried once more.
    assert [(level["turns"], level["failed"], level["frames"]) for level in written["levels"]] in (
        [(1, 0, 50)],
        [(1, 0, 50), (1, 0, 50)],
    )
    assert b"turns" in out
    assert (tmp_path / "load.html").read_text("utf-8").startswith("<!doctype html>")
