"""The journal at an engine: what is put, when, and what a later engine makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from runstream.engine.engine import Engine
from runstream.engine.fold import fold
from runstream.engine.intake import Intake
from runstream.engine.recovery import RecoveringIntake
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent
from runstream.model.signals import RunInterrupted, Signal
from runstream.store.base import StateStore
from runstream.store.memory import MemoryStore
from runstream.store.sqlite import SqliteStore
from runstream.testing import Script, events_of
from tests.core.support import asking, at
from tests.store.support import Killed, facts

HELLO = events_of("Hello there, friend.", ids=True)


def start(store: StateStore, on_signal: Callable[[Signal], None] | None = None) -> tuple[Engine, Intake, list[Signal]]:
    """A process: an engine with a source."""
    seen: list[Signal] = []
    engine = Engine(clock=lambda: 1.0, store=store)
    engine.on_signal = on_signal or seen.append
    return engine, engine.intake("server"), seen


def after(raws: list[RawEvent], last: str | None) -> list[RawEvent]:
    """What a server that resumes has still to tell."""
    return raws[[raw.id for raw in raws].index(last) + 1 :] if last is not None else raws


def test_nothing_is_put_at_fragments() -> None:
    """A put is made at signals other than progress: the store sees no fragment."""
    puts = 0

    class Counting(MemoryStore):
        def put(self, *args: Any) -> None:
            nonlocal puts
            puts += 1
            super().put(*args)

    raws = events_of("word " * 500, ids=True)
    _, intake, seen = start(Counting())
    intake.feed_all(raws)
    assert len(seen) > 500
    assert puts <= len(facts(seen))


def test_the_place_never_runs_ahead_of_a_state() -> None:
    """A signal of one run moves the place of the source: what grew of other runs is put with it."""
    one, other = Script("run_a").say("Hello there, friend."), Script("run_b").say("Hi.").end()
    told = one.raw_events(ids=True)
    raws = told[:-4] + other.raw_events(ids=True)
    store = MemoryStore()
    _, intake, _ = start(store)
    intake.feed_all(raws)
    _, later, _ = start(store)
    assert later.resume_from() == raws[-1 - (raws[-1].event == "done")].id
    kept = store.get("", "run_a")
    assert kept is not None
    assert kept.state is not None
    assert kept.state.text == fold(raws).runs[0].text != ""


def test_sources_that_never_say_connected() -> None:
    """Told from the start again: text is not doubled, though nobody spoke of a connection."""
    store = MemoryStore()
    first = next(number for number, raw in enumerate(HELLO) if raw.event == "thread.message.delta")
    for cut in (first + 1, first + 2, len(HELLO)):
        engine, intake, _ = start(store)
        intake.feed_all(HELLO[:cut])
        intake.disconnected("gone")  # puts what there is of the text
        assert engine.states()[0].text == fold(HELLO[:cut]).runs[0].text != ""


@pytest.mark.parametrize("ids", [True, False])
def test_what_is_filled_in_after_the_end_is_put(ids: bool) -> None:
    """Usage often comes later, without a signal: with the next put of its source it is kept."""
    done = at("completed", 5, completed_at=9)
    more = at("completed", 5, completed_at=9, usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
    store = MemoryStore()
    _, intake, _ = start(store)
    intake.connected()
    intake.feed_all([at("in_progress", 5), done, more])
    intake.end()
    kept = store.get("", "run_1")
    assert kept is not None
    assert kept.state is not None
    assert kept.state.usage is not None
    assert kept.state.usage.total_tokens == 3


def test_what_is_filled_in_after_a_restart_is_put() -> None:
    """Of a run whose end an earlier process saw: before the place of its source goes past it."""
    done = at("completed", 5, completed_at=9)
    more = at("completed", 5, completed_at=9, usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
    raws = [RawEvent(raw.event, raw.data, f"e{n}", f"e{n}") for n, raw in enumerate([at("in_progress", 5), done, more])]
    store = MemoryStore()
    _, intake, _ = start(store)
    intake.feed_all(raws[:2])
    _, intake, _ = start(store)
    intake.feed_all([raws[2], *Script("run_b").say("Hi.").raw_events(ids=True)])
    kept = store.get("", "run_1")
    assert kept is not None
    assert kept.state is not None
    assert kept.state.usage is not None


def test_numbers_of_delivered_keys_are_used_up() -> None:
    """Killed between the interruptions of two runs: the next interruption of the first is another fact."""
    store, seen = MemoryStore(), list[str]()

    def take(signal: Signal) -> None:
        if isinstance(signal, RunInterrupted):
            if signal.run_id == "run_b":
                raise Killed
            seen.append(signal.key)

    _, intake, _ = start(store, take)
    told = [Script(f"run_{name}").start().raw_events(ids=True) for name in "ab"]
    intake.feed_all(told[0] + told[1])
    with pytest.raises(Killed):
        intake.end()
    assert seen == ["run_a/interrupted/1"]
    _, intake, later = start(store)
    intake.end()
    assert [s.key for s in later if isinstance(s, RunInterrupted)] == ["run_a/interrupted/2", "run_b/interrupted/1"]


def test_a_pause_that_was_told_is_not_told_again() -> None:
    """The round for which it was told is kept."""
    store = MemoryStore()
    raws = [at("in_progress", 5), asking("call_1")]
    keys = []
    for _ in range(2):
        _, intake, seen = start(store)
        intake.feed_all(raws)
        intake.end()
        keys += facts(seen)
    assert keys.count("run_1/paused/1") == 1


def test_a_replay_that_was_under_way_is_still_one() -> None:
    """Servers that give no `started_at`: what was told before the request is old, after a restart too."""
    told = [at("queued"), at("in_progress"), asking("call_1", started_at=None), at("queued")]
    told[0] = RawEvent("thread.run.created", told[0].data, last_id="7")
    store = MemoryStore()
    _, intake, _ = start(store)
    intake.connected()
    intake.feed_all([*told, told[0]])
    intake.disconnected("gone")
    engine, intake, again = start(store)
    intake.feed(told[1])
    assert engine.states()[0].status == "queued"
    assert facts(again) == []


def test_what_watchdogs_say_is_kept_without_the_state() -> None:
    """`run.stalled` belongs to no source: its key is noted at once, and the state waits for its source's place."""
    store = MemoryStore()
    cut = next(n for n, raw in enumerate(HELLO) if raw.event == "thread.message.delta") + 2
    engine, intake, seen = start(store)
    intake.feed_all(HELLO[:cut])
    record = engine.registry.record("", "run_1")
    assert record is not None
    engine.stall(record, 5.0, "idle")
    assert seen[-1].key == "run_1/stalled/1"
    engine, intake, again = start(store)
    record = engine.registry.record("", "run_1")
    assert record is not None
    engine.stall(record, 5.0, "idle")
    assert again[-1].key == "run_1/stalled/2"
    intake.resume_from()
    intake.feed_all(after(HELLO, intake.last_id))
    assert engine.states()[0].text == "Hello there, friend."
    kept = store.get("", "run_1")
    assert kept is not None
    assert kept.stalled == 2
    assert kept.delivered == ()


