"""Requests for action over connections, sources, polls and processes: each round once."""

from __future__ import annotations

from pathlib import Path

import pytest

from runstream.dialects.assistants import AssistantsDialect
from runstream.engine.engine import Engine
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent
from runstream.model.signals import ActionRequired, Signal
from runstream.store.sqlite import SqliteStore
from tests.core.support import RUN, asking, at, ev
from tests.support.wire import function_call, message_delta, message_object, step_object, tool_calls

CREATED = ev("run.created", {**RUN, "status": "queued"})
ASKS = asking("a", started_at=None)
ROUND = [at("in_progress"), ASKS, at("queued")]


def start(*names: str) -> tuple[Engine, list[Signal]]:
    """An engine, and its signals."""
    engine, signals = Engine(clock=lambda: 1.0), list[Signal]()
    engine.on_signal = signals.append
    return engine, signals


def rounds(signals: list[Signal]) -> list[str]:
    """The names of the requests."""
    return [signal.request for signal in signals if isinstance(signal, ActionRequired)]


def test_equal_rounds_are_rounds() -> None:
    """The same call with the same arguments in each round, from a server without times."""
    engine, signals = start()
    engine.intake("server").feed_all([CREATED, *ROUND, *ROUND, *ROUND])
    assert rounds(signals) == ["a", "a~2", "a~3"]
    assert engine.states()[0].round == 3


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_replay_of_equal_rounds(cut: int) -> None:
    """Cut anywhere and sent from the start: the state is as at the cut when the cut is reached, and all goes on."""
    story = [CREATED, *ROUND, *ROUND, at("in_progress"), at("completed")]
    engine, signals = start()
    intake = engine.intake("server")
    intake.connected()
    intake.feed_all(story[:cut])
    before = [(state.status, state.round) for state in engine.states()]
    for _ in range(2):
        intake.connected()
        intake.feed_all(story[:cut])
        assert [(state.status, state.round) for state in engine.states()] == before
    intake.feed_all(story[cut:])
    assert rounds(signals) == ["a", "a~2"]
    assert engine.states()[0].is_terminal


def test_a_connection_without_created_may_begin_anywhere() -> None:
    """What a server without ids and times sends again after a reconnect proves nothing."""
    engine, signals = start()
    intake = engine.intake("server")
    intake.connected()
    intake.feed_all([CREATED, *ROUND, at("in_progress")])
    intake.connected()
    intake.feed(ASKS)
    assert rounds(signals) == ["a"]


def test_a_poll_is_no_evidence() -> None:
    """A poll shows that the run went on, and then an old answer: no round. The stream's own order still counts."""
    engine, signals = start()
    stream, poll = engine.intake("server"), engine.intake("poll")
    poll.snapshots = True
    stream.feed_all([CREATED, at("in_progress"), ASKS])
    poll.feed_all([at("in_progress"), ASKS])
    engine.apply_snapshots(stream.state, [ASKS], AssistantsDialect())
    assert rounds(signals) == ["a"]
    stream.feed_all([at("in_progress"), ASKS])
    assert rounds(signals) == ["a", "a~2"]


def test_a_source_that_lags_behind() -> None:
    """Another source of the run sends old requests: only its own order counts for it."""
    engine, signals = start()
    first, second = engine.intake("first"), engine.intake("second")
    first.feed_all([CREATED, *ROUND, at("in_progress")])
    second.feed_all([CREATED, *ROUND, at("in_progress")])
    assert rounds(signals) == ["a"]
    second.feed(ASKS)
    assert rounds(signals) == ["a", "a~2"]
    first.feed(ASKS)
    assert rounds(signals) == ["a", "a~2"]
    assert engine.states()[0].run.requires_action


def test_the_source_that_answers_goes_on() -> None:
    """A submission's own stream shows the rest of the run, and asks again."""
    engine, signals = start()
    first = engine.intake("first")
    first.feed_all([CREATED, at("in_progress"), ASKS])
    first.end()
    engine.intake("second").feed_all([at("queued"), at("in_progress"), ASKS])
    assert rounds(signals) == ["a", "a~2"]


