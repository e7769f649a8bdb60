"""Activities in an engine: content, patches, what is kept, keys and bounds."""

from __future__ import annotations

from typing import Any

from runstream.core.activities import change_activity
from runstream.engine.engine import Engine
from runstream.model.events import ActivityEvent, Reject
from runstream.model.limits import Limits
from runstream.model.signals import ActivityChanged
from runstream.store.codec import decode_state, encode_state
from runstream.store.memory import MemoryStore
from tests.support.canonical import play, run

START = (run("queued"), run("in_progress"))


def content(value: Any, id: str = "plan", kind: str = "PLAN", **fields: Any) -> ActivityEvent:
    """The content of an activity."""
    return ActivityEvent(value, activity_id=id, kind=kind, run_id="run_1", name="activity", **fields)


def patch(*operations: Any, id: str = "plan", kind: str = "", **fields: Any) -> ActivityEvent:
    """A patch of an activity."""
    return ActivityEvent(activity_id=id, kind=kind, operations=[*operations], run_id="run_1", name="activity", **fields)


def put(path: str, value: Any) -> dict[str, Any]:
    """An operation that adds a value."""
    return {"op": "add", "path": path, "value": value}


def changes(signals: Any) -> list[ActivityChanged]:
    """The signals of activities."""
    return [signal for signal in signals if isinstance(signal, ActivityChanged)]


def test_each_change_is_one_signal_with_its_version() -> None:
    """Versions count by activity; the ids in keys are encoded."""
    events = [*START, content({"steps": []}), content(1, id="a/b", kind="X"), patch(put("/steps/-", "go"))]
    engine, signals = play(events)
    assert [signal.key for signal in changes(signals)] == [
        "run_1/activity/plan/1",
        "run_1/activity/a%2Fb/1",
        "run_1/activity/plan/2",
    ]
    last = changes(signals)[-1]
    assert (last.kind, last.value, last.operations, last.partial) == (
        "PLAN",
        {"steps": ["go"]},
        [put("/steps/-", "go")],
        False,
    )
    state = engine.states()[0]
    assert [(each.id, each.kind, each.value, each.version) for each in state.activities] == [
        ("plan", "PLAN", {"steps": ["go"]}, 2),
        ("a/b", "X", 1, 1),
    ]
    found = state.activity("plan")
    assert found is not None
    assert found.to_dict()["value"] == {"steps": ["go"]}
    assert state.activity("none") is None


def test_a_content_that_does_not_replace_only_creates() -> None:
    """A known activity keeps its content."""
    engine, signals = play([*START, content(1, replace=False), content(2, replace=False), content(3)])
    assert [signal.value for signal in changes(signals)] == [1, 3]
    assert engine.states()[0].activities[0].version == 2


def test_an_equal_content_is_no_change() -> None:
    """Neither the state changes nor a signal follows; another kind is a change."""
    _, signals = play([*START, content({"a": 1}), content({"a": 1}), content({"a": 1}, kind="OTHER")])
    assert [signal.kind for signal in changes(signals)] == ["PLAN", "OTHER"]


def test_a_failed_patch_marks_the_activity_until_its_content() -> None:
    """It is one reject, and the content stays."""
    engine = Engine(clock=lambda: 1.0)
    rejects: list[Reject] = []
    engine.on_reject = rejects.append
    play([*START, content({"a": 1}), patch({"op": "remove", "path": "/b"})], engine)
    assert [reject.reason for reject in rejects] == ["Operation 0 of the patch names a place that does not exist"]
    (activity,) = engine.states()[0].activities
    assert (activity.value, activity.partial, activity.version) == ({"a": 1}, True, 1)
    _, signals = play([patch(put("/b", 2)), content({"a": 1, "b": 2}), content({"a": 2})], engine)
    assert [signal.partial for signal in changes(signals)] == [True, False]
    assert not engine.states()[0].activities[0].partial


def test_a_patch_of_an_unknown_activity() -> None:
    """Who joins late has what the patch sets, marked; a patch that needs the content is a reject."""
    engine, signals = play([*START, patch(put("/a", 1)), patch({"op": "remove", "path": "/x"}, id="other")])
    (activity,) = engine.states()[0].activities
    assert (activity.value, activity.partial) == ({"a": 1}, True)
    assert changes(signals)[0].partial
    assert engine.stats().rejected == 1


def test_the_path_of_an_activity() -> None:
    """It is that of its first content, in the state and in each signal."""
    engine, signals = play([*START, content(1, path=("helper",)), patch(put("", 2))])
    assert [signal.path for signal in changes(signals)] == [("helper",), ("helper",)]
    assert engine.states()[0].path_of("plan") == ("helper",)


def test_activities_are_stored() -> None:
    """All of their values, and the mark; the next change has the next version."""
    store = MemoryStore()
    events = [*START, content({"a": [1.5]}), content(None, id="b", kind="", path=("x", "y")), patch({"op": "no"})]
    engine, first = play(events, Engine(clock=lambda: 1.0, store=store))
    state = engine.states()[0]
    assert decode_state(encode_state(state)) == state
    assert decode_state(encode_state(state)).to_dict() == state.to_dict()
    after, second = play([patch(put("/b", 1))], Engine(clock=lambda: 1.0, store=store))
    assert [signal.key for signal in changes([*first, *second])] == [
        "run_1/activity/plan/1",
        "run_1/activity/b/1",
        "run_1/activity/plan/2",
    ]
    assert after.states()[0].activities[0].value == {"a": [1.5], "b": 1}


def test_the_number_and_the_size_of_activities_are_bounded() -> None:
    """They count with the messages and steps of the run."""
    engine = Engine(clock=lambda: 1.0, limits=Limits(max_run_objects=2, max_run_size=1000))
    rejects: list[Reject] = []
    engine.on_reject = rejects.append
    play([*START, *[content(n, id=str(n)) for n in range(3)], content("x" * 2000, id="0")], engine)
    assert ["max_run_objects" in rejects[0].reason, "max_run_size" in rejects[1].reason] == [True, True]
    assert [activity.value for activity in engine.states()[0].activities] == [0, 1]


def test_a_change_costs_the_same_with_many_activities() -> None:
    """Work per event does not grow with the number of activities."""
    engine, _ = play([*START, *[content(n, id=f"a{n}") for n in range(3000)]])
    before = engine.states()[0]._head.activities
    after, _ = change_activity(before, content(-1, id="a7"))
    assert [activity.id for activity in after] == [f"a{n}" for n in range(3000)]
    changed = [one is not other for one, other in zip(before.entries, after.entries, strict=True)]
    assert sum(changed) == 1  # one of the 32 branches
