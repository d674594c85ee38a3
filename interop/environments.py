"""An environment for each client library, made once for each set of pins and kept below `.venv`."""

import asyncio
import hashlib
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from pathlib import Path

from interop.table import Client

CACHE = Path(__file__).parent.parent / ".venv" / "interop"
INSTALL_TIMEOUT_S = 120
# Of pip's last lines, where it fails.
TOLD_CHARS = 300


class NotInstalledError(Exception):
    """The library cannot be had here; says why."""


async def python_of(client: Client) -> Path:
    """The interpreter of the client's environment. Raises NotInstalledError."""
    pins = hashlib.sha256("\n".join((sys.version, *client.pins)).encode()).hexdigest()[:12]
    folder = CACHE / f"{client.name}-{pins}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run has left
        await _run(sys.executable, "-m", "venv", str(folder))
        await _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *client.pins)
        done.touch()
    return python


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    try:
        async with asyncio.timeout(INSTALL_TIMEOUT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        raise NotInstalledError(f"not done within {INSTALL_TIMEOUT_S} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise NotInstalledError(said.decode(errors="replace").strip()[-TOLD_CHARS:])
