"""Tool calls: as steps hold them, and as a run asks for their outputs."""

from __future__ import annotations

from typing import Any, TypeAlias

from runstream.errors import DecodeError
from runstream.model.base import Unknown, WireStruct
from runstream.model.common import Number, Tagged
from runstream.model.frozen import ABSENT_LIST, FrozenList, FrozenMap, freeze
from runstream.model.jsontext import decode_json
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
    """The arguments of a call, parsed (read-only), or why they can't be: ``(value, None)``, ``(None, error)``."""
    try:
        return freeze(decode_json(text or "")), None
    except DecodeError as error:
        return None, f"Arguments are not JSON: {error.reason.removeprefix('Not JSON: ')}"


class FunctionCall(WireStruct, frozen=True, kw_only=True):
    """Name, arguments (JSON text, may still be growing) and output of a function call."""

    name: str | None = None
    arguments: str | None = None
    output: str | None = None


class FunctionToolCall(Tagged, frozen=True, kw_only=True, tag="function"):
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


class LogsOutput(Tagged, frozen=True, kw_only=True, tag="logs"):
    """Text that the code printed."""

    logs: str | None = None
    index: int | None = None


class ImageFileRef(WireStruct, frozen=True, kw_only=True):
    """A file that holds an image."""

    file_id: str | None = None
    detail: str | None = None


class ImageOutput(Tagged, frozen=True, kw_only=True, tag="image"):
    """An image that the code made."""

    image: ImageFileRef | None = None
    index: int | None = None


class UnknownOutput(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other output of code, as it came."""


CodeOutput: TypeAlias = LogsOutput | ImageOutput | UnknownOutput


class CodeInterpreterCall(WireStruct, frozen=True, kw_only=True):
    """The code that ran, and its outputs."""

    input: str | None = None
    outputs: tuple[CodeOutput, ...] = ABSENT_LIST


class CodeInterpreterToolCall(Tagged, frozen=True, kw_only=True, tag="code_interpreter"):
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

    @property
    def image_file_ids(self) -> tuple[str, ...]:
        """The ids of the files whose images the code made."""
        images = [output.image for output in self.code_interpreter.outputs if isinstance(output, ImageOutput)]
        return tuple(image.file_id for image in images if image is not None and image.file_id)


class FileSearchResult(WireStruct, frozen=True, kw_only=True):
    """One hit of a file search; ``content`` only where the request asked for it."""

    file_id: str | None = None
    file_name: str | None = None
    score: Number | None = None
    content: FrozenList | None = None
    attributes: FrozenMap | None = None


class FileSearchCall(WireStruct, frozen=True, kw_only=True):
    """How the files were searched, and what was found."""

    ranking_options: RankingOptions | None = None
    results: tuple[FileSearchResult, ...] = ABSENT_LIST


class FileSearchToolCall(Tagged, frozen=True, kw_only=True, tag="file_search"):
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


class McpToolCall(Tagged, frozen=True, kw_only=True, tag="mcp"):
    """A call of a Model Context Protocol tool (Azure): flat, and it may wait for approval."""

    id: str
    name: str | None = None
    arguments: str | None = None
    server_label: str | None = None
    output: str | None = None


class ConnectedAgentCall(WireStruct, frozen=True, kw_only=True):
    """What another agent was asked; the child run has an id and a thread of its own."""

    name: str | None = None
    arguments: str | None = None
    output: str | None = None
    run_id: str | None = None
    thread_id: str | None = None


class ConnectedAgentToolCall(Tagged, frozen=True, kw_only=True, tag="connected_agent"):
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


class UnknownToolCall(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other call, as it came; ``id``, ``name`` and ``arguments`` are read where they usually stand."""

    def _text(self, name: str) -> str | None:
        for place in (self.raw, self.raw.get(self.type)):
            value = place.get(name) if isinstance(place, FrozenMap) else None
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


class SubmitToolOutputs(WireStruct, frozen=True, kw_only=True):
    """The calls whose outputs are awaited."""

    tool_calls: tuple[ToolCall, ...] = ABSENT_LIST


class SubmitToolOutputsAction(Tagged, frozen=True, kw_only=True, tag="submit_tool_outputs"):
    """The run waits for the outputs of function calls."""

    submit_tool_outputs: SubmitToolOutputs

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that wait."""
        return self.submit_tool_outputs.tool_calls


class SubmitToolApproval(WireStruct, frozen=True, kw_only=True):
    """The calls whose approval is awaited (Azure)."""

    tool_calls: tuple[ToolCall, ...] = ABSENT_LIST


class SubmitToolApprovalAction(Tagged, frozen=True, kw_only=True, tag="submit_tool_approval"):
    """The run waits for somebody to approve tool calls (Azure)."""

    submit_tool_approval: SubmitToolApproval

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that wait."""
        return self.submit_tool_approval.tool_calls


class UnknownAction(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other required action, as it came."""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls in it, if there is a list of objects with ids where the known actions have theirs."""
        inner = self.raw.get(self.type)
        calls = inner.get("tool_calls") if isinstance(inner, FrozenMap) else None
        if not isinstance(calls, FrozenList):
            return ()
        return tuple(UnknownToolCall(raw=call) for call in calls if isinstance(call, FrozenMap))


RequiredAction: TypeAlias = SubmitToolOutputsAction | SubmitToolApprovalAction | UnknownAction
