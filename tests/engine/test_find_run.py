"""A dialect finds the run that waits for action by an id that its wire has."""

from __future__ import annotations

from typing import Any

from runstream import Engine, MemoryStore
from runstream.dialects.registry import FindRun
from tests.support.dialects import WordsDialect

ASKS = b"run_1 requires_action call_1 call_2"


class Finding(WordsDialect):
    """Keeps the function that it gets."""

    def __init__(self, *, find_run: FindRun | None = None) -> None:
        super().__init__()
        assert find_run is not None
        self.find_run = find_run


def finder(engine: Engine, scope: str = "") -> FindRun:
    made: list[Finding] = []

    def make(*, find_run: FindRun | None = None) -> Finding:
        made.append(Finding(find_run=find_run))
        return made[0]

    engine.intake("finder", scope=scope, dialect=make)
    return made[0].find_run


def test_a_waiting_run_is_found_by_its_id_and_its_calls() -> None:
    engine = Engine()
    find = finder(engine)
    assert find("run_1") is None
    intake = engine.intake("source", dialect=WordsDialect)
    intake.feed_all([b"run_1 in_progress"])
    assert find("run_1") is None
    intake.feed(ASKS)
    assert [find(id) for id in ("run_1", "call_1", "call_2", "call_3")] == ["run_1"] * 3 + [None]
    intake.feed(b"run_1 in_progress")
    assert [find(id) for id in ("run_1", "call_1")] == [None, None]


def test_a_run_of_another_scope_is_not_found() -> None:
    engine = Engine()
    find, other = finder(engine), finder(engine, "team")
    engine.intake("source", scope="team", dialect=WordsDialect).feed(ASKS)
    assert (find("run_1"), find("call_1")) == (None, None)
    assert (other("run_1"), other("call_1")) == ("run_1", "run_1")


def test_the_store_is_asked_for_a_run() -> None:
    """After a restart a run is found by its own id; from then on by its calls too."""
    store = MemoryStore()
    engine = Engine(store=store)
    engine.on_signal = lambda signal: None  # a state is stored when its signals are delivered
    engine.intake("source", dialect=WordsDialect).feed_all([ASKS, b"run_2 in_progress"])
    find = finder(Engine(store=store))
    assert [find(id) for id in ("call_1", "run_2", "run_3", "run_1", "call_1")] == [None, None, None, "run_1", "run_1"]


def test_a_run_is_found_while_a_dialect_decodes() -> None:
    """In the same engine, from inside ``decode``: the run of the source that ended."""

    class Answering(Finding):
        def decode(self, raw: Any) -> Any:
            decoded: Any = super().decode(raw)
            found.append(self.find_run("call_2"))
            return decoded

    found: list[str | None] = []
    engine = Engine()
    first = engine.intake("first", dialect=WordsDialect)
    first.feed(ASKS)
    first.end()
    engine.intake("second", dialect=Answering).feed(b"run_1 in_progress")
    assert found == ["run_1"]
