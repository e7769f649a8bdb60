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
    """The ranking of file search results.

    An absent or null field is ``None``.

    Attributes:
        ranker: The name of the ranker; ``auto`` lets the server select one.
        score_threshold: The lowest score of a result, from 0 to 1.
        hybrid_search: The weights of the search by meaning and the search by words, as received.
    """

    ranker: str | None = None
    score_threshold: Number | None = None
    hybrid_search: FrozenMap | None = None


class FileSearchSettings(WireStruct, frozen=True, kw_only=True):
    """Settings of a :class:`FileSearchTool`.

    An absent or null field is ``None``.

    Attributes:
        max_num_results: The highest number of results of one search.
        ranking_options: How the results are ranked.
    """

    max_num_results: int | None = None
    ranking_options: RankingOptions | None = None


class FileSearchTool(Tagged, frozen=True, kw_only=True, tag="file_search"):
    """File search.

    Attributes:
        file_search: The settings; ``None`` if absent or null: those of the server.
    """

    file_search: FileSearchSettings | None = None


class FunctionDefinition(WireStruct, frozen=True, kw_only=True):
    """A function that the model may call; ``parameters`` is its JSON schema.

    An absent or null field is ``None``.

    Attributes:
        name: The name under which the model calls the function; required.
        description: What the function does, for the model.
        parameters: The JSON Schema of the arguments; ``None``: the function has no parameters.
        strict: True if the server makes the arguments conform to the schema exactly.
    """

    name: str
    description: str | None = None
    parameters: FrozenMap | None = None
    strict: bool | None = None


class FunctionTool(Tagged, frozen=True, kw_only=True, tag="function"):
    """A function of the application.

    Attributes:
        function: The function; required.
    """

    function: FunctionDefinition


class McpTool(Tagged, frozen=True, kw_only=True, tag="mcp"):
    """A server of the Model Context Protocol (Azure).

    An absent or null field is ``None``.

    Attributes:
        server_label: The name of the server in calls.
        server_url: The URL of the server.
        allowed_tools: The names of the tools that the model may call; ``None``: all of them.
    """

    server_label: str | None = None
    server_url: str | None = None
    allowed_tools: FrozenList | None = None


class ConnectedAgentDefinition(WireStruct, frozen=True, kw_only=True):
    """Settings of a :class:`ConnectedAgentTool`.

    An absent or null field is ``None``.

    Attributes:
        id: The id of the agent.
        name: The name under which the model calls the agent.
        description: What the agent does, for the model.
    """

    id: str | None = None
    name: str | None = None
    description: str | None = None


class ConnectedAgentTool(Tagged, frozen=True, kw_only=True, tag="connected_agent"):
    """Another agent (Azure).

    Attributes:
        connected_agent: The agent; ``None`` if absent or null.
    """

    connected_agent: ConnectedAgentDefinition | None = None


class UnknownTool(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other tool, as received."""


Tool: TypeAlias = CodeInterpreterTool | FileSearchTool | FunctionTool | McpTool | ConnectedAgentTool | UnknownTool
"""A tool that the model may call, in a class by its ``type``."""


class NamedFunction(WireStruct, frozen=True, kw_only=True):
    """The function that a :class:`NamedToolChoice` names.

    Attributes:
        name: The name of the function; ``None`` if absent or null.
    """

    name: str | None = None


class NamedToolChoice(WireStruct, frozen=True, kw_only=True):
    """A tool choice that names a tool; ``type`` is the type of that tool.

    An absent or null field is ``None``.

    Attributes:
        type: The type of the tool: ``function``, ``code_interpreter``, ``file_search``, or another.
        function: The function, if ``type`` is ``function``.
    """

    type: str | None = None
    function: NamedFunction | None = None


ToolChoice: TypeAlias = str | NamedToolChoice
"""The tools that the model must or may call: "none", "auto", "required", or a named tool."""


class TruncationStrategy(WireStruct, frozen=True, kw_only=True):
    """The truncation of a thread that is too long: ``type`` is ``auto`` or ``last_messages``.

    An absent or null field is ``None``.

    Attributes:
        type: ``auto``: the server drops messages as needed; ``last_messages``: only the last ones are used.
        last_messages: The number of messages that are used with ``last_messages``.
    """

    type: str | None = None
    last_messages: int | None = None


class TextFormat(Tagged, frozen=True, kw_only=True, tag="text"):
    """Plain text."""


class JsonObjectFormat(Tagged, frozen=True, kw_only=True, tag="json_object"):
    """Any JSON object."""


class JsonSchemaDefinition(WireStruct, frozen=True, kw_only=True):
    """The schema of a :class:`JsonSchemaFormat`.

    An absent or null field is ``None``.

    Attributes:
        name: The name of the format.
        description: What the format is for, for the model.
        schema: The JSON Schema.
        strict: True if the server makes the answer conform to the schema exactly.
    """

    name: str | None = None
    description: str | None = None
    schema: FrozenMap | None = None
    strict: bool | None = None


class JsonSchemaFormat(Tagged, frozen=True, kw_only=True, tag="json_schema"):
    """JSON that conforms to a schema.

    Attributes:
        json_schema: The schema and its name; ``None`` if absent or null.
    """

    json_schema: JsonSchemaDefinition | None = None


class UnknownFormat(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other response format, as received."""


ResponseFormat: TypeAlias = str | TextFormat | JsonObjectFormat | JsonSchemaFormat | UnknownFormat
"""The format of an answer: "auto", or one of the formats, in a class by its ``type``."""
