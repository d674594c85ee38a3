"""The player's own tests, of what needs no browser: `node --test clients/browser/test/`."""

import asyncio
import shutil
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[3] / "clients" / "browser" / "test"
# A few seconds of work, on a machine that may be busy with the rest of the suite.
PATIENCE_S = 110
NODE = shutil.which("node")


@pytest.mark.timeout(PATIENCE_S + 10)
@pytest.mark.skipif(NODE is None, reason="node is not installed; the player's buffers and messages go untested")
async def test_the_players_parts_in_node() -> None:
    assert NODE is not None
    files = sorted(str(path) for path in TESTS.glob("*.test.js"))
    assert files
    run = await asyncio.create_subprocess_exec(
        NODE, "--test", *files, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await run.communicate()
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()
    assert run.returncode == 0, output.decode()
