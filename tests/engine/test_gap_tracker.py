"""An event that can't be read is a gap: what it may have been about is marked partial until it is healed."""

from __future__ import annotations

import pytest
from msgspec import structs

from runstream.dialects.assistants import AssistantsDialect
from runstream.engine.engine import Engine
from runstream.engine.intake import Intake
from runstream.model.events import ActivityEvent, CustomEvent, DocumentPatch, DocumentSnapshot, EmptyEvent, Event
from runstream.model.raw import Answer, Oversized, RawEvent
from runstream.model.signals import ActivityChanged, DocumentChanged, Signal, TextDelta
from runstream.testing import Script
from tests.core.support import RUN, asking, at, decoded, ev
from tests.support.canonical import ListDialect, run
from tests.support.wire import function_call_delta, step_delta, step_object, tool_calls

DELTA = "thread.message.delta"


def telling() -> tuple[Engine, Intake, dict[str, str]]:
    """Two runs that each write a message; gives the messages' ids by run."""
    engine = Engine(clock=lambda: 1.0)
    intake = engine.intake("source")
    found = {}
    for run_id in ("run_1", "run_2"):
        message = Script(run_id).open_message().write("Hel")
        intake.feed_all(message.script.raw_events())
        found[run_id] = message.id
    return engine, intake, found


def partial(engine: Engine) -> set[str]:
    """The runs of which something open may miss pieces."""
    return {state.run_id for state in engine.states() if state.partial}


@pytest.mark.parametrize("enveloped", [False, True])
def test_an_id_says_which_run_misses_it(enveloped: bool) -> None:
    """Cut off behind the id: only that run's open objects are marked, and whoever fetches is told."""
    engine, intake, messages = telling()
    told: list[str] = []
    engine.on_gap = lambda state, why: told.append(f"{state.run_id}: {why}")
    cut = f'{{"id":"{messages["run_2"]}","delta":{{"cont'.encode()
    intake.feed(
        RawEvent(None, b'{"event":"%b","data":%b' % (DELTA.encode(), cut)) if enveloped else RawEvent(DELTA, cut)
    )
    assert partial(engine) == {"run_2"}
    assert told == ["run_2: an event could not be used"]
    state = engine.state("run_2")
    assert state is not None
    assert messages["run_2"] in state.partial
    assert engine.stats().gaps == 1


@pytest.mark.parametrize(
    "item",
    [
        RawEvent(DELTA, b'{"i'),
        RawEvent(DELTA, b'{"id":5,"delta":{}}'),
        RawEvent(None, b'{"event":"thread.run.step.delta","data":{"id"'),
        Oversized(line=1, size=10, limit=5, event=DELTA),
    ],
)
def test_without_an_id_it_may_be_any_of_the_source(item: RawEvent | Oversized) -> None:
    """All open runs of this source miss it, and none of another."""
    engine, intake, _ = telling()
    other = engine.intake("other", scope="elsewhere")
    other.feed_all(Script("run_3").open_message().write("Hel").script.raw_events())
    intake.feed(item)
    assert partial(engine) == {"run_1", "run_2"}


@pytest.mark.parametrize(
    "raw",
    [
        RawEvent(None, b"ping"),
        RawEvent(None, b"{"),
        RawEvent(None, b"\xff\xfe"),
        RawEvent("thread.run.in_progress", b'{"id":"run_1","sta'),
        RawEvent(None, b'{"event":"thread.run.queued","data":{"id":5}}'),
    ],
)
def test_what_carries_no_text_marks_nothing(raw: RawEvent) -> None:
    """Noise, and snapshots of runs, leave no hole in a text."""
    engine, intake, _ = telling()
    intake.feed(raw)
    assert engine.stats().rejected == 1
    assert partial(engine) == set()


def test_a_full_message_heals_it() -> None:
    """As after any gap."""
    script = Script("run_1")
    message = script.open_message().write("Hello").write(" there")
    lost = RawEvent(DELTA, script.raw_events()[-1].data[:-5])
    engine = Engine(clock=lambda: 1.0)
    intake = engine.intake("source")
    intake.feed_all([*script.raw_events()[:-1], lost])
    assert (engine.states()[0].text, partial(engine)) == ("Hello", {"run_1"})
    before = len(script.raw_events())
    message.close()
    intake.feed_all(script.raw_events()[before:])
    assert (engine.states()[0].text, partial(engine)) == ("Hello there", set())


def test_a_run_that_waits_when_its_source_ends_unconfirmed() -> None:
    """Its request was fetched, and the fragments before it were lost with the connection: its step is partial."""
    created = ev("run.step.created", step_object("step_1", RUN, tool_calls()))
    first = ev("run.step.delta", step_delta("step_1", function_call_delta(0, "{", id="call_1", name="f")))
    for again in (False, True):
        engine = Engine(clock=lambda: 1.0)
        intake = engine.intake("server")
        intake.connected()
        intake.feed_all([at("in_progress", 110), created, first])
        engine.apply_snapshots(intake.state, [asking("call_1")], AssistantsDialect())
        if again:
            intake.connected()
        intake.end()
        assert engine.states()[0].partial == ({"step_1"} if again else set())


