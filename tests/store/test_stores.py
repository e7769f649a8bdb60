"""What every store must do, and what only a file can get wrong."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.core.request_places import RequestPlace
from runstream.core.state import RunState
from runstream.engine.fold import fold
from runstream.errors import StoreError
from runstream.store.base import StateStore, StoredRun, StoredSource
from runstream.store.calls import CallStore
from runstream.store.codec import decode_state, encode_state
from runstream.store.memory import MemoryStore
from runstream.store.sqlite import SCHEMA_VERSION, SqliteStore
from runstream.testing import events_of

Make = Callable[..., Any]
BUSY = fold(events_of("Hello, world.", run_id="run_1", ends=None)[:7]).runs[0]
"""A state with a text that grows."""


class Clock:
    """A time that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def state(run_id: str = "run_1", *, ends: str | None = None, scope: str = "") -> RunState:
    """The state of a run that says something."""
    return fold(events_of("Hello.", run_id=run_id, ends=ends), scope=scope).runs[0]


def run(run_id: str = "run_1", *, ends: str | None = None, scope: str = "", **fields: Any) -> StoredRun:
    """A run to be kept."""
    return StoredRun(scope=scope, run_id=run_id, state=state(run_id, ends=ends, scope=scope), **fields)


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes a store of either kind."""
    made: list[SqliteStore] = []

    def make_one(**options: Any) -> StateStore:
        if request.param == "memory":
            return MemoryStore(**options)
        made.append(SqliteStore(tmp_path / "runs.db", **options))
        return made[-1]

    yield make_one
    for store in made:
        store.close()


def test_what_is_put_is_got(make: Make) -> None:
    """All of it, by scope and id; a later put takes its place."""
    store = make()
    assert store.get("", "run_1") is None
    first = run(
        delivered=("a", "b"),
        source="s",
        replaying=True,
        places={"s": RequestPlace(2, 1, 3)},
        paused=2,
        interrupted=3,
        stalled=4,
        unidentified=False,
    )
    store.put([first, run(scope="other")])
    assert store.get("", "run_1") == first
    assert store.get("other", "run_1") == run(scope="other")
    store.put([run(ends="completed")])
    assert store.get("", "run_1") == run(ends="completed")
    assert store.get("", "run_2") is None


def test_keys_are_added_until_the_next_put(make: Make) -> None:
    """To a run that is kept, and to one that is not yet."""
    store = make()
    store.put([run()])
    for key in ("a", "b", "a"):
        store.deliver("", "run_1", key)
    assert set(store.get("", "run_1").delivered) == {"a", "b"}
    assert store.get("", "run_1").state == state()
    store.put([run(delivered=("c",))])
    assert store.get("", "run_1").delivered == ("c",)
    store.deliver("", "run_2", "x")
    assert store.get("", "run_2") == StoredRun(scope="", run_id="run_2", state=None, delivered=("x",))
    assert [kept.run_id for kept in store.runs()] == ["run_1"]
    store.put([run("run_2")])
    assert store.get("", "run_2") == run("run_2")


def test_the_runs_that_are_open(make: Make) -> None:
    """In order of appearance, by scope and source; ended ones if they are young enough."""
    clock = Clock()
    store = make(clock=clock)
    store.put([run("run_2", source="a"), run("run_1", source="b"), run("run_3", scope="x", source="a")])
    store.put([run("run_4", source="a", ends="failed"), run("run_2", source="a")])

    def ids(*args: Any, **kwargs: Any) -> list[str]:
        return [kept.run_id for kept in store.runs(*args, **kwargs)]

    assert ids() == ["run_2", "run_1", "run_3"]
    assert ids("") == ["run_2", "run_1"]
    assert ids("", "a") == ["run_2"]
    assert ids(None, "a") == ["run_2", "run_3"]
    assert ids("", "a", ended_since=1000.0) == ["run_2", "run_4"]
    assert ids("", "a", ended_since=1000.5) == ["run_2"]
    clock.now = 2000.0
    store.put([run("run_4", source="a", ends="failed")])
    assert ids("", "a", ended_since=1000.5) == ["run_2"], "it ended when it ended, whatever is filled in later"


def test_places_of_sources(make: Make) -> None:
    """By scope and name; put with the runs or alone."""
    store = make()
    assert store.get_source("", "s") is None
    place = StoredSource(scope="", name="s", last_id="7", counts={"connected": 2})
    store.put([run()], place)
    store.put([], StoredSource(scope="x", name="s"))
    assert store.get_source("", "s") == place
    assert store.get_source("x", "s") == StoredSource(scope="x", name="s")
    store.put([run()])
    assert store.get_source("", "s") == place


def test_ended_runs_are_forgotten_by_count(make: Make) -> None:
    """The one that ended first goes first; open runs never go."""
    store = make(max_finished_runs=2)
    store.put([run("open")])
    for number in range(600):
        store.put([run(f"run_{number}", ends="completed")])
    kept = [found.run_id for found in store.runs(ended_since=0.0)]
    assert kept[0] == "open"
    assert kept[-2:] == ["run_598", "run_599"]
    assert len(kept) < 300, "SQLite sweeps once in a while"


def test_what_is_old_is_forgotten(make: Make) -> None:
    """Ended runs with their outputs, and places of sources, by age; at the latest when the store is opened again."""
    clock = Clock()
    store = make(max_finished_age=60.0, clock=clock)
    store.put([run("old", ends="completed"), run("open")], StoredSource(scope="", name="old", last_id="1"))
    store.deliver("", "old", "key")
    store.put_output("", "old", "call", "1")
    clock.now += 61
    if isinstance(store, SqliteStore):
        store.close()
        store = make(max_finished_age=60.0, clock=clock)
    store.put([run("new", ends="completed")], StoredSource(scope="", name="new", last_id="1"))
    assert store.get("", "old") is None
    assert store.get_output("", "old", "call") is None
    assert {found.run_id for found in store.runs(ended_since=0.0)} == {"open", "new"}
    assert store.get_source("", "old") is None
    assert store.get_source("", "new") is not None


# SQLite alone


def test_a_file_outlives_its_store(tmp_path: Path) -> None:
    """Opened again, it has what it had."""
    with SqliteStore(tmp_path / "runs.db") as store:
        store.put([run()], StoredSource(scope="", name="s", last_id="ü7"))
        store.deliver("", "run_1", "k")
    with SqliteStore(str(tmp_path / "runs.db")) as store:
        assert store.get("", "run_1") == run(delivered=("k",))
        found = store.get_source("", "s")
        assert found is not None
        assert found.last_id == "ü7"
    assert repr(store) == f"SqliteStore({str(tmp_path / 'runs.db')!r})"


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_the_file_is_its_owners(tmp_path: Path) -> None:
    """It holds message texts."""
    with SqliteStore(tmp_path / "runs.db") as store:
        store.put([run()])
        for path in tmp_path.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_how_it_is_written(tmp_path: Path) -> None:
    """In WAL mode, synchronous NORMAL or FULL."""
    with SqliteStore(tmp_path / "a.db") as store:
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store._db.execute("PRAGMA synchronous").fetchone() == (1,)
    with SqliteStore(tmp_path / "b.db", full_sync=True) as store:
        assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_put_is_all_or_nothing(tmp_path: Path) -> None:
    """What fails in the middle leaves nothing of itself."""
    with SqliteStore(tmp_path / "runs.db") as store:
        store.put([run()], StoredSource(scope="", name="s", last_id="1"))
        bad = StoredSource(scope="", name="s", last_id=object())  # type: ignore[arg-type]
        with pytest.raises(StoreError, match="can't be written"):
            store.put([run("run_2")], bad)
        assert store.get("", "run_2") is None
        store.put([run("run_2")])


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """The message says what to do, and the file stays as it was."""
    path = tmp_path / "notes.txt"
    path.write_bytes(b"my notes, which nobody should overwrite\n" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="no SQLite file, or damaged: move it away"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_database_of_another_application(tmp_path: Path) -> None:
    """Nothing is written into it."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE notes (text TEXT)")
    other.close()
    with pytest.raises(StoreError, match="another application: give the store a file of its own"):
        SqliteStore(path)
    reader = sqlite3.connect(path)
    assert reader.execute("SELECT name FROM sqlite_master").fetchall() == [("notes",)]
    assert reader.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    reader.close()


