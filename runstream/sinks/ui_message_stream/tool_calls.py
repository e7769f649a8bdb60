"""Reads tool calls for a UI message: who runs them, their input and their output as JSON values. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

from runstream.core.state import RunState, call_names
from runstream.model.keys import call_key, escape_id
from runstream.model.signals import AwaitedCall
from runstream.model.step import RunStep
from runstream.model.tool_calls import (
    CodeInterpreterToolCall,
    ConnectedAgentToolCall,
    FileSearchToolCall,
    FunctionToolCall,
    GenericToolCall,
    McpToolCall,
    ToolCall,
    UnknownToolCall,
)
from runstream.sinks.ui_message_stream.chunks import json_value, readable

__all__ = [
    "approval_of",
    "awaited_input",
    "failure_of",
    "has_text_input",
    "input_error",
    "input_of",
    "is_run_by_server",
    "keyed_calls",
    "output_of",
    "output_value",
    "tool_call_id",
]

# The kinds of generic calls that the application answers.
_ANSWERED: Final = frozenset(
    {"custom", "shell", "local_shell", "apply_patch", "patch", "computer", "tool_search", "approval", "interrupt"}
)


def tool_call_id(call_key: str) -> str:
    """The ``toolCallId`` of a call: its id, with ``~k`` for the k-th call of that id in its run.

    Args:
        call_key: The key of the call.
    """
    base, mark, number = call_key.rpartition("/")[2].partition("~")
    return f"{unquote(base)}{mark}{number}"


def keyed_calls(scope: str, run_id: str, step: RunStep, state: RunState | None) -> Iterator[tuple[str, ToolCall]]:
    """The calls of a step with their keys; a call without an id has none.

    Args:
        scope: The scope of its run.
        run_id: The id of its run.
        step: The step.
        state: The state of the run, which numbers calls with equal ids.
    """
    names = call_names(state, step.id) if state is not None else []
    for index, call in enumerate(step.tool_calls):
        name = names[index] if index < len(names) else escape_id(call.id)
        if name:
            yield call_key(scope, run_id, name), call


def is_run_by_server(call: ToolCall) -> bool:
    """True if the server that makes the run executes the call itself."""
    if isinstance(call, GenericToolCall):
        return call.type not in _ANSWERED
    return not isinstance(call, FunctionToolCall)


def has_text_input(call: ToolCall) -> bool:
    """True if the arguments of a call are plain text, such as code."""
    return isinstance(call, CodeInterpreterToolCall) or (isinstance(call, GenericToolCall) and call.type == "custom")


def input_of(call: ToolCall) -> Any:
    """The input of a call: the JSON value of its arguments, or their text if they are no JSON; ``{}`` without any."""
    text = call.arguments
    if text is None or not text.strip():
        return text if text and has_text_input(call) else {}
    return text if has_text_input(call) else readable(json_value(text, scalars=True))


def input_error(call: ToolCall) -> bool:
    """True if the arguments of a function are no JSON."""
    text = call.arguments
    if not isinstance(call, FunctionToolCall) or text is None or not text.strip():
        return False
    value = json_value(text, scalars=True)
    return isinstance(value, str) and value == text


def awaited_input(call: AwaitedCall) -> Any:
    """The input of a call that waits: its arguments, else its other fields, such as the question of an interrupt."""
    if call.arguments is None:
        data = call.call.data if isinstance(call.call, GenericToolCall) else None
        return {} if data is None else readable(data)
    return input_of(call.call)


def output_value(text: str) -> Any:
    """The output of a call as JSON value: that of an object or array, else the text."""
    return readable(json_value(text, scalars=False))


def output_of(call: ToolCall) -> Any:
    """The output of a call that a server has run, also where it is no text; ``None`` without any."""
    if call.output is not None:
        return output_value(call.output)
    if isinstance(call, CodeInterpreterToolCall):
        return readable({"outputs": [output.to_dict() for output in call.code_interpreter.outputs]})
    if isinstance(call, FileSearchToolCall):
        return readable({"results": [result.to_dict() for result in call.file_search.results]})
    return readable(call.raw) if isinstance(call, UnknownToolCall) else None


def failure_of(call: ToolCall) -> bool:
    """True if a call has ended without success, as far as the call itself shows it."""
    if isinstance(call, GenericToolCall):
        return call.status == "failed"
    if isinstance(call, McpToolCall | ConnectedAgentToolCall) and call.output is None:
        return bool(call.to_dict().get("error"))
    return False


def approval_of(call: ToolCall) -> str | None:
    """The id of the approval with which a call was permitted, if it names one."""
    found = call.to_dict().get("approval_request_id") if isinstance(call, McpToolCall) else None
    return found if isinstance(found, str) and found else None
