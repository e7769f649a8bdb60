"""The signals of a snapshot: all values of a state, and no key twice."""

from __future__ import annotations

from typing import Any

from runstream.core.state_snapshot import StateSnapshot
from runstream.model.events import ActivityEvent, DocumentPatch, DocumentSnapshot
from runstream.model.signals import ActivityChanged, DocumentChanged
from tests.support.canonical import play, run


def test_documents_of_several_paths() -> None:
    """Each value once, the last change with its own number, and no two with one key."""
    events: list[Any] = [
        run("in_progress"),
        DocumentSnapshot({"a": 1}, run_id="run_1", name="snapshot"),
        DocumentSnapshot([1], run_id="run_1", name="snapshot", path=("sub",)),
        DocumentPatch([{"op": "add", "path": "/b", "value": 2}], run_id="run_1", name="patch"),
        ActivityEvent({"step": 1}, activity_id="plan", kind="PLAN", run_id="run_1", name="activity"),
    ]
    engine, emitted = play(events)
    (state,) = engine.states()
    found = StateSnapshot(state, (), 7.0).signals()
    documents = [signal for signal in found if isinstance(signal, DocumentChanged)]
    assert [(signal.path, signal.value) for signal in documents] == [(("sub",), [1]), ((), {"a": 1, "b": 2})]
    last = [signal for signal in emitted if isinstance(signal, DocumentChanged)][-1]
    assert (documents[-1].key, documents[-1].size) == (last.key, last.size)
    activities = [signal for signal in found if isinstance(signal, ActivityChanged)]
    assert [signal.key for signal in activities] == [
        signal.key for signal in emitted if isinstance(signal, ActivityChanged)
    ]
    assert len({signal.key for signal in found}) == len(found)
    assert {signal.at for signal in found} == {7.0}


def test_json_of_a_snapshot() -> None:
    """One line: whose it is, its status, and the signals as they are written elsewhere."""
    engine, _ = play([run("in_progress")])
    snapshot = StateSnapshot(engine.states()[0], (), 7.0)
    data = snapshot.to_dict()
    assert (data["type"], data["run_id"], data["status"]) == ("state.snapshot", "run_1", "in_progress")
    assert data["signals"] == [signal.to_dict() for signal in snapshot.signals()]
    assert [signal["type"] for signal in data["signals"]] == ["run.created", "run.status_changed"]
    assert "\n" not in snapshot.to_json()