def test_a_file_of_a_newer_release(tmp_path: Path) -> None:
    """It is not touched, and the message says both versions."""
    path = tmp_path / "runs.db"
    SqliteStore(path).close()
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    with pytest.raises(StoreError, match=f"version {SCHEMA_VERSION + 1}.*update runstream"):
        SqliteStore(path)


def test_outputs_of_calls(make: Make) -> None:
    """They are stored by run and key, and replaced; those of a run are removed together."""
    store = make()
    assert isinstance(store, CallStore)
    for key, output in (("a", "1"), ("b", "2"), ("a", "3")):
        store.put_output("", "run_1", key, output)
    store.put_output("other", "run_1", "a", "4")
    assert [store.get_output("", "run_1", key) for key in "abc"] == ["3", "2", None]
    store.forget_outputs("", "run_1")
    assert store.get_output("", "run_1", "a") is None
    assert store.get_output("other", "run_1", "a") == "4"


def test_outputs_outlast_the_process(tmp_path: Path) -> None:
    """A file has them when it is opened again, until they are old."""
    clock, path = Clock(), tmp_path / "runs.db"
    with SqliteStore(path, clock=clock) as store:
        store.put_output("", "run_1", "a", "1")
    with SqliteStore(path, clock=clock) as store:
        assert store.get_output("", "run_1", "a") == "1"
    clock.now += 1e9
    with SqliteStore(path, clock=clock) as store:
        assert store.get_output("", "run_1", "a") is None


