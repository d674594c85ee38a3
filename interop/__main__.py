"""Runs clients of the table, by default all, against one relay: `python -m interop [--strict] [NAME ...]`.

Status 1 where one hears something else than the relay said, or fails. A library that cannot be installed is skipped,
with the reason; with `--strict` that is a failure.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import numpy as np
from numpy.typing import NDArray

from interop.environments import NotInstalledError, command_of
from interop.hearing import complaint
from interop.table import TABLE, Client
from relay.bench.processes import Running, listening

SETTINGS = Path(__file__).parent / "settings.toml"
KEY = "a-key-for-interop"
# One sentence of one clause: where another text is cut depends on how fast it comes.
TEXT = "This is said by a relay and heard by a client that does not know it."
CLIENT_TIMEOUT_S = 60


async def main() -> int:
    options = argparse.ArgumentParser(prog="python -m interop", description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help="clients of the table; default: all")
    options.add_argument("--strict", action="store_true", help="fail where a library cannot be installed")
    chosen = options.parse_args()
    if unknown := set(chosen.names) - {client.name for client in TABLE}:
        options.error(f"no client {', '.join(sorted(unknown))}; there are {', '.join(each.name for each in TABLE)}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    environment = {**kept, "RELAY_SERVER_KEYS": KEY, "RELAY_LOG_LEVEL": "error"}
    with tempfile.TemporaryDirectory() as jobs:
        return await _run({**environment, "RELAY_JOBS_FOLDER": jobs}, chosen.names, strict=chosen.strict)


async def _run(environment: dict[str, str], names: list[str], *, strict: bool) -> int:
    """The clients of those names against one relay; 1 where one of them failed."""
    failed = False
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(
            listening("-m", "relay", "serve", "--port", "0", "--config", str(SETTINGS), environment=environment)
        )
        clients = [client for client in TABLE if not names or client.name in names]
        commands = await stack.enter_async_context(_prepared(clients))
        for client, command in zip(clients, commands, strict=True):
            try:
                ready = await command
                began_s = time.monotonic()
                wrong = await _try(client, ready, relay)
            except NotInstalledError as error:
                print(f"{'FAILED ' if strict else 'skipped'} {client.name}: cannot be installed: {error}")
                failed = failed or strict
                continue
            took = f"{time.monotonic() - began_s:.1f} s"
            print(f"{'FAILED ' if wrong else 'ok     '} {client.name} ({', '.join(client.pins)}), {took}")
            for line in wrong:
                print(f"        {line}")
            failed = failed or bool(wrong)
    return int(failed)


@asynccontextmanager
async def _prepared(clients: list[Client]) -> AsyncIterator[list[asyncio.Task[list[str]]]]:
    """What runs each of them, prepared beside each other while others run; leaving ends what is not ready."""
    commands = [asyncio.create_task(command_of(client), name=f"install {client.name}") for client in clients]
    try:
        yield commands
    finally:
        for command in commands:
            command.cancel()
        await asyncio.wait(commands)


async def _try(client: Client, command: list[str], relay: Running) -> list[str]:
    """What is wrong."""
    said = await _said(relay, client.sample_rate_hz)
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(*command, relay.url, KEY, TEXT, folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Nothing of this environment's packages or accounts reaches it.
            env={name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ},
        )
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_S):
                told, _ = await process.communicate()
        except TimeoutError:
            return [f"not done within {CLIENT_TIMEOUT_S} s"]
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            return told.decode(errors="replace").strip().splitlines()[-12:]
        return _wrong_files(client, Path(folder), said)


def _wrong_files(client: Client, folder: Path, said: NDArray[np.int16]) -> list[str]:
    files = sorted(folder.iterdir())
    found = [f"{file.name} {why}" for file in files if (why := complaint(file, said, client.sample_rate_hz))]
    if len(files) < client.files:
        found.append(f"{len(files)} files were written instead of {client.files}")
    return found


async def _said(relay: Running, rate_hz: int) -> NDArray[np.int16]:
    """The text in the relay's own samples."""
    body = {"text": TEXT, "audio": {"sample_rate": rate_hz}}
    async with (
        aiohttp.ClientSession(raise_for_status=True) as http,
        http.post(f"{relay.url}/v1/speech", json=body, headers={"Authorization": f"Bearer {KEY}"}) as response,
    ):
        return np.frombuffer(await response.read(), "<i2")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
