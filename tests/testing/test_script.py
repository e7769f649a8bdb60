"""One scripted run: its events and its expected state."""

from __future__ import annotations

import os
from typing import Any, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings

from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.engine.fold import fold
from runstream.model.base import WireStruct
from runstream.model.lenient import read
from runstream.testing import Script, events_of, script, scripts

slow = settings(
    max_examples=int(os.environ.get("RUNSTREAM_EXAMPLES", "120")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_a_script_in_a_few_lines() -> None:
    """The example of the README: a run that calls a function, receives its output, and writes a message."""
    run = script("run_1").say("Let me see.").call(weather={"city": "Oslo"})
    run.answer("sunny").say("It is sunny.").end()
    (state,) = fold(run.raw_events()).runs
    assert state.to_dict() == run.expected
    assert state.text == "Let me see.It is sunny."
    assert [(call.name, call.arguments) for call in state.tool_calls] == [("weather", '{"city": "Oslo"}')]
    assert [stream[-1].name for stream in run.streams if stream] == ["done", "done"]


def test_every_kind_of_act_folds_as_expected() -> None:
    """Code, searches, activities, errors, refusals, images: the state is the expected one."""
    run = script("run_1", metadata={"user": "me"})
    run.run_code("print(1)", logs="1\n", image="file_9").search({"file_id": "file_1", "score": 0.5})
    run.act({"type": "mcp_list_tools", "server_label": "docs"}).error("hiccup", code="x")
    message = run.open_message()
    message.write("See ").write("[1]", annotation={"type": "file_path", "text": "[1]"})
    message.show("file_9", part=1).refuse("No.", part=2).close("max_tokens")
    run.end("incomplete", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
    folded = fold(run.raw_events())
    assert folded.runs[0].to_dict() == run.expected
    assert not folded.rejects


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired", "incomplete"])
def test_all_endings(status: str) -> None:
    """A run can end in all five ways, and the signal says so."""
    folded = fold(events_of("Hello", ends=status))
    assert folded.runs[0].status == status
    assert f"run.{status}" in [signal.type for signal in folded.signals]


def test_mistakes_in_a_script_say_what_is_wrong() -> None:
    """Outputs that no call waits for, and parts or calls out of order, raise an error with the cause."""
    with pytest.raises(ValueError, match="comes before `answer`"):
        script().answer("sunny")
    with pytest.raises(ValueError, match="Part 0 comes before part 1"):
        script().open_message().write("x", part=1)
    with pytest.raises(ValueError, match="Call 0 comes before call 2"):
        script().open_calls().open(2, "function")


@slow
@given(scripts())
def test_every_object_survives_json(run: Script) -> None:
    """``from_json(to_json(x)) == x`` for all objects of the events and of the final state."""
    objects: list[Any] = [
        _typed(event.name, event.data) for event in run.events if isinstance(event.data, dict) and event.name != "error"
    ]
    (state,) = fold(run.raw_events()).runs
    objects += [state.run, *state.steps, *state.messages]
    for item in objects:
        again = type(item).from_json(item.to_json())
        assert again == item
        assert hash(again) == hash(item)
        assert again.to_dict() == item.to_dict()


def _typed(name: str, data: dict[str, Any]) -> WireStruct:
    issues: list[Any] = []
    value = read(get_type_hints(EVENT_TYPES[name])["data"], data, issues)
    assert not issues
    assert isinstance(value, WireStruct)
    return value


def test_reasoning_and_calls_of_any_kind() -> None:
    """A script has the steps of other protocols too; the state is as expected after each event."""
    told = Script().reason("Let me think.", summary="Thinking.").use("shell", "sh", '["ls"]', "a b c").end()
    (state,) = fold(told.raw_events()).runs
    assert state.to_dict() == told.expected
    assert state.reasoning == "Let me think."
    (call,) = state.tool_calls
    assert (call.type, call.name, call.arguments, call.output) == ("shell", "sh", '["ls"]', "a b c")
    found = [signal.type for signal in fold(told.raw_events()).signals]
    assert [found.count(name) for name in ("reasoning.text", "tool_call.output", "tool_call.result")] == [4, 3, 1]