def test_the_end_of_a_step_shows_that_the_run_went_on() -> None:
    """The step of the awaited call is complete, though no status says so."""
    details = tool_calls(function_call("a", "look_up", "{}"))
    step = ev("run.step.created", step_object("step_1", RUN, details))
    done = ev("run.step.completed", step_object("step_1", RUN, details, status="completed"))
    engine, signals = start()
    engine.intake("server").feed_all([CREATED, at("in_progress"), step, ASKS, done, done, ASKS, ASKS])
    assert rounds(signals) == ["a", "a~2"]


@pytest.mark.parametrize("ids", [True, False])
def test_another_process_goes_on(tmp_path: Path, ids: bool) -> None:
    """With ids of events it continues with its place; without them a request that was made is an old one."""
    story = [CREATED, at("in_progress"), ASKS, at("queued"), at("in_progress"), ASKS, at("queued")]
    raws = [RawEvent(raw.event, raw.data, str(n), str(n)) for n, raw in enumerate(story)] if ids else story
    found: list[Signal] = []
    for part in (raws[:5], raws[5:]):
        with SqliteStore(tmp_path / "runs.db") as store:
            engine = Engine(store=store, clock=lambda: 1.0)
            engine.on_signal = found.append
            intake = engine.intake("server")
            intake.resume_from()
            intake.connected()
            intake.feed_all(part)
    assert rounds(found) == (["a", "a~2"] if ids else ["a"])


def user_message(number: int, **fields: object) -> RawEvent:
    """What a user says, as gateways relay it."""
    return ev("message.created", {**message_object(f"user_{number}", RUN), "run_id": None, "role": "user", **fields})


def test_messages_of_users_are_of_no_run() -> None:
    """They wait for no run, make no room for themselves and no gap; they are seen and counted."""
    engine = Engine(limits=Limits(max_orphans=2), clock=lambda: 1.0)
    events: list[object] = []
    engine.on_event = events.append
    intake = engine.intake("server")
    intake.feed_all([CREATED, at("in_progress"), ev("message.created", message_object("msg_1", RUN))])
    intake.feed(ev("message.delta", message_delta("msg_1", "Hel")))
    intake.feed_all([user_message(number) for number in range(10)])
    intake.feed(ev("message.delta", message_delta("msg_1", "lo")))
    (state,) = engine.states()
    assert (state.text, state.partial, len(state.messages)) == ("Hello", frozenset(), 1)
    stats = engine.stats()
    assert (stats.unattached, stats.orphans, stats.rejected, stats.gaps) == (10, 0, 0, 0)
    assert len(events) == 15


def test_a_users_message_that_names_its_run_is_the_runs() -> None:
    """A role alone decides nothing."""
    engine, _ = start()
    engine.intake("server").feed_all([CREATED, user_message(1, run_id="run_1")])
    assert [message.id for message in engine.states()[0].messages] == ["user_1"]
    assert engine.stats().unattached == 0


def test_a_message_without_a_run_is_of_the_only_open_one() -> None:
    """Of two open runs it is of none until something names it; a run of another thread is none either."""
    unnamed = ev("message.created", {**message_object("msg_1", RUN), "run_id": None})
    text = ev("message.delta", message_delta("msg_1", "Hello"))
    engine, _ = start()
    engine.intake("server").feed_all([CREATED, unnamed, text])
    assert engine.states()[0].text == "Hello"
    other = ev("run.created", {**RUN, "id": "run_2", "status": "queued"})
    engine, _ = start()
    intake = engine.intake("server")
    intake.feed_all([CREATED, other, unnamed, text])
    assert [state.text for state in engine.states()] == ["", ""]
    assert list(engine.orphans()) == ["msg_1"]
    intake.feed(ev("message.completed", message_object("msg_1", {**RUN, "id": "run_2"}, status="incomplete")))
    assert [len(state.messages) for state in engine.states()] == [0, 1]
    assert not engine.orphans()
    engine, _ = start()
    elsewhere = ev("message.created", {**message_object("msg_1", RUN), "run_id": None, "thread_id": "thread_9"})
    engine.intake("server").feed_all([CREATED, elsewhere])
    assert list(engine.orphans()) == ["msg_1"]


