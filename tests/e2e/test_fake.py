"""`relay fake` as a process: it says where it is, plays its scenario to a relay, and ends cleanly."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import relay_client
from click.testing import CliRunner

from relay.cli import main
from relay.testing.audio import speech_like, wav
from relay.testing.run_fake import made_clip
from relay.testing.scenarios import SCENARIOS
from tests.e2e.process import PATIENCE_S, environment, relay_process, run_relay

ADDRESS = re.compile(r"Listening on (http://127\.0\.0\.1:(\d+)), playing (\w+)")
TEXT = "A secret of ours."


@dataclass
class Fake:
    process: asyncio.subprocess.Process
    url: str
    port: int

    async def end(self, number: signal.Signals) -> tuple[int, str]:
        """Its exit status, and what it said since it was ready."""
        self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE_S):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, (out + err).decode()


@asynccontextmanager
async def fake_process(*arguments: str) -> AsyncIterator[Fake]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relay", "fake", *arguments),
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            found = ADDRESS.match((await process.stdout.readline()).decode())
        assert found, "the first line says where it is"
        yield Fake(process, found[1], int(found[2]))
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@asynccontextmanager
async def session_with(fake: Fake) -> AsyncIterator[relay_client.Session]:
    settings = {"BREEZE_API_KEY": "any", "BREEZE_BASE_URL": fake.url, "BREEZE_VOICE": "any"}
    settings["RELAY_DEFAULTS_PROVIDER"] = "breeze"
    async with relay_process(**settings) as relay, relay_client.connect(relay.url) as session:
        yield session


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_relay_is_pointed_at_it_and_gets_what_the_scenario_says(number: signal.Signals) -> None:
    async with fake_process("--scenario", "cut_chunked_rst", "--seconds", "0.5") as fake:
        async with session_with(fake) as session:
            turn = await session.speak(TEXT, provider="breeze")
            heard = b""
            with pytest.raises(relay_client.TurnError) as ended:
                async for frame in turn:
                    heard += frame.payload
            assert ended.value.code == "provider_cut"
            assert heard
            # The last frame is filled up with silence.
            assert made_clip(0.5).data.startswith(heard[:-960])
        status, said = await fake.end(number)
    assert status == 0, said
    assert "1 POST /v1/text-to-speech/any/stream <- cut_chunked_rst\n" in said
    assert "1 requests answered" in said
    assert TEXT not in said
    assert "Traceback" not in said
    assert "Warning" not in said


async def test_a_file_is_sent_whole(tmp_path: Path) -> None:
    audio = speech_like(0.3)
    (tmp_path / "clip.wav").write_bytes(wav(audio))
    async with fake_process("--scenario", "one_byte_chunks", "--audio", str(tmp_path / "clip.wav")) as fake:
        async with session_with(fake) as session:
            turn = await session.speak(TEXT, provider="breeze")
            heard = b"".join([frame.payload async for frame in turn])
            assert turn.summary.samples == len(audio) // 2
        assert heard[: len(audio)] == audio


async def test_garbage_and_stalled_clients_do_not_spoil_its_end() -> None:
    async with fake_process("--scenario", "stall_before_headers") as fake:
        writers = []
        for request in (b"no HTTP at all\r\n\r\n", b"GET /v1/voices HTTP/1.1\r\nhost: x\r\n\r\n"):
            _, writer = await asyncio.open_connection("127.0.0.1", fake.port)
            writer.write(request)
            writers.append(writer)
        assert fake.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while b"1 GET /v1/voices" not in await fake.process.stdout.readline():
                pass
        status, said = await fake.end(signal.SIGTERM)
        for writer in writers:
            writer.close()
    assert status == 0, said
    assert "1 requests were no HTTP" in said
    assert "Traceback" not in said


async def test_every_scenario_is_listed() -> None:
    status, out, err = await run_relay("fake", "--list")
    assert (status, err) == (0, "")
    assert out.decode().split() == list(SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--scenario", "nonsense"), "'nonsense'"),
        (("--audio", "pyproject.toml"), ".mp3"),
        (("--audio", "nowhere.wav"), "nowhere.wav"),
        (("--seconds", "0"), "0.05"),
        (("--audio", __file__, "--seconds", "1"), "exclude"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], says: str) -> None:
    ended = CliRunner().invoke(main, ["fake", *arguments])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert says in ended.stderr


async def test_a_port_that_is_taken_is_one_clear_line() -> None:
    async with fake_process() as fake:
        status, out, err = await run_relay("fake", "--port", str(fake.port))
    assert (status, out) == (1, b"")
    assert err.startswith(f"relay: cannot listen on port {fake.port}: ")
    assert err.count("\n") == 1
