"""What is lost of a run of the LangGraph server, and where its stream begins late: no text looks whole that is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runstream import Answer, ConnectionEvent, Folded, RawEvent, Request, ResponseHead, RunState, fold, fold_sources
from runstream.dialects.langgraph import LangGraphDialect
from runstream.model.signals import MessageCreated, TextReplaced
from tests.support.graph_runs import graph_run, graph_thread

RUN = "01a0-run"
BEGIN = ("metadata", {"run_id": RUN, "attempt": 1})
HEAD = ResponseHead(status=200, headers=(("content-location", f"/threads/t1/runs/{RUN}"),))
POST = Request(body=b'{"assistant_id": "a"}')
UP, DOWN = ConnectionEvent(connected=True), ConnectionEvent(connected=False)
LAST = {"chunk_position": "last"}


def raw(event: tuple[str, Any], id: str | None = None) -> RawEvent:
    return RawEvent(event[0], json.dumps(event[1]).encode(), id)


def timed(number: int, event: tuple[str, Any]) -> RawEvent:
    """An event with an id as servers have it since 2026."""
    return raw(event, f"{1795868915000 + number}-0")


def counted(number: int, event: tuple[str, Any]) -> RawEvent:
    """An event with an id as servers had it in 2025."""
    return raw(event, str(number))


def chunk(text: Any, id: str = "m1", step: int | None = None, task: str = "say:1", **more: Any) -> tuple[str, Any]:
    facts: dict[str, Any] = {"run_id": RUN, "thread_id": "t1"}
    if step is not None:
        facts |= {"langgraph_step": step, "langgraph_checkpoint_ns": task}
    return "messages", [{"type": "AIMessageChunk", "id": id, "content": text, **more}, facts]


def update(text: Any, id: str = "m1", **more: Any) -> tuple[str, Any]:
    return "updates", {"say": {"messages": [{"type": "ai", "id": id, "content": text, **more}]}}


def folded(*items: Any) -> Folded:
    found = fold(items, dialect="langgraph")
    keys = [signal.key for signal in found.signals]
    assert len(keys) == len(set(keys))
    return found


def state_of(*items: Any) -> RunState:
    (state,) = folded(*items).runs
    return state


# a message that begins after a loss


def test_a_message_first_seen_after_a_cut_is_partial() -> None:
    """The server goes on later than the last id says, and times do not show it."""
    before = [timed(0, BEGIN), timed(1, chunk("Hi"))]
    after = [timed(9, chunk("rry", "m2")), timed(10, chunk("!", "m2"))]
    found = folded(UP, HEAD, *before, DOWN, UP, HEAD, *after)
    (state,) = found.runs
    assert state.partial == {"m1", "m2"}
    assert [signal.message.id for signal in found.signals if isinstance(signal, MessageCreated)] == ["m1", "m2"]


def test_what_shares_the_id_of_the_cut_may_be_a_beginning() -> None:
    """Two events of one millisecond have one id: after the first one, the server sends those of later ones."""
    assert state_of(UP, HEAD, timed(0, BEGIN), DOWN, UP, HEAD, timed(1, chunk("rry"))).partial == {"m1"}


def test_a_cut_before_the_first_chunk_is_one() -> None:
    assert state_of(UP, HEAD, timed(0, BEGIN), DOWN, DOWN, UP, HEAD, timed(5, chunk("rry"))).partial == {"m1"}


def test_reasoning_and_calls_may_lack_their_beginning_too() -> None:
    thought = chunk([{"type": "reasoning", "reasoning": "so", "index": 0}])
    call = chunk("", "m2", tool_call_chunks=[{"index": 0, "id": None, "name": None, "args": 'ty": 1}'}])
    state = state_of(UP, HEAD, timed(0, BEGIN), DOWN, UP, HEAD, timed(5, thought), timed(6, call))
    assert state.partial == {"m1:reasoning", "m2:0"}


def test_a_call_with_its_name_has_its_beginning() -> None:
    """Its first fragment has it, whether the server gives it an id or not."""
    call = chunk("", tool_call_chunks=[{"index": 0, "id": None, "name": "book", "args": ""}])
    assert not state_of(UP, HEAD, timed(0, BEGIN), DOWN, UP, HEAD, timed(5, call)).partial


def test_each_message_that_was_open_may_lack_its_beginning() -> None:
    """Two nodes speak at once, and the end of one message says nothing of the other."""
    after = [chunk("rry", "m1"), chunk("", "m1", **LAST), chunk("leaves", "m2")]
    items = [timed(number, event) for number, event in enumerate(after, 5)]
    assert state_of(UP, HEAD, timed(0, BEGIN), DOWN, UP, HEAD, *items).partial == {"m1", "m2"}


@pytest.mark.parametrize("data", [raw(chunk("Hi ", "m2")).data[:-5], b"[" * 999, b"7"])
def test_an_unreadable_event_may_be_any_beginning(data: bytes) -> None:
    broken = RawEvent("messages", data)
    state = state_of(raw(BEGIN), broken, raw(chunk("The", "m1")), raw(chunk("you", "m2")))
    assert state.partial == {"m1", "m2"}


# proofs, and the end of doubt


@pytest.mark.parametrize("again", [0, 1, 2])
def test_a_repeated_event_proves_that_nothing_is_lost(again: int) -> None:
    events = [timed(at, event) for at, event in enumerate([BEGIN, chunk("Hi"), chunk("", **LAST), chunk("you", "m2")])]
    assert not state_of(UP, HEAD, *events[:3], DOWN, UP, HEAD, *events[again:]).partial


@pytest.mark.parametrize(("number", "partial"), [(3, set()), (4, {"m2"})])
def test_the_next_number_proves_that_nothing_is_lost(number: int, partial: set[str]) -> None:
    events = [counted(at, event) for at, event in enumerate([BEGIN, chunk("Hi"), chunk("", **LAST)])]
    after = [counted(number, chunk("you", "m2")), counted(number + 1, chunk("!", "m2"))]
    assert state_of(UP, HEAD, *events, DOWN, UP, HEAD, *after).partial == partial


def test_a_number_that_is_skipped_is_a_loss() -> None:
    many = [chunk("ha")] * 12
    events = [counted(at, event) for at, event in enumerate([BEGIN, *many, chunk("", **LAST)])]
    assert not state_of(*events, counted(14, chunk("you", "m2"))).partial
    assert state_of(*events, counted(15, chunk("you", "m2"))).partial == {"m2"}


@pytest.mark.parametrize("id", ["²", "9" * 5000, "-1", ""])
def test_odd_ids_are_no_numbers(id: str) -> None:
    events = [counted(at, event) for at, event in enumerate([BEGIN, chunk("Hi")])]
    assert state_of(UP, HEAD, *events, DOWN, UP, raw(chunk("you", "m2"), id), raw(chunk("!", "m2"), id)).partial


def test_a_state_ends_the_step_in_which_events_were_lost() -> None:
    after = [chunk("rry"), ("values", {"messages": []}), chunk("Next", "m2")]
    items = [timed(number, event) for number, event in enumerate(after, 5)]
    assert state_of(UP, HEAD, timed(0, BEGIN), DOWN, UP, HEAD, *items).partial == {"m1"}


def test_a_message_of_a_later_step_has_its_beginning() -> None:
    """Steps count within their graph: a subgraph is none of the steps of the graph around it."""
    after = [chunk("rry", "m1", 3), chunk("inner", "m2", 7, "help:1|say:2"), chunk("Next", "m3", 4, "say:3")]
    items = [timed(number, event) for number, event in enumerate(after, 5)]
    assert state_of(UP, HEAD, timed(0, BEGIN), DOWN, UP, HEAD, *items).partial == {"m1", "m2"}


def test_the_text_so_far_has_its_beginning() -> None:
    so_far = "messages/partial", [{"type": "ai", "id": "m1", "content": "The ferry"}]
    state = state_of(UP, HEAD, timed(0, BEGIN), DOWN, UP, HEAD, timed(5, so_far))
    assert (state.text, state.partial) == ("The ferry", set())


# a stream that begins late


def test_a_joined_run_that_its_head_names_begins_late() -> None:
    """A join without an id starts in mid-text, without metadata; the head of its response names the run."""
    found = folded(UP, HEAD, raw(chunk("rry ")), raw(chunk("leaves")))
    assert found.runs[0].partial == {"m1"}
    assert [signal.message.id for signal in found.signals if isinstance(signal, MessageCreated)] == ["m1"]


def test_a_run_that_the_request_starts_is_whole() -> None:
    assert not state_of(POST, UP, HEAD, raw(chunk("The ferry"))).partial


def test_a_late_stream_continues_what_another_has_begun() -> None:
    """A second beginning would take back what the first stream has sent."""
    first = [UP, HEAD, timed(0, BEGIN), timed(1, chunk("The fe"))]
    second = [UP, HEAD, timed(2, chunk("rry")), timed(3, chunk(" leaves"))]
    (state,) = fold_sources([("one", first), ("two", second)], dialect="langgraph").runs
    assert (state.text, state.partial) == ("The ferry leaves", {"m1"})


def test_a_late_decoder_alone_does_not_begin_again() -> None:
    """Nobody says which messages are known: the text goes on, and no beginning takes back another stream's."""
    decoder = LangGraphDialect()
    events = decoder.decode(raw(chunk("rry")))
    assert [type(event).__name__ for event in events] == ["RunEvent", "TextAppend"]  # type: ignore[union-attr]


