"""Tool calls and required actions: every kind is read by the same four names."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from runstream.model import (
    CodeInterpreterCall,
    CodeInterpreterToolCall,
    ConnectedAgentCall,
    ConnectedAgentToolCall,
    FileSearchCall,
    FileSearchToolCall,
    FrozenMap,
    FunctionCall,
    FunctionToolCall,
    GenericToolCall,
    ImageOutput,
    LogsOutput,
    McpToolCall,
    RunStep,
    SubmitToolApprovalAction,
    SubmitToolOutputsAction,
    ToolCall,
    UnknownAction,
    UnknownOutput,
    UnknownToolCall,
    parse_arguments,
)
from tests.support import wire


def call_of(data: dict[str, Any]) -> Any:
    """The call in a step."""
    step = RunStep.from_json({"id": "s", "step_details": wire.tool_calls(data)})
    (call,) = step.tool_calls
    assert call.to_dict() == {key: item for key, item in data.items() if item is not None}
    return call


@pytest.mark.parametrize(
    ("data", "kind", "name", "arguments"),
    [
        (wire.function_call("c", "f", '{"a": 1}'), FunctionToolCall, "f", '{"a": 1}'),
        (wire.function_call("c", "f", ""), FunctionToolCall, "f", ""),
        (wire.code_interpreter_call("c", "1 + 1"), CodeInterpreterToolCall, "code_interpreter", "1 + 1"),
        (wire.file_search_call("c"), FileSearchToolCall, "file_search", None),
        (
            {"id": "c", "type": "mcp", "name": "search", "arguments": "{}", "server_label": "docs", "output": "x"},
            McpToolCall,
            "search",
            "{}",
        ),
        ({"id": "c", "type": "mcp"}, McpToolCall, None, None),
        (
            {"id": "c", "type": "connected_agent", "connected_agent": {"name": "a", "arguments": "ask", "run_id": "r"}},
            ConnectedAgentToolCall,
            "a",
            "ask",
        ),
        ({"id": "c", "type": "browser", "browser": {}}, UnknownToolCall, "browser", None),
        (
            {"id": "c", "type": "shell", "shell": {"name": "sh", "arguments": "ls"}},
            UnknownToolCall,
            "sh",
            "ls",
        ),
        ({"id": "c", "type": "x", "name": "out", "x": {"name": "in", "arguments": 5}}, UnknownToolCall, "out", "5"),
        ({"id": "c"}, UnknownToolCall, None, None),
        ({"id": "c", "type": "x", "x": ["odd"], "name": 5}, UnknownToolCall, "x", None),
    ],
)
def test_every_call_has_id_name_and_arguments(data: Any, kind: Any, name: str | None, arguments: str | None) -> None:
    """Whatever the call, what it is called and asked for is found in one place."""
    if data.get("function"):
        data["function"].pop("output")
    call = call_of(data)
    assert isinstance(call, kind)
    assert call.id == "c"
    assert call.type == data.get("type", "")
    assert call.name == name
    assert call.arguments == arguments


def test_a_call_without_an_id() -> None:
    """An unknown call may lack an id, or have one of a wrong type; it reads as empty."""
    assert call_of({"type": "new"}).id == ""
    assert call_of({"type": "new", "id": 5}).id == ""
    assert call_of({"type": "new", "new": {"id": "inner"}}).id == "inner"


def test_outputs_of_code() -> None:
    """Logs, images and whatever else code puts out, in order."""
    data = wire.code_interpreter_call(
        "c",
        "plot()",
        [wire.logs("done"), {"type": "image", "image": {"file_id": "file_1"}}, {"type": "video", "video": {}}],
    )
    logs, image, video = call_of(data).code_interpreter.outputs
    assert isinstance(logs, LogsOutput)
    assert logs.logs == "done"
    assert isinstance(image, ImageOutput)
    assert image.image is not None
    assert image.image.file_id == "file_1"
    assert isinstance(video, UnknownOutput)


def test_results_of_a_file_search() -> None:
    """Hits, with and without what `include` adds."""
    found = wire.file_search_result("file_1", "a.md", 0.75, "text")
    data = wire.file_search_call("c", [found, {"file_id": "file_2", "file_name": "b.md", "score": 1}])
    search = call_of(data).file_search
    assert search.ranking_options.score_threshold == 0.0
    first, second = search.results
    assert (first.file_id, first.file_name, first.score) == ("file_1", "a.md", 0.75)
    assert first.content == [{"type": "text", "text": "text"}]
    assert first.attributes == {}
    assert second.score == 1.0
    assert second.content is None


def test_the_child_run_of_a_connected_agent() -> None:
    """The child's run and thread are at hand."""
    inner = {"name": "a", "arguments": "ask", "output": "told", "run_id": "run_2", "thread_id": "thread_2"}
    agent = call_of({"id": "c", "type": "connected_agent", "connected_agent": inner}).connected_agent
    assert (agent.run_id, agent.thread_id, agent.output) == ("run_2", "thread_2", "told")


