"""Deltas: fragments as servers send them, with every inner field optional."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.model import (
    CodeInterpreterToolCallDelta,
    FileCitationAnnotation,
    FileSearchToolCallDelta,
    FunctionToolCallDelta,
    ImageFilePartDelta,
    ImageUrlPartDelta,
    LogsOutput,
    McpToolCallDelta,
    MessageCreationDelta,
    MessageDelta,
    RefusalPartDelta,
    RunStepDelta,
    TextPartDelta,
    ToolCallsDelta,
    UnknownDelta,
)
from runstream.model.base import decoder
from tests.model.kinds import encoded
from tests.support import wire


def message_delta(data: dict[str, Any]) -> MessageDelta:
    """The delta, decoded by the strict decoder alone and written as it came."""
    delta = decoder(MessageDelta).decode(encoded(data))
    assert isinstance(delta, MessageDelta)
    assert delta.to_dict() == data
    assert delta._wire is None
    return delta


def call_delta(data: dict[str, Any]) -> Any:
    """The one call of a step delta, decoded by the strict decoder alone."""
    delta = decoder(RunStepDelta).decode(encoded(wire.step_delta("step_1", data)))
    details = delta.delta.step_details
    assert delta.id == "step_1"
    assert type(details) is ToolCallsDelta
    assert details.tool_calls is not None
    assert delta._wire is None
    (call,) = details.tool_calls
    return call


def test_text() -> None:
    """The first fragment has annotations, the later ones have none."""
    (part,) = message_delta(wire.message_delta("msg_1", "He", annotations=())).delta.content
    assert type(part) is TextPartDelta
    assert part.text is not None
    assert (part.index, part.text.value, part.text.annotations) == (0, "He", ())
    (part,) = message_delta(wire.message_delta("msg_1", "llo", index=2)).delta.content
    assert type(part) is TextPartDelta
    assert part.text is not None
    assert (part.index, part.text.value, part.text.annotations) == (2, "llo", ())


def test_annotations() -> None:
    """An annotation of a delta has an index, and the quote that servers send empty."""
    note = wire.file_citation("[1]", 3, "file_1")
    data = wire.message_delta("msg_1", "[1]", annotations=[note], first_annotation=4)
    (part,) = message_delta(data).delta.content
    assert type(part) is TextPartDelta
    assert part.text is not None
    (found,) = part.text.annotations
    assert type(found) is FileCitationAnnotation
    assert found.file_citation is not None
    assert (found.index, found.text, found.file_citation.quote) == (4, "[1]", "")


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"index": 0, "type": "text"}, TextPartDelta),
        ({"index": 1, "type": "image_file", "image_file": {"file_id": "f"}}, ImageFilePartDelta),
        ({"index": 1, "type": "image_url", "image_url": {"url": "u", "detail": "low"}}, ImageUrlPartDelta),
        ({"index": 1, "type": "refusal", "refusal": "No"}, RefusalPartDelta),
        ({"index": 1, "type": "audio", "audio": {}}, UnknownDelta),
    ],
)
def test_parts(part: dict[str, Any], kind: type) -> None:
    """Each fragment is of its class; its body is optional."""
    delta = MessageDelta.from_json({"id": "m", "delta": {"role": "assistant", "content": [part]}})
    (found,) = delta.delta.content
    assert type(found) is kind
    assert delta.delta.role == "assistant"
    assert delta.to_dict() == {"id": "m", "delta": {"role": "assistant", "content": [part]}}


def test_function_calls() -> None:
    """The first fragment has id, name and empty arguments; the later ones have arguments alone."""
    call = call_delta(wire.function_call_delta(0, id="call_1", name="f"))
    assert type(call) is FunctionToolCallDelta
    assert call.function is not None
    assert (call.index, call.id, call.function.name, call.function.arguments) == (0, "call_1", "f", "")
    assert call.function.output is None
    call = call_delta(wire.function_call_delta(3, '{"a'))
    assert (call.index, call.id, call.function.name, call.function.arguments) == (3, None, None, '{"a')


def test_code() -> None:
    """Code comes in pieces, outputs by their index."""
    call = call_delta(wire.code_interpreter_delta(0, id="call_1"))
    assert type(call) is CodeInterpreterToolCallDelta
    assert call.code_interpreter is not None
    assert (call.id, call.code_interpreter.input, call.code_interpreter.outputs) == ("call_1", "", ())
    call = call_delta(wire.code_interpreter_delta(0, outputs=[wire.logs("a"), wire.logs("b")]))
    assert [type(output) for output in call.code_interpreter.outputs] == [LogsOutput, LogsOutput]
    assert [output.index for output in call.code_interpreter.outputs] == [0, 1]
    assert call.code_interpreter.input is None


def test_file_search() -> None:
    """The one fragment of a file search."""
    call = call_delta(wire.file_search_delta(1, "call_1"))
    assert type(call) is FileSearchToolCallDelta
    assert call.file_search is not None
    assert (call.index, call.id) == (1, "call_1")
    assert call.file_search.results == []


def test_mcp() -> None:
    """Azure's flat calls."""
    call = call_delta({"index": 0, "type": "mcp", "id": "c", "name": "n", "arguments": "{", "server_label": "docs"})
    assert type(call) is McpToolCallDelta
    assert (call.name, call.arguments, call.server_label) == ("n", "{", "docs")


