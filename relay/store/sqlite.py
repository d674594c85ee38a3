"""Spent tokens in a SQLite file: shared by the processes of one machine, and kept when they end."""

import sqlite3

from relay.errors import Code, LimitError
from relay.store.base import MAX_SPENT
from relay.store.sqlite_file import SqliteFile

# Writers take turns, and a turn is one row; who waits longer than this waits for a process that hangs.
LOCK_TIMEOUT_S = 2.0

# The bound is in bytes, which SQLite keeps by itself: a row and its place in the index take about 100.
BYTES_OF_ONE = 100
PAGE_BYTES = 4096
# The tables' own, however little is in them.
LEAST_PAGES = 8

# The index is for forgetting. WITHOUT ROWID: the id is the row.
SCHEMA = """
CREATE TABLE IF NOT EXISTS spent_tokens (id TEXT PRIMARY KEY, expires_at_s REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spent_tokens_by_end ON spent_tokens (expires_at_s);
"""


class SqliteSpentTokens:
    """See `base.SpentTokens`. `place` is the path of the file."""

    def __init__(self, place: str, *, most: int = MAX_SPENT) -> None:
        self._file = SqliteFile(
            place,
            SCHEMA,
            thread_name="spent-tokens",
            lock_timeout_s=LOCK_TIMEOUT_S,
            pragmas=(
                # A commit does not wait for the disk: what is lost with the power has expired when it is back.
                "synchronous = NORMAL",
                f"max_page_count = {LEAST_PAGES + most * BYTES_OF_ONE // PAGE_BYTES}",
            ),
        )

    async def open(self) -> None:
        await self._file.open()

    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        return await self._file.run(lambda: self._spend(token_id, expires_at_s, now_s))

    async def close(self) -> None:
        await self._file.close()

    def _spend(self, token_id: str, expires_at_s: float, now_s: float) -> bool:
        """Runs in the file's thread."""
        try:
            with self._file.writing() as connection:
                connection.execute("DELETE FROM spent_tokens WHERE expires_at_s <= ?", (now_s,))
                insert = "INSERT OR IGNORE INTO spent_tokens VALUES (?, ?)"
                return connection.execute(insert, (token_id, expires_at_s)).rowcount == 1
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise LimitError(Code.OVER_CAPACITY, "too many tokens are in use; try again", retry_after_s=1) from None
            raise
