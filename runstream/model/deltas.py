"""Deltas: the fragments that messages and steps grow by. Every inner field is optional."""

from __future__ import annotations

from typing import TypeAlias

from runstream.model.base import Unknown, WireStruct
from runstream.model.calls import CodeOutput, ImageFileRef
from runstream.model.frozen import ABSENT_LIST, FrozenList
from runstream.model.message import Annotation, ImageUrl
from runstream.model.shared import Tagged
from runstream.model.step import MessageCreation
from runstream.model.tools import RankingOptions

__all__ = [
    "CodeInterpreterCallDelta",
    "CodeInterpreterToolCallDelta",
    "ContentPartDelta",
    "FileSearchCallDelta",
    "FileSearchToolCallDelta",
    "FunctionCallDelta",
    "FunctionToolCallDelta",
    "ImageFilePartDelta",
    "ImageUrlPartDelta",
    "McpToolCallDelta",
    "MessageCreationDelta",
    "MessageDelta",
    "MessageDeltaBody",
    "RefusalPartDelta",
    "RunStepDelta",
    "RunStepDeltaBody",
    "StepDetailsDelta",
    "TextContentDelta",
    "TextPartDelta",
    "ToolCallDelta",
    "ToolCallsDelta",
    "UnknownDelta",
]


class TextContentDelta(WireStruct):
    """Text to append, and annotations by their index."""

    value: str | None = None
    annotations: tuple[Annotation, ...] = ABSENT_LIST


class TextPartDelta(Tagged, tag="text"):
    """A fragment of a text part."""

    index: int = 0
    text: TextContentDelta | None = None


class ImageFilePartDelta(Tagged, tag="image_file"):
    """A fragment of an image part."""

    index: int = 0
    image_file: ImageFileRef | None = None


class ImageUrlPartDelta(Tagged, tag="image_url"):
    """A fragment of an image part."""

    index: int = 0
    image_url: ImageUrl | None = None


class RefusalPartDelta(Tagged, tag="refusal"):
    """A fragment of a refusal."""

    index: int = 0
    refusal: str | None = None


class UnknownDelta(Unknown, tag_field="type", tag="$unknown"):
    """A fragment of anything else, as it came."""


ContentPartDelta: TypeAlias = (
    TextPartDelta | ImageFilePartDelta | ImageUrlPartDelta | RefusalPartDelta | UnknownDelta
)


class MessageDeltaBody(WireStruct):
    """What a message delta adds."""

    role: str | None = None
    content: tuple[ContentPartDelta, ...] = ABSENT_LIST


class MessageDelta(WireStruct):
    """A fragment of the message with this id. It carries no run id."""

    id: str
    delta: MessageDeltaBody
    object: str | None = None


class FunctionCallDelta(WireStruct):
    """Arguments to append; name and output once."""

    name: str | None = None
    arguments: str | None = None
    output: str | None = None


class FunctionToolCallDelta(Tagged, tag="function"):
    """A fragment of a function call."""

    index: int = 0
    id: str | None = None
    function: FunctionCallDelta | None = None


class CodeInterpreterCallDelta(WireStruct):
    """Code to append, and outputs by their index."""

    input: str | None = None
    outputs: tuple[CodeOutput, ...] = ABSENT_LIST


class CodeInterpreterToolCallDelta(Tagged, tag="code_interpreter"):
    """A fragment of a run of the code interpreter."""

    index: int = 0
    id: str | None = None
    code_interpreter: CodeInterpreterCallDelta | None = None


class FileSearchCallDelta(WireStruct):
    """Results so far: they replace those before."""

    ranking_options: RankingOptions | None = None
    results: FrozenList | None = None


class FileSearchToolCallDelta(Tagged, tag="file_search"):
    """A fragment of a file search."""

    index: int = 0
    id: str | None = None
    file_search: FileSearchCallDelta | None = None


class McpToolCallDelta(Tagged, tag="mcp"):
    """A fragment of an MCP call (Azure)."""

    index: int = 0
    id: str | None = None
    name: str | None = None
    arguments: str | None = None
    server_label: str | None = None
    output: str | None = None


ToolCallDelta: TypeAlias = (
    FunctionToolCallDelta
    | CodeInterpreterToolCallDelta
    | FileSearchToolCallDelta
    | McpToolCallDelta
    | UnknownDelta
)


class MessageCreationDelta(Tagged, tag="message_creation"):
    """The step makes a message."""

    message_creation: MessageCreation | None = None


class ToolCallsDelta(Tagged, tag="tool_calls"):
    """Fragments of tool calls, each with the index of its call."""

    tool_calls: tuple[ToolCallDelta, ...] | None = None


StepDetailsDelta: TypeAlias = MessageCreationDelta | ToolCallsDelta | UnknownDelta


class RunStepDeltaBody(WireStruct):
    """What a step delta adds."""

    step_details: StepDetailsDelta | None = None


class RunStepDelta(WireStruct):
    """A fragment of the step with this id. It carries no run id."""

    id: str
    delta: RunStepDeltaBody
    object: str | None = None