def test_a_file_of_an_older_release(tmp_path: Path) -> None:
    """It is brought up to this one: what it has stays, and what it does not say is what is safe."""
    path = tmp_path / "runs.db"
    with SqliteStore(path) as store:
        store.put([run(unidentified=False)], StoredSource(scope="", name="s", last_id="7", memory=b"m"))
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE runs DROP COLUMN unidentified")
        db.execute("ALTER TABLE runs DROP COLUMN places")
        db.execute("ALTER TABLE sources DROP COLUMN memory")
        db.execute("DROP TABLE outputs")
        db.execute("PRAGMA user_version = 1")
        db.commit()
    with SqliteStore(path) as store:
        assert store.get("", "run_1") == run(unidentified=True)
        assert store.get_source("", "s") == StoredSource(scope="", name="s", last_id="7")
        store.put([run(unidentified=False), run("run_2", unidentified=False)])
    with SqliteStore(path) as store:
        assert list(store.runs()) == [run(unidentified=False), run("run_2", unidentified=False)]
        assert store._db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE runs",
        "ALTER TABLE runs DROP COLUMN places",
        "PRAGMA user_version = 4",
        "CREATE TRIGGER t BEFORE INSERT ON runs BEGIN SELECT raise(ABORT, 'no'); END",
    ],
)
def test_a_file_that_another_program_has_changed(tmp_path: Path, statement: str) -> None:
    """The error of SQLite alone would not say what to do."""
    path = tmp_path / "runs.db"
    SqliteStore(path).close()
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()

    def use() -> None:
        with SqliteStore(path) as store:
            list(store.runs())
            store.put([run("run_1")])

    with pytest.raises(StoreError, match="another program has changed it: move it away"):
        use()


def test_a_damaged_file(tmp_path: Path) -> None:
    """Pages overwritten, a state overwritten: a StoreError with the path, never another exception."""
    path = tmp_path / "runs.db"
    with SqliteStore(path) as store:
        store.put([run(f"run_{number}") for number in range(50)])
        store._db.execute("UPDATE runs SET state = x'00' WHERE run_id = 'run_7'")
        with pytest.raises(StoreError, match=r"runs\.db.*no run state"):
            store.get("", "run_7")
        with pytest.raises(StoreError, match=r"runs\.db"):
            list(store.runs())
        store._db.execute("INSERT INTO sources VALUES ('', 's', NULL, 'x', 0, NULL)")
        with pytest.raises(StoreError, match="damaged"):
            store.get_source("", "s")
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match=r"runs\.db"), SqliteStore(path) as store:
        list(store.runs())  # wherever it is noticed


def test_a_place_that_can_not_be_had(tmp_path: Path) -> None:
    """A missing directory, a directory: said with the path."""
    with pytest.raises(StoreError, match=r"can't be opened.*directory"):
        SqliteStore(tmp_path / "missing" / "runs.db")
    with pytest.raises(StoreError, match="can't be opened"):
        SqliteStore(tmp_path)


def test_a_file_that_another_process_writes_to(tmp_path: Path) -> None:
    """The put fails, says so, and can be tried again."""
    path = tmp_path / "runs.db"
    with SqliteStore(path, timeout=0.05) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process is writing"):
            store.put([run()])
        other.execute("ROLLBACK")
        other.close()
        store.put([run()])
        assert store.get("", "run_1") == run()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """Closing twice is no error; using it then is."""
    store = SqliteStore(tmp_path / "runs.db")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="was closed"):
        store.get("", "run_1")


