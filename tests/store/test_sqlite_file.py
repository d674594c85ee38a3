"""What all stores in a SQLite file have in common."""

from pathlib import Path

import pytest

from relay.store.base import StoreError
from relay.store.sqlite_file import SqliteFile

# A line without its page is found only when the transaction is committed.
SCHEMA = """
CREATE TABLE IF NOT EXISTS pages (id INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS lines (page INTEGER REFERENCES pages (id) DEFERRABLE INITIALLY DEFERRED);
"""


def a_file(tmp_path: Path) -> SqliteFile:
    return SqliteFile(
        str(tmp_path / "lines.sqlite3"),
        SCHEMA,
        thread_name="lines",
        lock_timeout_s=1.0,
        pragmas=("foreign_keys = ON",),
    )


def write(file: SqliteFile, statement: str) -> None:
    with file.writing() as connection:
        connection.execute(statement)


def lines(file: SqliteFile) -> int:
    return int(file.connection.execute("SELECT count(*) FROM lines").fetchone()[0])


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("INSERT INTO lines VALUES (1)", id="the commit fails"),
        pytest.param("INSERT INTO nothing VALUES (1)", id="the work fails"),
    ],
)
async def test_a_transaction_that_fails_leaves_nothing_and_the_next_one_works(tmp_path: Path, statement: str) -> None:
    file = a_file(tmp_path)
    await file.open()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"lines\.sqlite3: "):
            await file.run(lambda: write(file, statement))
        assert await file.run(lambda: lines(file)) == 0
    await file.run(lambda: write(file, "INSERT INTO pages VALUES (1)"))
    await file.run(lambda: write(file, "INSERT INTO lines VALUES (1)"))
    await file.close()
    again = a_file(tmp_path)
    await again.open()
    assert await again.run(lambda: lines(again)) == 1
    await again.close()


async def test_a_file_that_others_read_can_be_written(tmp_path: Path) -> None:
    reader, writer = a_file(tmp_path), a_file(tmp_path)
    await reader.open()
    await writer.open()
    await reader.run(lambda: reader.connection.execute("BEGIN"))
    assert await reader.run(lambda: lines(reader)) == 0
    await writer.run(lambda: write(writer, "INSERT INTO pages VALUES (1)"))
    await reader.run(lambda: reader.connection.execute("ROLLBACK"))
    await writer.close()
    await reader.close()
