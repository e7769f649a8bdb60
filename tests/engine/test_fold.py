"""`fold`: a whole stream in, everything that became of it out."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runstream.dialects.assistants import AssistantsDialect
from runstream.engine.fold import Folded, fold, fold_sources
from runstream.model.limits import Limits
from runstream.model.raw import ConnectionEvent, RawEvent
from runstream.model.raw_input import raw_item
from runstream.model.signals import MessageCreated, SourceSignal
from runstream.testing import script
from tests.core.support import RUN, asking, at, ev
from tests.support.dialects import WordsDialect
from tests.support.wire import function_call_delta, message_delta, message_object, step_delta

FRAME: dict[str, Any] = {"event": "thread.run.queued", "data": {"id": "run_1", "status": "queued"}}


@pytest.mark.parametrize(
    "item", [FRAME, json.dumps(FRAME), json.dumps(FRAME).encode(), RawEvent(data=json.dumps(FRAME).encode())]
)
def test_what_may_go_in(item: Any) -> None:
    """Raw events, and JSON envelopes as bytes, text or mappings."""
    assert [state.run_id for state in fold([item]).runs] == ["run_1"]


def test_text_with_a_lone_surrogate_is_read_but_for_it() -> None:
    """A string that no bytes stand for never raises."""
    folded = fold(['{"event":"x","data":"\ud800"}'], dialect="assistants")
    assert (folded.stats.unknown, folded.rejects) == (1, ())
    assert isinstance(raw_item("\ud800"), RawEvent)


def test_input_that_can_be_no_event_is_a_reject() -> None:
    """Whatever it is, and nothing is raised."""
    items: list[Any] = [FRAME, 7, None, {"a": object()}, FRAME]
    folded = fold(items)
    assert len(folded.rejects) == 3
    assert [state.run_id for state in folded.runs] == ["run_1"]


def test_connections_are_told() -> None:
    """The items of a recording say that a connection was lost, and made again."""
    items: list[Any] = [
        ConnectionEvent(connected=True),
        FRAME,
        ConnectionEvent(connected=False, reason="lost", attempt=1),
        ConnectionEvent(connected=True, attempt=1),
    ]
    told = [found for found in fold(items).signals if isinstance(found, SourceSignal)]
    assert [(found.type, found.reason, found.attempt) for found in told] == [
        ("source.connected", "", 0),
        ("source.disconnected", "lost", 1),
        ("source.resumed", "", 1),
        ("source.ended", "the stream ended", 0),
    ]


@pytest.mark.parametrize("single", ["run.sse", b"{}", {"a": 1}, RawEvent(), 5, None, Path("run.sse")])
def test_a_single_item_or_a_path_is_no_stream(single: Any) -> None:
    """A text is not folded character by character: the error says how a file is read."""
    for call in (lambda: fold(single), lambda: fold_sources([("a", single)])):
        with pytest.raises(TypeError, match=r"is no stream: .*; read_recording\(path\) reads a file"):
            call()


def test_an_empty_stream() -> None:
    """Nothing in, nothing out but the source's end."""
    folded = fold([])
    assert (folded.runs, folded.rejects, dict(folded.orphans)) == ((), (), {})
    assert [signal.type for signal in folded.signals] == ["source.ended"]


def test_runs_in_order_of_appearance() -> None:
    """The runs stand in the order in which they were first seen, whenever they end."""
    raws = [ev("run.queued", {**RUN, "id": f"run_{number}"}) for number in (3, 1, 2)]
    raws += [ev("run.failed", {**RUN, "id": f"run_{number}", "status": "failed"}) for number in (2, 3)]
    assert [state.run_id for state in fold(raws).runs] == ["run_3", "run_1", "run_2"]


def test_runs_never_seen_are_orphans() -> None:
    """What speaks of runs never seen is kept by the id that it speaks of: of the run where known."""
    raws = [
        ev("message.created", message_object("msg_1", {**RUN, "id": "run_9"})),
        ev("message.delta", message_delta("msg_1", "Hi")),
        ev("run.step.delta", step_delta("step_5", function_call_delta(0, "{"))),
    ]
    folded = fold(raws)
    assert {id: [event.event for event in events] for id, events in folded.orphans.items()} == {
        "run_9": ["thread.message.created", "thread.message.delta"],
        "step_5": ["thread.run.step.delta"],
    }
    assert folded.stats.orphans == 3


def test_rejects_name_source_and_line() -> None:
    """Input that could not be used is kept with its place and reason; the stream goes on."""
    folded = fold([RawEvent(data=b"junk", line=3), at("queued")], name="a.jsonl")
    (reject,) = folded.rejects
    assert (reject.where, reject.raw.data) == ("a.jsonl:3", b"junk")
    assert reject.reason
    assert len(folded.runs) == 1
    assert (folded.stats.events, folded.stats.rejected) == (1, 1)


