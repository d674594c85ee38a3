"""Spent tokens in a file. What every store does is in `tests/conformance/test_stores.py`."""

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest

from relay.store import sqlite
from relay.store.base import StoreError
from relay.store.sqlite import SqliteSpentTokens

# Opens the file at the same time as others, and says how many tokens it was the first to spend.
PROCESS = """
import asyncio, sys
from relay.store.sqlite import SqliteSpentTokens

async def main(path):
    sys.stdin.readline()
    store = SqliteSpentTokens(path)
    await store.open()
    print(sum([await store.spend(f"t{number}", expires_at_s=60.0, now_s=0.0) for number in range(200)]))
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


async def test_of_several_processes_one_is_the_first(tmp_path: Path) -> None:
    path = str(tmp_path / "spent.sqlite3")
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", PROCESS, path, **pipes)  # type: ignore[arg-type]
        for _ in range(4)
    ]
    ends = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert sum(int(out) for out, _ in ends) == 200


async def test_it_is_kept(tmp_path: Path) -> None:
    for first in (True, False):
        store = SqliteSpentTokens(str(tmp_path / "spent.sqlite3"))
        await store.open()
        assert await store.spend("t", expires_at_s=60.0, now_s=0.0) is first
        await store.close()


async def test_what_has_expired_takes_no_room(tmp_path: Path) -> None:
    path = tmp_path / "spent.sqlite3"
    store = SqliteSpentTokens(str(path))
    await store.open()
    for number in range(300):
        await store.spend(f"t{number}", expires_at_s=number + 3.0, now_s=float(number))
    await store.close()
    connection = sqlite3.connect(path)
    [[kept]] = connection.execute("SELECT count(*) FROM spent_tokens")
    connection.close()
    assert kept == 3


@pytest.mark.parametrize("content", [b"not a database, but longer than the head of one" * 100, None])
async def test_a_place_that_cannot_be_used_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "spent.sqlite3"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    store = SqliteSpentTokens(str(path))
    with pytest.raises(StoreError, match=r"spent\.sqlite3: "):
        await store.open()
    await store.close()


async def test_a_place_that_no_longer_answers_spends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT_S", 0.01)
    path = str(tmp_path / "spent.sqlite3")
    store = SqliteSpentTokens(path)
    await store.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked"):
        await store.spend("t", expires_at_s=60.0, now_s=0.0)
    other.execute("ROLLBACK")
    other.close()
    assert await store.spend("t", expires_at_s=60.0, now_s=0.0)
    await store.close()
