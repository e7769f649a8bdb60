"""Documents in an engine: a change is one signal, a patch that fails one reject, and the bounds hold."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.engine.engine import Engine
from runstream.model.events import DocumentPatch, DocumentSnapshot, Reject
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent
from runstream.model.signals import DocumentChanged, Signal
from runstream.store.memory import MemoryStore
from tests.support.canonical import ListDialect, append, message, play, run

START = (run("queued"), run("in_progress"))


def snapshot(value: Any, **fields: Any) -> DocumentSnapshot:
    """A snapshot of the document of the run."""
    return DocumentSnapshot(value, run_id="run_1", name="snapshot", **fields)


def patch(*operations: Any, **fields: Any) -> DocumentPatch:
    """A patch of the document of the run."""
    return DocumentPatch(list(operations), run_id="run_1", name="patch", **fields)


def put(path: str, value: Any) -> dict[str, Any]:
    """An operation that adds a value."""
    return {"op": "add", "path": path, "value": value}


def changes(signals: Any) -> list[DocumentChanged]:
    """The signals of documents."""
    return [signal for signal in signals if isinstance(signal, DocumentChanged)]


def rejects_of(engine: Engine) -> list[Reject]:
    """The list that will have the rejects of an engine."""
    found: list[Reject] = []
    engine.on_reject = found.append
    return found


def test_each_change_is_one_signal_with_its_version() -> None:
    """The signal has the new document, and the operations that made it."""
    engine, signals = play([*START, snapshot({"a": 1}), patch(put("/b", [2]))])
    first, second = changes(signals)
    assert (first.key, first.version, first.value, first.operations) == ("run_1/document/1", 1, {"a": 1}, None)
    assert (second.key, second.value, second.operations) == ("run_1/document/2", {"a": 1, "b": [2]}, [put("/b", [2])])
    state = engine.states()[0]
    assert state.document == {"a": 1, "b": [2]}
    assert state.document_version == 2
    assert not state.document_partial
    assert second.to_dict()["value"] == {"a": 1, "b": [2]}


def test_a_run_without_a_document_has_none() -> None:
    """The version tells it from a document that is a null."""
    engine, _ = play(START)
    assert (engine.states()[0].document, engine.states()[0].document_version) == (None, 0)
    engine, signals = play([*START, snapshot(None)])
    assert (engine.states()[0].document, engine.states()[0].document_version) == (None, 1)
    assert changes(signals)[0].value is None


def test_a_patch_without_a_snapshot_changes_an_empty_object() -> None:
    """The base of the first patch is {}."""
    engine, _ = play([*START, patch(put("/a", 1))])
    assert engine.states()[0].document == {"a": 1}


def test_an_equal_snapshot_is_no_change() -> None:
    """The state stays the same object, and there is no signal; 1 and true are no equal values."""
    engine = Engine(clock=lambda: 1.0)
    _, signals = play([*START, snapshot({"a": [1]}), snapshot({"a": [1.0]})], engine)
    assert len(changes(signals)) == 1
    _, signals = play([*START, snapshot({"a": [1]}), snapshot({"a": [True]})])
    assert len(changes(signals)) == 2


def test_a_failed_patch_is_one_reject_and_marks_the_document() -> None:
    """It changes nothing, the reason is typed and quotes nothing, and later patches are applied."""
    engine = Engine(clock=lambda: 1.0)
    rejects = rejects_of(engine)
    failing = patch(put("/a", 2), {"op": "remove", "path": "/secret"})
    _, signals = play([*START, snapshot({"a": 1}), failing, patch(put("/c", 3))], engine)
    (reject,) = rejects
    assert reject.reason == "Operation 1 of the patch names a place that does not exist"
    assert "secret" not in reject.reason
    assert engine.stats().rejected == 1
    state = engine.states()[0]
    assert state.document == {"a": 1, "c": 3}
    assert state.document_partial
    assert [signal.partial for signal in changes(signals)] == [False, True]
    assert [signal.version for signal in changes(signals)] == [1, 2]


def test_a_snapshot_heals_a_partial_document() -> None:
    """Also one that equals the known document."""
    events = [*START, snapshot({"a": 1}), patch({"op": "remove", "path": "/x"}), snapshot({"a": 1})]
    engine, signals = play(events)
    assert not engine.states()[0].document_partial
    assert len(changes(signals)) == 1


def test_a_delivered_state_never_changes() -> None:
    """Each state has the document as it was, whatever patches follow; parts that did not change are shared."""
    engine = Engine(clock=lambda: 1.0)
    states: list[Any] = []
    engine.on_state = states.append
    wide = {f"k{n}": n for n in range(1000)}
    events = [*START, snapshot({"wide": wide, "list": [*range(5000)], "rest": {"a": [1]}})]
    events += [
        patch(put(f"/wide/k{n}", -n - 1), {"op": "remove", "path": f"/list/{n}"}, put("/list/-", n)) for n in range(50)
    ]
    play(events, engine)
    seen = [state.document for state in states if state.document_version]
    assert len(seen) == 51
    for version, document in enumerate(seen):
        assert dict(document["wide"]) == {**wide, **{f"k{n}": -n - 1 for n in range(version)}}
        expected = [*range(5000)]
        for n in range(version):
            del expected[n]
            expected.append(n)
        assert document["list"] == expected
        assert document["rest"] == {"a": [1]}


def test_a_document_is_read_only() -> None:
    """A subscriber can't change what others receive."""
    engine, signals = play([*START, snapshot({"a": [1]}), patch(put("/b", {}))])
    for document in (engine.states()[0].document, changes(signals)[-1].value):
        with pytest.raises(TypeError):
            document["a"] = 2
        with pytest.raises(AttributeError):
            document["a"].append(2)