def test_several_sources_go_on_with_what_one_leaves() -> None:
    """A function call over two streams is one run: paused between them, action required once, completed once."""
    first, second = script("run_1").call(look_up={"a": 1}).answer("x").say("Done").end().streams[:2]
    folded = fold_sources([("one.sse", [told.raw() for told in first]), ("two.sse", [told.raw() for told in second])])
    types = [signal.type for signal in folded.signals]
    assert len(folded.runs) == 1
    for once in ("run.created", "run.action_required", "run.paused", "run.completed", "tool_call.completed"):
        assert types.count(once) == 1, once
    assert types.count("source.ended") == 2
    assert types.index("run.action_required") < types.index("run.paused") < types.index("run.completed")
    assert [s.source for s in folded.signals if s.type == "source.ended"] == ["one.sse", "two.sse"]  # type: ignore[union-attr]


def test_ids_are_not_compared_across_sources() -> None:
    """Identity is scoped to one source: two files may use the same ids for different events."""
    one = ev("run.queued", RUN, "1")
    two = ev("run.queued", {**RUN, "id": "run_2"}, "1")
    folded = fold_sources([("a", [one, one]), ("b", [two, one])])
    assert [state.run_id for state in folded.runs] == ["run_1", "run_2"]
    assert (folded.stats.duplicates, folded.stats.conflicts) == (1, 1)


def test_sources_of_one_name_are_told_apart() -> None:
    """The same file twice: nothing is new the second time, and no two signals have one key."""
    story = script("run_1").say("Hello").end().raw_events()
    folded = fold_sources([("a.sse", story), ("a.sse", story), ("b.sse", [])])
    keys = [signal.key for signal in folded.signals]
    assert len(keys) == len(set(keys))
    assert [key for key in keys if "/ended/" in key] == ["a.sse/ended/1", "a.sse#2/ended/1", "b.sse/ended/1"]
    assert len(folded.runs) == 1


def test_ended_runs_are_never_forgotten_here() -> None:
    """Whatever the limits, all that ended is there at the end."""
    raws = [ev("run.failed", {**RUN, "id": f"run_{number}", "status": "failed"}) for number in range(50)]
    limits = Limits(max_finished_runs=1, max_finished_age=0.0)
    assert len(fold(raws, limits=limits).runs) == 50


def test_options() -> None:
    """Scope, clock, dialect, limits and progress are passed on."""
    raws = [
        at("in_progress", 110),
        ev("message.delta", message_delta("msg_1", "Hi")),
        ev("message.delta", message_delta("msg_1", "x", index=9)),
    ]
    created = ev("message.created", message_object("msg_1", RUN))
    folded = fold(
        [raws[0], created, *raws[1:]],
        scope="eu",
        clock=lambda: 3.0,
        dialect=AssistantsDialect(),
        limits=Limits(max_index=4),
        progress=False,
    )
    assert folded.runs[0].scope == "eu"
    assert {signal.at for signal in folded.signals} == {3.0}
    assert not [signal for signal in folded.signals if signal.type == "message.text"]
    assert folded.runs[0].text == "Hi"
    assert "max_index" in folded.rejects[0].reason


def test_all_signals_are_counted() -> None:
    """The count of signals is that of those given out, the sources' own included."""
    folded = fold([ev("error", {"message": "no"}), at("queued"), asking("a"), at("failed", 110)])
    assert folded.stats.signals == len(folded.signals)


def test_the_result_is_frozen() -> None:
    """What came out can't be changed."""
    folded: Folded = fold([])
    with pytest.raises(AttributeError):
        folded.runs = ()  # type: ignore[misc]


WORDS = [b"run_1 in_progress", b"run_1 completed"]


@pytest.mark.parametrize(
    "dialect", ["words", WordsDialect, WordsDialect(), partial(WordsDialect)], ids=lambda one: type(one).__name__
)
def test_a_dialect_is_a_name_a_factory_or_a_decoder(dialect: Any, words_dialect: str) -> None:
    folded = fold(WORDS, dialect=dialect)
    assert [state.status for state in folded.runs] == ["completed"]
    assert folded.rejects == ()


def test_an_unknown_dialect_is_refused_before_anything_is_read() -> None:
    items = iter(WORDS)
    with pytest.raises(ValueError, match=r"'wrods' is not a registered dialect\. Registered: 'ag-ui', 'assistants'"):
        fold(items, dialect="wrods")
    with pytest.raises(ValueError, match="Registered: 'ag-ui', 'assistants'"):
        fold_sources([("a", items)], dialect="wrods")
    assert list(items) == WORDS


def test_each_source_may_have_a_dialect_of_its_own(words_dialect: str) -> None:
    """And `dialect` is that of the others."""
    envelopes = [raw.data for raw in script("run_2").start().end().raw_events(enveloped=True)]
    sources: list[Any] = [
        ("a", WORDS, {"dialect": "words"}),
        ("b", envelopes),
        ("c", envelopes, {}),
        ("d", [], {"dialect": None}),
    ]
    folded = fold_sources(sources)
    assert [(state.run_id, state.status) for state in folded.runs] == [("run_1", "completed"), ("run_2", "completed")]
    turned = fold_sources([("a", WORDS), ("b", envelopes, {"dialect": "assistants"})], dialect="words")
    assert turned.runs == folded.runs
    assert (folded.rejects, turned.rejects) == ((), ())