def test_a_source_that_takes_over_goes_on_with_all_runs_of_another() -> None:
    """It has continued one of its runs: fragments of the others are of them, though both sources are live."""
    engine, _ = start()
    first, second = engine.intake("first"), engine.intake("second")
    runs = [{**RUN, "id": f"run_{number}"} for number in (1, 2)]
    for run in runs:
        message = message_object(f"msg_{run['id']}", run)
        first.feed_all([ev("run.created", {**run, "status": "queued"}), ev("message.created", message)])
    second.feed(ev("message.delta", message_delta("msg_run_1", "a")))
    second.feed(ev("message.delta", message_delta("msg_run_2", "b")))
    assert [state.text for state in engine.states()] == ["a", "b"]


def test_a_source_with_a_run_of_its_own_does_not_enter_anothers() -> None:
    """A fragment of a message that it has not begun waits, until its message says whose it is."""
    engine, _ = start()
    first, second = engine.intake("first"), engine.intake("second")
    other = {**RUN, "id": "run_2"}
    first.feed_all([CREATED, ev("message.created", message_object("msg_0", RUN))])
    second.feed_all(
        [ev("run.created", {**other, "status": "queued"}), ev("message.delta", message_delta("msg_0", "b"))]
    )
    first.feed(ev("message.delta", message_delta("msg_0", "a")))
    assert [state.text for state in engine.states()] == ["a", ""]
    second.feed(ev("message.created", message_object("msg_0", other)))
    assert [state.text for state in engine.states()] == ["a", "b"]
    assert not engine.orphans()


def test_an_evicted_run_leaves_no_trace_in_its_sources() -> None:
    """Nor in the scope; another run with the same ids stays."""
    engine = Engine(limits=Limits(max_finished_runs=0), clock=lambda: 1.0)
    first, second, third = [engine.intake(name) for name in ("first", "second", "third")]
    other = {**RUN, "id": "run_2"}
    message = ev("message.created", message_object("msg_0", RUN))
    first.feed_all([CREATED, message])
    second.feed_all([at("in_progress"), message])
    third.feed_all(
        [ev("run.created", {**other, "status": "queued"}), ev("message.created", message_object("msg_0", other))]
    )
    second.feed(at("completed"))
    assert [state.run_id for state in engine.states()] == ["run_2"]
    assert (first.state.objects, second.state.objects) == ({}, {})
    scope = engine.registry.scopes[""]
    assert scope.objects == {"msg_0": scope.runs["run_2"]} == third.state.objects
    third.feed(ev("message.delta", message_delta("msg_0", "b")))
    assert engine.states()[0].text == "b"


def test_a_replay_whose_created_is_a_duplicate() -> None:
    """Some events have ids: `created` is skipped in the later connection, but the run is sent from its beginning."""
    details = tool_calls(function_call("a", "look_up", "{}"))
    done = ev("run.step.completed", step_object("step_1", RUN, details, status="completed"))
    created = ev("run.created", {**RUN, "status": "queued"}, "1")
    asks = asking("a", started_at=110)
    story = [created, at("queued"), at("in_progress", 110), asks, done]
    engine, signals = start()
    intake = engine.intake("server")
    intake.connected()
    intake.feed_all(story)
    for _ in range(2):
        intake.connected()
        intake.feed_all(story)
        assert rounds(signals) == ["a"]
    intake.feed_all([at("queued", 110), at("in_progress", 120), asking("a", started_at=120)])
    assert rounds(signals) == ["a", "a~2"]


@pytest.mark.parametrize("named", [range(20), range(0, 20, 2), range(0, 20, 3), range(1)])
@pytest.mark.parametrize("cut", range(1, 10))
def test_a_replay_of_rounds_with_some_ids(named: range, cut: int) -> None:
    """Equal requests without times, any of whose events are skipped: each round once, and the next one too."""
    plain = [CREATED, *ROUND, *ROUND, *ROUND, at("in_progress"), at("completed")]
    story = [
        RawEvent(event.event, event.data, str(number)) if number in named else event
        for number, event in enumerate(plain, 1 - named[0] if len(named) == 1 else 0)
    ]
    engine, signals = start()
    intake = engine.intake("server")
    intake.connected()
    intake.feed_all(story[:cut])
    before = [(state.status, state.round) for state in engine.states()]
    for _ in range(2):
        intake.connected()
        intake.feed_all(story[:cut])
        assert [(state.status, state.round) for state in engine.states()] == before
    intake.feed_all(story[cut:])
    assert rounds(signals) == ["a", "a~2", "a~3"]
    assert engine.states()[0].is_terminal
