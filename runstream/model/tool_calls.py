"""Tool calls in steps: the kinds of the Assistants wire, and the generic call for all others."""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import field, structs

from runstream.errors import DecodeError
from runstream.model.base import Unknown, WireStruct
from runstream.model.common import Index, JsonText, Number, Tagged
from runstream.model.frozen import ABSENT_LIST, FrozenList, FrozenMap, freeze, thaw
from runstream.model.growing_json import parse_growing
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
    "GenericToolCall",
    "ImageFileRef",
    "ImageOutput",
    "LogsOutput",
    "McpToolCall",
    "ToolCall",
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


class _Growing:
    """The arguments of a call while they grow."""

    __slots__ = ()

    @property
    def partial(self) -> Any:
        """The arguments as far as they have arrived, as JSON builtins; ``None`` if there is no value yet."""
        arguments: str | None = self.arguments  # type: ignore[attr-defined] # each class of calls has them
        return parse_growing(arguments)


class FunctionCall(WireStruct, frozen=True, kw_only=True):
    """Name, arguments (JSON text, possibly incomplete) and output of a function call.

    An absent or null field is ``None``.

    Attributes:
        name: The name of the function.
        arguments: The arguments as JSON text, as far as they have arrived. A value that is not text is written as JSON.
        output: The output that the application submitted; ``None`` until then.
    """

    name: str | None = None
    arguments: JsonText | None = None
    output: JsonText | None = None


class FunctionToolCall(_Growing, Tagged, frozen=True, kw_only=True, tag="function"):
    """A call of a function of the application.

    Attributes:
        id: The id of the call, under which its output is submitted; required.
        function: Name, arguments and output; required.
    """

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

    @property
    def output(self) -> str | None:
        """The output that the application submitted; ``None`` so far."""
        return self.function.output


class LogsOutput(Tagged, frozen=True, kw_only=True, tag="logs"):
    """Text printed by the code.

    An absent or null field is ``None``.

    Attributes:
        logs: The text.
        index: The index of the output in its call, from 0; sent in deltas.
    """

    logs: str | None = None
    index: Index | None = None


class ImageFileRef(WireStruct, frozen=True, kw_only=True):
    """An image file.

    An absent or null field is ``None``.

    Attributes:
        file_id: The id of the file on the server.
        detail: The resolution at which the model reads the image: "auto", "low", "high", or another.
    """

    file_id: str | None = None
    detail: str | None = None


class ImageOutput(Tagged, frozen=True, kw_only=True, tag="image"):
    """An image created by the code.

    An absent or null field is ``None``.

    Attributes:
        image: The file with the image.
        index: The index of the output in its call, from 0; sent in deltas.
    """

    image: ImageFileRef | None = None
    index: Index | None = None