def test_an_answer_after_a_cut_completes_no_text() -> None:
    """The server has nothing more to send, and says that the run has ended: the rest of the text was lost."""
    state = {"http": 200, "body": {"next": [], "tasks": [], "metadata": {"run_id": RUN}}}
    answer = {"run_id": RUN, "run": {"http": 200, "body": {"run_id": RUN, "status": "success"}}, "state": state}
    items = [UP, HEAD, timed(0, BEGIN), timed(1, chunk("The fe")), DOWN, UP, HEAD]
    found = state_of(*items, Answer(data=json.dumps(answer).encode()))
    assert (found.status, found.text, found.partial) == ("completed", "The fe", {"m1"})


# the whole message repairs it


@pytest.mark.parametrize("at_cut", [[], [chunk("The fe")]])
@pytest.mark.parametrize("text", ["The long ferry", "The ferry"])
def test_a_whole_message_repairs_one_that_has_ended(at_cut: list[Any], text: str) -> None:
    before = [timed(number, event) for number, event in enumerate([BEGIN, *at_cut])]
    after = [timed(number, event) for number, event in enumerate([chunk("rry"), chunk("", **LAST), update(text)], 5)]
    found = folded(UP, HEAD, *before, DOWN, UP, HEAD, *after)
    (state,) = found.runs
    assert (state.text, state.partial) == (text, set())
    is_replaced = not at_cut or text != "The ferry"
    assert [signal.text for signal in found.signals if isinstance(signal, TextReplaced)] == [text] * is_replaced


