"""The Responses wire: the names of its events, slim decoders of its fragments, and its objects as canonical objects.

The objects of the wire enter as parsed JSON. Every function reads what it can: a value of an unexpected type is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeAlias, Union, cast

import msgspec
from msgspec import Struct, field

from runstream.model.actions import ActionCall, CallsAction
from runstream.model.common import CompletionTokensDetails, ErrorObject, LastError, PromptTokensDetails, Usage
from runstream.model.events import Target
from runstream.model.frozen import ABSENT_LIST, freeze
from runstream.model.message import (
    Annotation,
    ContentPart,
    FileCitation,
    FileCitationAnnotation,
    Message,
    MessageStatus,
    RefusalPart,
    TextContent,
    TextPart,
    UrlCitation,
    UrlCitationAnnotation,
)
from runstream.model.run import IncompleteDetails, Run, RunStatus
from runstream.model.step import ReasoningDetails, ReasoningPart, RunStep, StepStatus, ToolCallsDetails
from runstream.model.tool_calls import (
    CodeInterpreterCall,
    CodeInterpreterToolCall,
    FunctionCall,
    FunctionToolCall,
    GenericToolCall,
    LogsOutput,
    McpToolCall,
    ToolCall,
)

__all__ = [
    "ANSWERED",
    "RESPONSE_ID",
    "TARGETS",
    "Fragment",
    "Json",
    "action_of",
    "awaited_call",
    "decode_fragment",
    "error_of",
    "message_of",
    "run_of",
    "step_of",
    "text_of",
]

Json: TypeAlias = Mapping[str, Any]

RESPONSE_ID: Final = "runstream.response_id"
"""The key in the metadata of a run under which the id of its latest response stands."""

# fragments

TARGETS: Final[Mapping[str, Target]] = {
    "output_text": "text",
    "refusal": "refusal",
    "reasoning": "reasoning",
    "reasoning_text": "reasoning",
    "reasoning_summary_text": "summary",
    "function_call_arguments": "arguments",
    "custom_tool_call_input": "arguments",
    "mcp_call_arguments": "arguments",
    "code_interpreter_call_code": "code",
}
"""The text that grows, by the middle of the name of its events: ``response.{middle}.delta`` and ``.done``."""


class Fragment(Struct, frozen=True, gc=False, tag_field="type"):
    """An event with a fragment of one text; each name of an event has a class.

    Attributes:
        target: The text that grows.
        name: The name of the event.
        index: The index of the part of its item.
    """

    target: ClassVar[Target]
    name: ClassVar[str]

    delta: str
    item_id: str | None = None
    sequence_number: int | None = None
    stream_id: str | None = None
    index: int = field(default=0, name="content_index")


def _fragment_type(middle: str) -> type[Fragment]:
    title = "_" + "".join(part.capitalize() for part in middle.split("_"))
    make: Any = type(Struct)
    name = f"response.{middle}.delta"
    attributes: dict[str, Any] = {"__module__": __name__, "target": TARGETS[middle], "name": name}
    if attributes["target"] == "summary":
        attributes |= {"__annotations__": {"index": int}, "index": field(default=0, name="summary_index")}
    return cast(type[Fragment], make(title, (Fragment,), attributes, frozen=True, gc=False, tag=name))


_FRAGMENT_TYPES: Final = tuple(_fragment_type(middle) for middle in TARGETS)
globals().update({kind.__name__: kind for kind in _FRAGMENT_TYPES})  # picklable by their module

decode_fragment: Final = msgspec.json.Decoder(Union[_FRAGMENT_TYPES]).decode  # noqa: UP007 - built at run time
"""Decodes the data of a fragment, and refuses those of every other event."""

# values


def text_of(value: object) -> str | None:
    """The value if it is a text."""
    return value if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    if isinstance(value, float) and abs(value) < 2.0**53:
        return int(value)  # times with fractions
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _mapping(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


# the response


def run_of(response: Json, run_id: str, status: str, action: CallsAction | None = None) -> Run:
    """The run that a response shows.

    Args:
        response: The response object.
        run_id: The id of the run.
        status: The status of the run.
        action: The action that it waits for.
    """
    metadata = {key: value for key, value in _mapping(response.get("metadata")).items() if isinstance(value, str)}
    if (id := text_of(response.get("id"))) is not None:
        metadata[RESPONSE_ID] = id
    reason = text_of(_mapping(response.get("incomplete_details")).get("reason"))
    created_at, ended_at = _integer(response.get("created_at")), _integer(response.get("completed_at"))
    error = error_of(response.get("error"))
    return Run(
        id=run_id,
        status=RunStatus(status),
        object=text_of(response.get("object")),
        created_at=created_at,
        completed_at=ended_at if status == "completed" else None,
        thread_id=text_of(_mapping(response.get("conversation")).get("id")),
        required_action=action,
        last_error=LastError(code=error.code or error.type, message=error.message) if status == "failed" else None,
        incomplete_details=IncompleteDetails(reason=reason) if reason is not None and status == "incomplete" else None,
        model=text_of(response.get("model")),
        instructions=text_of(response.get("instructions")),
        metadata=freeze(metadata),
        usage=_usage_of(response.get("usage")),
        temperature=_number(response.get("temperature")),
        top_p=_number(response.get("top_p")),
        max_completion_tokens=_integer(response.get("max_output_tokens")),
        parallel_tool_calls=value if isinstance(value := response.get("parallel_tool_calls"), bool) else None,
        reasoning_effort=text_of(_mapping(response.get("reasoning")).get("effort")),
    )


def _usage_of(value: object) -> Usage | None:
    usage = _mapping(value)
    if not usage:
        return None
    cached = _integer(_mapping(usage.get("input_tokens_details")).get("cached_tokens"))
    reasoning = _integer(_mapping(usage.get("output_tokens_details")).get("reasoning_tokens"))
    return Usage(
        prompt_tokens=_integer(usage.get("input_tokens")),
        completion_tokens=_integer(usage.get("output_tokens")),
        total_tokens=_integer(usage.get("total_tokens")),
        prompt_tokens_details=None if cached is None else PromptTokensDetails(cached_tokens=cached),
        completion_tokens_details=None if reasoning is None else CompletionTokensDetails(reasoning_tokens=reasoning),
    )


def error_of(value: object) -> ErrorObject:
    """The error in an ``error`` event or a response: flat, or nested under ``error``; a text is its message."""
    if isinstance(value, str):
        return ErrorObject(message=value)
    error = _mapping(value)
    if isinstance(inner := error.get("error"), dict | str):
        return error_of(inner)
    code = error.get("code")
    kind = text_of(error.get("type"))
    return ErrorObject(
        type=None if kind == "error" else kind,
        code=str(code) if isinstance(code, int) else text_of(code),
        message=text_of(error.get("message")),
        param=text_of(error.get("param")),
    )


# items


def message_of(item: Json, id: str, run_id: str, status: str) -> Message:
    """The message that an item shows. Content that is absent or empty is absent: it erases nothing.

    Args:
        item: The output item.
        id: The id of the message.
        run_id: The id of its run.
        status: The status of the message.
    """
    return Message(
        id=id,
        run_id=run_id,
        role=text_of(item.get("role")) or "assistant",
        status=MessageStatus(status),
        content=tuple(map(_part_of, _mappings(item.get("content")))) or ABSENT_LIST,
    )


def _part_of(part: Json) -> ContentPart:
    if part.get("type") == "refusal":
        return RefusalPart(refusal=text_of(part.get("refusal")))
    annotations = tuple(
        annotation for found in _mappings(part.get("annotations")) if (annotation := _annotation_of(found)) is not None
    )
    return TextPart(text=TextContent(value=text_of(part.get("text")) or "", annotations=annotations))


def _annotation_of(value: Json) -> Annotation | None:
    start, end = _integer(value.get("start_index")), _integer(value.get("end_index"))
    if value.get("type") == "url_citation":
        citation = UrlCitation(url=text_of(value.get("url")), title=text_of(value.get("title")))
        return UrlCitationAnnotation(start_index=start, end_index=end, url_citation=citation)
    if value.get("type") in ("file_citation", "container_file_citation"):
        file = FileCitation(file_id=text_of(value.get("file_id")))
        return FileCitationAnnotation(start_index=start, end_index=end, file_citation=file)
    return None


def step_of(item: Json, id: str, run_id: str, status: str, output: str | None = None) -> RunStep:
    """The step that an item shows: a reasoning, or a call.

    Args:
        item: The output item.
        id: The id of the step.
        run_id: The id of its run.
        status: The status of the step.
        output: The output of its call, if another item has it.
    """
    details: Any
    if item.get("type") == "reasoning":
        details = ReasoningDetails(
            summary=tuple(map(_reasoning_part, _mappings(item.get("summary")))) or ABSENT_LIST,
            content=tuple(map(_reasoning_part, _mappings(item.get("content")))) or ABSENT_LIST,
        )
    else:
        details = ToolCallsDetails(tool_calls=(_call_of(item, id, output),))
    return RunStep(id=id, run_id=run_id, type=details.type, status=StepStatus(status), step_details=details)


def _reasoning_part(part: Json) -> ReasoningPart:
    return ReasoningPart(text=text_of(part.get("text")))


def _call_of(item: Json, step_id: str, output: str | None) -> ToolCall:
    kind = text_of(item.get("type")) or ""
    id = text_of(item.get("call_id")) or text_of(item.get("id")) or step_id
    name = text_of(item.get("name"))
    output = output if output is not None else text_of(item.get("output"))
    arguments = text_of(item.get("arguments"))
    match kind:
        case "function_call":
            return FunctionToolCall(id=id, function=FunctionCall(name=name, arguments=arguments or None, output=output))
        case "mcp_call":
            label = text_of(item.get("server_label"))
            return McpToolCall(id=id, name=name, arguments=arguments or None, server_label=label, output=output)
        case "code_interpreter_call":
            logs = [
                text for found in _mappings(item.get("outputs")) if (text := text_of(found.get("logs"))) is not None
            ]
            outputs = tuple(LogsOutput(logs=text) for text in logs) or ABSENT_LIST
            code = CodeInterpreterCall(input=text_of(item.get("code")) or None, outputs=outputs)
            return CodeInterpreterToolCall(id=id, code_interpreter=code)
    arguments = arguments or text_of(item.get("input")) or _structured_arguments(item)
    return GenericToolCall(
        id=id,
        type=kind.removesuffix("_call") or "unknown",
        name=name,
        arguments=arguments or None,
        output=output,
        status=text_of(item.get("status")),
    )


def _structured_arguments(item: Json) -> str | None:
    """The arguments of a call that has them as an object under a name of its own."""
    for name in ("arguments", "action", "actions", "operation", "queries"):
        if isinstance(value := item.get(name), dict | list):
            return msgspec.json.encode(value).decode()
    return None


# what waits

_KINDS: Final[Mapping[str, str]] = {
    "function_call": "function",
    "custom_tool_call": "custom",
    "mcp_approval_request": "approval",
    "local_shell_call": "shell",
    "shell_call": "shell",
    "apply_patch_call": "patch",
    "computer_call": "computer",
    "tool_search_call": "tool_search",
}


ANSWERED: Final = frozenset(_KINDS) | {"program"}
"""The types of calls that are answered by another item: of the same response, or of the next request."""


def awaited_call(item: Json, response: Json) -> ActionCall | None:
    """The call that the application owes an answer to; ``None`` if the server runs it.

    Args:
        item: The output item.
        response: Its response, with the tools that were offered.
    """
    type = text_of(item.get("type")) or ""
    kind = _KINDS.get(type)
    id = text_of(item.get("call_id")) or text_of(item.get("id"))
    if kind is None or id is None or item.get("status") == "incomplete":
        return None
    name = text_of(item.get("name"))
    if type == "custom_tool_call" and isinstance(tools := response.get("tools"), list) and tools:
        offered = {tool.get("name") for tool in _mappings(tools) if tool.get("type") == "custom"}
        if name not in offered:
            return None  # a tool of the server, shown as a custom call
    if type == "tool_search_call" and item.get("execution") != "client":
        return None
    if type == "shell_call" and _mapping(item.get("environment")).get("type") in _CONTAINERS:
        return None
    arguments = text_of(item.get("arguments")) or text_of(item.get("input")) or _structured_arguments(item)
    return ActionCall(id=id, kind=kind, name=name, arguments=arguments)


_CONTAINERS: Final = frozenset({"container_reference", "container_auto", "container"})


def action_of(calls: list[ActionCall]) -> CallsAction:
    """The action that requests an answer to these calls."""
    return CallsAction(calls=tuple(calls))