def test_scopes_are_kept_apart() -> None:
    """The same ids in two scopes are two runs and two sources."""
    store = MemoryStore()
    for scope in ("a", "b"):
        engine = Engine(store=store)
        seen: list[Signal] = []
        engine.on_signal = seen.append
        engine.intake("server", scope=scope).feed_all(HELLO)
        assert facts(seen) == facts(fold(HELLO, scope=scope).signals)
        assert [state.scope for state in engine.states()] == [scope]


def test_a_callback_that_raises_leaves_its_event_unput() -> None:
    """At an engine, what a callback raises comes through: for the store the event was not received."""
    store = MemoryStore()

    def take(signal: Signal) -> None:
        if signal.key.endswith("/created") and "/message/" in signal.key:
            raise ZeroDivisionError

    _, intake, _ = start(store, take)
    with pytest.raises(ZeroDivisionError):
        intake.feed_all(HELLO)
    _, intake, seen = start(store)
    intake.feed_all(after(HELLO, intake.resume_from()))
    assert "/message/" in facts(seen)[0]


@pytest.mark.parametrize("sqlite", [False, True])
@pytest.mark.parametrize("how", ["polled", "fed from inside"])
def test_what_another_source_puts_is_put_with_the_place_of_its_own(how: str, sqlite: bool) -> None:
    """A poll beside the stream of a run has something to say in the middle of a text, or a subscriber feeds the stream
    while something else is told: what the stream is asked to go on with is not in the state already.
    """
    text = [raw.event for raw in HELLO].index("thread.message.delta") + 2
    with SqliteStore(":memory:") as file:
        store: StateStore = file if sqlite else MemoryStore()
        engine, stream, _ = start(store)
        other = engine.intake("other")
        stream.connected()
        if how == "polled":
            stream.feed_all(HELLO[:text])
            other.snapshots = True
            running = next(raw for raw in HELLO if raw.event == "thread.run.in_progress")
            data = running.data.replace(b'"status":"in_progress"', b'"status":"cancelling"')
            other.feed(RawEvent("thread.run.cancelling", data))
        else:
            engine.on_signal = lambda signal: stream.feed_all(HELLO[:text]) if "run_b" in signal.key else None
            other.feed(Script("run_b").raw_events(ids=True)[0])
        kept = store.get("", "run_1")
        assert kept is not None
        assert kept.state is not None
        assert kept.state.text == fold(HELLO[:text]).runs[0].text != ""
        engine, later, _ = start(store)
        rest = after(HELLO, later.resume_from())
        later.connected()
        later.feed_all(rest[:2])
        state = next(state for state in engine.states() if state.run_id == "run_1")
        assert rest == HELLO[text:]
        assert state.text == fold(HELLO[: text + 2]).runs[0].text
        assert not state.partial


