"""A relay as people run it: a process of its own, found by what it prints."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from relay.testing.fake_provider import FakeProvider
from relay.testing.scenarios import PCM_CLIP
from relay.testing.script import Send, Stall, Status

READY = re.compile(r"Listening on http://127\.0\.0\.1:(\d+)")
PATIENCE_S = 60.0  # several processes start, on a machine that may be busy


@dataclass
class Process:
    """`said` is what it wrote to standard error so far, by line."""

    process: asyncio.subprocess.Process
    port: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/stream"

    async def ready(self) -> None:
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while line := (await self.process.stderr.readline()).decode():
                self.said.append(line)
                if found := READY.search(line):
                    self.port = int(found[1])
                    return
        raise AssertionError("".join(self.said))

    async def line(self, words: str) -> None:
        """Waits until a line with these words was written."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while not any(words in line for line in self.said):
                line = (await self.process.stderr.readline()).decode()
                assert line, "".join(self.said)
                self.said.append(line)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def exit_status(self) -> int:
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            self.said += (await self.process.stderr.read()).decode().splitlines(keepends=True)
            return await self.process.wait()


def environment(**settings: str) -> dict[str, str]:
    """Warnings are errors there too, and nothing of this shell's configuration is used.

    The default voice is eSpeak NG's, whose workers start within a tenth of what the neural voice's cost; a setting that
    is empty is left to its default.
    """
    settings = {"RELAY_DEFAULTS_PROVIDER": "espeak"} | settings
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "BREEZE_"))}
    given = {"PYTHONWARNINGS": "error", "BREEZE_MAX_CONCURRENT": "1000", **settings}
    return {**kept, **{name: value for name, value in given.items() if value}}


@asynccontextmanager
async def relay_process(*arguments: str, **settings: str) -> AsyncIterator[Process]:
    process = Process(
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "relay", "serve", "--port", "0", *arguments),
            env=environment(**settings),
            stderr=asyncio.subprocess.PIPE,
        )
    )
    try:
        await process.ready()
        yield process
    finally:
        if process.process.returncode is None:
            process.process.kill()
            await process.exit_status()


async def run_relay(*arguments: str, stdin: bytes | None = None, **settings: str) -> tuple[int, bytes, str]:
    """`relay ARGUMENTS` to its end: exit status, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "relay", *arguments),
        env=environment(**settings),
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out, err.decode()


@asynccontextmanager
async def half_a_clip() -> AsyncIterator[tuple[FakeProvider, dict[str, str]]]:
    """A provider that waits in the middle of its audio, and what makes it one of a relay."""
    script = (
        Status(200, {"content-type": "audio/pcm"}),
        Send(PCM_CLIP.data[:1000]),
        Stall(),
        Send(PCM_CLIP.data[1000:]),
    )
    async with FakeProvider(script) as fake:
        yield fake, service_at(fake)


def service_at(fake: FakeProvider) -> dict[str, str]:
    """What makes it the default of a process, which then starts no voice of its own."""
    return {
        "RELAY_DEFAULTS_PROVIDER": "breeze",
        "BREEZE_API_KEY": "brz_test",
        "BREEZE_BASE_URL": fake.url,
        "BREEZE_VOICE": "voc_1",
    }
