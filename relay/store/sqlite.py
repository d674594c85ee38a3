"""Spent tokens in a SQLite file: shared by the processes of one machine, and kept when they end."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from relay.errors import Code, LimitError
from relay.store.base import MAX_SPENT, StoreError

T = TypeVar("T")

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
    """See `base.SpentTokens`. One thread has the one connection; `place` is the path of the file."""

    def __init__(self, place: str, *, most: int = MAX_SPENT) -> None:
        self._place = place
        self._most = most
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spent-tokens")
        try:
            await self._in_thread(self._open)
        except BaseException:
            await self.close()
            raise

    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        return await self._in_thread(lambda: self._spend(token_id, expires_at_s, now_s))

    async def close(self) -> None:
        if self._thread is not None:
            await self._in_thread(self._close)
            self._thread.shutdown()
            self._thread = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        assert self._thread is not None, "it was opened"
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise StoreError(f"{self._place}: {error}") from error

    def _open(self) -> None:
        self._connection = connection = sqlite3.connect(self._place, timeout=LOCK_TIMEOUT_S, isolation_level=None)
        # A commit does not wait for the disk: what is lost with the machine's power has expired when it is back.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA max_page_count = {LEAST_PAGES + self._most * BYTES_OF_ONE // PAGE_BYTES}")
        connection.executescript(SCHEMA)

    def _spend(self, token_id: str, expires_at_s: float, now_s: float) -> bool:
        connection = self._connection
        assert connection is not None, "it was opened"
        # One transaction, and a writer's from its start, so that no other process can come between.
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("DELETE FROM spent_tokens WHERE expires_at_s <= ?", (now_s,))
            insert = "INSERT OR IGNORE INTO spent_tokens VALUES (?, ?)"
            first = connection.execute(insert, (token_id, expires_at_s)).rowcount == 1
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise LimitError(Code.OVER_CAPACITY, "too many tokens are in use; try again", retry_after_s=1) from None
            raise
        return first

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