def test_actions() -> None:
    """Both known actions, and an unknown one, say which calls wait."""
    outputs = SubmitToolOutputsAction.from_json(wire.required_action(wire.function_call("c", "f", "{}")))
    assert outputs.type == "submit_tool_outputs"
    assert [call.id for call in outputs.tool_calls] == ["c"]
    approval = SubmitToolApprovalAction.from_json(
        {"type": "submit_tool_approval", "submit_tool_approval": {"tool_calls": [{"id": "c", "type": "mcp"}]}}
    )
    assert [type(call) for call in approval.tool_calls] == [McpToolCall]
    unknown = UnknownAction.from_json({"type": "ask", "ask": {"tool_calls": [{"id": "c", "function": {"name": "f"}}]}})
    (call,) = unknown.tool_calls
    assert isinstance(call, UnknownToolCall)
    assert call.id == "c"
    assert call.to_dict() == {"id": "c", "function": {"name": "f"}}


@pytest.mark.parametrize(
    "raw", [{}, {"type": "ask"}, {"type": "ask", "ask": []}, {"type": "ask", "ask": {"tool_calls": 1}}]
)
def test_unknown_actions_without_calls(raw: dict[str, Any]) -> None:
    """Where there is no list of calls, none wait."""
    assert UnknownAction.from_json(raw).tool_calls == ()


def test_an_unknown_member_built_by_hand() -> None:
    """A mapping given by hand is copied and read-only; equal to one that was read."""
    raw: Any = {"type": "new", "new": {"a": [1]}, "id": "c"}
    call = UnknownToolCall(raw=raw)
    raw["new"]["a"].append(2)
    assert call.to_dict() == {"type": "new", "new": {"a": [1]}, "id": "c"}
    assert call == UnknownToolCall.from_json(call.to_json())
    assert hash(call) == hash(UnknownToolCall.from_json(call.to_json()))
    changed = call.replace(raw={"type": "other"})
    assert changed.type == "other"
    assert changed.to_dict() == {"type": "other"}
    with pytest.raises(TypeError, match="can't be cleared"):
        call.replace(raw=None)
    with pytest.raises(TypeError):
        UnknownToolCall()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}),
        ("[]", []),
        ("5", 5),
        ('"x"', "x"),
        ("null", None),
        (" {} ", {}),
        ("", {}),
        (" \n", {}),
        ('"\\ud800"', "\ufffd"),
    ],
)
def test_arguments_that_are_json(text: str, value: Any) -> None:
    """Arguments are any JSON value, read-only."""
    assert parse_arguments(text) == (value, None)


@pytest.mark.parametrize(
    "text",
    [None, "{", "{'a': 1}", "\ud800", "NaN", "1e999", "[" * 100_000, '{"a":' * 200 + "1" + "}" * 200],
)
def test_arguments_that_are_not(text: str | None) -> None:
    """An error is a value beside the raw text; the text is not repeated in it."""
    value, error = parse_arguments(text)
    assert value is None
    assert error is not None
    assert error.startswith("Arguments are not JSON: ")
    assert len(error) < 100


def test_parsed_arguments_are_read_only() -> None:
    """Nobody can change what another one reads."""
    value, _ = parse_arguments('{"a": {"b": []}}')
    assert isinstance(value, FrozenMap)
    with pytest.raises(AttributeError):
        value["a"]["b"].append(1)


def test_arguments_as_far_as_they_have_arrived() -> None:
    """A live UI shows the values of a growing call."""
    text = '{"city": "Os'
    calls: list[Any] = [
        FunctionToolCall(id="call_1", function=FunctionCall(name="weather", arguments=text)),
        McpToolCall(id="call_2", name="weather", arguments=text),
        GenericToolCall(id="call_3", type="custom", arguments=text),
    ]
    assert [call.partial for call in calls] == [{"city": "Os"}] * 3
    assert FunctionToolCall(id="call_4", function=FunctionCall()).partial is None


def test_every_class_of_calls_has_its_arguments_so_far() -> None:
    """A live UI need not know the class; code is no JSON, and a file search has no arguments."""
    text = '{"city": "Os'
    calls: list[ToolCall] = [
        ConnectedAgentToolCall(id="call_1", connected_agent=ConnectedAgentCall(arguments=text)),
        UnknownToolCall(raw=FrozenMap({"type": "new", "arguments": text})),
        UnknownToolCall(raw=FrozenMap({"type": "new", "new": FrozenMap({"arguments": text})})),
        CodeInterpreterToolCall(id="call_2", code_interpreter=CodeInterpreterCall(input="[1, 2")),
        FileSearchToolCall(id="call_3", file_search=FileSearchCall()),
    ]
    assert [call.partial for call in calls] == [{"city": "Os"}] * 3 + [None] * 2
    assert all(isinstance(kind.partial, property) for kind in get_args(ToolCall))
