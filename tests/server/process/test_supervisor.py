"""The supervisor with processes: workers that start in milliseconds, so that many can be killed."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

STUB = Path(__file__).with_name("stub_worker.py")
PATIENCE_S = 30.0
COUNT = 2

# The supervisor as `relay serve --workers` runs it, with a worker of ours. Arguments: settings file.
RUN = """
import asyncio, logging, sys
from relay.config import load
from relay.server.process.supervisor import Supervisor
logging.basicConfig(level="INFO", format="%(message)s")
file, stub, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
def read():
    drain_s = "-1" if "bad" in open(file).read() else "5"
    return load(None, environ={"RELAY_SERVER_PORT": "0", "RELAY_SERVER_DRAIN_TIMEOUT_S": drain_s})
supervisor = Supervisor(read(), [sys.executable, "-I", "-S", stub], count, named=file, load=read)
ready = lambda port: print(f"port {port}", file=sys.stderr, flush=True)
sys.exit(asyncio.run(supervisor.run(on_ready=ready)))
"""


class Running:
    def __init__(self, process: asyncio.subprocess.Process, settings: Path) -> None:
        self.process = process
        self.settings = settings
        self.port = 0
        self.said: list[str] = []

    async def line(self, words: str) -> str:
        """The next line with these words."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while line := (await self.process.stderr.readline()).decode():
                self.said.append(line)
                if words in line:
                    return line
        raise AssertionError("".join(self.said))

    def hangup(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    @property
    def workers(self) -> set[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(child) for child in children if alive(int(child))}

    async def until(self, workers: int, *, without: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        """Waits until there are so many workers, none of them one of `without`."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.workers) != workers or self.workers & without:
                await asyncio.sleep(0.005)

    async def answers(self) -> int:
        """The worker that answers a connection. Where all of them were killed, none listens until one is ready; and one
        may be killed before it has answered."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(ConnectionError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    answer = await reader.read()
                    writer.close()
                    if answer:
                        return int(answer)
                await asyncio.sleep(0.005)

    async def until_answers(self, worker: int) -> None:
        """Waits until this worker, among others, serves."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.answers() != worker:
                pass

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert self.process.stderr is not None
            self.said.append((await self.process.stderr.read()).decode())
            return await self.process.wait()


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@asynccontextmanager
async def supervisor(folder: Path, settings: str = "", *, count: int = COUNT) -> AsyncIterator[Running]:
    file = folder / "relay.toml"
    file.write_text(settings)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN, str(file), str(STUB), str(count)),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )
    running = Running(process, file)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def ready(folder: Path) -> AsyncIterator[Running]:
    async with supervisor(folder) as running:
        running.port = int((await running.line("port")).split()[1])
        yield running


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_signalled_there_are_exactly_so_many_workers_and_each_is_replaced(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    async with ready(tmp_path) as relay:
        for _ in range(60):
            what = chance.choice(["kill", "kill", "hangup", "hangup", "both", "group", "look"])
            victims = sorted(relay.workers)
            if what in ("kill", "both") and victims:
                with suppress(ProcessLookupError):  # it may have drained since
                    os.kill(chance.choice(victims), signal.SIGKILL)
            if what in ("hangup", "both"):
                relay.hangup()
            if what == "group":
                os.killpg(relay.process.pid, signal.SIGHUP)
            if what == "look":
                await asyncio.sleep(chance.random() * 0.05)
        old = relay.workers
        relay.hangup()
        await relay.line("all workers were replaced")
        await relay.until(COUNT)
        for victim in relay.workers:
            with suppress(ProcessLookupError):  # a replacement that was asked for before may come first
                os.kill(victim, signal.SIGKILL)
            await relay.until(COUNT, without={victim})
        assert not relay.workers & old
        assert await relay.answers() in relay.workers
        left = relay.workers
        assert await relay.stop() == 0, "".join(relay.said)
        assert not any(map(alive, left))
    assert "Traceback" not in "".join(relay.said)
    assert [path.name for path in tmp_path.iterdir()] == ["relay.toml"], "no folder is left behind"


@pytest.mark.parametrize(("text", "why"), [("bad", "drain_timeout_s"), ("refuse", "ended before it was ready")])
async def test_settings_that_became_wrong_leave_the_old_workers_and_say_why(
    tmp_path: Path, text: str, why: str
) -> None:
    async with ready(tmp_path) as relay:
        before = relay.workers
        relay.settings.write_text(text)
        relay.hangup()
        assert why in await relay.line("keeping the old settings and workers")
        await relay.until(COUNT)
        assert relay.workers == before
        # Nor do they come back with a worker that replaces a crashed one.
        [victim, other] = before
        os.kill(victim, signal.SIGKILL)
        await relay.until(COUNT, without={victim})
        assert other in relay.workers
        relay.settings.write_text("")
        relay.hangup()
        await relay.line("all workers were replaced")
        await relay.until(COUNT, without=before)
        assert await relay.stop() == 0


async def test_a_crash_loop_is_backed_off_and_refuses_no_caller(tmp_path: Path) -> None:
    """The port is left to the worker that serves."""
    async with ready(tmp_path) as relay:
        [victim, other] = relay.workers
        os.kill(victim, signal.SIGKILL)
        await relay.until(COUNT, without={victim})
        [second] = relay.workers - {other}
        await relay.until_answers(second)
        assert {await relay.answers() for _ in range(50)} == {second, other}
        os.kill(second, signal.SIGKILL)
        await relay.line("replacing it in 1 s, after 2 in a row")
        # As many as there is time for: within that second, all come from the other one.
        until_s = asyncio.get_running_loop().time() + 0.5
        for _ in range(50):
            answered = await relay.answers()
            assert answered == other or asyncio.get_running_loop().time() > until_s
        await relay.until(COUNT, without={second})
        [third] = relay.workers - {other}
        await relay.until_answers(third)
        assert await relay.stop() == 0


async def test_a_signal_to_the_whole_group_is_one_drain(tmp_path: Path) -> None:
    async with ready(tmp_path) as relay:
        os.killpg(relay.process.pid, signal.SIGTERM)
        os.killpg(relay.process.pid, signal.SIGINT)
        assert await relay.process.wait() == 0


async def test_the_status_of_a_worker_is_the_status_of_the_relay(tmp_path: Path) -> None:
    async with ready(tmp_path) as relay:
        relay.settings.write_text("unclean")
        relay.hangup()
        await relay.line("all workers were replaced")
        assert await relay.stop() == 1
    assert "not every worker drained cleanly" in "".join(relay.said)


async def test_workers_of_a_killed_supervisor_keep_its_folder_and_the_next_one_removes_it(tmp_path: Path) -> None:
    async with ready(tmp_path) as relay:
        relay.process.kill()
        await relay.process.wait()
    assert [path.name for path in tmp_path.glob("relay-shared-*")], "nobody was left to remove it"
    async with ready(tmp_path) as relay:
        assert len(list(tmp_path.glob("relay-shared-*"))) == 1, "its own"
        assert await relay.stop() == 0
    assert not list(tmp_path.glob("relay-shared-*"))