def counted(raws: Iterable[RawEvent], after: int, *, fragments: bool) -> list[RawEvent]:
    """With ids that count on after one; those of fragments too, or none for these."""
    number, made = after, []
    for raw in raws:
        has_one = fragments or raw.event != "thread.message.delta"
        number += has_one
        made.append(RawEvent(raw.event, raw.data, f"{number}", f"{number}") if has_one else raw)
    return made


@pytest.mark.parametrize("put", [False, True])
@pytest.mark.parametrize("fragments", [False, True])
def test_whether_fragments_had_ids_is_remembered(fragments: bool, put: bool, tmp_path: Path) -> None:
    """The process is killed in the middle of a text, before or after a put that has some of it; the next one resumes,
    and the next id comes. Where fragments had none, it is no proof that none was missed; where all had one, it is.
    """
    hello, other = events_of("Hello there, my dear friend."), Script("run_b").say("Hi.").end().raw_events()
    text = [raw.event for raw in hello].index("thread.message.delta")
    with SqliteStore(tmp_path / "runs.db") as store:
        _, intake, _ = start(store)
        intake.connected()
        intake.feed_all(counted([*hello[: text + 2], *other[:put]], 0, fragments=fragments))
    with SqliteStore(tmp_path / "runs.db") as store:
        engine, intake, _ = start(store)
        last = intake.resume_from()
        assert last is not None
        intake.connected()
        # Fragments without ids are gone for good, the others come again from where the store is.
        mark_partial = text + 3 if not fragments else text + 2 if put else text
        intake.feed_all(counted([other[put], *hello[mark_partial : text + 4]], int(last), fragments=fragments))
        state = next(state for state in engine.states() if state.run_id == "run_1")
        assert bool(state.partial) is not fragments
        assert engine.stats().gaps == (not fragments)
        assert (state.text == fold(hello[: text + 4]).runs[0].text) is fragments