def test_a_whole_message_repairs_reasoning_and_brings_calls() -> None:
    thought = {"type": "reasoning", "reasoning": "so", "index": 0}
    whole = [{"type": "reasoning", "reasoning": "And so"}, {"type": "text", "text": "Hi"}]
    call = {"id": "c1", "name": "book", "args": {"a": 1}}
    after = [chunk([thought]), chunk("", **LAST), update(whole, tool_calls=[call])]
    items = [timed(number, event) for number, event in enumerate(after, 5)]
    state = state_of(UP, HEAD, timed(0, BEGIN), DOWN, UP, HEAD, *items)
    assert (state.text, state.reasoning, state.partial) == ("Hi", "And so", set())
    assert [(each.id, each.name) for each in state.tool_calls] == [("c1", "book")]


def test_a_message_of_which_only_the_end_came_is_not_lost() -> None:
    after = [timed(5, chunk("", **LAST)), timed(6, update("The ferry"))]
    state = state_of(UP, HEAD, timed(0, BEGIN), DOWN, UP, HEAD, *after)
    assert (state.text, state.partial) == ("The ferry", set())


def test_a_message_that_is_whole_is_taken_once() -> None:
    """What nodes write afterwards under its id is another text, and none of the stream's."""
    state = state_of(raw(BEGIN), raw(chunk("Hi")), raw(chunk("", **LAST)), raw(update("Hi", "m1")), raw(update("Ho")))
    assert state.text == "Hi"


