"""Tool calls: as steps hold them, and as a run asks for their outputs."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from runstream.model.base import Unknown, WireStruct
from runstream.model.frozen import ABSENT_LIST, FrozenList, FrozenMap, freeze
from runstream.model.shared import Tagged
from runstream.model.tools import RankingOptions

__all__ = [
    "CodeInterpreterCall",
    "CodeInterpreterToolCall",
    "CodeOutput",
    "ConnectedAgentCall",
    "ConnectedAgentToolCall",
    "FileSearchCall",
    "FileSearchResult",
    "FileSearchToolCall",
    "FunctionCall",
    "FunctionToolCall",
    "ImageFileRef",
    "ImageOutput",
    "LogsOutput",
    "McpToolCall",
    "RequiredAction",
    "SubmitToolApproval",
    "SubmitToolApprovalAction",
    "SubmitToolOutputs",
    "SubmitToolOutputsAction",
    "ToolCall",
    "UnknownAction",
    "UnknownOutput",
    "UnknownToolCall",
    "parse_arguments",
]


def parse_arguments(text: str | None) -> tuple[Any, str | None]:
    """The arguments of a call, parsed (read-only), or why they can't be: ``(value, None)`` or ``(None, error)``."""
    try:
        return freeze(msgspec.json.decode(text or "")), None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return None, f"Arguments are not JSON: {error or 'nested too deeply'}"


class FunctionCall(WireStruct):
    """Name, arguments (JSON text, may still be growing) and output of a function call."""

    name: str | None = None
    arguments: str | None = None
    output: str | None = None


class FunctionToolCall(Tagged, tag="function"):
    """A call of one of the application's functions."""

    id: str
    function: FunctionCall

    @property
    def name(self) -> str | None:
        """The function's name."""
        return self.function.name

    @property
    def arguments(self) -> str | None:
        """The arguments as JSON text."""
        return self.function.arguments


class LogsOutput(Tagged, tag="logs"):
    """Text that the code printed."""

    logs: str | None = None
    index: int | None = None


class ImageFileRef(WireStruct):
    """A file that holds an image."""

    file_id: str | None = None
    detail: str | None = None


class ImageOutput(Tagged, tag="image"):
    """An image that the code made."""

    image: ImageFileRef | None = None
    index: int | None = None


class UnknownOutput(Unknown, tag_field="type", tag="$unknown"):
    """Any other output of code, as it came."""


CodeOutput: TypeAlias = LogsOutput | ImageOutput | UnknownOutput


class CodeInterpreterCall(WireStruct):
    """The code that ran, and its outputs."""

    input: str | None = None
    outputs: tuple[CodeOutput, ...] = ABSENT_LIST


class CodeInterpreterToolCall(Tagged, tag="code_interpreter"):
    """A run of the code interpreter."""

    id: str
    code_interpreter: CodeInterpreterCall

    @property
    def name(self) -> str:
        """The tool's name."""
        return "code_interpreter"

    @property
    def arguments(self) -> str | None:
        """The code."""
        return self.code_interpreter.input


class FileSearchResult(WireStruct):
    """One hit of a file search; ``content`` only where the request asked for it."""

    file_id: str | None = None
    file_name: str | None = None
    score: float | None = None
    content: FrozenList | None = None
    attributes: FrozenMap | None = None


class FileSearchCall(WireStruct):
    """How the files were searched, and what was found."""

    ranking_options: RankingOptions | None = None
    results: tuple[FileSearchResult, ...] = ABSENT_LIST


class FileSearchToolCall(Tagged, tag="file_search"):
    """A file search."""

    id: str
    file_search: FileSearchCall

    @property
    def name(self) -> str:
        """The tool's name."""
        return "file_search"

    @property
    def arguments(self) -> None:
        """File search has none."""
        return None


class McpToolCall(Tagged, tag="mcp"):
    """A call of a Model Context Protocol tool (Azure): flat, and it may wait for approval."""

    id: str
    name: str | None = None
    arguments: str | None = None
    server_label: str | None = None
    output: str | None = None


class ConnectedAgentCall(WireStruct):
    """What another agent was asked; the child run has an id and a thread of its own."""

    name: str | None = None
    arguments: str | None = None
    output: str | None = None
    run_id: str | None = None
    thread_id: str | None = None


class ConnectedAgentToolCall(Tagged, tag="connected_agent"):
    """A call of another agent (Azure)."""

    id: str
    connected_agent: ConnectedAgentCall

    @property
    def name(self) -> str | None:
        """The agent's name."""
        return self.connected_agent.name

    @property
    def arguments(self) -> str | None:
        """What it was asked."""
        return self.connected_agent.arguments


class UnknownToolCall(Unknown, tag_field="type", tag="$unknown"):
    """Any other call, as it came; ``id``, ``name`` and ``arguments`` are read where they usually stand."""

    def _text(self, name: str) -> str | None:
        inner = self.raw.get(self.type)
        for place in (self.raw, inner):
            value = place.get(name) if hasattr(place, "get") else None
            if isinstance(value, str):
                return value
        return None

    @property
    def id(self) -> str:
        """The call's id; empty where it has none."""
        return self._text("id") or ""

    @property
    def name(self) -> str | None:
        """The tool's name, where there is one."""
        return self._text("name") or self.type or None

    @property
    def arguments(self) -> str | None:
        """The arguments as text, where there are any."""
        return self._text("arguments")


ToolCall: TypeAlias = (
    FunctionToolCall
    | CodeInterpreterToolCall
    | FileSearchToolCall
    | McpToolCall
    | ConnectedAgentToolCall
    | UnknownToolCall
)


class SubmitToolOutputs(WireStruct):
    """The calls whose outputs are awaited."""

    tool_calls: tuple[ToolCall, ...] = ABSENT_LIST


class SubmitToolOutputsAction(Tagged, tag="submit_tool_outputs"):
    """The run waits for the outputs of function calls."""

    submit_tool_outputs: SubmitToolOutputs

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that wait."""
        return self.submit_tool_outputs.tool_calls


class SubmitToolApproval(WireStruct):
    """The calls whose approval is awaited (Azure)."""

    tool_calls: tuple[ToolCall, ...] = ABSENT_LIST


class SubmitToolApprovalAction(Tagged, tag="submit_tool_approval"):
    """The run waits for somebody to approve tool calls (Azure)."""

    submit_tool_approval: SubmitToolApproval

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that wait."""
        return self.submit_tool_approval.tool_calls


class UnknownAction(Unknown, tag_field="type", tag="$unknown"):
    """Any other required action, as it came."""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls in it, if there is a list of objects with ids where the known actions have theirs."""
        inner = self.raw.get(self.type)
        calls = inner.get("tool_calls") if hasattr(inner, "get") else None
        if not isinstance(calls, FrozenList):
            return ()
        return tuple(UnknownToolCall(raw=call) for call in calls if hasattr(call, "get"))


RequiredAction: TypeAlias = SubmitToolOutputsAction | SubmitToolApprovalAction | UnknownAction
