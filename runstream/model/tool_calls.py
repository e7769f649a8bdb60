"""Tool calls in steps, and the required actions that request their outputs or approval."""

from __future__ import annotations

from typing import Any, TypeAlias

from runstream.errors import DecodeError
from runstream.model.base import Unknown, WireStruct
from runstream.model.common import Index, JsonText, Number, Tagged
from runstream.model.frozen import ABSENT_LIST, FrozenList, FrozenMap, freeze, thaw
from runstream.model.jsontext import decode_json, dump_json
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
    """Parse the arguments of a call.

    Args:
        text: The arguments as JSON text. Empty text stands for no arguments.

    Returns:
        The value (read-only) and ``None``; or ``None`` and the reason if the text is not JSON.
    """
    try:
        return freeze(decode_json("{}" if text is not None and not text.strip() else text or "")), None
    except DecodeError as error:
        return None, f"Arguments are not JSON: {error.reason.removeprefix('Not JSON: ')}"


class FunctionCall(WireStruct, frozen=True, kw_only=True):
    """Name, arguments (JSON text, possibly incomplete) and output of a function call."""

    name: str | None = None
    arguments: JsonText | None = None
    output: JsonText | None = None


class FunctionToolCall(Tagged, frozen=True, kw_only=True, tag="function"):
    """A call of a function of the application."""

    id: str
    function: FunctionCall

    @property
    def name(self) -> str | None:
        """The name of the function."""
        return self.function.name

    @property
    def arguments(self) -> str | None:
        """The arguments as JSON text."""
        return self.function.arguments


class LogsOutput(Tagged, frozen=True, kw_only=True, tag="logs"):
    """Text printed by the code."""

    logs: str | None = None
    index: Index | None = None


class ImageFileRef(WireStruct, frozen=True, kw_only=True):
    """An image file."""

    file_id: str | None = None
    detail: str | None = None


class ImageOutput(Tagged, frozen=True, kw_only=True, tag="image"):
    """An image created by the code."""

    image: ImageFileRef | None = None
    index: Index | None = None


class UnknownOutput(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other output of code, as received."""


CodeOutput: TypeAlias = LogsOutput | ImageOutput | UnknownOutput


class CodeInterpreterCall(WireStruct, frozen=True, kw_only=True):
    """The executed code and its outputs."""

    input: str | None = None
    outputs: tuple[CodeOutput, ...] = ABSENT_LIST


class CodeInterpreterToolCall(Tagged, frozen=True, kw_only=True, tag="code_interpreter"):
    """A call of the code interpreter."""

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
        """The ids of the image files created by the code."""
        images = [output.image for output in self.code_interpreter.outputs if isinstance(output, ImageOutput)]
        return tuple(image.file_id for image in images if image is not None and image.file_id)


class FileSearchResult(WireStruct, frozen=True, kw_only=True):
    """One hit of a file search; ``content`` is present only if requested."""

    file_id: str | None = None
    file_name: str | None = None
    score: Number | None = None
    content: FrozenList | None = None
    attributes: FrozenMap | None = None


class FileSearchCall(WireStruct, frozen=True, kw_only=True):
    """Settings and results of a file search."""

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
        """A file search has no arguments."""
        return None


class McpToolCall(Tagged, frozen=True, kw_only=True, tag="mcp"):
    """A call of a Model Context Protocol tool (Azure): its fields are not nested, and it may wait for approval."""

    id: str
    name: str | None = None
    arguments: JsonText | None = None
    server_label: str | None = None
    output: JsonText | None = None


class ConnectedAgentCall(WireStruct, frozen=True, kw_only=True):
    """The call of another agent; the child run has its own run id and thread id."""

    name: str | None = None
    arguments: JsonText | None = None
    output: JsonText | None = None
    run_id: str | None = None
    thread_id: str | None = None


class ConnectedAgentToolCall(Tagged, frozen=True, kw_only=True, tag="connected_agent"):
    """A call of another agent (Azure)."""

    id: str
    connected_agent: ConnectedAgentCall

    @property
    def name(self) -> str | None:
        """The name of the agent."""
        return self.connected_agent.name

    @property
    def arguments(self) -> str | None:
        """The arguments for the agent."""
        return self.connected_agent.arguments


class UnknownToolCall(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other call, as received; ``id``, ``name`` and ``arguments`` are read from their usual places."""

    def _text(self, name: str) -> str | None:
        for place in (self.raw, self.raw.get(self.type)):
            value = place.get(name) if isinstance(place, FrozenMap) else None
            if isinstance(value, str):
                return value
        return None

    @property
    def id(self) -> str:
        """The id of the call; empty if it has none."""
        return self._text("id") or ""

    @property
    def name(self) -> str | None:
        """The name of the tool, if there is one."""
        return self._text("name") or self.type or None

    @property
    def arguments(self) -> str | None:
        """The arguments as JSON text, if there are any."""
        for place in (self.raw, self.raw.get(self.type)):
            value = place.get("arguments") if isinstance(place, FrozenMap) else None
            if value is not None:
                return value if isinstance(value, str) else dump_json(thaw(value))
        return None


ToolCall: TypeAlias = (
    FunctionToolCall
    | CodeInterpreterToolCall
    | FileSearchToolCall
    | McpToolCall
    | ConnectedAgentToolCall
    | UnknownToolCall
)


class SubmitToolOutputs(WireStruct, frozen=True, kw_only=True):
    """The calls that wait for outputs."""

    tool_calls: tuple[ToolCall, ...] = ABSENT_LIST


class SubmitToolOutputsAction(Tagged, frozen=True, kw_only=True, tag="submit_tool_outputs"):
    """The run waits for the outputs of function calls."""

    submit_tool_outputs: SubmitToolOutputs

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that wait."""
        return self.submit_tool_outputs.tool_calls


class SubmitToolApproval(WireStruct, frozen=True, kw_only=True):
    """The calls that wait for approval (Azure)."""

    tool_calls: tuple[ToolCall, ...] = ABSENT_LIST


class SubmitToolApprovalAction(Tagged, frozen=True, kw_only=True, tag="submit_tool_approval"):
    """The run waits for the approval of tool calls (Azure)."""

    submit_tool_approval: SubmitToolApproval

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that wait."""
        return self.submit_tool_approval.tool_calls


class UnknownAction(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other required action, as received."""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of the action, if it has a list of objects in the place where the known actions have one."""
        inner = self.raw.get(self.type)
        calls = inner.get("tool_calls") if isinstance(inner, FrozenMap) else None
        if not isinstance(calls, FrozenList):
            return ()
        return tuple(UnknownToolCall(raw=call) for call in calls if isinstance(call, FrozenMap))


RequiredAction: TypeAlias = SubmitToolOutputsAction | SubmitToolApprovalAction | UnknownAction
