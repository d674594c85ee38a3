"""Several workers behind one port: shared metrics, replacement, drain."""

import asyncio
import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import relay_client

from tests.covering import FULL
from tests.e2e.process import Process, half_a_clip, relay_process, run_relay


async def spoken_frames(url: str) -> int:
    async with relay_client.connect(url) as session:
        turn = await session.speak("Hello there.")
        return sum([1 async for _ in turn])


async def turns_done(relay: Process) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{relay.port}/metrics") as response:
        return sum(map(float, re.findall(r'relay_turns_ended_total{end="done".*} (\S+)', await response.text())))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers(relay: Process) -> list[int]:
    """Those that serve: a process that has just been started has not got its command yet, and one may end meanwhile."""
    found = []
    for pid in children(relay.process.pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def kill(pid: int, how: signal.Signals = signal.SIGKILL) -> None:
    """A worker that is to go may have gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, how)


async def test_workers_share_a_port_that_no_other_relay_can_join_and_the_metrics_and_drain_together() -> None:
    async with relay_process("--workers", "2") as relay:
        assert len(workers(relay)) == 2
        frames = await asyncio.gather(*(spoken_frames(relay.url) for _ in range(8)))
        assert len(set(frames)) == 1
        assert await turns_done(relay) == 8, "whichever worker is asked"
        for more in ((), ("--workers", "2")):
            status, _, said = await run_relay("serve", "--port", str(relay.port), *more)
            assert (status, "is another relay running" in said) == (1, True), said
        relay.terminate()
        assert await relay.exit_status() == 0, "".join(relay.said)
    assert "Traceback" not in "".join(relay.said)


async def test_a_hangup_replaces_every_worker_and_no_turn_notices() -> None:
    async with relay_process("--workers", "2") as relay:
        before = workers(relay)
        relay.process.send_signal(signal.SIGHUP)
        while set(before) & set(workers(relay)) or len(workers(relay)) != 2:
            assert await spoken_frames(relay.url) > 10
        relay.terminate()
        assert await relay.exit_status() == 0, "".join(relay.said)


async def test_a_worker_that_dies_within_a_second_of_a_hangup_leaves_two_and_each_is_replaced() -> None:
    async with relay_process("--workers", "2") as relay:
        for _ in range(3 if FULL else 1):
            before = workers(relay)
            relay.process.send_signal(signal.SIGHUP)
            kill(before[0])
            relay.process.send_signal(signal.SIGHUP)
            while set(before) & set(workers(relay)) or len(workers(relay)) != 2:
                await asyncio.sleep(0.05)
        [victim, _] = workers(relay)
        kill(victim)
        while victim in workers(relay) or len(workers(relay)) != 2:
            await asyncio.sleep(0.05)
        frames = await asyncio.gather(*(spoken_frames(relay.url) for _ in range(8)))
        assert min(frames) > 10
        relay.terminate()
        assert await relay.exit_status() == 0, "".join(relay.said)
    said = "".join(relay.said)
    assert ("ended by itself" in said, "Traceback" in said) == (True, False), said


async def test_a_signal_to_the_whole_group_lets_turns_finish_in_every_process() -> None:
    async with half_a_clip() as (fake, settings):
        async with relay_process("--workers", "2", **settings) as relay:
            async with relay_client.connect(relay.url) as session:
                turn = await session.speak("Hello.", provider="breeze")
                await anext(turn)
                for process in (*workers(relay), relay.process.pid):
                    kill(process, signal.SIGTERM)
                    kill(process, signal.SIGINT)
                await relay.line("draining all workers")
                fake.release()
                assert [frame async for frame in turn]
            assert await relay.exit_status() == 0, "".join(relay.said)


async def test_turns_that_were_ended_by_force_in_a_worker_are_in_the_status_of_the_relay() -> None:
    async with half_a_clip() as (_, settings):
        async with relay_process("--workers", "2", RELAY_SERVER_DRAIN_TIMEOUT_S="0.2", **settings) as relay:
            async with relay_client.connect(relay.url) as session:
                turn = await session.speak("Hello.", provider="breeze")
                await anext(turn)
                relay.terminate()
                with pytest.raises(relay_client.TurnError):
                    async for _ in turn:
                        pass
            assert await relay.exit_status() == 1, "".join(relay.said)
    assert "not every worker drained cleanly" in "".join(relay.said)


async def test_workers_that_cannot_start_are_one_clear_failure() -> None:
    status, _, said = await run_relay("serve", "--workers", "2", "--port", "0", RELAY_DEFAULTS_PROVIDER="breeze")
    assert status == 1
    assert "ended before it was ready" in said
    assert "defaults.provider" in said
    assert "Traceback" not in said


async def test_workers_whose_supervisor_is_killed_end_by_themselves() -> None:
    async with relay_process("--workers", "2") as relay:
        left = workers(relay)
        assert len(left) == 2
        relay.process.kill()
        await relay.process.wait()
        while any(map(alive, left)):
            await asyncio.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
