"""The store in one SQLite file. It outlasts the process."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from runstream.core.request_places import RequestPlace
from runstream.errors import StoreError
from runstream.model.validation import check_counts, check_durations
from runstream.store.base import StoredRun, StoredSource
from runstream.store.codec import StateEncoder, decode_state
from runstream.store.file_lock import FileLock

__all__ = ["APPLICATION_ID", "SCHEMA_VERSION", "SqliteStore"]

APPLICATION_ID: Final = 0x52554E53
"""SQLite's ``application_id``, which marks a file as a store: "RUNS"."""

SCHEMA_VERSION: Final = 5
"""SQLite's ``user_version``."""

_OUTPUTS: Final = """
CREATE TABLE outputs (
    scope TEXT NOT NULL, run_id TEXT NOT NULL, call_key TEXT NOT NULL, output TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (scope, run_id, call_key)
) WITHOUT ROWID
"""

_SCHEMA: Final = """
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    scope TEXT NOT NULL, run_id TEXT NOT NULL, source TEXT NOT NULL,
    ended INTEGER NOT NULL, at REAL NOT NULL,
    replaying INTEGER NOT NULL, paused INTEGER NOT NULL, interrupted INTEGER NOT NULL, stalled INTEGER NOT NULL,
    state BLOB, unidentified INTEGER NOT NULL DEFAULT 1, places TEXT NOT NULL DEFAULT '{}',
    UNIQUE (scope, run_id)
);
CREATE INDEX runs_ended ON runs (ended, at);
CREATE INDEX runs_source ON runs (scope, source);
CREATE TABLE delivered (
    scope TEXT NOT NULL, run_id TEXT NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (scope, run_id, key)
) WITHOUT ROWID;
CREATE TABLE sources (
    scope TEXT NOT NULL, name TEXT NOT NULL, last_id TEXT, counts TEXT NOT NULL, at REAL NOT NULL, memory BLOB,
    PRIMARY KEY (scope, name)
) WITHOUT ROWID;
"""

# The statement that makes each version from the version before. A new column has the default of `StoredRun`.
_MIGRATIONS: Final = {
    2: "ALTER TABLE runs ADD COLUMN unidentified INTEGER NOT NULL DEFAULT 1",
    3: "ALTER TABLE runs ADD COLUMN places TEXT NOT NULL DEFAULT '{}'",
    4: "ALTER TABLE sources ADD COLUMN memory BLOB",
    5: _OUTPUTS,
}

_RUN_COLUMNS: Final = (
    "number, scope, run_id, source, replaying, paused, interrupted, stalled, unidentified, places, state"
)
# What reading a value of an unexpected type or shape may raise.
_DATA_ERRORS: Final = (msgspec.MsgspecError, ValueError, TypeError, LookupError, OverflowError, RecursionError)
_RUN_NAMES: Final = _RUN_COLUMNS.split(", ")
_PUT_RUN: Final = """
INSERT INTO runs
    (scope, run_id, source, ended, at, replaying, paused, interrupted, stalled, unidentified, places, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (scope, run_id) DO UPDATE SET
    source = excluded.source, at = CASE WHEN ended THEN at ELSE excluded.at END, ended = excluded.ended,
    replaying = excluded.replaying, paused = excluded.paused, interrupted = excluded.interrupted,
    stalled = excluded.stalled, unidentified = excluded.unidentified, places = excluded.places,
    state = excluded.state
"""
_INSERT_RUN: Final = """
INSERT OR IGNORE INTO runs (scope, run_id, source, ended, at, replaying, paused, interrupted, stalled, state)
VALUES (?, ?, '', 0, ?, 0, -1, 0, 0, NULL)
"""
_SWEEP_EVERY: Final = 256  # calls of `put`
_MAX_TIMEOUT: Final = 2**31 // 1000 - 1  # seconds; SQLite counts milliseconds, and an overflow would mean no wait


class _Row(msgspec.Struct):
    """A row of the table ``runs``."""

    number: int
    scope: str
    run_id: str
    source: str
    replaying: int
    paused: int
    interrupted: int
    stalled: int
    unidentified: int
    places: str
    state: bytes | None


