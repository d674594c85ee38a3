"""The examples run as their readers run them, against a scripted relay."""

import asyncio
import io
import runpy
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from tests.clients.scripted import Peer, frames_of, header, samples_of, scripted_relay

EXAMPLES = Path(__file__).parents[2] / "clients" / "examples"


async def run(name: str, *arguments: str) -> int:
    """The example's exit status. It has its own event loop, hence the thread."""
    main: Callable[[list[str]], int] = runpy.run_path(str(EXAMPLES / name))["main"]
    return await asyncio.to_thread(main, [*arguments])


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_every_example_begins_with_what_it_is_and_how_to_run_it(name: str) -> None:
    document = runpy.run_path(str(EXAMPLES / name))["__doc__"]
    assert f"python {name}" in document


async def test_say_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def script(relay: Peer) -> None:
        request = await relay.expect("speak")
        assert (request["text"], request["voice"]) == ("Hello.", "b")
        assert "provider" not in request
        await relay.speak(request["turn_id"], 500)

    out = tmp_path / "hello.wav"
    async with scripted_relay(script) as url:
        assert await run("say.py", "Hello.", "--out", str(out), "--voice", "b", "--url", url) == 0
    assert soundfile.read(out, dtype="int16")[0].tobytes() == samples_of(0, 500)
    assert "first audio after 12 ms, 0.06 s" in capsys.readouterr().err


async def test_say_what_comes_on_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("turn.start"))["turn_id"]
        assert (await relay.expect("text.append"))["text"] == "One.\n"
        assert (await relay.expect("text.append"))["text"] == "Two."
        await relay.expect("turn.end")
        await relay.speak(turn_id, 160)

    monkeypatch.setattr("sys.stdin", io.StringIO("One.\nTwo."))
    async with scripted_relay(script) as url:
        assert await run("say.py", "-", "--out", str(tmp_path / "out.wav"), "--url", url) == 0


async def test_say_with_nobody_to_say_it(capsys: pytest.CaptureFixture[str]) -> None:
    async with scripted_relay() as url:
        pass
    assert await run("say.py", "Hello.", "--out", "/dev/null", "--url", url) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("cannot connect to ws://127.0.0.1:")


async def test_llm_to_speech(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("turn.start"))["turn_id"]
        text = (await relay.expect("text.append"))["text"]
        await relay.started(turn_id)
        await relay.tell("text.segment", turn_id=turn_id, index=0, text=text, start_sample=0)
        await relay.speaking(turn_id)
        frames = list(frames_of(500))
        await relay.send(frames[0])
        while not text.endswith("interrupt me, I stop."):
            text += (await relay.expect("text.append"))["text"]
        await relay.expect("turn.end")
        await relay.send(*frames[1:])
        await relay.done(turn_id, 500)

    out = tmp_path / "answer.wav"
    async with scripted_relay(script) as url:
        fast = ("--tokens-per-s", "10000", "--first-token-s", "0")
        assert await run("llm_to_speech.py", *fast, "--out", str(out), "--url", url) == 0
    assert soundfile.info(out).frames == 500
    told = capsys.readouterr().out
    assert told.index("first token") < told.index("first audio") < told.index("last audio")
    assert "says 'Good'" in told


async def test_barge_in(capsys: pytest.CaptureFixture[str]) -> None:
    heard = -1

    async def script(relay: Peer) -> None:
        nonlocal heard
        request = await relay.expect("speak")
        assert request["pacing"] == {"mode": "realtime", "lead_ms": 40}
        first = request["turn_id"]
        await relay.started(first)
        await relay.tell("text.segment", turn_id=first, index=0, text=request["text"][:22], start_sample=0)
        await relay.speaking(first)
        frames = list(frames_of(3200))
        await relay.send(*frames[:3])
        await relay.tell("text.segment", turn_id=first, index=1, text=request["text"][22:], start_sample=480)
        heard = (await relay.expect("turn.cancel"))["played_samples"]
        await relay.send(frames[3])
        await relay.cancelled(first, 4)
        second = (await relay.expect("speak"))["turn_id"]
        await relay.speak(second, 333, turn_index=1)

    async with scripted_relay(script) as url:
        assert await run("barge_in.py", "--after-ms", "50", "--lead-ms", "40", "--url", url) == 0
    told = capsys.readouterr().out
    assert heard in (0, 160, 320, 480), "as many of the frames as a slow machine took in 50 ms"
    assert f"640 samples sent, {heard} heard" in told
    assert f"not heard to its end: '{'the weather.' if heard == 480 else 'Let me tell'}" in told
    assert "333 samples, every one of the new turn" in told


@pytest.mark.parametrize("suffix", ["wav", "ulaw"])
async def test_telephony_frames_are_whole(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speech = bytes(range(200))
    payload = speech + b"\xff" * 120

    async def script(relay: Peer) -> None:
        request = await relay.expect("speak")
        assert request["audio"] == {"encoding": "mulaw", "sample_rate": 8000, "frame_ms": 20, "header": True}
        turn_id = request["turn_id"]
        await relay.started(turn_id, encoding="mulaw", frame_bytes=160)
        await relay.speaking(turn_id)
        await relay.send(header(0) + payload[:160], header(160, padding=120, last=True) + payload[160:])
        await relay.done(turn_id, 200)

    out = tmp_path / f"call.{suffix}"
    async with scripted_relay(script) as url:
        assert await run("telephony_mulaw.py", "--out", str(out), "--url", url) == 0
    content = out.read_bytes()
    assert content[-320:] == payload
    if suffix == "wav":
        assert struct.unpack_from("<H", content, 20)[0] == 7
        assert soundfile.info(out).frames == 320
    else:
        assert len(content) == 320
    assert "2 frames of 160 bytes, 120 samples of silence" in capsys.readouterr().out


async def test_an_example_that_fails_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.tell("error", turn_id=turn_id, code="provider_auth", message="no key", retryable=False)
        await relay.closed()

    for name in ("say.py", "barge_in.py", "telephony_mulaw.py"):
        async with scripted_relay(script) as url:
            arguments = {"say.py": ["Hello.", "--out", "/dev/null"], "telephony_mulaw.py": ["--out", "/dev/null"]}
            after = ["--after-ms", "50"] if name == "barge_in.py" else []
            assert await run(name, *arguments.get(name, []), *after, "--url", url) == 1
        assert capsys.readouterr().err == "no key\n"