def with_ids(raws: list[RawEvent], missing: set[int]) -> list[RawEvent]:
    """The events with ids that count, but for those at some places, which have none."""
    found, count = [], 0
    for place, raw in enumerate(raws):
        count += place not in missing
        found.append(structs.replace(raw, id=None if place in missing else str(count)))
    return found


@pytest.mark.parametrize("name", ["thread.run.created", "thread.message.created", None])
def test_the_next_id_proves_nothing_beside_snapshots_without_one(name: str | None) -> None:
    """A server that leaves out the id of one event may do so again: what was lost between two ids had none."""
    raws = Script("run_1").open_message().write("one ").write("two ").write("three ").write("four ").script.raw_events()
    early = {place for place, raw in enumerate(raws) if raw.event == name}
    lost = len(raws) - 2
    told = with_ids(raws, early | ({lost} if name else set()))
    engine = Engine(clock=lambda: 1.0)
    intake = engine.intake("source")
    intake.connected()
    intake.feed_all(told[:lost])
    intake.disconnected("lost")
    intake.connected()
    intake.feed_all(told[lost + 1 if name else lost :])
    (state,) = engine.states()
    assert state.text == ("one two four " if name else "one two three four ")
    assert bool(state.partial) is (name is not None)


@pytest.mark.parametrize("how", ["fetched", "answer", "polled"])
def test_what_is_fetched_has_no_id_and_takes_no_proof_away(how: str) -> None:
    """The ids of the stream stand for the stream alone."""
    raws = Script("run_1").open_message().write("one ").write("two ").write("three ").write("four ").script.raw_events()
    told = with_ids(raws, set())
    run = next(raw for raw in raws if raw.event == "thread.run.in_progress")
    engine = Engine(clock=lambda: 1.0)
    intake = engine.intake("source")
    intake.connected()
    intake.feed_all(told[:-2])
    intake.disconnected("lost")
    if how == "fetched":
        engine.apply_snapshots(intake.state, [run], AssistantsDialect())
    elif how == "answer":
        intake.feed(Answer(data=run.data))
    else:
        poll = engine.intake("poll")
        poll.snapshots = True
        poll.feed(run)
    intake.connected()
    intake.feed_all(told[-2:])
    (state,) = engine.states()
    assert (state.text, state.partial) == ("one two three four ", frozenset())


@pytest.mark.parametrize("ids", [False, True])
def test_a_second_source_sends_all_again_from_the_start(ids: bool) -> None:
    """Once the first one has ended, a `created` of the second one begins its object again; nothing counts twice."""
    raws = Script("run_1").open_message().write("one ").write("two ").write("three ").script.raw_events(ids=ids)
    engine = Engine(clock=lambda: 1.0)
    signals: list[Signal] = []
    engine.on_signal = signals.append
    first = engine.intake("first")
    first.feed_all(raws[:-1])
    first.end()
    second = engine.intake("second")
    second.feed_all(raws)
    (state,) = engine.states()
    assert (state.text, state.partial) == ("one two three ", frozenset())
    assert "".join(signal.delta for signal in signals if isinstance(signal, TextDelta)) == state.text


def test_a_second_source_beside_a_live_one_begins_nothing_again() -> None:
    """The first one goes on with its fragments: what is open stays, and is marked."""
    raws = Script("run_1").open_message().write("one ").write("two ").script.raw_events()
    engine = Engine(clock=lambda: 1.0)
    engine.intake("first").feed_all(raws[:-1])
    engine.intake("second").feed_all(raws[:-2])
    (state,) = engine.states()
    assert state.text == "one "
    assert state.partial


@pytest.mark.parametrize(("polled", "again"), [(False, False), (True, False), (False, True)])
def test_a_created_behind_fragments_of_its_source_begins_nothing(polled: bool, again: bool) -> None:
    """A source that goes on in the middle, or has sent the object before: the `created` is late, and erases nothing."""
    raws = Script("run_1").open_message().write("one ").write("two ").write("three ").script.raw_events()
    created = next(raw for raw in raws if raw.event == "thread.message.created")
    engine = Engine(clock=lambda: 1.0)
    second = engine.intake("second")
    if again:
        second.feed_all(raws[:-2])
    first = engine.intake("first")
    first.snapshots = polled
    first.feed_all(raws[: -3 if polled else -2])
    if not polled:
        first.end()
    second.feed_all(raws[-1:])
    (before,) = engine.states()
    second.feed(created)
    (state,) = engine.states()
    assert state.text == before.text
    assert state.partial


