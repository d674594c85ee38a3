"""Jobs in a SQLite file: shared by the processes of one machine, and kept when they end."""

from dataclasses import replace

import msgspec

from relay.core.job import Job, JobStatus, Progress
from relay.store.base import DueWebhook, JobPage
from relay.store.job_rules import position, too_many, used_key, without_text
from relay.store.sqlite_file import SqliteFile

# Writers take turns, and a turn is a row or two; who waits longer than this waits for a process that hangs.
LOCK_TIMEOUT_S = 5.0

# `seq` is the order of submission, and where a page begins. A job is one blob of JSON and the columns that are asked
# by; its text, which may be long, is read only by who runs it.
SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  door TEXT NOT NULL,
  status TEXT NOT NULL,
  key TEXT,
  digest TEXT NOT NULL,
  worker TEXT,
  lease_until_s REAL,
  completed_at_s REAL,
  bytes INTEGER NOT NULL DEFAULT 0,
  job BLOB NOT NULL,
  text TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS jobs_by_key ON jobs (owner, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, seq);
CREATE INDEX IF NOT EXISTS jobs_by_owner_and_status ON jobs (owner, status, seq);
CREATE INDEX IF NOT EXISTS jobs_to_run ON jobs (seq) WHERE status IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS jobs_by_end ON jobs (completed_at_s) WHERE completed_at_s IS NOT NULL;
CREATE TABLE IF NOT EXISTS webhooks (job_id TEXT PRIMARY KEY, at_s REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS webhooks_by_instant ON webhooks (at_s);
"""
_ACTIVE = "status IN ('queued', 'running')"


class SqliteJobs:
    """See `base.JobStore`. `place` is the path of the file."""

    def __init__(self, place: str) -> None:
        self._file = SqliteFile(
            place,
            SCHEMA,
            thread_name="jobs",
            lock_timeout_s=LOCK_TIMEOUT_S,
            # What was answered must be there when the power is back.
            pragmas=("synchronous = FULL",),
        )

    async def open(self) -> None:
        await self._file.open()

    async def add(self, job: Job, *, digest: str, most_active: int) -> Job:
        return await self._file.run(lambda: self._add(job, digest, most_active))

    async def get(self, job_id: str, owner: str | None) -> Job | None:
        return await self._file.run(lambda: self._get(job_id, owner))

    async def text(self, job_id: str, owner: str) -> str | None:
        return await self._file.run(lambda: self._text(job_id, owner))

    async def page(
        self, owner: str, *, status: JobStatus | None = None, door: str | None = None, limit: int, cursor: str | None
    ) -> JobPage:
        before = position(cursor)
        return await self._file.run(lambda: self._page(owner, status, door, limit, before))

    async def lease(self, worker: str, *, now_s: float, until_s: float) -> Job | None:
        return await self._file.run(lambda: self._lease(worker, now_s, until_s))

    async def renew(self, job_id: str, worker: str, *, until_s: float, progress: Progress) -> bool:
        return await self._file.run(lambda: self._renew(job_id, worker, until_s, progress))

    async def release(self, job_id: str, worker: str) -> None:
        await self._file.run(lambda: self._release(job_id, worker))

    async def finish(self, job: Job, worker: str) -> bool:
        return await self._file.run(lambda: self._finish(job, worker))

    async def cancel(self, job_id: str, owner: str, *, now_s: float) -> Job | None:
        return await self._file.run(lambda: self._cancel(job_id, owner, now_s))

    async def remove(self, job_id: str, owner: str | None) -> bool:
        return await self._file.run(lambda: self._remove(job_id, owner))

    async def due_webhook(self, *, now_s: float, until_s: float) -> DueWebhook | None:
        return await self._file.run(lambda: self._due_webhook(now_s, until_s))

    async def settle_webhook(self, job_id: str, *, again_at_s: float | None) -> None:
        await self._file.run(lambda: self._settle_webhook(job_id, again_at_s))

    async def oldest_ended(self, limit: int) -> tuple[Job, ...]:
        return await self._file.run(lambda: self._oldest_ended(limit))

    async def ended_bytes(self) -> int:
        return await self._file.run(self._ended_bytes)

    async def close(self) -> None:
        await self._file.close()

    # All below runs in the file's thread.

    def _add(self, job: Job, digest: str, most_active: int) -> Job:
        with self._file.writing() as connection:
            if job.request.key is not None:
                found = connection.execute(
                    "SELECT digest, job FROM jobs WHERE owner = ? AND key = ?", (job.owner, job.request.key)
                ).fetchone()
                if found is not None and found[0] != digest:
                    raise used_key()
                if found is not None:
                    return _decoded(found[1])
            active = connection.execute(
                f"SELECT COUNT(*) FROM jobs WHERE owner = ? AND {_ACTIVE}", (job.owner,)
            ).fetchone()[0]
            if active >= most_active:
                raise too_many(active)
            connection.execute(
                "INSERT INTO jobs (id, owner, door, status, key, digest, job, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(job.id, job.owner, job.request.door, job.status, job.request.key, digest),
                    *(_encoded(job), job.request.text),
                ),
            )
        return job

    def _get(self, job_id: str, owner: str | None) -> Job | None:
        row = self._file.connection.execute(
            "SELECT job FROM jobs WHERE id = ? AND (? IS NULL OR owner = ?)", (job_id, owner, owner)
        ).fetchone()
        return _decoded(row[0]) if row else None

    def _text(self, job_id: str, owner: str) -> str | None:
        row = self._file.connection.execute(
            "SELECT text FROM jobs WHERE id = ? AND owner = ?", (job_id, owner)
        ).fetchone()
        return str(row[0]) if row else None

    def _page(self, owner: str, status: JobStatus | None, door: str | None, limit: int, before: int | None) -> JobPage:
        where, values = ["owner = ?"], [owner]
        for column, value in (("status", status), ("door", door)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(str(value))
        if before is not None:
            where.append("seq < ?")
            values.append(str(before))
        query = f"SELECT seq, job FROM jobs WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?"
        rows = self._file.connection.execute(query, (*values, limit + 1)).fetchall()
        more = len(rows) > limit
        return JobPage(
            jobs=tuple(_decoded(blob) for _, blob in rows[:limit]),
            next_cursor=str(rows[limit - 1][0]) if more else None,
        )

    def _lease(self, worker: str, now_s: float, until_s: float) -> Job | None:
        with self._file.writing() as connection:
            row = connection.execute(
                "SELECT id, job, text FROM jobs WHERE status = 'queued' OR (status = 'running' AND lease_until_s <= ?)"
                " ORDER BY seq LIMIT 1",
                (now_s,),
            ).fetchone()
            if row is None:
                return None
            job = _decoded(row[1])
            job = replace(
                job,
                status=JobStatus.RUNNING,
                started_at_s=job.started_at_s or now_s,
                attempts=job.attempts + 1,
            )
            connection.execute(
                "UPDATE jobs SET status = 'running', worker = ?, lease_until_s = ?, job = ? WHERE id = ?",
                (worker, until_s, _encoded(job), job.id),
            )
        return replace(job, request=replace(job.request, text=row[2]))

    def _renew(self, job_id: str, worker: str, until_s: float, progress: Progress) -> bool:
        with self._file.writing() as connection:
            job = self._held(job_id, worker)
            if job is None:
                return False
            connection.execute(
                "UPDATE jobs SET lease_until_s = ?, job = ? WHERE id = ?",
                (until_s, _encoded(replace(job, progress=progress)), job_id),
            )
        return True

    def _release(self, job_id: str, worker: str) -> None:
        with self._file.writing() as connection:
            if (job := self._held(job_id, worker)) is not None:
                queued = replace(job, status=JobStatus.QUEUED)
                connection.execute(
                    "UPDATE jobs SET status = 'queued', worker = NULL, lease_until_s = NULL, job = ? WHERE id = ?",
                    (_encoded(queued), job_id),
                )

    def _finish(self, job: Job, worker: str) -> bool:
        with self._file.writing():
            if self._held(job.id, worker) is None:
                return False
            self._end(job)
        return True

    def _cancel(self, job_id: str, owner: str, now_s: float) -> Job | None:
        with self._file.writing():
            job = self._get(job_id, owner)
            if job is not None and not job.status.ended:
                job = replace(job, status=JobStatus.CANCELLED, completed_at_s=now_s)
                self._end(job)
        return job

    def _end(self, job: Job) -> None:
        size = job.audio.bytes if job.audio is not None else 0
        self._file.connection.execute(
            "UPDATE jobs SET status = ?, worker = NULL, lease_until_s = NULL, completed_at_s = ?, bytes = ?, job = ?"
            " WHERE id = ?",
            (job.status, job.completed_at_s, size, _encoded(job), job.id),
        )
        if job.request.webhook is not None:
            self._file.connection.execute(
                "INSERT INTO webhooks (job_id, at_s) VALUES (?, ?)", (job.id, job.completed_at_s)
            )

    def _remove(self, job_id: str, owner: str | None) -> bool:
        with self._file.writing() as connection:
            removed = connection.execute(
                f"DELETE FROM jobs WHERE id = ? AND (? IS NULL OR owner = ?) AND NOT {_ACTIVE}", (job_id, owner, owner)
            )
            if removed.rowcount == 1:
                connection.execute("DELETE FROM webhooks WHERE job_id = ?", (job_id,))
        return removed.rowcount == 1

    def _due_webhook(self, now_s: float, until_s: float) -> DueWebhook | None:
        # Commonly there is none: then no other process is kept from writing.
        if self._file.connection.execute("SELECT 1 FROM webhooks WHERE at_s <= ? LIMIT 1", (now_s,)).fetchone() is None:
            return None
        with self._file.writing() as connection:
            row = connection.execute(
                "SELECT job_id, attempts, job FROM webhooks JOIN jobs ON id = job_id"
                " WHERE at_s <= ? ORDER BY at_s LIMIT 1",
                (now_s,),
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE webhooks SET at_s = ?, attempts = attempts + 1 WHERE job_id = ?", (until_s, row[0])
            )
        return DueWebhook(job=_decoded(row[2]), attempt=row[1] + 1)

    def _settle_webhook(self, job_id: str, again_at_s: float | None) -> None:
        with self._file.writing() as connection:
            if again_at_s is None:
                connection.execute("DELETE FROM webhooks WHERE job_id = ?", (job_id,))
            else:
                connection.execute("UPDATE webhooks SET at_s = ? WHERE job_id = ?", (again_at_s, job_id))

    def _oldest_ended(self, limit: int) -> tuple[Job, ...]:
        rows = self._file.connection.execute(
            "SELECT job FROM jobs WHERE completed_at_s IS NOT NULL ORDER BY completed_at_s LIMIT ?", (limit,)
        )
        return tuple(_decoded(blob) for (blob,) in rows)

    def _ended_bytes(self) -> int:
        row = self._file.connection.execute("SELECT COALESCE(SUM(bytes), 0) FROM jobs").fetchone()
        return int(row[0])

    def _held(self, job_id: str, worker: str) -> Job | None:
        """The job, while it is this worker's."""
        row = self._file.connection.execute(
            "SELECT job FROM jobs WHERE id = ? AND worker = ? AND status = 'running'", (job_id, worker)
        ).fetchone()
        return _decoded(row[0]) if row else None


def _encoded(job: Job) -> bytes:
    """Without its text, which has a column of its own."""
    return msgspec.json.encode(without_text(job))


def _decoded(blob: bytes) -> Job:
    return _DECODER.decode(blob)


_DECODER = msgspec.json.Decoder(Job)
