"""The store that outlives the process: one SQLite file, from the standard library."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from runstream.errors import StoreError
from runstream.model.validation import require_counts, require_durations
from runstream.store.base import StoredRun, StoredSource
from runstream.store.codec import StateEncoder, decode_state

__all__ = ["APPLICATION_ID", "SCHEMA_VERSION", "SqliteStore"]

APPLICATION_ID: Final = 0x52554E53
"""Marks the file as ours (SQLite's ``application_id``): "RUNS"."""

SCHEMA_VERSION: Final = 2
"""SQLite's ``user_version``."""

_SCHEMA: Final = """
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    scope TEXT NOT NULL, run_id TEXT NOT NULL, source TEXT NOT NULL,
    ended INTEGER NOT NULL, at REAL NOT NULL,
    replaying INTEGER NOT NULL, paused INTEGER NOT NULL, interrupted INTEGER NOT NULL, stalled INTEGER NOT NULL,
    state BLOB, unidentified INTEGER NOT NULL DEFAULT 1,
    UNIQUE (scope, run_id)
);
CREATE INDEX runs_ended ON runs (ended, at);
CREATE INDEX runs_source ON runs (scope, source);
CREATE TABLE delivered (
    scope TEXT NOT NULL, run_id TEXT NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (scope, run_id, key)
) WITHOUT ROWID;
CREATE TABLE sources (
    scope TEXT NOT NULL, name TEXT NOT NULL, last_id TEXT, counts TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (scope, name)
) WITHOUT ROWID;
"""

# From the version before each to that one. What no row says is what StoredRun has by default.
_CHANGES: Final = {2: "ALTER TABLE runs ADD COLUMN unidentified INTEGER NOT NULL DEFAULT 1"}

_RUN: Final = "number, scope, run_id, source, replaying, paused, interrupted, stalled, unidentified, state"
_PUT_RUN: Final = """
INSERT INTO runs (scope, run_id, source, ended, at, replaying, paused, interrupted, stalled, unidentified, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (scope, run_id) DO UPDATE SET
    source = excluded.source, at = CASE WHEN ended THEN at ELSE excluded.at END, ended = excluded.ended,
    replaying = excluded.replaying, paused = excluded.paused, interrupted = excluded.interrupted,
    stalled = excluded.stalled, unidentified = excluded.unidentified, state = excluded.state
"""
_ADD_RUN: Final = """
INSERT OR IGNORE INTO runs (scope, run_id, source, ended, at, replaying, paused, interrupted, stalled, state)
VALUES (?, ?, '', 0, ?, 0, -1, 0, 0, NULL)
"""
_SWEEP_EVERY: Final = 256  # puts
_LONGEST: Final = 2**31 // 1000 - 1  # seconds; SQLite counts milliseconds, and what overflows would be no wait at all


class SqliteStore:
    """Keeps states in a SQLite file, so that a restarted process goes on where the last one was.

    ::

        with SqliteStore("runs.db") as store:
            async with RunStream(source, store=store) as stream:
                ...

    Each put is one transaction (journal mode WAL, ``synchronous=NORMAL``): what was put survives the end of the
    process, in whatever way it ends. Against the loss of power the file stays sound, but the last puts may be gone
    unless ``full_sync`` is set. The file holds message texts and tool arguments; it is created readable by its
    owner alone.

    Args:
        path: The file; made if it is not there. Its directory must be.
        max_finished_runs: Ended runs that are kept; the one that ended first is forgotten first.
        max_finished_age: How long an ended run is kept, and the place of a silent source (seconds).
        full_sync: Whether each put waits for the disk.
        timeout: How long to wait while another process writes to the file (seconds).
        clock: Gives the time in Unix seconds.

    Raises:
        ValueError: A bound is less than 0.
        StoreError: The file can't be opened, is no store of ours, is damaged, or was written by a newer release.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_finished_runs: int = 10_000,
        max_finished_age: float = 7 * 86_400.0,
        full_sync: bool = False,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = os.fspath(path)
        require_counts(0, max_finished_runs=max_finished_runs)
        require_durations(max_finished_age=max_finished_age, timeout=timeout)
        self._max_runs = max_finished_runs
        self._max_age = max_finished_age
        self._clock = clock
        self._puts = 0
        self._encode = StateEncoder()
        self._closed = False
        with self._said("opened"):
            if self.path != ":memory:":
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=min(timeout, _LONGEST))
        try:
            with self._said("opened"):
                prepare(self._db, self.path, synchronous="FULL" if full_sync else "NORMAL")
                self._sweep()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"SqliteStore({self.path!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Further calls do nothing; a closed store serves no stream."""
        self._closed = True
        self._db.close()

    def get(self, scope: str, run_id: str) -> StoredRun | None:
        """The run with this id; ``None`` if it is not kept."""
        with self._said("read"):
            row = self._db.execute(
                f"SELECT {_RUN} FROM runs WHERE scope = ? AND run_id = ?", (scope, run_id)
            ).fetchone()
            return None if row is None else self._run(row)

    def runs(
        self, scope: str | None = None, source: str | None = None, *, ended_since: float | None = None
    ) -> Iterable[StoredRun]:
        """The runs that have not ended, in order of appearance; see :class:`StateStore`."""
        where, values = "state IS NOT NULL AND ended = 0", list[Any]()
        if ended_since is not None:
            where, values = "state IS NOT NULL AND (ended = 0 OR at >= ?)", [ended_since]
        for name, value in (("scope", scope), ("source", source)):
            if value is not None:
                where += f" AND {name} = ?"
                values.append(value)
        with self._said("read"):
            rows = self._db.execute(f"SELECT {_RUN} FROM runs WHERE {where} ORDER BY number", values).fetchall()
            return [self._run(row) for row in rows]

    def get_source(self, scope: str, name: str) -> StoredSource | None:
        """The place of a source, ``None`` if it is not kept."""
        with self._said("read"):
            row = self._db.execute(
                "SELECT last_id, counts FROM sources WHERE scope = ? AND name = ?", (scope, name)
            ).fetchone()
            if row is None:
                return None
            counts = msgspec.json.decode(row[1], type=dict[str, int])
            return StoredSource(scope=scope, name=name, last_id=row[0], counts=counts)

    def put(self, runs: Sequence[StoredRun], source: StoredSource | None = None) -> None:
        """Keep runs and the place of their source, in one transaction."""
        now = self._clock()
        with self._said("written"), transaction(self._db) as execute:
            for run in runs:
                key = (run.scope, run.run_id)
                marks = (run.replaying, run.paused, run.interrupted, run.stalled, run.unidentified)
                state = None if run.state is None else self._encode(run.state)
                execute(_PUT_RUN, (*key, run.source, run.ended, now, *marks, state))
                execute("DELETE FROM delivered WHERE scope = ? AND run_id = ?", key)
                for delivered in run.delivered:
                    execute("INSERT OR IGNORE INTO delivered VALUES (?, ?, ?)", (*key, delivered))
            if source is not None:
                counts = msgspec.json.encode(source.counts).decode()
                execute(
                    "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?)",
                    (source.scope, source.name, source.last_id, counts, now),
                )
        self._puts += 1
        if self._puts % _SWEEP_EVERY == 0:
            with self._said("written"):
                self._sweep()

    def deliver(self, scope: str, run_id: str, key: str) -> None:
        """Add a key to the delivered ones of a run, in one transaction."""
        with self._said("written"), transaction(self._db) as execute:
            execute(_ADD_RUN, (scope, run_id, self._clock()))
            execute("INSERT OR IGNORE INTO delivered VALUES (?, ?, ?)", (scope, run_id, key))

    def _run(self, row: tuple[Any, ...]) -> StoredRun:
        _, scope, run_id, source, replaying, paused, interrupted, stalled, unidentified, state = row
        keys = self._db.execute("SELECT key FROM delivered WHERE scope = ? AND run_id = ?", (scope, run_id))
        return StoredRun(
            scope=scope,
            run_id=run_id,
            state=None if state is None else decode_state(state),
            delivered=tuple([key for (key,) in keys.fetchall()]),
            source=source,
            replaying=bool(replaying),
            paused=paused,
            interrupted=interrupted,
            stalled=stalled,
            unidentified=bool(unidentified),
        )

    def _sweep(self) -> None:
        """Forget ended runs and silent sources that are too many or too old."""
        old = self._clock() - self._max_age
        with transaction(self._db) as execute:
            gone = execute(
                "SELECT number, scope, run_id FROM runs WHERE ended = 1 AND (at < ? OR number IN "
                "(SELECT number FROM runs WHERE ended = 1 ORDER BY at DESC, number DESC LIMIT -1 OFFSET ?))",
                (old, self._max_runs),
            ).fetchall()
            for number, scope, run_id in gone:
                execute("DELETE FROM runs WHERE number = ?", (number,))
                execute("DELETE FROM delivered WHERE scope = ? AND run_id = ?", (scope, run_id))
            execute("DELETE FROM sources WHERE at < ?", (old,))

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """What goes wrong, said so that somebody can do something about it."""
        try:
            yield
        except StoreError as error:
            if self.path in str(error):
                raise
            raise StoreError(f"{self.path}: {error}") from None
        except sqlite3.Error as error:
            raise StoreError(explained(self.path, what, error, closed=self._closed)) from error
        except msgspec.MsgspecError as error:
            raise StoreError(f"{self.path} is damaged: move it away to start with an empty store") from error
        except OSError as error:
            raise StoreError(
                f"{self.path} can't be {what}: {error.strerror or type(error).__name__}; "
                "give a path in a directory that can be written to"
            ) from error


def prepare(db: sqlite3.Connection, path: str, *, synchronous: str) -> None:
    """Make an empty file a store's, or see that it is one, and bring it up to this version.

    Raises:
        StoreError: It is another application's, or of a newer release. Nothing was written.
        sqlite3.Error: It is no database, or can't be used.
    """
    execute = db.execute
    version = execute("PRAGMA user_version").fetchone()[0]
    owner = execute("PRAGMA application_id").fetchone()[0]
    tables = execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION_ID and (owner or version or tables):
        raise StoreError(f"{path} is a database of another application: give the store a file of its own")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {version}, of a newer release of runstream (this one knows up to "
            f"{SCHEMA_VERSION}): update runstream, or give another path"
        )
    execute("PRAGMA journal_mode = WAL").fetchone()
    execute(f"PRAGMA synchronous = {synchronous}")
    if not owner:
        with transaction(db):
            # Under the lock: another process may have been quicker.
            if execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    execute(statement)
                execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                execute(f"PRAGMA application_id = {APPLICATION_ID}")
    elif version < SCHEMA_VERSION:
        with transaction(db):
            version = execute("PRAGMA user_version").fetchone()[0]
            for later in range(version + 1, SCHEMA_VERSION + 1):
                execute(_CHANGES[later])
                execute(f"PRAGMA user_version = {later}")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[Callable[..., sqlite3.Cursor]]:
    """All of it or nothing; gives what executes statements."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db.execute
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.rollback()
        raise


def explained(path: str, what: str, error: sqlite3.Error, *, closed: bool) -> str:
    """What went wrong, and what to do.

    Args:
        path: The file.
        what: What could not be done to it: opened, read, written.
        error: What SQLite says.
        closed: Whether the store was closed.
    """
    if closed:
        return f"{path} can't be {what}: the store was closed; close the stream first"
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return f"{path} is no SQLite file, or damaged: move it away to start with an empty store"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{path} can't be {what}: another process is writing to it; one process uses a store at a time"
    if name.startswith("SQLITE_FULL"):
        return f"{path} can't be {what}: the disk is full"
    return f"{path} can't be {what}: {error}"