def test_one_decoder_is_not_shared_by_sources() -> None:
    decoder: Any = WordsDialect()
    with pytest.raises(TypeError, match="a name or a function that makes a decoder for each source, not WordsDialect"):
        fold_sources([("a", WORDS)], dialect=decoder)


def test_options_of_a_source_are_those_that_there_are() -> None:
    sources: list[Any] = [("a", WORDS, {"dialekt": "words"})]
    with pytest.raises(TypeError, match="dialekt"):
        fold_sources(sources)


def test_the_factory_is_told_which_run_goes_on(words_dialect: str) -> None:
    """Where the wire does not say it, the application does."""
    folded = fold_sources(
        [("a", [b"run_1 requires_action"]), ("b", [b"- in_progress", b"- completed"], {"continues": "run_1"})],
        dialect="words",
    )
    assert [(state.run_id, state.status) for state in folded.runs] == [("run_1", "completed")]
    unbound = fold_sources([("a", [b"run_1 requires_action"]), ("b", [b"- completed"])], dialect="words")
    assert [state.run_id for state in unbound.runs] == ["run_1", "run_words"]


def unnamed(name: str, id: str = "msg_1", **fields: Any) -> RawEvent:
    """A message that does not name its run."""
    return ev(f"message.{name}", {**message_object(id, RUN, **fields), "run_id": None})


HELLO = [{"type": "text", "text": {"value": "Hello", "annotations": []}}]
SAID = [unnamed("created"), ev("message.delta", message_delta("msg_1", "Hello"))]


@pytest.mark.parametrize("whole", [SAID, [*SAID, unnamed("completed", status="completed", content=HELLO)]], ids=len)
def test_what_names_no_run_is_of_the_run_that_its_source_continues(whole: list[RawEvent]) -> None:
    """Messages and steps, whether the run is known before or is seen after them."""
    step = {"id": "step_1", "object": "thread.run.step", "type": "message_creation", "status": "in_progress"}
    step["step_details"] = {"type": "message_creation", "message_creation": {"message_id": "msg_1"}}  # type: ignore[assignment]
    second = [at("in_progress", 120), ev("run.step.created", step), *whole, at("completed", 120)]
    folded = fold_sources([("a", [at("queued"), asking("a")]), ("b", second, {"continues": "run_1"})])
    (state,) = folded.runs
    assert (state.text, state.status, len(state.steps)) == ("Hello", "completed", 1)
    assert dict(folded.orphans) == {}
    assert [signal.run_id for signal in folded.signals if isinstance(signal, MessageCreated)] == ["run_1"]
    late = fold_sources([("b", [*whole, *second[:2], second[-1]], {"continues": "run_1"})])
    assert [(state.run_id, state.text) for state in late.runs] == [("run_1", "Hello")]
    assert dict(late.orphans) == {}


def test_without_a_word_what_names_no_run_waits() -> None:
    folded = fold_sources([("a", [at("queued")]), ("b", SAID)])
    assert list(folded.orphans) == ["msg_1"]


def test_a_source_that_continues_a_run_may_send_another_one() -> None:
    """Where every object names its run, the wire says whose it is; what names none is still of the first."""
    other = {**RUN, "id": "run_2"}
    second = [
        ev("run.in_progress", {**other, "status": "in_progress"}),
        ev("message.created", message_object("msg_2", other)),
        ev("message.delta", message_delta("msg_2", "Other")),
        *SAID,
    ]
    folded = fold_sources([("a", [at("queued"), asking("a")]), ("b", second, {"continues": "run_1"})])
    assert [(state.run_id, state.text) for state in folded.runs] == [("run_1", "Hello"), ("run_2", "Other")]


def test_a_known_object_keeps_its_run() -> None:
    """What another event has said of it counts for more than that a later one does not say it."""
    first = [
        ev("run.queued", {**RUN, "id": "run_2"}),
        ev("message.created", message_object("msg_1", {**RUN, "id": "run_2"})),
    ]
    folded = fold_sources(
        [
            ("a", [at("queued"), asking("a")]),
            ("b", [*first, *SAID[1:], unnamed("completed", status="completed", content=HELLO)], {"continues": "run_1"}),
        ]
    )
    assert [(state.run_id, state.text) for state in folded.runs] == [("run_1", ""), ("run_2", "Hello")]


def test_a_run_that_has_ended_is_not_continued() -> None:
    with pytest.raises(ValueError, match=r"^run run_1 has ended \(failed\) and can't be continued$"):
        fold_sources([("a", [at("failed", 110)]), ("b", SAID, {"continues": "run_1"})])


def test_a_run_that_is_not_known_yet_is_continued() -> None:
    folded = fold_sources([("b", [*SAID, at("in_progress", 110)], {"continues": "run_1"})])
    assert [(state.run_id, state.text) for state in folded.runs] == [("run_1", "Hello")]
