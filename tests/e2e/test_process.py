"""The relay as a process: start, speak, drain, exit. Real speech, no key, no network."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
import relay_client
from click.testing import CliRunner
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import InvalidStatus

from relay.cli import main
from relay.testing.scenarios import PCM_CLIP
from tests.covering import each
from tests.e2e.process import half_a_clip, relay_process, run_relay
from tests.server.harness import Client


async def test_serve_speak_and_stop(tmp_path: Path) -> None:
    """Through a hangup, which ends no relay, and another one that wants its port; and no process is left behind."""
    async with relay_process(RELAY_DEFAULTS_PROVIDER="") as relay:
        relay.process.send_signal(signal.SIGHUP)
        status, _, said = await run_relay("serve", "--port", str(relay.port))
        assert (status, str(relay.port) in said) == (1, True), said
        status, _, said = await run_relay(
            "say", "The relay speaks. It streams as it goes.", "--url", relay.url, "--out", str(tmp_path / "hello.wav")
        )
        assert (status, "TTFA" in said, "frames of 960 bytes" in said) == (0, True, True), said
        import soundfile

        samples, rate = soundfile.read(tmp_path / "hello.wav")
        assert rate == 24000
        assert samples.ndim == 1
        assert 1.5 < len(samples) / rate < 8
        assert abs(samples).max() > 0.05
        children = Path(f"/proc/{relay.process.pid}/task/{relay.process.pid}/children").read_text().split()
        assert children, "the built-in provider speaks in processes of its own"
        relay.terminate()
        assert await relay.exit_status() == 0, "".join(relay.said)
    for child in children:
        assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text()
    text = "".join(relay.said)
    assert "SIGHUP is ignored" in text
    assert "Warning" not in text
    assert "Traceback" not in text


async def test_sigterm_while_speaking_lets_the_turn_finish_and_refuses_new_sessions() -> None:
    async with half_a_clip() as (fake, settings):
        async with relay_process(**settings) as relay, relay_client.connect(relay.url) as session:
            turn = await session.speak("Hello.", provider="breeze")
            frames = [await anext(turn)]
            async with relay_client.connect(relay.url) as idle:
                relay.terminate()
                with pytest.raises(InvalidStatus) as refused:
                    while True:  # the signal takes a moment to arrive
                        async with ws_connect(relay.url):
                            await asyncio.sleep(0.01)
                assert refused.value.response.status_code == 503
                assert refused.value.response.headers["Retry-After"]
                with pytest.raises(relay_client.RelayClientError):
                    await (await idle.speak("Too late.")).append("x")
            fake.release()
            frames += [frame async for frame in turn]
            assert b"".join(frame.payload for frame in frames)[: len(PCM_CLIP.data)] == PCM_CLIP.data
            assert turn.summary.samples == len(PCM_CLIP.data) // 2
            assert await relay.exit_status() == 0, "".join(relay.said)
    assert "Traceback" not in "".join(relay.said)


async def test_a_turn_that_takes_longer_than_the_drain_ends_with_an_error_and_in_the_status() -> None:
    async with half_a_clip() as (_, settings):
        async with relay_process(RELAY_SERVER_DRAIN_TIMEOUT_S="0.2", **settings) as relay:
            async with relay_client.connect(relay.url) as session:
                turn = await session.speak("Hello.", provider="breeze")
                await anext(turn)
                relay.terminate()
                with pytest.raises(relay_client.TurnError) as ended:
                    async for _ in turn:
                        pass
                assert ended.value.code == "shutting_down"
                assert ended.value.retryable
            assert await relay.exit_status() == 1, "".join(relay.said)
    assert "turns were ended by force" in "".join(relay.said)


async def test_a_signal_that_comes_twice_at_once_is_one_drain() -> None:
    """A terminal signals the whole process group, and a wrapper that is in it passes its own signal on."""
    async with half_a_clip() as (fake, settings):
        async with relay_process(**settings) as relay, relay_client.connect(relay.url) as session:
            turn = await session.speak("Hello.", provider="breeze")
            await anext(turn)
            relay.terminate()
            relay.process.send_signal(signal.SIGINT)
            await relay.line("draining")
            fake.release()
            assert [frame async for frame in turn]
            assert await relay.exit_status() == 0, "".join(relay.said)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_second_signal_ends_what_is_left_with_its_reason(workers: str) -> None:
    async with half_a_clip() as (_, settings):
        async with (
            relay_process("--workers", workers, **settings) as relay,
            ws_connect(relay.url) as websocket,
            ws_connect(relay.url) as deaf,
            Client(websocket) as caller,
        ):
            for turn_id in "ab":
                await caller.send(type="speak", turn_id=turn_id, text="Hello.", provider="breeze")
            while not isinstance(await caller.receive(), bytes):
                pass
            # It has nothing to be waited for; but it answers no close frame.
            deaf.transport.pause_reading()
            relay.terminate()
            await relay.line("a second signal stops at once")

            async def hurry() -> None:
                while True:  # those that come within a second of the first one are the same request
                    relay.terminate()
                    await asyncio.sleep(0.1)

            hurrying = asyncio.create_task(hurry())
            heard = await caller.turn("b")
            hurrying.cancel()
            ends = [(event["turn_id"], event["code"]) for event in heard.of("error")]
            assert ends == [("a", "shutting_down"), ("b", "shutting_down")]
            assert (await caller.event())["type"] == "session.closing"
            assert await caller.close_code() == (1001, "shutting_down")
            assert await relay.exit_status() == 1
            deaf.transport.abort()
    assert "stopped at once, before the drain was done" in "".join(relay.said)
    assert "Traceback" not in "".join(relay.said)


async def test_say_speaks_before_standard_input_ends() -> None:
    """Raw frames come out while the pipe is still open."""
    read_end, write_end = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(os.sys.executable, "-m", "relay", "say", "-", "--out", "-"),  # type: ignore[attr-defined]
        stdin=read_end,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(read_end)
    os.write(write_end, b"This sentence is already whole. And this one ")
    assert process.stdout is not None
    async with asyncio.timeout(20):
        first = await process.stdout.readexactly(960)
        os.write(write_end, b"ends here.")
        os.close(write_end)
        rest, said = await process.communicate()
    assert process.returncode == 0, said
    assert first
    assert len(rest) > 24000
    assert b"TTFA" in said


@each(
    ("arguments", "status", "says"),
    [
        (("say", "Hello.", "--out", "-", "--sample-rate", "many"), 2, "--sample-rate"),
        (("say", "Hello.", "--out", "-", "--encoding", "opus"), 2, "pcm_s16le"),
        (("say", "Hello.", "--out", "-", "--frame-ms", "1"), 1, "frame_ms"),
        (("say", "Hello.", "--out", "-", "--url", "ws://127.0.0.1:9/v1/stream"), 1, "127.0.0.1"),
        (("say", "Hello.", "--out", "/nowhere/at/all.wav"), 1, "/nowhere/at/all.wav"),
        (("say",), 2, "TEXT"),
        (("nonsense",), 2, "nonsense"),
    ],
)
def test_what_goes_wrong_is_one_clear_line(arguments: tuple[str, ...], status: int, says: str) -> None:
    ended = CliRunner().invoke(main, arguments)
    assert isinstance(ended.exception, SystemExit), ended.exception
    assert (ended.exit_code, says in ended.output) == (status, True), ended.output


async def test_what_goes_wrong_in_a_process_is_one_clear_line() -> None:
    for arguments, status, says in (
        (("say", "Hello.", "--out", "-", "--voice", "klingon-9"), 1, "klingon-9"),
        (("serve", "--host", "0.0.0.0"), 1, "RELAY_SERVER_KEYS"),
        (("serve", "--config", "/nowhere/relay.toml"), 1, "no such file"),
    ):
        got, _, said = await run_relay(*arguments)
        assert (got, says in said, "Traceback" in said) == (status, True, False), said


async def test_lists_and_checks() -> None:
    status, out, _ = await run_relay("voices", "--language", "de")
    assert status == 0
    assert b"espeak" in out
    status, out, said = await run_relay("check")
    assert (status, b"espeak: ok" in out, b"hibari: ok" in out) == (0, True, True), said


def test_help_teaches() -> None:
    for command in ((), ("serve",), ("say",), ("voices",), ("providers",), ("check",)):
        ended = CliRunner().invoke(main, [*command, "--help"])
        assert ended.exit_code == 0
        assert len(ended.output) > 200