@pytest.mark.parametrize("version", [0, -1, -(2**31)])
def test_a_file_without_its_version(tmp_path: Path, version: int) -> None:
    """A copy that lost its version is refused with a reason."""
    path = tmp_path / "runs.db"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(StoreError, match=f"version {version}, which no release"):
        SqliteStore(path)


@pytest.mark.parametrize("statement", ["DROP TABLE runs", "DROP TABLE sources", "ALTER TABLE runs DROP COLUMN places"])
def test_a_file_that_lacks_a_part(tmp_path: Path, statement: str) -> None:
    """A table or column is missing: a StoreError, wherever it is noticed."""
    path = tmp_path / "runs.db"
    with SqliteStore(path) as store:
        store.put([run()])
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()
    with pytest.raises(StoreError, match=r"runs\.db"):
        _read_all(path)


def _read_all(path: Path) -> None:
    with SqliteStore(path) as store:
        list(store.runs())
        store.get_source("", "s")


COLUMNS = ["source", "replaying", "paused", "interrupted", "stalled", "unidentified", "places", "state"]
VALUES = [
    "'x'",
    "x'ff'",
    "1.5",
    "-9e999",
    "'{}'",
    "'[]'",
    "'\"x\"'",
    "''",
    "9223372036854775807",
    "x'7b7d'",
    "'{\"a\":1}'",
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("column", COLUMNS)
def test_a_value_of_another_type(tmp_path: Path, column: str, value: str) -> None:
    """SQLite stores anything in any column: it is read, or it is a StoreError."""
    with SqliteStore(tmp_path / "runs.db") as store:
        store.put([run()])
        store._db.execute(f"UPDATE runs SET {column} = {value}")
        with suppress(StoreError):
            for found in store.runs():
                assert isinstance(found, StoredRun)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("column", ["last_id", "counts"])
def test_a_place_of_another_type(tmp_path: Path, column: str, value: str) -> None:
    with SqliteStore(tmp_path / "runs.db") as store:
        store.put([], StoredSource(scope="", name="s"))
        store._db.execute(f"UPDATE sources SET {column} = {value}")
        with suppress(StoreError):
            assert isinstance(store.get_source("", "s"), StoredSource)


@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=4)), min_size=1))
def test_a_changed_state_is_read_or_refused(seed: int, changes: list[tuple[int, bytes]]) -> None:
    """Whatever bytes of a stored state have changed: a state that can be used, or a StoreError."""
    data = bytearray(encode_state(BUSY))
    for place, new in changes:
        at = place % len(data)
        data[at : at + len(new)] = new
    try:
        state = decode_state(bytes(data))
    except StoreError:
        return
    assert (state.text, state.messages, state.steps, state.run.to_dict()) is not None
    assert encode_state(state)


SECOND = """
import sys
from runstream import SqliteStore, StoreError
try:
    SqliteStore(sys.argv[1], timeout=0.1).close()
    print("opened")
except StoreError as error:
    print(error)
"""


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """With the reason; after the first one has closed the file it is welcome."""

    def second() -> str:
        command = [sys.executable, "-c", SECOND, str(tmp_path / "runs.db")]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    with SqliteStore(tmp_path / "runs.db") as store:
        found = second()
        assert f"in use by another process ({os.getpid()})" in found
        assert "one process uses a store at a time" in found
        store.put([run()])
    assert second() == "opened\n"


def test_a_second_store_of_this_process_is_refused(tmp_path: Path) -> None:
    """Also by another path to the same file. A store that could not be opened keeps nothing locked."""
    path = tmp_path / "runs.db"
    (tmp_path / "link.db").symlink_to(path)
    with SqliteStore(path), pytest.raises(StoreError, match="another store of this process"):
        SqliteStore(tmp_path / "link.db", timeout=0)
    path.write_bytes(b"no database, but long enough to be looked at" * 100)
    for _ in range(2):
        with pytest.raises(StoreError, match="no SQLite file"):
            SqliteStore(path, timeout=0)


def test_a_store_waits_for_the_one_before(tmp_path: Path) -> None:
    """A restart may begin before the old process has closed the file."""
    first = SqliteStore(tmp_path / "runs.db")
    closing_soon = threading.Timer(0.2, os.close, [first._lock._file])  # type: ignore[union-attr]
    closing_soon.start()
    SqliteStore(tmp_path / "runs.db", timeout=10).close()
    closing_soon.join()
    first._lock._file = None  # type: ignore[union-attr]
    first.close()
