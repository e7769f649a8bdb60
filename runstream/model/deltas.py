"""Deltas: fragments that are appended to messages and steps. Every inner field is optional."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

from runstream.model.base import Unknown, WireStruct
from runstream.model.common import Index, JsonText, Tagged
from runstream.model.frozen import ABSENT_LIST, FrozenList
from runstream.model.message import Annotation, ImageUrl, text_content, text_part
from runstream.model.step import MessageCreation
from runstream.model.tool_calls import CodeOutput, ImageFileRef
from runstream.model.tools import RankingOptions

__all__ = [
    "CodeInterpreterCallDelta",
    "CodeInterpreterToolCallDelta",
    "ContentPartDelta",
    "FileSearchCallDelta",
    "FileSearchToolCallDelta",
    "Fragment",
    "FunctionCallDelta",
    "FunctionToolCallDelta",
    "GenericToolCallDelta",
    "ImageFilePartDelta",
    "ImageUrlPartDelta",
    "McpToolCallDelta",
    "MessageCreationDelta",
    "MessageDelta",
    "MessageDeltaBody",
    "ReasoningDetailsDelta",
    "ReasoningPartDelta",
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


class Fragment(Tagged, frozen=True, kw_only=True):
    """A fragment of the item at ``index`` (0 if absent) of a list.

    Attributes:
        index: The index of the item in its list, from 0. It identifies the item, in whatever order fragments arrive.
    """

    index: Index

    _fallbacks: ClassVar[Mapping[str, Any]] = {"index": 0}


class TextContentDelta(WireStruct, frozen=True, kw_only=True):
    """Text to append, and annotations with their indexes.

    An absent or null field changes nothing; it is ``None``, a list is empty.

    Attributes:
        value: The text to append.
        annotations: Annotations, each with its index; a known index is replaced.
    """

    value: str | None = None
    annotations: tuple[Annotation, ...] = ABSENT_LIST

    @staticmethod
    def _of_text(text: str) -> dict[str, Any]:
        return text_content(text)


class TextPartDelta(Fragment, frozen=True, kw_only=True, tag="text"):
    """A fragment of a text part.

    Attributes:
        text: Text and annotations; ``None`` if absent or null: no change.
    """

    text: TextContentDelta | None = None

    @staticmethod
    def _of_text(text: str) -> dict[str, Any]:
        return text_part(text)


class ImageFilePartDelta(Fragment, frozen=True, kw_only=True, tag="image_file"):
    """A fragment of an image part.

    Attributes:
        image_file: The file with the image; ``None`` if absent or null: no change.
    """

    image_file: ImageFileRef | None = None


class ImageUrlPartDelta(Fragment, frozen=True, kw_only=True, tag="image_url"):
    """A fragment of an image URL part.

    Attributes:
        image_url: The URL of the image; ``None`` if absent or null: no change.
    """

    image_url: ImageUrl | None = None


class RefusalPartDelta(Fragment, frozen=True, kw_only=True, tag="refusal"):
    """A fragment of a refusal.

    Attributes:
        refusal: The text to append; ``None`` if absent or null: no change.
    """

    refusal: str | None = None


class UnknownDelta(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """A fragment of any other type, as received."""


ContentPartDelta: TypeAlias = TextPartDelta | ImageFilePartDelta | ImageUrlPartDelta | RefusalPartDelta | UnknownDelta
"""A fragment of a content part, in a class by its ``type``."""


class MessageDeltaBody(WireStruct, frozen=True, kw_only=True):
    """The content that a message delta adds.

    An absent or null field changes nothing; it is ``None``, a list is empty.

    Attributes:
        role: The role of the message; the first one counts.
        content: Fragments of the content parts.
    """

    role: str | None = None
    content: tuple[ContentPartDelta, ...] = ABSENT_LIST


class MessageDelta(WireStruct, frozen=True, kw_only=True):
    """A fragment of the message with this id. It has no run id.

    Attributes:
        id: The id of the message; required.
        delta: The content to add; empty if absent.
        object: The type of the object on the wire, ``thread.message.delta``; ``None`` if absent or null.
    """

    id: str
    delta: MessageDeltaBody
    object: str | None = None

    _fallbacks: ClassVar[Mapping[str, Any]] = {"delta": MessageDeltaBody()}
    _marks_parts: ClassVar[bool] = True


class FunctionCallDelta(WireStruct, frozen=True, kw_only=True):
    """Arguments and output to append; the name is sent once.

    An absent or null field changes nothing, and is ``None``.

    Attributes:
        name: The name of the function; the first one counts.
        arguments: JSON text to append. A value that is not text replaces the text before.
        output: Output to append; likewise.
    """

    name: str | None = None
    arguments: JsonText | None = None
    output: JsonText | None = None


class FunctionToolCallDelta(Fragment, frozen=True, kw_only=True, tag="function"):
    """A fragment of a function call.

    An absent or null field changes nothing, and is ``None``.

    Attributes:
        id: The id of the call; the first one counts.
        function: Name, arguments and output.
    """

    id: str | None = None
    function: FunctionCallDelta | None = None


class CodeInterpreterCallDelta(WireStruct, frozen=True, kw_only=True):
    """Code to append, and outputs with their indexes.

    An absent or null field changes nothing; it is ``None``, a list is empty.

    Attributes:
        input: Code to append.
        outputs: Outputs, each with its index; logs are appended.
    """

    input: str | None = None
    outputs: tuple[CodeOutput, ...] = ABSENT_LIST


class CodeInterpreterToolCallDelta(Fragment, frozen=True, kw_only=True, tag="code_interpreter"):
    """A fragment of a call of the code interpreter.

    An absent or null field changes nothing, and is ``None``.

    Attributes:
        id: The id of the call; the first one counts.
        code_interpreter: Code and outputs.
    """

    id: str | None = None
    code_interpreter: CodeInterpreterCallDelta | None = None


class FileSearchCallDelta(WireStruct, frozen=True, kw_only=True):
    """The results so far: they replace earlier ones.

    An absent or null field changes nothing, and is ``None``.

    Attributes:
        ranking_options: How the results are ranked.
        results: The results as received; they replace the ones before.
    """

    ranking_options: RankingOptions | None = None
    results: FrozenList | None = None


class FileSearchToolCallDelta(Fragment, frozen=True, kw_only=True, tag="file_search"):
    """A fragment of a file search.

    An absent or null field changes nothing, and is ``None``.

    Attributes:
        id: The id of the call; the first one counts.
        file_search: Settings and results.
    """

    id: str | None = None
    file_search: FileSearchCallDelta | None = None


class McpToolCallDelta(Fragment, frozen=True, kw_only=True, tag="mcp"):
    """A fragment of an MCP call (Azure).

    An absent or null field changes nothing, and is ``None``.

    Attributes:
        id: The id of the call; the first one counts.
        name: The name of the tool; the first one counts.
        arguments: JSON text to append. A value that is not text replaces the text before.
        server_label: The name of the server that has the tool.
        output: Output to append; likewise.
    """

    id: str | None = None
    name: str | None = None
    arguments: JsonText | None = None
    server_label: str | None = None
    output: JsonText | None = None


class GenericToolCallDelta(Fragment, frozen=True, kw_only=True, tag="generic"):
    """A fragment of a :class:`~runstream.model.tool_calls.GenericToolCall`: arguments and output to append.

    An absent or null field changes nothing, and is ``None``.

    Attributes:
        id: The id of the call; the first one counts.
        kind: The kind of the call, as in the field ``type`` of the call.
        name: The name of the tool; the first one counts.
        arguments: Text to append. A value that is not text replaces the text before.
        output: Output to append; likewise.
        status: The status of the call; it replaces the one before.
    """

    id: str | None = None
    kind: str | None = None
    name: str | None = None
    arguments: JsonText | None = None
    output: JsonText | None = None
    status: str | None = None


ToolCallDelta: TypeAlias = (
    FunctionToolCallDelta
    | CodeInterpreterToolCallDelta
    | FileSearchToolCallDelta
    | McpToolCallDelta
    | GenericToolCallDelta
    | UnknownDelta
)
"""A fragment of a tool call, in a class by its ``type``."""


class MessageCreationDelta(Tagged, frozen=True, kw_only=True, tag="message_creation"):
    """The step creates a message.

    Attributes:
        message_creation: The object with the id of the message; ``None`` if absent or null: no change.
    """

    message_creation: MessageCreation | None = None


class ToolCallsDelta(Tagged, frozen=True, kw_only=True, tag="tool_calls"):
    """Fragments of tool calls; each has the index of its call.

    Attributes:
        tool_calls: Fragments of the calls; ``None`` if absent or null: no change.
    """

    tool_calls: tuple[ToolCallDelta, ...] | None = None


class ReasoningPartDelta(WireStruct, frozen=True, kw_only=True):
    """Text to append to the part at ``index`` (0 if absent) of a reasoning, or of its summary.

    Attributes:
        index: The index of the part, from 0.
        text: The text to append; ``None`` if absent or null: no change.
    """

    index: Index
    text: str | None = None

    _fallbacks: ClassVar[Mapping[str, Any]] = {"index": 0}


class ReasoningDetailsDelta(Tagged, frozen=True, kw_only=True, tag="reasoning"):
    """Fragments of a reasoning and of its summary.

    Attributes:
        summary: Fragments of the summary; empty if absent or null.
        content: Fragments of the reasoning; empty if absent or null.
    """

    summary: tuple[ReasoningPartDelta, ...] = ABSENT_LIST
    content: tuple[ReasoningPartDelta, ...] = ABSENT_LIST


StepDetailsDelta: TypeAlias = MessageCreationDelta | ToolCallsDelta | ReasoningDetailsDelta | UnknownDelta
"""A fragment of the details of a step, in a class by its ``type``."""


class RunStepDeltaBody(WireStruct, frozen=True, kw_only=True):
    """The content that a step delta adds.

    Attributes:
        step_details: The details to add; ``None`` if absent or null: no change.
    """

    step_details: StepDetailsDelta | None = None


class RunStepDelta(WireStruct, frozen=True, kw_only=True):
    """A fragment of the step with this id. It has no run id.

    Attributes:
        id: The id of the step; required.
        delta: The content to add; empty if absent.
        object: The type of the object on the wire, ``thread.run.step.delta``; ``None`` if absent or null.
    """

    id: str
    delta: RunStepDeltaBody
    object: str | None = None

    _fallbacks: ClassVar[Mapping[str, Any]] = {"delta": RunStepDeltaBody()}
    _marks_parts: ClassVar[bool] = True
