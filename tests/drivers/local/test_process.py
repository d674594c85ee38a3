"""The life and death of worker processes, on either event loop and when the relay itself dies."""

import asyncio
import errno
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from relay.core.timings import Timings
from relay.drivers.local.child import Child
from relay.drivers.local.driver import LocalDriver
from relay.errors import Code
from tests.providers.fake_requests import HASTY, WORKER, exists, job, pid_of_worker, refusal, take


@pytest.mark.parametrize(
    ("new_loop", "has_pidfd"),
    [(asyncio.new_event_loop, True), (uvloop.new_event_loop, True), (uvloop.new_event_loop, False)],
)
def test_a_whole_life_on_each_loop_leaves_nothing(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    has_pidfd: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)

    async def life() -> set[int]:
        pids: set[int] = set()
        async with LocalDriver([WORKER], workers=2, timeouts=HASTY) as driver:
            pids.add(await pid_of_worker(driver))
            lives = await asyncio.gather(
                take(driver, job("give", pieces=["a", "b"])),
                refusal(driver, job("die", diary=str(tmp_path / "deaths"), first=["x"])),
                refusal(driver, job("hang", first=[])),
            )
            assert lives[0] == [b"a", b"b"]
            assert (lives[1].code, lives[2].code) == (Code.PROVIDER_CUT, Code.PROVIDER_TIMEOUT)
            async with driver.open(job("flood", piece="x", heed=True), Timings()) as left:
                assert await anext(aiter(left)) == b"x"
            pids.add(await pid_of_worker(driver))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return pids

    with asyncio.Runner(loop_factory=new_loop) as runner:
        pids = runner.run(life())
    assert not any(exists(pid) for pid in pids)


@pytest.mark.parametrize("call", ["connect_write_pipe", "connect_read_pipe"])
async def test_a_worker_whose_pipes_cannot_be_used_is_ended_and_refused(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    class Noted(Child):
        def __init__(self, *of: Any) -> None:
            super().__init__(*of)
            started.append(self.pid)

    async def fails(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("relay.drivers.local.process.Child", Noted)
    monkeypatch.setattr(asyncio.get_running_loop(), call, fails)
    async with LocalDriver(workers=1, timeouts=HASTY) as driver:
        error = await refusal(driver, job("give", pieces=["a"]))
        assert error.code is Code.PROVIDER_UNAVAILABLE
        assert "Too many open files" in error.message
    assert started
    assert not any(map(exists, started))


RELAY_THAT_DIES = """
import asyncio, os, signal, sys
from relay.core.timings import Timings
from relay.drivers.local.driver import LocalDriver
from tests.providers.fake_requests import job, pid_of_worker

async def main():
    driver = LocalDriver(workers=1)
    pid = await pid_of_worker(driver)
    async with driver.open(job(sys.argv[1], first=["x"]), Timings()):
        print(pid, flush=True)
        sys.stdin.read(1)  # until the test has a hold of the worker
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd, and the kernel's word that a parent has died")
@pytest.mark.parametrize("deed", ["linger", "hang"])
def test_workers_die_with_the_relay(deed: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RELAY_THAT_DIES, deed],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as relay:
        assert relay.stdin is not None
        assert relay.stdout is not None
        worker = os.pidfd_open(int(relay.stdout.readline()))
        try:
            assert not select.select([worker], [], [], 0)[0]
            relay.stdin.write(b"x")
            relay.stdin.flush()
            assert select.select([worker], [], [], 5)[0], "the worker has outlived the relay"
        finally:
            os.close(worker)
    assert relay.returncode == -signal.SIGKILL