@given(
    seed=st.integers(0, 400),
    cut=st.integers(1, 80),
    skipped=st.integers(0, 30),
    style=st.sampled_from(["times", "numbers", "none"]),
)
@example(seed=174, cut=16, skipped=7, style="times")
@example(seed=174, cut=16, skipped=7, style="numbers")
@example(seed=174, cut=16, skipped=7, style="none")
def test_no_text_that_lacks_a_part_looks_whole(seed: int, cut: int, skipped: int, style: str) -> None:
    """Cut at any event, and continued some events later: each text is that of the whole stream, or marked."""
    run = graph_run(seed)
    head = ResponseHead(status=200, headers=(("content-location", f"/threads/t/runs/{run.run_id}"),))
    ids = {"times": timed, "numbers": counted, "none": lambda _, event: raw(event)}[style]
    events = [ids(number, event) for number, event in enumerate(run.events)]
    said = {key: {"http": 200, "body": body} for key, body in run.answers.items()}
    answer = Answer(data=json.dumps({"run_id": run.run_id, **said}).encode())
    clean, lossy = (
        fold([UP, head, *items, answer], dialect="langgraph")
        for items in (events, [*events[:cut], DOWN, UP, head, *events[cut + skipped :]])
    )
    (whole,), (state,) = clean.runs, lossy.runs
    for message in state.messages:
        known = whole.message(message.id)
        assert message.id in state.partial or (known is not None and message.text == known.text)
    for step in state.steps:
        if step.id not in state.partial:
            # A call of which only the result was received has no arguments, and does not look whole.
            assert _texts(step) in ([None], _texts(whole.step(step.id)))


@given(seed=st.integers(0, 400), cut=st.integers(1, 80), skipped=st.integers(0, 30))
@example(seed=0, cut=2, skipped=7)
@example(seed=2, cut=12, skipped=8)
def test_no_text_of_a_thread_that_lacks_a_part_looks_whole(seed: int, cut: int, skipped: int) -> None:
    """A call that came while two messages could not be told apart may be there twice."""
    run = graph_thread(seed)
    events = [raw((name, data)) for name, data in run.events]
    said = {key: {"http": 200, "body": body} for key, body in run.answers.items()}
    answer = Answer(data=json.dumps({"run_id": run.run_id, **said}).encode())
    clean, lossy = (
        fold([UP, *items, answer], dialect="langgraph-thread")
        for items in (events, [*events[:cut], DOWN, UP, *events[cut + skipped :]])
    )
    (whole,), (state,) = clean.runs, lossy.runs
    for message in state.messages:
        known = whole.message(message.id)
        assert message.id in state.partial or (known is not None and message.text == known.text)
    for step in state.steps:
        if step.id not in state.partial:
            assert _texts(step) in ([None], _texts(whole.step(step.id.rpartition("/")[2])))


def _texts(step: Any) -> list[Any]:
    if step is None:
        return []
    if step.type == "reasoning":
        return [part.text for part in step.step_details.content]
    return [json.loads(call.arguments or "null") for call in step.tool_calls]
