"""The memory of a dialect is stored in one step with the states, and a later decoder of the source gets it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runstream.engine.engine import Engine
from runstream.engine.fold import fold
from runstream.model.raw import RawEvent
from runstream.store.base import StateStore, StoredRun, StoredSource
from runstream.store.memory import MemoryStore
from runstream.store.sqlite import SqliteStore
from tests.store.support import Killed, KillingStore, facts
from tests.support.dialects import RelativeDialect, WordsDialect

WORDS = ("begin run_1", "say one", "say two", "say three", "end", "begin run_2", "say four", "end")
RAWS = [RawEvent(None, word.encode(), str(number), at=float(number)) for number, word in enumerate(WORDS, 1)]
CLEAN = fold(RAWS, dialect=RelativeDialect, clock=lambda: 1.0)


def test_the_dialect_of_this_test_needs_its_memory() -> None:
    """From its middle alone, the stream says nothing."""
    assert [state.text for state in CLEAN.runs] == ["onetwothree", "four"]
    assert len(fold(RAWS[2:5], dialect=RelativeDialect).rejects) == 3


class Life:
    """One process: it reads on from its place, and dies at a moment of its writes or before an item."""

    def __init__(self, store: StateStore, *, writes: int = -1, items: int = 99) -> None:
        self.signals: list[Any] = []
        self.rejects: list[Any] = []
        self.writes = writes
        engine = Engine(store=KillingStore(store, self._tick), clock=lambda: 1.0)
        engine.on_signal = self.signals.append
        engine.on_reject = self.rejects.append
        intake = engine.intake("server", dialect=RelativeDialect)
        place = int(intake.resume_from() or 0)
        self.killed = True
        try:
            intake.feed_all(RAWS[place:items])
        except Killed:
            return
        self.killed = items < len(RAWS)

    def _tick(self) -> None:
        self.writes -= 1
        if self.writes == 0:
            raise Killed


@pytest.mark.parametrize("items", range(len(RAWS)))
def test_killed_before_any_item_nothing_is_lost(items: int) -> None:
    store = MemoryStore()
    first, second = Life(store, items=items), Life(store)
    assert [*first.rejects, *second.rejects] == []
    assert list(dict.fromkeys(facts([*first.signals, *second.signals]))) == facts(CLEAN.signals)
    kept = [store.get("", state.run_id) for state in CLEAN.runs]
    assert [each.state.text for each in kept if each is not None and each.state is not None] == [
        state.text for state in CLEAN.runs
    ]


@pytest.mark.parametrize("sqlite", [False, True], ids=["memory", "sqlite"])
def test_killed_at_any_write_nothing_is_lost(sqlite: bool) -> None:
    """States, place and memory are one write: whichever moment it dies at, the next process decodes the rest."""
    writes, killed = 1, True
    while killed:
        store: Any = SqliteStore(":memory:") if sqlite else MemoryStore()
        first = Life(store, writes=writes)
        killed = first.killed
        second = Life(store)
        assert [*first.rejects, *second.rejects] == []
        delivered = facts([*first.signals, *second.signals])
        assert list(dict.fromkeys(delivered)) == facts(CLEAN.signals), writes
        assert len(delivered) - len(set(delivered)) <= 1
        if sqlite:
            store.close()
        writes += 1
    assert writes > len(RAWS)


class Counting(MemoryStore):
    """A store that keeps all that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.puts: list[tuple[tuple[StoredRun, ...], StoredSource | None]] = []

    def put(self, runs: Sequence[StoredRun], source: StoredSource | None = None) -> None:
        self.puts.append((tuple(runs), source))
        super().put(runs, source)


def engine_of(store: StateStore) -> Engine:
    """An engine whose signals are delivered."""
    engine = Engine(store=store)
    engine.on_signal = lambda signal: None
    return engine


def test_a_dialect_without_memory_writes_none() -> None:
    """Without ids, and without a memory, a state is written without a place."""
    store = Counting()
    intake = engine_of(store).intake("words", dialect=WordsDialect)
    intake.feed_all([b"run_1 queued", b"run_1 in_progress"])
    assert [(len(runs), source) for runs, source in store.puts] == [
        (1, StoredSource(scope="", name="words")),
        (1, None),
    ]


def test_only_a_memory_that_changed_is_written() -> None:
    """A source without ids has a place only where its dialect's memory is another one."""

    class Same(WordsDialect):
        def dump(self) -> bytes:
            return b"same"

    store = Counting()
    engine_of(store).intake("words", dialect=Same).feed_all([b"run_1 queued", b"run_1 in_progress"])
    assert [source.memory if source is not None else None for _, source in store.puts] == [b"same", None]
    stored = Engine(store=store).intake("words", dialect=lambda *, memory: Seen(memory))
    assert stored.name == "words"
    assert Seen.last == b"same"


class Seen(WordsDialect):
    """Notes the memory that it gets."""

    last: bytes | None = None

    def __init__(self, memory: bytes | None) -> None:
        super().__init__(memory=memory)
        Seen.last = memory


def test_another_scope_or_name_gets_no_memory() -> None:
    store = MemoryStore()
    engine_of(store).intake("server", dialect=RelativeDialect).feed_all(RAWS[:2])
    for name, scope in (("other", ""), ("server", "team")):
        Engine(store=store).intake(name, scope=scope, dialect=lambda *, memory: Seen(memory))
        assert Seen.last is None
    Engine(store=store).intake("server", dialect=lambda *, memory: Seen(memory))
    assert Seen.last == b'["run_1", 1]'


CONSUMER = """
import os, signal, sys
from runstream import Engine, SqliteStore
from tests.store.test_dialect_memory import RAWS
from tests.support.dialects import RelativeDialect
path, items, log = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with SqliteStore(path) as store, open(log, "a") as out:
    engine = Engine(store=store)
    engine.on_signal = lambda signal: print(signal.key, file=out, flush=True)
    engine.on_reject = lambda reject: print("reject", reject.reason, file=out, flush=True)
    intake = engine.intake("server", dialect=RelativeDialect)
    for raw in RAWS[int(intake.resume_from() or 0):]:
        if items == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        intake.feed(raw)
        items -= 1
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is POSIX")
def test_a_killed_process_goes_on_with_the_memory(tmp_path: Path) -> None:
    """Killed after each two items, by SIGKILL: the next process decodes what names no run."""
    log = tmp_path / "log"
    for _ in range(len(RAWS)):
        process = subprocess.run(
            [sys.executable, "-c", CONSUMER, tmp_path / "runs.db", "2", log],
            cwd=Path(__file__).parents[2],
            env=dict(os.environ),
            timeout=60,
            check=False,
        )
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert process.returncode == 0
    lines = log.read_text().splitlines()
    assert not [line for line in lines if line.startswith("reject")]
    assert [line for line in dict.fromkeys(lines) if line in facts(CLEAN.signals)] == facts(CLEAN.signals)
    with SqliteStore(tmp_path / "runs.db") as store:
        kept = store.get("", "run_1")
        assert kept is not None
        assert kept.state is not None
        assert kept.state.text == CLEAN.runs[0].text
