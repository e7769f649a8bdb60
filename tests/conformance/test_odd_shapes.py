"""Values of the wrong shape in well-known places: each was found by damaging real streams."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.engine.fold import Folded, fold
from tests.support.wire import (
    function_call_delta,
    message_delta,
    message_object,
    run_object,
    step_delta,
    step_object,
    tool_calls,
)

RUN = run_object("run_1", status="in_progress")
STARTED = {"event": "thread.run.in_progress", "data": RUN}


def _told(*events: tuple[str, Any]) -> Folded:
    return fold([STARTED, *({"event": name, "data": data} for name, data in events)])


def _state(folded: Folded) -> RunState:
    (state,) = folded.runs
    return state


def test_a_step_with_the_id_of_a_message_is_a_reject() -> None:
    """Whole or as a delta, before or while the message grows, it leaves the message alone."""
    folded = _told(
        ("thread.message.created", message_object("one", RUN)),
        ("thread.run.step.created", step_object("one", RUN, tool_calls())),
        ("thread.message.delta", message_delta("one", "hello")),
        ("thread.run.step.delta", step_delta("one", function_call_delta(0, "{}"))),
        ("thread.message.delta", message_delta("one", " you")),
    )
    assert [reject.reason for reject in folded.rejects] == ["A message and a step have the same id"] * 2
    assert _state(folded).message("one").text == "hello you"  # type: ignore[union-attr]
    assert _state(folded).steps == ()


def test_a_message_with_the_id_of_a_step_is_a_reject() -> None:
    """The other way round it is the same, also while the step's arguments grow."""
    folded = _told(
        ("thread.run.step.created", step_object("one", RUN, tool_calls())),
        ("thread.run.step.delta", step_delta("one", function_call_delta(0, id="call_1", name="f"))),
        ("thread.run.step.delta", step_delta("one", function_call_delta(0, "{"))),
        ("thread.message.delta", message_delta("one", "hello")),
        ("thread.message.created", message_object("one", RUN)),
        ("thread.run.step.delta", step_delta("one", function_call_delta(0, "}"))),
    )
    assert len(folded.rejects) == 2
    assert [call.arguments for call in _state(folded).tool_calls] == ["{}"]


@pytest.mark.parametrize("content", [7, True, [3], [["x"]]])
def test_content_that_is_no_list_adds_nothing(content: Any) -> None:
    """A delta whose content can't be read is counted, and the text goes on."""
    odd = {"id": "one", "delta": {"content": content}}
    folded = _told(
        ("thread.message.created", message_object("one", RUN)),
        ("thread.message.delta", odd),
        ("thread.message.delta", message_delta("one", "hello")),
        ("thread.message.delta", odd),
        ("thread.message.delta", message_delta("one", " you")),
    )
    assert _state(folded).text == "hello you"
    assert folded.stats.mistyped == 2
    assert not folded.rejects


@pytest.mark.parametrize("value", [5, True, ["x"], {"a": 1}])
def test_text_that_grows_stays_text(value: Any) -> None:
    """A value that is no text neither replaces nor ends the text that grows."""
    odd = {"id": "one", "delta": {"content": [{"index": 0, "type": "text", "text": {"value": value}}]}}
    folded = _told(
        ("thread.message.created", message_object("one", RUN)),
        ("thread.message.delta", message_delta("one", "hello")),
        ("thread.message.delta", odd),
        ("thread.message.delta", message_delta("one", " you")),
    )
    assert _state(folded).text == "hello you"


def test_a_part_that_is_no_object_keeps_the_part_that_is() -> None:
    """What has parts keeps them, whatever else comes under its index."""
    folded = _told(
        ("thread.message.created", message_object("one", RUN)),
        ("thread.message.delta", message_delta("one", "hello")),
        ("thread.message.delta", {"id": "one", "delta": {"content": [7]}}),
        ("thread.message.delta", {"id": "one", "delta": {"content": [{"index": 0, "type": "text", "text": 3}]}}),
        ("thread.message.delta", message_delta("one", " you")),
    )
    assert _state(folded).text == "hello you"


def test_objects_where_lists_belong_survive_in_unknown_tools() -> None:
    """An unknown tool may call its fields as it likes: they come out as they came."""
    call = {"type": "browser", "id": "call_1", "browser": {"outputs": {"a": 1}, "tool_calls": {}}}
    folded = _told(
        ("thread.run.step.created", step_object("step_1", RUN, tool_calls())),
        ("thread.run.step.delta", step_delta("step_1", {"index": 0, **call})),
    )
    (step,) = _state(folded).steps
    assert step.to_dict()["step_details"]["tool_calls"][0]["browser"]["outputs"] == {"a": 1}
    assert not folded.rejects


def test_a_snapshot_of_the_wrong_shape_is_grown_from_nothing() -> None:
    """Deltas after a message whose content is no list make the text by themselves."""
    folded = _told(
        ("thread.message.created", message_object("one", RUN, content=[3, True])),  # type: ignore[list-item]
        ("thread.message.delta", message_delta("one", "hello")),
        ("thread.message.in_progress", message_object("one", RUN, content=[3])),  # type: ignore[list-item]
        ("thread.message.delta", message_delta("one", " you")),
    )
    assert _state(folded).text == "hello you"


@pytest.mark.parametrize("kind", [[], {}, 7, None])
def test_a_frame_whose_object_is_no_name_is_a_reject(kind: Any) -> None:
    """A frame without an event's name, and with anything under `object`, is refused in words."""
    folded = fold([{"object": kind, "id": "run_1"}], dialect="assistants")
    assert [reject.reason for reject in folded.rejects] == ["Neither an `event` nor an `object` says what this is"]


def test_a_search_with_an_index_out_of_bounds_is_a_reject() -> None:
    """What is refused can be written down again, lists of any kind included."""
    found = {"index": 5000, "type": "file_search", "file_search": {"results": [{"file_id": "file_1"}]}}
    folded = _told(
        ("thread.run.step.created", step_object("step_1", RUN, tool_calls())),
        ("thread.run.step.delta", step_delta("step_1", found)),
    )
    (reject,) = folded.rejects
    assert "max_index" in reject.reason
    assert b'"results":[{"file_id":"file_1"}]' in reject.raw.data


def test_a_snapshot_whose_calls_are_no_list_leaves_the_calls_alone() -> None:
    """An object in the place of the list of calls is not mixed into the calls that deltas built."""
    odd = {**step_object("step_1", RUN, tool_calls()), "step_details": {"type": "tool_calls", "tool_calls": {"": None}}}
    folded = _told(
        ("thread.run.step.created", step_object("step_1", RUN, tool_calls())),
        ("thread.run.step.delta", step_delta("step_1", function_call_delta(0, id="call_1", name="f"))),
        ("thread.run.step.in_progress", odd),
        ("thread.run.step.delta", step_delta("step_1", function_call_delta(0, "{}"))),
    )
    assert [(call.id, call.arguments) for call in _state(folded).tool_calls] == [("call_1", "{}")]