def test_an_object_that_an_ended_run_sends_again_is_marked() -> None:
    """A run ends while a step of it is open. The step is sent again from its beginning, and the connection is lost
    before its fragments, which have no ids: the next fragment is no true beginning of its text.
    """
    script = Script("run_1").start()
    script.call(first={"bc": "defg"})
    told = script.answer("1").end().raw_events()
    names = [raw.event for raw in told]
    created = names.index("thread.run.step.created")
    last = max(place for place, name in enumerate(names) if name == "thread.run.step.delta")
    identified = [
        structs.replace(raw, id=None if raw.event == "thread.run.step.delta" else f"{place * 7919 % 1009}x")
        for place, raw in enumerate(told)
    ]
    engine = Engine(clock=lambda: 1.0)
    intake = engine.intake("stream")
    for first, end in ((0, last + 1), (names.index("thread.run.step.completed") + 1, len(told)), (0, created + 1)):
        intake.connected()
        intake.feed_all(identified[first:end])
        intake.disconnected("lost")
    intake.connected()
    intake.feed(identified[last])
    (state,) = engine.states()
    (step,) = state.steps
    assert state.is_terminal
    assert not step.is_terminal
    assert state.partial == {step.id}


@pytest.mark.parametrize(
    ("answer", "marked"),
    [(at("completed", 110), True), (asking("call_1", started_at=2**31), True), (at("in_progress", 110), False)],
    ids=["ended", "waits", "goes on"],
)
def test_an_answer_that_ends_a_run_leaves_its_open_text_marked(answer: RawEvent, marked: bool) -> None:
    """Nothing came since the reconnect, and nothing more comes: what was lost with the connection is missing."""
    engine = Engine(clock=lambda: 1.0)
    intake = engine.intake("server")
    intake.connected()
    message = Script("run_1").open_message().write("Hel")
    intake.feed_all(message.script.raw_events())
    intake.disconnected("it broke off")
    intake.connected()
    assert partial(engine) == set()
    intake.feed(Answer(data=answer.data))
    assert partial(engine) == ({"run_1"} if marked else set())
    assert engine.states()[0].status == decoded(answer).data.status  # type: ignore[union-attr]


def on_a_second_connection(*events: list[Event]) -> tuple[Engine, list[Signal]]:
    """Canonical events of two connections, and the signals of the second one."""
    engine = Engine(clock=lambda: 1.0)
    signals: list[Signal] = []
    intake = engine.intake("stream", dialect=ListDialect([each for part in events for each in part]))
    place = 0
    for part in events:
        signals.clear()
        engine.on_signal = signals.append
        intake.connected()
        intake.feed_all([RawEvent(data=str(place + number).encode()) for number in range(len(part))])
        place += len(part)
        intake.disconnected("lost")
    return engine, [signal for signal in signals if isinstance(signal, DocumentChanged | ActivityChanged)]


_VALUES: list[Event] = [
    run("in_progress"),
    DocumentSnapshot({"l": []}, run_id="run_1"),
    ActivityEvent({"l": []}, run_id="run_1", activity_id="plan", kind="PLAN"),
]
_ADD = [{"op": "add", "path": "/l/-", "value": 1}]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("first", [[], [CustomEvent(1, name="x")], [EmptyEvent(run_id="run_1")]])
def test_a_change_of_a_value_shows_a_gap(first: list[Event], named: bool) -> None:
    """It may be the first event since the reconnect: its own signal is partial, and so is each further one."""
    run_id = "run_1" if named else None
    first = [structs.replace(each, run_id=run_id) if isinstance(each, CustomEvent) else each for each in first]
    changes: list[Event] = [
        DocumentPatch(_ADD, run_id=run_id),
        DocumentPatch(_ADD, run_id=run_id),
        ActivityEvent(run_id=run_id, activity_id="plan", operations=_ADD),
    ]
    for rotation in range(3):
        engine, signals = on_a_second_connection(_VALUES, [*first, *changes[rotation:], *changes[:rotation]])
        assert [signal.partial for signal in signals] == [True] * 3
        assert engine.stats().gaps == 1


def test_a_whole_value_after_a_gap_heals_it_alone() -> None:
    """A snapshot of the document says nothing of the activity."""
    change = ActivityEvent(run_id="run_1", activity_id="plan", operations=_ADD)
    engine, signals = on_a_second_connection(_VALUES, [DocumentSnapshot({"l": [2]}, run_id="run_1"), change])
    assert [signal.partial for signal in signals] == [False, True]
    (state,) = engine.states()
    assert not state.document_partial


def test_values_behind_the_start_of_their_run_show_no_gap() -> None:
    """The server sends all again."""
    begun = structs.replace(run("in_progress"), created=True)
    _, signals = on_a_second_connection(_VALUES, [begun, DocumentPatch(_ADD, run_id="run_1")])
    assert [signal.partial for signal in signals] == [False]
