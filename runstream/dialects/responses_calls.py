"""Items of the Responses wire that are no messages, as steps: reasoning, calls, and lists of tools.

An item that is none of the known ones is a generic call, so that nothing of it is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runstream.dialects.responses_run import error_of
from runstream.dialects.responses_wire import Json, dump_text, list_of, text_of
from runstream.model.common import LastError
from runstream.model.frozen import freeze
from runstream.model.lenient import read
from runstream.model.step import (
    ActivitiesDetails,
    Activity,
    ReasoningDetails,
    RunStep,
    StepDetails,
    StepStatus,
    ToolCallsDetails,
)
from runstream.model.tool_calls import (
    CodeInterpreterToolCall,
    FileSearchToolCall,
    FunctionCall,
    FunctionToolCall,
    GenericToolCall,
    McpToolCall,
    ToolCall,
)

__all__ = ["LISTS", "OWN_FIELDS", "arguments_of", "output_of", "step_of"]

LISTS: Final = frozenset({"mcp_list_tools"})
"""The types of items that have no text, and are no calls."""

# The types of generic calls whose item has another name.
_TYPES: Final[Mapping[str, str]] = {
    "custom_tool_call": "custom",
    "mcp_approval_request": "approval",
    "local_shell_call": "shell",
}
# The fields that have the arguments, in the order in which they are looked for.
_ARGUMENTS: Final = ("arguments", "input", "action", "actions", "operation", "queries", "code")
_OUTPUTS: Final = ("output", "result", "tools")
OWN_FIELDS: Final = frozenset({"type", "id", "call_id", "name", "status", *_ARGUMENTS, *_OUTPUTS})
"""The fields of a call that have a place of their own in a tool call."""

# The field that grows stands where the text of the arguments can grow with it.
_FIRST: Final[Mapping[str, str]] = {"shell_call": "commands"}
_LAST: Final[Mapping[str, str]] = {"apply_patch_call": "diff"}


def step_of(
    item: Json, id: str, run_id: str, status: str, *, output: str | None = None, count: int = 0, whole: bool = True
) -> RunStep:
    """The step that an item shows.

    Args:
        item: The output item.
        id: The id of the step.
        run_id: The id of its run.
        status: The status of the step.
        output: The output of its call, if another item has it.
        count: The number of partial images, or of pieces of audio, that were received.
        whole: False while the arguments of its call may grow.
    """
    type = text_of(item.get("type")) or ""
    error = item.get("error")
    details: StepDetails
    if type == "reasoning":
        details = _reasoning_of(item)
    elif type in LISTS:
        details = ActivitiesDetails(activities=(_list_of_tools(item, id, type),))
    else:
        details = ToolCallsDetails(tool_calls=(_call_of(item, type, id, output, count, whole),))
    found = error_of(error) if isinstance(error, dict | str) and error else None
    return RunStep(
        id=id,
        run_id=run_id,
        type=details.type,
        status=StepStatus(status),
        step_details=details,
        last_error=LastError(code=found.type or found.code, message=found.message) if found is not None else None,
    )


def _reasoning_of(item: Json) -> ReasoningDetails:
    fields: dict[str, Any] = {"type": "reasoning"}
    for name in ("summary", "content"):
        if parts := list_of(item.get(name)):
            fields[name] = [{"text": text_of(part.get("text"))} for part in parts]
    if encrypted := text_of(item.get("encrypted_content")):
        fields["encrypted_content"] = encrypted  # without it, no later request can send the reasoning again
    return read(ReasoningDetails, fields, []) or ReasoningDetails()


def _list_of_tools(item: Json, id: str, type: str) -> Activity:
    tools = {
        text_of(tool.get("name")) or str(number): {key: value for key, value in tool.items() if key != "name"}
        for number, tool in enumerate(list_of(item.get("tools")))
    }
    label = text_of(item.get("server_label"))
    return Activity(id=id, type=type, server_label=label, tools=freeze(tools) if tools else None)


def _call_of(item: Json, type: str, step_id: str, output: str | None, count: int, whole: bool) -> ToolCall:
    id = text_of(item.get("call_id")) or text_of(item.get("id")) or step_id
    name = text_of(item.get("name"))
    arguments = arguments_of(item) if whole or type not in {*_FIRST, *_LAST} else None
    if output is None:
        output = output_of(item)
    found: ToolCall | None = None
    match type:
        case "function_call":
            return FunctionToolCall(id=id, function=FunctionCall(name=name, arguments=arguments, output=output))
        case "mcp_call":
            names = ("server_label", "approval_request_id", "error")
            rest = {key: item[key] for key in names if item.get(key) is not None}
            fields = {"id": id, "name": name, "arguments": arguments, "output": output, **rest}
            found = read(McpToolCall, _without_nulls({"type": "mcp", **fields}), [])
        case "code_interpreter_call":
            code = {"input": text_of(item.get("code")) or None, "outputs": list_of(item.get("outputs")) or None}
            fields = {"id": id, "code_interpreter": _without_nulls(code), "container_id": item.get("container_id")}
            found = read(CodeInterpreterToolCall, _without_nulls({"type": "code_interpreter", **fields}), [])
        case "file_search_call":
            results = list(map(_hit_of, list_of(item.get("results"))))
            fields = {"id": id, "file_search": {"results": results} if results else {}, "queries": item.get("queries")}
            found = read(FileSearchToolCall, _without_nulls({"type": "file_search", **fields}), [])
    if found is not None:
        return found
    data = {key: value for key, value in item.items() if key not in OWN_FIELDS and value not in (None, [], {})}
    if count:
        data["audio_pieces" if type == "audio" else "partial_images"] = count
    return GenericToolCall(
        id=id,
        type=_TYPES.get(type) or type.removesuffix("_call") or "unknown",
        name=name,
        arguments=arguments,
        output=output,
        status=text_of(item.get("status")),
        data=data or None,
    )


def _hit_of(value: Json) -> dict[str, Any]:
    """A hit of a file search."""
    hit = {key: item for key, item in value.items() if item is not None}
    if (name := hit.pop("filename", None)) is not None:
        hit["file_name"] = name
    if (text := text_of(hit.pop("text", None))) is not None:
        hit["content"] = [{"type": "text", "text": text}]
    return hit


def _without_nulls(fields: Json) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def arguments_of(item: Json) -> str | None:
    """The arguments of a call: as the wire has them, or as JSON text of the object that stands for them.

    Args:
        item: The output item.
    """
    for name in _ARGUMENTS:
        value = item.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list) and value:
            return dump_text(value)
        if isinstance(value, dict) and value:
            type = text_of(item.get("type")) or ""
            first, last = _FIRST.get(type), _LAST.get(type)
            fields = {key: field for key, field in value.items() if key not in (first, last)}
            before = {first: value[first]} if first in value else {}
            after = {last: value[last]} if last in value else {}
            return dump_text({**before, **fields, **after})
    return None


def output_of(item: Json) -> str | None:
    """The output of a call, or of the item that answers it; as JSON text if it is no text.

    Args:
        item: The output item.
    """
    for name in _OUTPUTS:
        if (value := item.get(name)) is not None:
            return dump_text(value)
    return None