def test_a_document_lets_a_text_grow_on() -> None:
    """It comes between two fragments and changes neither of them."""
    events = [*START, message(), append("msg_1", "text", "Hel"), snapshot({}), append("msg_1", "text", "lo")]
    engine, signals = play(events)
    assert engine.states()[0].text == "Hello"
    assert [signal.type for signal in signals[-3:]] == ["message.text", "document.changed", "message.text"]
    assert [signal.offset for signal in signals if signal.type == "message.text"] == [0, 3]  # type: ignore[attr-defined,union-attr]


def test_documents_of_other_paths_are_their_own() -> None:
    """The document of the run is that of the empty path; versions count all changes, so that no keys are equal."""
    events = [*START, snapshot({"a": 1}), snapshot({"b": 1}, path=("helper",)), patch(put("/c", 2), path=("helper",))]
    engine, signals = play(events)
    state = engine.states()[0]
    assert state.document == {"a": 1}
    assert state.documents == {(): {"a": 1}, ("helper",): {"b": 1, "c": 2}}
    assert [(signal.path, signal.key) for signal in changes(signals)] == [
        ((), "run_1/document/1"),
        (("helper",), "run_1/document/2"),
        (("helper",), "run_1/document/3"),
    ]
    assert state.paths == (("helper",),)


def test_a_document_before_its_run_waits_for_it() -> None:
    """It is kept until the run is seen."""
    engine, signals = play([snapshot({"a": 1}), patch(put("/b", 2)), *START])
    assert engine.states()[0].document == {"a": 1, "b": 2}
    assert [signal.version for signal in changes(signals)] == [1, 2]


def test_a_document_without_a_run_is_counted() -> None:
    """Nothing is lost in silence. With one open run, it is of that run."""
    engine, signals = play([DocumentSnapshot({"a": 1})])
    assert engine.stats().unattached == 1
    engine, signals = play([*START, DocumentSnapshot({"a": 1})])
    assert engine.states()[0].document == {"a": 1}
    assert len(changes(signals)) == 1


def test_repeated_ids_are_skipped() -> None:
    """A replay with ids changes nothing, and gives no second signal."""
    events = [*START, snapshot({"a": [1]}, id=1), patch(put("/a/-", 2), id=2)]
    engine, signals = play([*events, *events[2:]])
    assert engine.states()[0].document == {"a": [1, 2]}
    assert len(changes(signals)) == 2
    assert engine.stats().duplicates == 2


def test_other_content_under_a_known_id_counts() -> None:
    """It is applied, and counted as a conflict."""
    engine, _ = play([*START, snapshot({"a": 1}, id=1), snapshot({"a": 2}, id=1)])
    assert engine.states()[0].document == {"a": 2}
    assert engine.stats().conflicts == 1


@pytest.mark.parametrize("change", [snapshot({"a": "x" * 2000}), patch(put("/b", "x" * 2000))])
def test_the_size_of_a_run_bounds_its_document(change: Any) -> None:
    """A document that would exceed the bound is a reject, and the known one stays, marked."""
    engine = Engine(clock=lambda: 1.0, limits=Limits(max_run_size=1000))
    rejects = rejects_of(engine)
    play([*START, snapshot({"a": 1}), change], engine)
    assert "(max_run_size)" in rejects[0].reason
    assert engine.states()[0].document == {"a": 1}
    assert engine.states()[0].document_partial


