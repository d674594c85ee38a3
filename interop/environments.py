"""An environment for each client library, made once for each set of pins and kept below `.venv`."""

import asyncio
import hashlib
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from pathlib import Path

from interop.table import Client

CACHE = Path(__file__).parent.parent / ".venv" / "interop"
# The largest takes half a minute of a core; a busy machine takes minutes.
INSTALL_TIMEOUT_S = 300
# Of pip's last lines, where it fails.
TOLD_CHARS = 300


class NotInstalledError(Exception):
    """The library cannot be had here; says why."""


# Installations at a time: each keeps a core busy.
INSTALLATIONS = asyncio.Semaphore(2)


async def command_of(client: Client) -> list[str]:
    """What runs the client's program in its environment. Raises NotInstalledError."""
    pins = hashlib.sha256("\n".join((sys.version, *client.pins)).encode()).hexdigest()[:12]
    folder = CACHE / f"{client.name}-{pins}"
    done = folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run has left
        async with INSTALLATIONS:
            await (_install_python if client.runtime == "python" else _install_node)(folder, client.pins)
        done.touch()
    if client.runtime == "python":
        return [str(folder / "bin" / "python"), "-W", "error::ResourceWarning", str(client.program)]
    # Node looks for packages beside the program.
    return ["node", str(shutil.copy(client.program, folder))]


async def _install_python(folder: Path, pins: tuple[str, ...]) -> None:
    # A pip of its own and bytecode that is never run would take longer than the library.
    await _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"))
    await _run(*pip, "install", "--quiet", "--disable-pip-version-check", "--no-compile", *pins)


async def _install_node(folder: Path, pins: tuple[str, ...]) -> None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NotInstalledError(f"there is no {program} here")
    await asyncio.to_thread(folder.mkdir, parents=True)
    quiet = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
    await _run("npm", "install", *quiet, "--prefix", str(folder), *pins)


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