def test_message_creation() -> None:
    """A step that makes a message says so in a delta."""
    details = {"type": "message_creation", "message_creation": {"message_id": "msg_1"}}
    delta = RunStepDelta.from_json({"id": "s", "object": "thread.run.step.delta", "delta": {"step_details": details}})
    assert type(delta.delta.step_details) is MessageCreationDelta
    assert delta.delta.step_details.message_creation is not None
    assert delta.delta.step_details.message_creation.message_id == "msg_1"


@pytest.mark.parametrize("part", [{"type": "text"}, {"type": "text", "index": None}])
def test_an_absent_index_reads_as_zero_and_is_not_written(part: dict[str, Any]) -> None:
    """What did not come is not made up."""
    delta = MessageDelta.from_json({"id": "m", "delta": {"content": [part]}})
    (found,) = delta.delta.content
    assert type(found) is TextPartDelta
    assert (found.index, type(found.index)) == (0, int)
    assert found.to_dict() == {"type": "text"}
    assert delta.to_dict() == {"id": "m", "delta": {"content": [{"type": "text"}]}}
    sent = MessageDelta.from_json({"id": "m", "delta": {"content": [{"type": "text", "index": 0}]}})
    assert sent.to_dict() == {"id": "m", "delta": {"content": [{"type": "text", "index": 0}]}}
    assert found.replace(index=2).to_dict() == {"type": "text", "index": 2}


def test_an_empty_delta() -> None:
    """A delta may add nothing."""
    assert message_delta({"id": "m", "delta": {}}).delta.content == ()
    assert RunStepDelta.from_json({"id": "s", "delta": {"step_details": None}}).delta.step_details is None


@pytest.mark.parametrize(
    "data",
    [
        {"id": "m", "delta": {"content": [{"index": 0, "type": "text", "text": {"value": "a", "x": 1}}]}},
        {"id": "m", "delta": {"content": [{"index": 0, "type": "text", "text": {"value": "a"}, "x": 1}]}},
        {"id": "m", "delta": {"content": [{"index": 0, "type": "text", "text": {"value": "a"}}], "x": 1}},
        {"id": "m", "delta": {"content": [{"type": "text", "text": {"value": "a"}}]}},
        {"id": "m", "delta": {"content": {"type": "text", "text": {"value": "a"}}}},
        {"id": "m", "delta": {}, "x": 1},
    ],
)
def test_a_delta_tells_at_once_whether_all_of_it_is_plain(data: dict[str, Any]) -> None:
    """`_wire` of a delta covers its nested objects, so thousands of deltas need one check each."""
    delta = MessageDelta.from_json(data)
    assert delta._wire is not None
    assert delta.to_dict() == data