class SqliteStore:
    """Keeps states in a SQLite file, so that a restarted process resumes where the last one stopped.

    ::

        with SqliteStore("runs.db") as store:
            async with RunStream(source, store=store) as stream:
                ...

    Each put is one transaction (journal mode WAL, ``synchronous=NORMAL``): stored data is kept whatever ends the
    process. After a loss of power the file is still valid, but the last puts may be missing unless ``full_sync`` is
    set. The file contains message texts and tool arguments; a new file is readable by its owner alone. One process
    uses it at a time: a file with ``-lock`` behind its name, which stays, is locked until the store is closed or the
    process ends.

    Args:
        path: The file; it is created if it does not exist. Its directory must exist.
        max_finished_runs: The number of ended runs that are kept; the run that ended first is removed first.
        max_finished_age: The seconds that an ended run, and the place of a silent source, is kept.
        full_sync: True if each put waits for the disk.
        timeout: The seconds to wait while another process has the file.
        clock: Returns the time in Unix seconds.

    Raises:
        ValueError: A bound is less than 0.
        StoreError: The file can't be opened, is used by another process or store, is no store, is damaged, or was
            written by a newer release.
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
        check_counts(0, max_finished_runs=max_finished_runs)
        check_durations(max_finished_age=max_finished_age, timeout=timeout)
        self._max_runs = max_finished_runs
        self._max_age = max_finished_age
        self._clock = clock
        self._puts = 0
        self._encode = StateEncoder()
        self._closed = False
        self._lock: FileLock | None = None
        with self._translate_errors("opened"):
            if not _is_temporary(self.path):
                self._lock = FileLock(f"{os.path.realpath(self.path)}-lock")
                if not self._lock.acquire(timeout):
                    raise StoreError(
                        f"{self.path} is in use by {self._lock.owner() or 'another process'}: one process uses a store "
                        "at a time; end that process, or give another path"
                    )
        try:
            with self._translate_errors("opened"):
                if self._lock is not None:
                    _create_private(self.path)
                self._db = sqlite3.connect(self.path, isolation_level=None, timeout=min(timeout, _MAX_TIMEOUT))
        except BaseException:
            self._release_lock()
            raise
        try:
            with self._translate_errors("opened"):
                _prepare_schema(self._db, self.path, synchronous="FULL" if full_sync else "NORMAL")
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
        """Close the file. Further calls of ``close`` do nothing; a closed store serves no stream."""
        self._closed = True
        self._db.close()
        self._release_lock()

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def get(self, scope: str, run_id: str) -> StoredRun | None:
        """The run with this id; ``None`` if it is not stored."""
        with self._translate_errors("read"):
            row = self._db.execute(
                f"SELECT {_RUN_COLUMNS} FROM runs WHERE scope = ? AND run_id = ?", (scope, run_id)
            ).fetchone()
            return None if row is None else self._read_run(row)

    def runs(
        self, scope: str | None = None, source: str | None = None, *, ended_since: float | None = None
    ) -> Iterable[StoredRun]:
        """The runs that have not ended, in order of first appearance.

        Args:
            scope: Only runs of this scope.
            source: Only runs whose last event was sent by the source with this name.
            ended_since: Also runs that ended at this Unix time (seconds) or later.
        """
        where, values = "state IS NOT NULL AND ended = 0", list[Any]()
        if ended_since is not None:
            where, values = "state IS NOT NULL AND (ended = 0 OR at >= ?)", [ended_since]
        for name, value in (("scope", scope), ("source", source)):
            if value is not None:
                where += f" AND {name} = ?"
                values.append(value)
        with self._translate_errors("read"):
            rows = self._db.execute(f"SELECT {_RUN_COLUMNS} FROM runs WHERE {where} ORDER BY number", values).fetchall()
            return [self._read_run(row) for row in rows]

    def get_source(self, scope: str, name: str) -> StoredSource | None:
        """The place of a source; ``None`` if it is not stored."""
        with self._translate_errors("read"):
            row = self._db.execute(
                "SELECT last_id, counts, memory FROM sources WHERE scope = ? AND name = ?", (scope, name)
            ).fetchone()
            if row is None:
                return None
            last_id, text, memory = msgspec.convert(row, tuple[str | None, str, bytes | None])
            counts = msgspec.json.decode(text, type=dict[str, int])
            return StoredSource(scope=scope, name=name, last_id=last_id, counts=counts, memory=memory)

    def put(self, runs: Sequence[StoredRun], source: StoredSource | None = None) -> None:
        """Store runs and the place of their source, in one transaction."""
        now = self._clock()
        with self._translate_errors("written"), _transaction(self._db) as execute:
            for run in runs:
                key = (run.scope, run.run_id)
                flags = (run.replaying, run.paused, run.interrupted, run.stalled, run.unidentified)
                places = msgspec.json.encode(run.places).decode()
                state = None if run.state is None else self._encode(run.state)
                execute(_PUT_RUN, (*key, run.source, run.ended, now, *flags, places, state))
                execute("DELETE FROM delivered WHERE scope = ? AND run_id = ?", key)
                for delivered in run.delivered:
                    execute("INSERT OR IGNORE INTO delivered VALUES (?, ?, ?)", (*key, delivered))
            if source is not None:
                counts = msgspec.json.encode(source.counts).decode()
                execute(
                    "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?)",
                    (source.scope, source.name, source.last_id, counts, now, source.memory),
                )
        self._puts += 1
        if self._puts % _SWEEP_EVERY == 0:
            with self._translate_errors("written"):
                self._sweep()

    def deliver(self, scope: str, run_id: str, key: str) -> None:
        """Add a key to the delivered keys of a run, in one transaction."""
        with self._translate_errors("written"), _transaction(self._db) as execute:
            execute(_INSERT_RUN, (scope, run_id, self._clock()))
            execute("INSERT OR IGNORE INTO delivered VALUES (?, ?, ?)", (scope, run_id, key))

    def get_output(self, scope: str, run_id: str, call_key: str) -> str | None:
        """The output of a call; ``None`` if it is not stored."""
        with self._translate_errors("read"):
            row = self._db.execute(
                "SELECT output FROM outputs WHERE scope = ? AND run_id = ? AND call_key = ?", (scope, run_id, call_key)
            ).fetchone()
            return None if row is None else msgspec.convert(row[0], str)

    def put_output(self, scope: str, run_id: str, call_key: str, output: str) -> None:
        """Store the output of a call, in one transaction."""
        with self._translate_errors("written"), _transaction(self._db) as execute:
            values = (scope, run_id, call_key, output, self._clock())
            execute("INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?, ?)", values)

    def forget_outputs(self, scope: str, run_id: str) -> None:
        """Remove the outputs of a run."""
        with self._translate_errors("written"), _transaction(self._db) as execute:
            execute("DELETE FROM outputs WHERE scope = ? AND run_id = ?", (scope, run_id))

    def _read_run(self, row: tuple[Any, ...]) -> StoredRun:
        # The columns of SQLite have no binding types: a damaged file may have anything anywhere.
        stored = msgspec.convert(dict(zip(_RUN_NAMES, row, strict=True)), _Row)
        keys = self._db.execute(
            "SELECT key FROM delivered WHERE scope = ? AND run_id = ?", (stored.scope, stored.run_id)
        )
        return StoredRun(
            scope=stored.scope,
            run_id=stored.run_id,
            state=None if stored.state is None else decode_state(stored.state),
            delivered=msgspec.convert(tuple([key for (key,) in keys.fetchall()]), tuple[str, ...]),
            source=stored.source,
            replaying=bool(stored.replaying),
            places=msgspec.json.decode(stored.places, type=dict[str, RequestPlace]),
            paused=stored.paused,
            interrupted=stored.interrupted,
            stalled=stored.stalled,
            unidentified=bool(stored.unidentified),
        )

    def _sweep(self) -> None:
        """Remove ended runs that are too many or too old, and silent sources that are too old."""
        old = self._clock() - self._max_age
        with _transaction(self._db) as execute:
            old_runs = execute(
                "SELECT number, scope, run_id FROM runs WHERE ended = 1 AND (at < ? OR number IN "
                "(SELECT number FROM runs WHERE ended = 1 ORDER BY at DESC, number DESC LIMIT -1 OFFSET ?))",
                (old, self._max_runs),
            ).fetchall()
            for number, scope, run_id in old_runs:
                execute("DELETE FROM runs WHERE number = ?", (number,))
                execute("DELETE FROM delivered WHERE scope = ? AND run_id = ?", (scope, run_id))
            execute("DELETE FROM sources WHERE at < ?", (old,))
            execute("DELETE FROM outputs WHERE at < ?", (old,))

    @contextmanager
    def _translate_errors(self, action: str) -> Iterator[None]:
        """Translate errors into :class:`StoreError`, whose messages contain the remedy.

        Args:
            action: The use of the file: opened, read, written.
        """
        try:
            yield
        except StoreError as error:
            if self.path in str(error):
                raise
            raise StoreError(f"{self.path}: {error}") from None
        except sqlite3.Error as error:
            raise StoreError(_explain_error(self.path, action, error, closed=self._closed)) from error
        except _DATA_ERRORS as error:
            if action == "written":
                raise StoreError(f"{self.path} can't be written: {type(error).__name__} in the data") from error
            if "\0" in self.path:
                raise StoreError("the path has a null character: give another path") from error
            raise StoreError(f"{self.path} is damaged: move it away to start with an empty store") from error
        except OSError as error:
            raise StoreError(
                f"{self.path} can't be {action}: {error.strerror or type(error).__name__}; "
                "give a path in a directory that can be written to"
            ) from error


def _prepare_schema(db: sqlite3.Connection, path: str, *, synchronous: str) -> None:
    """Create the tables in an empty file, or check an existing file and migrate it to this version.

    Args:
        db: The connection.
        path: The file, for messages.
        synchronous: SQLite's ``synchronous``.

    Raises:
        StoreError: The file belongs to another application or a newer release. Nothing was written.
        sqlite3.Error: The file is no database, or can't be used.
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
    if owner and version < 1:
        raise StoreError(
            f"{path} has schema version {version}, which no release of runstream has written: it is damaged, or a copy "
            "that lost its version; move it away to start with an empty store"
        )
    execute("PRAGMA journal_mode = WAL").fetchone()
    execute(f"PRAGMA synchronous = {synchronous}")
    if not owner:
        with _transaction(db):
            # Checked again under the lock: another process may have been faster.
            if execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                for statement in filter(str.strip, [*_SCHEMA.split(";"), _OUTPUTS]):
                    execute(statement)
                execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                execute(f"PRAGMA application_id = {APPLICATION_ID}")
    elif version < SCHEMA_VERSION:
        with _transaction(db):
            version = execute("PRAGMA user_version").fetchone()[0]
            for later in range(version + 1, SCHEMA_VERSION + 1):
                execute(_MIGRATIONS[later])
                execute(f"PRAGMA user_version = {later}")


