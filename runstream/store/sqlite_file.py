"""A SQLite file as a store's: recognised, made, written to in transactions, and its errors in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from runstream.errors import StoreError

__all__ = ["APPLICATION_ID", "SCHEMA_VERSION", "explained", "prepare", "transaction"]

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
