"""The response object of the Responses wire as a run: its fields, its tools, its tokens and its error."""

from __future__ import annotations

from typing import Any, Final

from msgspec import ValidationError, convert

from runstream.dialects.responses_wire import Json, flag_of, integer_of, list_of, map_of, number_of, text_of
from runstream.model.actions import CallsAction
from runstream.model.base import decode_hook
from runstream.model.common import CompletionTokensDetails, ErrorObject, LastError, PromptTokensDetails, Usage
from runstream.model.frozen import ABSENT_LIST, StringMap, freeze
from runstream.model.lenient import MILLISECONDS, read
from runstream.model.run import IncompleteDetails, Run, RunStatus
from runstream.model.tools import (
    CodeInterpreterTool,
    FileSearchTool,
    FunctionDefinition,
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    McpTool,
    NamedFunction,
    NamedToolChoice,
    ResponseFormat,
    TextFormat,
    Tool,
    ToolChoice,
    TruncationStrategy,
    UnknownFormat,
    UnknownTool,
)

__all__ = ["RESPONSE_ID", "error_of", "incomplete_reason", "run_of", "tools_of"]

RESPONSE_ID: Final = "runstream.response_id"
"""The key in the metadata of a run under which the id of its latest response stands."""

_PLAIN: Final = {"type": "text"}
_TEXT_FORMAT: Final = TextFormat()
_SECRETS: Final = frozenset({"headers", "authorization"})  # of an MCP server, which some servers send back


def run_of(
    response: Json, run_id: str, status: str, action: CallsAction | None = None, tools: tuple[Tool, ...] = ABSENT_LIST
) -> Run:
    """The run that a response shows.

    Args:
        response: The response object.
        run_id: The id of the run.
        status: The status of the run.
        action: The action that it waits for.
        tools: Its tools, from :func:`tools_of`.
    """
    metadata = {key: value for key, value in map_of(response.get("metadata")).items() if isinstance(value, str)}
    if (id := text_of(response.get("id"))) is not None:
        metadata[RESPONSE_ID] = id
    last_error = incomplete = None
    if status == "failed":
        error = error_of(response.get("error"))
        last_error = LastError(code=error.code or error.type, message=error.message)
    elif status == "incomplete" and (reason := incomplete_reason(response)) is not None:
        incomplete = IncompleteDetails(reason=reason)
    truncation = text_of(response.get("truncation"))
    return Run(
        id=run_id,
        status=RunStatus(status),
        object=text_of(response.get("object")),
        created_at=_time_of(response.get("created_at")),
        completed_at=_time_of(response.get("completed_at")) if status == "completed" else None,
        thread_id=text_of(map_of(response.get("conversation")).get("id")),
        required_action=action,
        last_error=last_error,
        incomplete_details=incomplete,
        model=text_of(response.get("model")),
        instructions=_instructions_of(response.get("instructions")),
        tools=tools,
        metadata=StringMap(metadata),
        usage=_usage_of(response.get("usage")),
        temperature=number_of(response.get("temperature")),
        top_p=number_of(response.get("top_p")),
        max_completion_tokens=integer_of(response.get("max_output_tokens")),
        truncation_strategy=TruncationStrategy(type=truncation) if truncation is not None else None,
        tool_choice=_tool_choice_of(response.get("tool_choice")),
        parallel_tool_calls=flag_of(response.get("parallel_tool_calls")),
        response_format=_format_of(map_of(response.get("text")).get("format")),
        reasoning_effort=text_of(map_of(response.get("reasoning")).get("effort")),
    )


def _time_of(value: object) -> int | None:
    """The value if it is a time (Unix seconds)."""
    time = integer_of(value)
    return time if time is not None and -MILLISECONDS < time < MILLISECONDS else None


def incomplete_reason(response: Json) -> str | None:
    """The reason for which a response is incomplete."""
    return text_of(map_of(response.get("incomplete_details")).get("reason"))


def _instructions_of(value: object) -> str | None:
    """The instructions: a text, or the texts of the items that stand for it."""
    if not isinstance(value, list):
        return text_of(value)
    contents = [item.get("content") for item in list_of(value)]
    texts = [
        content if isinstance(content, str) else "".join(text_of(part.get("text")) or "" for part in list_of(content))
        for content in contents
    ]
    return "\n\n".join(text for text in texts if text) or None


def _usage_of(value: object) -> Usage | None:
    if not value:
        return None
    usage = map_of(value)
    if not usage:
        return None
    cached = integer_of(map_of(usage.get("input_tokens_details")).get("cached_tokens"))
    reasoning = integer_of(map_of(usage.get("output_tokens_details")).get("reasoning_tokens"))
    return Usage(
        prompt_tokens=integer_of(_first_of(usage, "input_tokens", "prompt_tokens")),
        completion_tokens=integer_of(_first_of(usage, "output_tokens", "completion_tokens")),
        total_tokens=integer_of(usage.get("total_tokens")),
        prompt_tokens_details=None if cached is None else PromptTokensDetails(cached_tokens=cached),
        completion_tokens_details=None if reasoning is None else CompletionTokensDetails(reasoning_tokens=reasoning),
    )


def _first_of(usage: Json, *names: str) -> object:
    """The first field that is there: bridges leave the names of chat completions."""
    return next((found for name in names if (found := usage.get(name)) is not None), None)


def error_of(value: object) -> ErrorObject:
    """The error in an ``error`` event or a response: flat, or nested under ``error``; a text is its message."""
    if isinstance(value, str):
        return ErrorObject(message=value)
    error = map_of(value)
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


# tools


def tools_of(value: object) -> tuple[Tool, ...]:
    """The tools of a response. A tool without a class of its own is kept as received, without credentials."""
    return tuple(map(_tool_of, list_of(value))) or ABSENT_LIST


def _tool_of(tool: Json) -> Tool:
    found: Tool | None = None
    fields = {key: value for key, value in tool.items() if value is not None and key not in _SECRETS}
    match tool.get("type"):
        case "function":
            type = fields.pop("type")
            try:
                return FunctionTool(function=convert(fields, FunctionDefinition, dec_hook=decode_hook))
            except ValidationError:  # unknown fields, or values of other types
                found = read(FunctionTool, {"type": type, "function": fields}, [])
        case "code_interpreter":
            found = read(CodeInterpreterTool, fields, [])
        case "file_search":
            names = ("max_num_results", "ranking_options")
            settings = {name: fields.pop(name) for name in names if name in fields}
            found = read(FileSearchTool, {**fields, "file_search": settings}, [])
        case "mcp":
            found = read(McpTool, fields, [])
    return found or UnknownTool(raw=freeze(fields))


def _tool_choice_of(value: object) -> ToolChoice | None:
    if isinstance(value, str):
        return value
    choice = map_of(value)
    type, name = text_of(choice.get("type")), text_of(choice.get("name"))
    if type is None:
        return None
    return NamedToolChoice(type=type, function=NamedFunction(name=name) if name is not None else None)


def _format_of(value: object) -> ResponseFormat | None:
    if value == _PLAIN:
        return _TEXT_FORMAT
    fields: dict[str, Any] = {key: item for key, item in map_of(value).items() if item is not None}
    match fields.get("type"):
        case "text":
            return TextFormat()
        case "json_object":
            return JsonObjectFormat()
        case "json_schema":
            type = fields.pop("type")
            return read(JsonSchemaFormat, {"type": type, "json_schema": fields}, [])
        case str():
            return UnknownFormat(raw=freeze(fields))
    return None