def _is_temporary(path: str) -> bool:
    return path in ("", ":memory:")


def _create_private(path: str) -> None:
    """Create a file that only its owner can read, unless it exists.

    A file that exists is not opened here: to close it would release the locks that this process has on it.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[Callable[..., sqlite3.Cursor]]:
    """A transaction; yields the function that executes its statements. An exception rolls it back."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db.execute
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.rollback()
        raise


def _explain_error(path: str, action: str, error: sqlite3.Error, *, closed: bool) -> str:
    """The message for an error: its cause and the remedy.

    Args:
        path: The file.
        action: The use of the file that failed: opened, read, written.
        error: The error of SQLite.
        closed: True if the store was closed.
    """
    if closed:
        return f"{path} can't be {action}: the store was closed; close the stream first"
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return f"{path} is no SQLite file, or damaged: move it away to start with an empty store"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{path} can't be {action}: another process is writing to it; one process uses a store at a time"
    if name.startswith("SQLITE_FULL"):
        return f"{path} can't be {action}: the disk is full"
    if name in ("SQLITE_ERROR", "SQLITE_SCHEMA", "SQLITE_MISMATCH") or name.startswith("SQLITE_CONSTRAINT"):
        # The statements are correct: the file has other tables than its version says, or further ones.
        return (
            f"{path} can't be {action}: {error}; it is damaged, or another program has changed it: move it away to "
            "start with an empty store"
        )
    return f"{path} can't be {action}: {error}; check the disk and the permissions of the file and its directory"
