"""`relay jobs` against a whole relay, in this process."""

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from aiohttp import web
from click.testing import CliRunner, Result

from relay.cli import main
from relay.cli.jobs_client import base_of
from relay.cli.jobs_wait import _shown
from relay.cli.outcome import CommandError
from relay.config import JobsConfig, ServerConfig
from relay.testing.fake_provider import FakeRequest
from relay.testing.script import Script, Send, Stall, Status
from tests.jobs.spelling import SENTENCES, spelled, speller
from tests.server.harness import relay_to

KEYS = ServerConfig(port=0, keys=["annas-key", "bens-key"])
TEXT = " ".join(SENTENCES[:12])


async def relay(*arguments: str, port: int, key: str = "annas-key", given: str | bytes | None = None) -> Result:
    """The command in a thread of its own, so that the relay goes on in this one."""
    at = ("--url", f"ws://127.0.0.1:{port}/v1/stream")
    outcome = await asyncio.to_thread(
        CliRunner().invoke, main, ["jobs", *arguments, *at], input=given, env={"RELAY_KEY": key}
    )
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


async def test_a_text_becomes_a_file_in_one_command_or_in_several(tmp_path: Path) -> None:
    text, flac, wav = tmp_path / "text.txt", tmp_path / "a.flac", tmp_path / "b.wav"
    text.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    async with relay_to(speller([]), server=KEYS, jobs=JobsConfig(folder=str(tmp_path / "jobs"))) as (server, _):
        done = await relay("submit", "--file", str(text), "--out", str(flac), port=server.port)
        assert done.exit_code == 0, done.output
        first = done.stdout.strip()
        assert f"{first}: " in done.stderr and str(flac) in done.stderr
        samples, _ = soundfile.read(flac, dtype="int16")
        assert np.array_equal(samples, np.frombuffer(spelled(TEXT), "<i2"))

        submitted = await relay("submit", "-", given=TEXT, port=server.port)
        second = submitted.stdout.strip()
        shown = await relay("show", second, "--wait", "--json", port=server.port)
        assert json.loads(shown.stdout)["status"] == "succeeded"
        assert "succeeded" in (await relay("show", second, port=server.port)).stdout
        fetched = await relay("fetch", second, "--out", str(wav), port=server.port)
        assert (fetched.exit_code, soundfile.info(wav).frames) == (0, len(samples)), fetched.output
        piped = await relay("fetch", second, "--out", "-", port=server.port)
        assert piped.stdout_bytes == wav.read_bytes(), piped.stderr

        listed = await relay("list", "--json", port=server.port)
        assert [json.loads(line)["id"] for line in listed.stdout.splitlines()] == [second, first]
        table = await relay("list", "-n", "1", "--status", "succeeded", port=server.port)
        assert second in table.stdout and first not in table.stdout
        refused = await relay("cancel", second, port=server.port)
        assert (refused.exit_code, "succeeded" in refused.stderr) == (1, True)
        assert (await relay("cancel", second, "--forget", port=server.port)).exit_code == 0
        gone = await relay("show", second, port=server.port)
        assert (gone.exit_code, gone.stderr.count("\n")) == (1, 1)
        assert gone.stderr.startswith("relay: unknown_job: ")
        other = await relay("fetch", first, port=server.port, key="bens-key")
        assert (other.exit_code, other.stderr.startswith("relay: unknown_job: ")) == (1, True)
    assert not list(tmp_path.glob(".*")), "a temporary file is left"


async def test_a_job_that_runs_is_shown_and_cancelled(tmp_path: Path) -> None:
    def stalled(_: FakeRequest) -> Script:
        return (Status(200, {"Content-Type": "audio/pcm"}), Send(spelled("half")), Stall())

    async with relay_to(stalled, server=KEYS, jobs=JobsConfig(folder=str(tmp_path))) as (server, _):
        job = (await relay("submit", TEXT, port=server.port)).stdout.strip()
        early = await relay("fetch", job, port=server.port)
        assert (early.exit_code, "--wait" in early.stderr) == (1, True)
        cancelled = await relay("cancel", job, port=server.port)
        assert (cancelled.exit_code, cancelled.stderr) == (0, f"{job}: cancelled\n")
        ended = await relay("show", job, "--wait", port=server.port)
        assert (ended.exit_code, "cancelled" in ended.output) == (1, True)


async def test_what_is_wrong_is_one_clear_line(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>not found</html>", status=404)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [address] = runner.addresses
    try:
        elsewhere = await relay("list", port=address[1])
        assert (elsewhere.exit_code, elsewhere.stderr.count("\n")) == (1, 1)
        assert "not as a relay does" in elsewhere.stderr
    finally:
        await runner.cleanup()
    nowhere = await relay("list", port=unused_tcp_port_factory())
    assert (nowhere.exit_code, nowhere.stderr.count("\n")) == (1, 1)
    assert nowhere.stderr.startswith("relay: cannot connect to http://127.0.0.1:")
    assert nowhere.stderr.endswith(": Connection refused\n")
    async with relay_to(speller([]), server=KEYS, jobs=JobsConfig(folder=str(tmp_path))) as (server, _):
        for arguments, status, said in (
            (("submit", "Hello.", "--provider", "nobody"), 1, "invalid_config"),
            (("submit",), 2, "TEXT"),
            (("submit", "a", "--file", "b"), 2, "TEXT"),
            (("submit", "--file", str(tmp_path / "none.txt")), 2, "none.txt"),
            (("submit", "a", "--out", "a.docx"), 2, ".docx"),
            (("submit", "a", "--sample-rate", "fast"), 2, "fast"),
            (("show", "../jobs"), 2, "../jobs"),
            (("submit", "a", "--out", str(tmp_path / "no" / "a.wav")), 2, "no folder"),
        ):
            wrong = await relay(*arguments, port=server.port)
            assert (wrong.exit_code, said in wrong.stderr) == (status, True), wrong.output
        binary = await relay("submit", "-", given=b"ab\xff", port=server.port)
        assert (binary.exit_code, "not UTF-8 at byte 2" in binary.stderr) == (2, True)
        stranger = await relay("list", port=server.port, key="wrong")
        assert stranger.stderr.startswith("relay: unauthorized: ")


def test_the_address_is_that_of_any_other_command() -> None:
    for given, base in (
        ("ws://127.0.0.1:8765/v1/stream", "http://127.0.0.1:8765"),
        ("wss://speech.example.com/relay/v1/stream", "https://speech.example.com/relay"),
        ("http://[::1]:80/", "http://[::1]:80"),
        ("localhost:8765", "http://localhost:8765"),
    ):
        assert base_of(given) == base
    for wrong in ("ftp://host", "http://", "http://host:99999", "http://[::"):
        with pytest.raises(CommandError, match="no address of a relay"):
            base_of(wrong)


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with _shown() as shown:
        progress = {"chars_done": 30, "chars": 120, "seconds": 2.5}
        shown.show({"id": "job_1", "status": "running", "progress": progress})
    assert "25%" in terminal.getvalue() and "running" in terminal.getvalue()