def test_a_smaller_document_makes_room() -> None:
    """The size of the document counts as it is now, not what it was; messages count beside it."""
    engine = Engine(clock=lambda: 1.0, limits=Limits(max_run_size=1000))
    rejects = rejects_of(engine)
    play([*START, *[snapshot({"a": "x" * 700, "n": n}) for n in range(5)], message(), snapshot({})], engine)
    assert not rejects
    play([append("msg_1", "text", "y" * 900)], engine)
    assert not rejects
    play([snapshot({"a": "x" * 700})], engine)
    assert len(rejects) == 1


def test_copies_that_double_a_document_end_at_the_bound() -> None:
    """Fifty copies of the whole would have 2**50 values."""
    engine = Engine(clock=lambda: 1.0, limits=Limits(max_run_size=100_000))
    rejects = rejects_of(engine)
    doubling = [{"op": "copy", "from": "", "path": f"/k{n}"} for n in range(50)]
    play([*START, snapshot({"a": "x" * 100}), patch(*doubling)], engine)
    assert "makes the value too large (max_run_size)" in rejects[0].reason
    assert engine.states()[0].document == {"a": "x" * 100}


def test_the_number_of_operations_is_bounded() -> None:
    """A patch with more is one reject."""
    engine = Engine(clock=lambda: 1.0, limits=Limits(max_operations=3))
    rejects = rejects_of(engine)
    play([*START, patch(*[put("/a", n) for n in range(3)]), patch(*[put("/a", n) for n in range(4)])], engine)
    assert [reject.reason for reject in rejects] == ["Operation 3 of the patch is one too many (max_operations)"]


def test_the_number_of_documents_is_bounded() -> None:
    """Each path counts as one object of the run."""
    engine = Engine(clock=lambda: 1.0, limits=Limits(max_run_objects=2))
    rejects = rejects_of(engine)
    play([*START, *[snapshot({}, path=(str(n),)) for n in range(4)]], engine)
    assert len(rejects) == 2
    assert "(max_run_objects)" in rejects[0].reason
    assert len(engine.states()[0].documents) == 2


@pytest.mark.parametrize("operations", [None, 3, "add", {"op": "add"}, [1], [None], [{"op": "add"}], [{"path": ""}]])
def test_operations_that_are_none_are_a_reject(operations: Any) -> None:
    """Bad input is never an exception."""
    engine = Engine(clock=lambda: 1.0)
    rejects = rejects_of(engine)
    play([*START, DocumentPatch(operations, run_id="run_1")], engine)
    assert len(rejects) == 1
    assert "is malformed" in rejects[0].reason


def test_a_gap_marks_the_document() -> None:
    """A change may be among the events that were lost; the next snapshot heals it."""
    engine = Engine(clock=lambda: 1.0)
    events = [*START, message(), snapshot({"a": 1}), Reject(RawEvent(data=b"?"), "Not JSON", object_ids=None)]
    play(events, engine)
    assert engine.states()[0].document_partial
    play([snapshot({"a": 2})], engine)
    assert not engine.states()[0].document_partial


def test_a_restart_with_a_store_goes_on_with_the_next_version() -> None:
    """The document, its version and its mark are stored; patches go on from them, and no key repeats."""
    store = MemoryStore()
    before = Engine(clock=lambda: 1.0, store=store)
    events = [*START, snapshot({"a": [1], "t": True}), patch({"op": "remove", "path": "/x"}), patch(put("/a/-", 2.5))]
    _, first = play(events, before)
    after = Engine(clock=lambda: 1.0, store=store)
    _, second = play([patch(put("/a/-", 3))], after)
    state = after.states()[0]
    assert state.document == {"a": [1, 2.5, 3], "t": True}
    assert state.document_partial
    assert [signal.key for signal in changes([*first, *second])] == [f"run_1/document/{n}" for n in (1, 2, 3)]


def test_a_late_subscriber_has_the_document() -> None:
    """The state has it, so that who joins later needs no earlier signal."""
    engine = Engine(clock=lambda: 1.0)
    intake = engine.intake("server", dialect=ListDialect([*START, snapshot({"a": 1}), patch(put("/b", 2))]))
    intake.feed_all([RawEvent(data=str(n).encode()) for n in range(3)])
    signals: list[Signal] = []
    engine.on_signal = signals.append
    intake.feed(RawEvent(data=b"3"))
    assert changes(signals)[0].value == {"a": 1, "b": 2}


def test_a_document_after_the_end_of_its_run_counts() -> None:
    """The end of a run absorbs statuses; a server may send the last value behind it."""
    engine, signals = play([*START, run("completed"), snapshot({"a": 1})])
    assert engine.states()[0].document == {"a": 1}
    assert engine.states()[0].status == "completed"
    assert len(changes(signals)) == 1
