"""The tools of a run, its tool choice and its response format."""

from __future__ import annotations

from typing import TypeAlias

from runstream.model.base import Unknown, WireStruct
from runstream.model.common import Number, Tagged
from runstream.model.frozen import FrozenList, FrozenMap

__all__ = [
    "CodeInterpreterTool",
    "ConnectedAgentDefinition",
    "ConnectedAgentTool",
    "FileSearchSettings",
    "FileSearchTool",
    "FunctionDefinition",
    "FunctionTool",
    "JsonObjectFormat",
    "JsonSchemaDefinition",
    "JsonSchemaFormat",
    "McpTool",
    "NamedFunction",
    "NamedToolChoice",
    "RankingOptions",
    "ResponseFormat",
    "TextFormat",
    "Tool",
    "ToolChoice",
    "TruncationStrategy",
    "UnknownFormat",
    "UnknownTool",
]


class CodeInterpreterTool(Tagged, frozen=True, kw_only=True, tag="code_interpreter"):
    """The code interpreter."""


class RankingOptions(WireStruct, frozen=True, kw_only=True):
    """The ranking of file search results."""

    ranker: str | None = None
    score_threshold: Number | None = None
    hybrid_search: FrozenMap | None = None


class FileSearchSettings(WireStruct, frozen=True, kw_only=True):
    """Settings of a :class:`FileSearchTool`."""

    max_num_results: int | None = None
    ranking_options: RankingOptions | None = None


class FileSearchTool(Tagged, frozen=True, kw_only=True, tag="file_search"):
    """File search."""

    file_search: FileSearchSettings | None = None


class FunctionDefinition(WireStruct, frozen=True, kw_only=True):
    """A function that the model may call; ``parameters`` is its JSON schema."""

    name: str
    description: str | None = None
    parameters: FrozenMap | None = None
    strict: bool | None = None


class FunctionTool(Tagged, frozen=True, kw_only=True, tag="function"):
    """A function of the application."""

    function: FunctionDefinition


class McpTool(Tagged, frozen=True, kw_only=True, tag="mcp"):
    """A server of the Model Context Protocol (Azure)."""

    server_label: str | None = None
    server_url: str | None = None
    allowed_tools: FrozenList | None = None


class ConnectedAgentDefinition(WireStruct, frozen=True, kw_only=True):
    """Settings of a :class:`ConnectedAgentTool`."""

    id: str | None = None
    name: str | None = None
    description: str | None = None


class ConnectedAgentTool(Tagged, frozen=True, kw_only=True, tag="connected_agent"):
    """Another agent (Azure)."""

    connected_agent: ConnectedAgentDefinition | None = None


class UnknownTool(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other tool, as received."""


Tool: TypeAlias = CodeInterpreterTool | FileSearchTool | FunctionTool | McpTool | ConnectedAgentTool | UnknownTool


class NamedFunction(WireStruct, frozen=True, kw_only=True):
    """The function that a :class:`NamedToolChoice` names."""

    name: str | None = None


class NamedToolChoice(WireStruct, frozen=True, kw_only=True):
    """A tool choice that names a tool; ``type`` is the type of that tool."""

    type: str | None = None
    function: NamedFunction | None = None


# "none", "auto", "required", or a named tool.
ToolChoice: TypeAlias = str | NamedToolChoice


class TruncationStrategy(WireStruct, frozen=True, kw_only=True):
    """The truncation of a thread that is too long: ``type`` is ``auto`` or ``last_messages``."""

    type: str | None = None
    last_messages: int | None = None


class TextFormat(Tagged, frozen=True, kw_only=True, tag="text"):
    """Plain text."""


class JsonObjectFormat(Tagged, frozen=True, kw_only=True, tag="json_object"):
    """Any JSON object."""


class JsonSchemaDefinition(WireStruct, frozen=True, kw_only=True):
    """The schema of a :class:`JsonSchemaFormat`."""

    name: str | None = None
    description: str | None = None
    schema: FrozenMap | None = None
    strict: bool | None = None


class JsonSchemaFormat(Tagged, frozen=True, kw_only=True, tag="json_schema"):
    """JSON that conforms to a schema."""

    json_schema: JsonSchemaDefinition | None = None


class UnknownFormat(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other response format, as received."""


# "auto", or one of the formats.
ResponseFormat: TypeAlias = str | TextFormat | JsonObjectFormat | JsonSchemaFormat | UnknownFormat
