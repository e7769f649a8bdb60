"""What a `RunState` offers of the conversation, and the page that says so."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from runstream.core.reduce import reduce
from runstream.core.state import RunState
from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.engine.fold import fold
from runstream.model.message import Message
from runstream.testing import Script, script
from tests.support.wire import message_delta, message_object, run_object

PAGE = Path(__file__).parents[2] / "docs" / "conversation.md"


def test_the_pages_snippets_run() -> None:
    """Every Python snippet of docs/conversation.md runs, one after the other."""
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(snippets) > 8
    names: dict[str, Any] = {"__name__": "page"}
    for number, snippet in enumerate(snippets):
        exec(compile(snippet, f"{PAGE.name}, snippet {number}", "exec"), names)


def _fold(told: Script) -> RunState:
    (state,) = fold(told.raw_events()).runs
    return state


@pytest.mark.parametrize(
    ("note", "marked"),
    [
        ({"type": "file_citation", "text": "[1]", "start_index": 0, "end_index": 2}, "[1]"),
        ({"type": "file_path", "start_index": 3, "end_index": 6}, "🙂[1"),
        ({"type": "url_citation", "start_index": 5, "end_index": 99}, "1]"),
        ({"type": "url_citation", "start_index": 5, "end_index": 2}, ""),
        ({"type": "made_up", "text": "See"}, "See"),
        ({"type": "made_up", "start_index": 0, "end_index": 3}, "See"),
        ({"type": "made_up", "text": 7, "start_index": "a"}, ""),
    ],
)
def test_annotations_come_with_what_they_mark(note: dict[str, Any], marked: str) -> None:
    """What an annotation quotes counts; then its indices, in characters; and nothing raises."""
    content = [{"type": "text", "text": {"value": "See🙂[1]", "annotations": [note]}}]
    message = Message.from_json({"id": "msg_1", "content": content})
    assert message.marked == ((message.annotations[0], marked),)


def test_annotations_of_several_parts_mark_their_own_part() -> None:
    """Indices count from the start of the part in which the annotation stands."""
    told = script()
    writing = told.open_message()
    writing.write("Hello ").write("one", annotation={"type": "file_path", "start_index": 6, "end_index": 9})
    writing.write("two", part=1, annotation={"type": "file_path", "start_index": 0, "end_index": 3})
    assert [marked for _, marked in _fold(told).messages[0].marked] == ["one", "two"]


def test_images_of_messages_and_code_each_once() -> None:
    """Images are named by their files, those that messages show first."""
    told = script().run_code("plot()", image="file_2").run_code("plot()", logs="x")
    told.open_message().show("file_1", part=0).show("file_2", part=1).close()
    state = _fold(told)
    assert state.image_file_ids == ("file_1", "file_2")
    assert [call.image_file_ids for call in state.tool_calls] == [("file_2",), ()]  # type: ignore[union-attr]


def test_timings_count_all_rounds() -> None:
    """Queued until first picked up; running and waiting over all rounds; the whole at the end."""
    told = script("run_1").wait(4).start().wait(5).call(f={})
    told.wait(9).answer("x").wait(1).start().wait(2).end()
    timings = _fold(told).timings
    assert (timings.queued, timings.waiting, timings.running) == (5, 10, 5 + 3)
    assert timings.first_text is None
    assert timings.total == 5 + 5 + 10 + 2 + 3


def test_what_is_asked_for_and_in_no_step_is_a_tool_call() -> None:
    """A poll of the run alone still says which calls wait."""
    action = {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        },
    }
    run = run_object(status="requires_action", required_action=action)
    (state,) = fold([{"event": "thread.run.requires_action", "data": run}]).runs
    assert [(call.id, call.name) for call in state.tool_calls] == [("call_1", "f")]
    assert state.steps == ()


def test_arguments_whose_beginning_was_missed_are_still_arguments() -> None:
    """A call without its first delta has no id and no name, and its arguments as far as they came."""
    told = script()
    step = told.open_calls().open(0, "function", name="f").grow(0, '{"a":').grow(0, "1}")
    late = [raw for raw in told.raw_events() if b'"name":"f"' not in raw.data]
    (state,) = fold(late).runs
    assert [call.arguments for call in state.tool_calls] == ['{"a":1}']
    told.require(step)
    (state,) = fold([*late, *told.raw_events()[len(late) + 1 :]]).runs
    assert [call.name for call in state.run.pending_tool_calls] == ["f"]


# Growth


def _event(name: str, data: dict[str, Any]) -> Any:
    kind: Any = EVENT_TYPES[name]
    return kind(get_type_hints(kind)["data"].from_json(data))


def _with_messages(count: int, length: int = 0) -> RunState:
    """A run with this many open messages; the first two hold ``length`` characters."""
    run = run_object("run_1", status="in_progress")
    state = reduce(None, _event("thread.run.in_progress", run))
    for number in range(count):
        state = reduce(state, _event("thread.message.created", message_object(f"msg_{number}", run)))
    for number in range(2):
        state = reduce(state, _event("thread.message.delta", message_delta(f"msg_{number}", "x" * (length or 1))))
    assert state is not None
    return state


def _allocated(state: RunState, numbers: list[int]) -> int:
    """The most bytes that one append takes, beyond those that it leaves."""
    deltas = {number: _event("thread.message.delta", message_delta(f"msg_{number}", "word ")) for number in numbers}
    most = 0
    tracemalloc.start()
    try:
        for number in numbers * 20:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            state = reduce(state, deltas[number])  # type: ignore[assignment]
            most = max(most, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    return most


@pytest.mark.parametrize("numbers", [[0], [0, 1], [0, 999]])
def test_appending_copies_nothing_that_grows(numbers: list[int]) -> None:
    """One append, also to two messages in turn, takes as little room among 1,000 messages as among 2 or 64."""
    few = _allocated(_with_messages(64), [min(number, 63) for number in numbers])
    many = _allocated(_with_messages(1000), numbers)
    assert many < 2 * few + 2048
    assert many < 16_384


def test_appending_to_a_long_text_takes_no_room_that_grows_with_it() -> None:
    """The bytes that a hundred appends take do not depend on what is already there."""
    delta = _event("thread.message.delta", message_delta("msg_0", "word "))
    taken = []
    for length in (1_000, 1_000_000):
        state = _with_messages(2, length)
        assert len(state.messages[0].text) == length  # joined, and kept
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            state = reduce(state, delta)  # type: ignore[assignment]
        taken.append(tracemalloc.get_traced_memory()[1] - before)
        tracemalloc.stop()
    assert taken[1] < 2 * taken[0] + 4096
    assert taken[1] < 65_536


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [[0], [0, 999]])
@pytest.mark.parametrize("read", [None, 100], ids=["unread", "read every 100"])
def test_held_text_costs_about_twice_its_size(numbers: list[int], read: int | None) -> None:
    """After 20,000 fragments the text and all that holds it take about twice the joined text, read or not."""
    state = _with_messages(1000)
    deltas = [_event("thread.message.delta", message_delta(f"msg_{number}", "some ")) for number in numbers]
    kept = state
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for turn in range(20_000):
            state = reduce(state, deltas[turn % len(deltas)])  # type: ignore[assignment]
            if read and turn % read == 0:
                message = state.message("msg_0")
                assert message is not None
                assert message.text
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    joined = 20_000 * len("some ")
    assert len(state.text) == joined + len(kept.text)
    assert held < 2.5 * joined
    assert len(kept.text) == 2  # the state from before is what it was
