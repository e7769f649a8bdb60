"""What a snapshot does to what is held: absent keeps, null clears, the end fills only what was absent."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.core.reduce import apply
from runstream.core.run_snapshots import Outcome
from runstream.core.state import RunState
from tests.core.support import RUN, asking, at, decoded, ev, state_of
from tests.support.wire import file_citation, function_tool, message_object, text_part, usage


def snapshot(status: str, **fields: Any) -> Any:
    """An event of a run that says only this."""
    return ev(f"run.{status}", {"id": "run_1", "status": status, **fields})


def outcome(state: RunState, raw: Any, **options: Any) -> Outcome:
    """What an event is worth."""
    return apply(state, decoded(raw), **options)[1]


def test_absent_keeps() -> None:
    """A field that a later snapshot lacks keeps its value: a poll may lack what a stream had."""
    state = state_of([at("queued", model="gpt", metadata={"a": "b"}), snapshot("in_progress")])
    assert state.run.status == "in_progress"
    assert (state.run.model, dict(state.run.metadata), state.thread_id) == ("gpt", {"a": "b"}, "thread_0001")


def test_null_clears() -> None:
    """A field that a later snapshot has as null is cleared."""
    state = state_of([at("queued", model="gpt"), snapshot("in_progress", model=None, expires_at=None)])
    assert state.run.model is None
    assert state.run.expires_at is None
    assert state.run.created_at == 100


def test_an_empty_list_is_no_absent_one() -> None:
    """A list that was sent empty is written as such, even where the one before was absent."""
    state = state_of([snapshot("queued"), snapshot("in_progress", tools=[])])
    assert state.run.to_dict()["tools"] == []
    state = state_of([snapshot("queued", tools=[]), snapshot("in_progress")])
    assert state.run.to_dict()["tools"] == []
    tool = function_tool("f", "x", {})
    assert state_of([snapshot("queued", tools=[tool]), snapshot("in_progress", tools=[])]).run.tools == ()


def test_equal_tools_are_held_once() -> None:
    """Every snapshot repeats the tools and instructions: one copy is kept, with the same value."""
    fields: dict[str, Any] = {"tools": [function_tool("f", "x", {})], "instructions": "Be kind."}
    first = state_of([at("queued", **fields)])
    second = state_of([at("in_progress", 110, **fields)], first)
    assert second.run.tools is first.run.tools
    assert second.run.to_dict()["tools"] == fields["tools"]


def test_what_a_run_waited_for_is_over() -> None:
    """A run that no longer waits has nothing that it waits for, whether the server says so or not."""
    state = state_of([asking("call_1"), snapshot("in_progress", started_at=120)])
    assert state.run.required_action is None
    assert state.run.pending_tool_calls == ()


def test_waiting_still() -> None:
    """A snapshot in the same status that lacks the action keeps it."""
    state = state_of([asking("call_1"), snapshot("requires_action", model="gpt-5")])
    assert state.run.model == "gpt-5"
    assert [call.id for call in state.run.pending_tool_calls] == ["call_1"]
    assert state.round == 1


def test_a_terminal_snapshot_fills_what_was_absent() -> None:
    """After the end, fields that are still absent may come; what is there stays."""
    state = state_of([at("completed", 110, completed_at=120, model="gpt")])
    raw = at("completed", 110, completed_at=999, model="other", usage=usage(1, 2))
    filled = state_of([raw], state)
    assert filled.usage is not None
    assert filled.usage.total_tokens == 3
    assert (filled.run.completed_at, filled.run.model) == (120, "gpt")
    assert outcome(state, raw) is Outcome.CHANGED
    assert outcome(filled, raw) is Outcome.SAME


def test_an_end_told_otherwise_is_the_same_object() -> None:
    """After the end, other values for what is known change nothing, also where both snapshots lack fields."""
    bare = {"id": "run_1", "status": "completed", "completed_at": 120}
    state = state_of([ev("run.completed", bare)])
    assert state_of([ev("run.completed", {**bare, "completed_at": 999})], state) is state
    said = {"id": "msg_1", "run_id": "run_1", "status": "completed", "role": "assistant"}
    state = state_of([ev("message.completed", said)], state)
    again = ev("message.completed", {**said, "role": "user"})
    assert state_of([again], state) is state
    assert outcome(state, again) is Outcome.SAME


@pytest.mark.parametrize("status", ["queued", "in_progress", "requires_action", "failed", "generating"])
def test_another_status_after_the_end_changes_nothing(status: str) -> None:
    """The first terminal status wins, and only its own snapshots may fill anything in."""
    state = state_of([at("completed", 110)])
    raw = at(status, 130, usage=usage(1, 2))
    after, outcome = apply(state, decoded(raw))
    assert after is state
    assert outcome is Outcome.LATE


def test_worth_of_snapshots() -> None:
    """New, nothing new, surprising, stale: each is told apart, and only what counts changes the state."""
    state = state_of([at("queued")])
    assert outcome(state, at("in_progress", 110)) is Outcome.CHANGED
    assert outcome(state, at("queued")) is Outcome.SAME
    assert outcome(state, at("completed")) is Outcome.SURPRISING
    running = state_of([at("in_progress", 110)], state)
    assert outcome(running, at("queued")) is Outcome.STALE
    assert apply(running, decoded(at("queued")))[0] is running
    assert outcome(running, at("in_progress", 110, model="other")) is Outcome.CHANGED


def test_rounds_are_sets_of_calls() -> None:
    """Each new set of awaited calls is a round, whatever their order; a set that comes again is none."""
    state = state_of([at("in_progress", 110), asking("b", "a")])
    assert (state.round, state._head.calls.request) == (1, "a,b")
    state = state_of([asking("a", "b", model="other")], state)
    assert state.round == 1
    state = state_of([at("queued", 110), at("in_progress", 120), asking("c", started_at=120)], state)
    assert state.round == 2


@pytest.mark.parametrize("held", [at("queued", 110), at("in_progress", 120), asking("c", started_at=120)])
def test_calls_that_were_left_are_not_asked_for_again(held: Any) -> None:
    """A snapshot that asks for calls which the run has left is stale, unless it started later."""
    raws = [at("in_progress", 110), asking("a"), *([] if b"queued" in held.data else [at("queued", 110)]), held]
    state = state_of(raws)
    assert outcome(state, asking("a", started_at=110)) is Outcome.STALE
    again = state_of([asking("a", started_at=130)], state)
    assert (again.round, again._head.calls.request) == (state.round + 1, "a~2")
    assert outcome(again, asking("a", started_at=130)) is Outcome.SAME


def test_timings_follow_the_status() -> None:
    """Times are those of observation, summed up over the rounds."""
    moments = [(0, at("queued")), (2, at("in_progress", 110)), (5, asking("a")), (9, at("queued", 110))]
    moments += [(10, at("in_progress", 120)), (16, at("completed", 120))]
    state: RunState | None = None
    for moment, raw in moments:
        state, _ = apply(state, decoded(raw), at=float(moment))
    assert state is not None
    timings = state.timings
    assert (timings.queued, timings.running, timings.waiting, timings.total) == (2.0, 9.0, 4.0, 16.0)
    assert timings.first_text is None


def test_ended_messages_absorb_likewise() -> None:
    """A finished message keeps its text and status; what was absent may still come."""
    done = message_object("msg_1", RUN, status="completed", content=[text_part("right")], completed_at=None)
    other = message_object("msg_1", RUN, status="completed", content=[text_part("wrong")], completed_at=130)
    state = state_of([at("in_progress", 110), ev("message.completed", done), ev("message.completed", other)])
    message = state.message("msg_1")
    assert message is not None
    assert (message.text, message.completed_at) == ("right", 130)
    late = ev("message.incomplete", message_object("msg_1", RUN, status="incomplete"))
    assert outcome(state, late) is Outcome.LATE


def test_an_end_without_content_keeps_what_deltas_built() -> None:
    """A finished message whose last snapshot lacks the content keeps the text, whatever fills it in later."""
    bare = {"id": "msg_1", "run_id": "run_1", "status": "completed"}
    delta = {"content": [{"index": 0, "type": "text", "text": {"value": "Hi", "annotations": []}}]}
    created = ev("message.created", message_object("msg_1", RUN))
    append_fragment = ev("message.delta", {"id": "msg_1", "delta": delta})
    state = state_of([at("in_progress", 110), created, append_fragment, ev("message.completed", bare)])
    assert state.text == "Hi"
    assert state_of([ev("message.completed", {**bare, "completed_at": 130})], state).text == "Hi"


def test_metadata_and_annotations_are_replaced_by_a_full_object() -> None:
    """A full object says all there is, annotations and metadata too."""
    note = file_citation("[1]", 0, "file_1")
    done = message_object("msg_1", RUN, status="completed", content=[text_part("[1]", [note])], metadata={"a": "b"})
    state = state_of([at("in_progress", 110), ev("message.completed", done)])
    assert state.messages[0].annotations[0].to_dict() == note
    assert dict(state.messages[0].metadata) == {"a": "b"}