@pytest.mark.parametrize(
    "told", [Script().say("Hello there, my dear friend."), Script().call(weather={"city": "Bonn"})]
)
def test_the_first_fragment_without_an_id_is_remembered(told: Script) -> None:
    """Though it is one of many of a text, or of arguments, that grow already."""
    raws = told.raw_events(ids=True)
    deltas = [at for at, raw in enumerate(raws) if str(raw.event).endswith(".delta")]
    store = MemoryStore()
    _, intake, _ = start(store)
    intake.feed_all(raws[: deltas[-1]])
    (kept,) = store.runs()
    assert not kept.unidentified
    raw = raws[deltas[-1]]
    intake.feed(RawEvent(raw.event, raw.data))
    (kept,) = store.runs()
    assert kept.unidentified


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_what_is_fed_from_inside_leaves_the_turn_open(batch: bool, same: bool) -> None:
    """An event that a subscriber feeds while another is being told is part of its turn: the process dies at the signal
    that comes next, and the later one is told that signal again.
    """
    store, seen = MemoryStore(), list[Signal]()
    first, second = Script("run_a").say("Hello.").end().raw_events(ids=True), Script("run_b").raw_events(ids=True)
    dies = ""

    def take(signal: Signal) -> None:
        if signal.key == dies:
            raise Killed
        seen.append(signal)
        if len(told) > 1 and signal.key == told[-2]:
            if batch:
                inner.feed_all(second)
            else:
                inner.feed(second[0])

    told: list[str] = []
    clean = Engine(clock=lambda: 1.0)
    clean.on_signal = lambda signal: told.extend(facts([signal]))
    whole = clean.intake("server")
    for raw in first:
        told.clear()
        whole.feed(raw)
        if len(told) > 1:
            break
    else:
        pytest.fail("no event gives two signals")
    dies = told[-1]
    engine, outer, _ = start(store, take)
    inner = outer if same else engine.intake("other")
    with pytest.raises(Killed):
        list(map(outer.feed, first))
    _, later, again = start(store)
    for each in after(first, later.resume_from()):
        later.feed(each)
    assert dies in facts(again)


@pytest.mark.slow
@pytest.mark.parametrize("sqlite", [False, True])
def test_nothing_grows_with_the_runs(sqlite: bool) -> None:
    """After many runs, each with a source of its own, the journal and the store hold what their bounds say."""
    with SqliteStore(":memory:", max_finished_runs=20) as file:
        store: StateStore = file if sqlite else MemoryStore(max_finished_runs=20)
        engine = Engine(limits=Limits(max_finished_runs=10), store=store)
        engine.on_signal = lambda signal: None
        gateway = engine.intake("gateway")
        for number in range(300):
            gateway.feed_all(events_of("Hi.", run_id=f"run_{number}", ids=True))
            own = engine.intake(f"source {number}")
            own.feed_all(events_of("Hi.", run_id=f"own_{number}", ids=True))
            own.end()
        journal: Any = engine.journal
        assert [journal._keys, journal._queues, journal._detached, journal._restored] == [{}, {}, {}, {}]
        assert isinstance(gateway, RecoveringIntake)
        assert len(gateway.state._late) <= 65
        assert len(list(store.runs(ended_since=0.0))) <= 300
        # A later process takes up what its own limits say.
        later = Engine(limits=Limits(max_finished_runs=5), store=store)
        later.intake("gateway")
        assert later.stats().finished_runs == 5


def test_forgotten_runs_are_not_read_again() -> None:
    """What this engine has evicted stays quiet without a look into the store."""
    reads = 0

    class Counting(MemoryStore):
        def get(self, scope: str, run_id: str) -> Any:
            nonlocal reads
            reads += 1
            return super().get(scope, run_id)

    engine = Engine(limits=Limits(max_finished_runs=1), store=Counting())
    seen: list[Signal] = []
    engine.on_signal = seen.append
    intake = engine.intake("server")
    for number in range(3):
        intake.feed_all(events_of("Hi.", run_id=f"run_{number}"))
    before, told = reads, len(seen)
    intake.feed_all(events_of("Hi.", run_id="run_0"))
    assert (reads, len(seen)) == (before, told)
    assert engine.stats().late


@pytest.mark.parametrize("mended", [False, True])
def test_nothing_is_delivered_after_a_store_failure_progress_neither(mended: bool) -> None:
    """Text that a restart could not know of would be emitted twice; callbacks that are set later change nothing."""

    class Failing(MemoryStore):
        def deliver(self, scope: str, run_id: str, key: str) -> None:
            raise OSError("disk full")

    engine, intake, seen = start(Failing())
    failures: list[Exception] = []
    assert engine.journal is not None
    engine.journal.on_failure = failures.append
    raws = events_of("Hello there, friend.", ids=True)
    intake.feed_all(raws[:2])
    assert [type(failure).__name__ for failure in failures] == ["StoreError"]
    delivered = len(seen)
    if mended:
        engine.on_signal = seen.append
        engine.progress = True
        engine.on_progress = seen.append
    intake.feed_all(raws[2:])
    assert len(seen) == delivered
    assert engine.states()[0].text == "Hello there, friend."