class UnknownOutput(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other output of code, as received."""


CodeOutput: TypeAlias = LogsOutput | ImageOutput | UnknownOutput
"""An output of the code interpreter, in a class by its ``type``."""


class CodeInterpreterCall(WireStruct, frozen=True, kw_only=True):
    """The executed code and its outputs.

    An absent or null field is ``None``; an absent or null list is empty.

    Attributes:
        input: The code, as far as it has arrived.
        outputs: What the code printed and created, in the order of the wire.
    """

    input: str | None = None
    outputs: tuple[CodeOutput, ...] = ABSENT_LIST


class CodeInterpreterToolCall(_Growing, Tagged, frozen=True, kw_only=True, tag="code_interpreter"):
    """A call of the code interpreter.

    Attributes:
        id: The id of the call; required.
        code_interpreter: The code and its outputs; required.
    """

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
    def partial(self) -> None:
        """None: code is no JSON."""
        return None

    @property
    def output(self) -> None:
        """None: the code has several outputs (:class:`CodeInterpreterCall`), and none that is one text."""
        return None

    @property
    def image_file_ids(self) -> tuple[str, ...]:
        """The ids of the image files created by the code."""
        images = [output.image for output in self.code_interpreter.outputs if isinstance(output, ImageOutput)]
        return tuple(image.file_id for image in images if image is not None and image.file_id)


class FileSearchResult(WireStruct, frozen=True, kw_only=True):
    """One hit of a file search; ``content`` is present only if requested.

    An absent or null field is ``None``.

    Attributes:
        file_id: The id of the file on the server.
        file_name: The name of the file.
        score: How well the file matches the query, from 0 to 1.
        content: The passages that were found, as received; ``None`` unless the request included them.
        attributes: The attributes of the file, as received.
    """

    file_id: str | None = None
    file_name: str | None = None
    score: Number | None = None
    content: FrozenList | None = None
    attributes: FrozenMap | None = None


class FileSearchCall(WireStruct, frozen=True, kw_only=True):
    """Settings and results of a file search.

    An absent or null field is ``None``; an absent or null list is empty.

    Attributes:
        ranking_options: How the results are ranked.
        results: The hits, in the order of the wire.
    """

    ranking_options: RankingOptions | None = None
    results: tuple[FileSearchResult, ...] = ABSENT_LIST


class FileSearchToolCall(_Growing, Tagged, frozen=True, kw_only=True, tag="file_search"):
    """A file search.

    Attributes:
        id: The id of the call; required.
        file_search: Settings and results; required.
    """

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

    @property
    def output(self) -> None:
        """None: a file search has results (:class:`FileSearchCall`), and no output as text."""
        return None


class McpToolCall(_Growing, Tagged, frozen=True, kw_only=True, tag="mcp"):
    """A call of a Model Context Protocol tool (Azure): its fields are not nested, and it may wait for approval.

    An absent or null field is ``None``.

    Attributes:
        id: The id of the call, under which it is approved; required.
        name: The name of the tool.
        arguments: The arguments as JSON text, as far as they have arrived.
        server_label: The name of the server that has the tool.
        output: The output of the tool; ``None`` until the server has called it.
    """

    id: str
    name: str | None = None
    arguments: JsonText | None = None
    server_label: str | None = None
    output: JsonText | None = None


class ConnectedAgentCall(WireStruct, frozen=True, kw_only=True):
    """The call of another agent; the child run has its own run id and thread id.

    An absent or null field is ``None``.

    Attributes:
        name: The name of the agent.
        arguments: The arguments as JSON text, as far as they have arrived.
        output: The answer of the agent; ``None`` until it has ended.
        run_id: The id of the run of the called agent.
        thread_id: The id of the thread of that run.
    """

    name: str | None = None
    arguments: JsonText | None = None
    output: JsonText | None = None
    run_id: str | None = None
    thread_id: str | None = None


class ConnectedAgentToolCall(_Growing, Tagged, frozen=True, kw_only=True, tag="connected_agent"):
    """A call of another agent (Azure).

    Attributes:
        id: The id of the call; required.
        connected_agent: Agent, arguments, answer and the ids of the child run; required.
    """

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

    @property
    def output(self) -> str | None:
        """The answer of the agent; ``None`` so far."""
        return self.connected_agent.output


class GenericToolCall(_Growing, Tagged, frozen=True, kw_only=True, tag="generic"):
    """A call of any kind without a class of its own: a web search, a shell command, a custom tool, an approval.

    In its JSON ``type`` is "generic", and ``kind`` has the kind: so it differs from a call that a server of the
    Assistants wire sends under a new type (:class:`UnknownToolCall`). A field that the wire does not have is ``None``.

    Attributes:
        id: The id of the call.
        type: The kind: "custom", "web_search", "mcp", "computer", "shell", "apply_patch", "image_generation",
            "tool_search", "approval", or any other.
        name: The name of the tool.
        arguments: The arguments as the wire has them: JSON text, or the text of a custom tool.
        output: The output as text; JSON text if the wire has another value.
        status: The status of the call itself, as the wire has it.
        data: Further fields of the call: any JSON value, read-only.
        response_schema: The JSON Schema of the answer that the call waits for, read-only; ``None`` if there is none.
    """

    id: str
    type: str = field(name="kind")
    name: str | None = None
    arguments: JsonText | None = None
    output: JsonText | None = None
    status: str | None = None
    data: Any = None
    response_schema: Any = None

    def __post_init__(self) -> None:
        for name in ("data", "response_schema"):
            if type(value := getattr(self, name)) in (dict, list):
                structs.force_setattr(self, name, freeze(thaw(value)))

    def __repr__(self) -> str:
        return f"GenericToolCall(id={self.id!r}, type={self.type!r}, name={self.name!r}, status={self.status!r})"


class UnknownToolCall(_Growing, Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
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

    @property
    def output(self) -> str | None:
        """The output as text, if there is any."""
        return self._text("output")


ToolCall: TypeAlias = (
    FunctionToolCall
    | CodeInterpreterToolCall
    | FileSearchToolCall
    | McpToolCall
    | ConnectedAgentToolCall
    | GenericToolCall
    | UnknownToolCall
)
"""A tool call of a step, in a class by its ``type``.

Each class has ``id``, ``type``, ``name``, ``arguments``, ``partial`` and ``output``.
"""
