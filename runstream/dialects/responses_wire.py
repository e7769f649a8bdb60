"""The Responses wire: the names of its events, slim decoders of its fragments, and readers of its values.

The objects of the wire enter as parsed JSON. Every function reads what it can: a value of an unexpected type is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Annotated, Any, ClassVar, Final, TypeAlias, Union, cast

import msgspec
from msgspec import Meta, Struct, field

from runstream.dialects.json_message import read_message
from runstream.model.events import DoneEvent, Reject, Target
from runstream.model.jsontext import dump_json, nesting_depth
from runstream.model.raw import RawEvent

__all__ = [
    "AGENT_EVENT",
    "OTHER_NAMES",
    "RUNNING",
    "TARGETS",
    "WHOLE_TEXTS",
    "Fragment",
    "Json",
    "RepeatedResponses",
    "agent_path",
    "decode_fragment",
    "decode_fragments",
    "dump_text",
    "flag_of",
    "integer_of",
    "is_of_wire",
    "list_of",
    "map_of",
    "number_of",
    "read_event",
    "text_of",
    "with_agent",
]

Json: TypeAlias = Mapping[str, Any]

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

WHOLE_TEXTS: Final[Mapping[str, str]] = {
    "refusal": "refusal",
    "function_call_arguments": "arguments",
    "custom_tool_call_input": "input",
    "mcp_call_arguments": "arguments",
    "code_interpreter_call_code": "code",
}
"""The key of the whole text in an event that ends with ``.done``, by the middle of its name; ``text`` for others."""

OTHER_NAMES: Final = frozenset(
    f"response.{kind}"
    for kind in (
        *("created", "queued", "in_progress", "completed", "incomplete", "failed"),
        *("output_item.added", "output_item.done", "content_part.added", "content_part.done"),
        *("reasoning_summary_part.added", "reasoning_summary_part.done"),
        *(f"{middle}.done" for middle in TARGETS),
    )
)
"""Names of events that are no fragments: a decoder of fragments takes longest to refuse."""

RUNNING: Final = frozenset(
    {"in_progress", "searching", "interpreting", "generating", "calling", "compacting", "completed", "failed"}
)
"""The statuses of an item that are also the last part of the name of an event."""


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


_LINE_END: Final = b"\n"
_BEGIN: Final = frozenset(b"{")
_END: Final = frozenset(b"}")
_first: Final = itemgetter(0)
_last: Final = itemgetter(-1)
_FRAGMENT_TYPES: Final = tuple(_fragment_type(middle) for middle in TARGETS)
globals().update({kind.__name__: kind for kind in _FRAGMENT_TYPES})  # picklable by their module

decode_fragment: Final = msgspec.json.Decoder(Union[_FRAGMENT_TYPES]).decode  # noqa: UP007 - built at run time
"""Decodes the data of a fragment, and refuses those of every other event."""


class _NoFragment(Struct, tag_field="type", tag=""):
    """No object is one. A decoder of several classes, unlike one of a single class, refuses objects without a type."""

    nothing: Annotated[int, Meta(gt=0, lt=0)]


_lines: Final = {kind: msgspec.json.Decoder(Union[kind, _NoFragment]).decode_lines for kind in _FRAGMENT_TYPES}  # noqa: UP007


def decode_fragments(kind: type[Fragment], data: Sequence[bytes]) -> list[Fragment] | None:
    """Decode the data of many fragments of one class; ``None`` if one can't be decoded, or is of another class.

    Args:
        kind: The class.
        data: The data. A line end in them is white space, since a JSON text contains none.
    """
    try:
        # Each message is an object, or several: where one ends and the next one begins, no object goes on.
        if set(map(_first, data)) != _BEGIN or set(map(_last, data)) != _END:
            return None
        found = _lines[kind](_LINE_END.join(data))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, IndexError):
        return None
    return found if len(found) == len(data) else None


# values


def text_of(value: object) -> str | None:
    """The value if it is a text."""
    return value if isinstance(value, str) else None


def integer_of(value: object) -> int | None:
    """The value if it is a whole number; the whole part of a time with fractions."""
    if type(value) is int or value is None:
        return value
    if isinstance(value, float) and abs(value) < 2.0**53:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number_of(value: object) -> float | None:
    """The value as a float, if it is a number that a float can be."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def flag_of(value: object) -> bool | None:
    """The value if it is true or false."""
    return value if isinstance(value, bool) else None


def map_of(value: object) -> Json:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Json]:
    """The objects in a value that is a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def dump_text(value: object) -> str | None:
    """The value as a text: a text as it is, an object or list as JSON; ``None`` for a null."""
    if value is None or isinstance(value, str):
        return value
    return dump_json(value)


# agents


def agent_path(value: Json) -> tuple[str, ...]:
    """The path of the subagent that an event or an item belongs to; empty for the agent that was asked.

    The wire has canonical names: ``/root`` for that agent, ``/root/researcher/reader`` for one below it. Any other name
    is that of one subagent.
    """
    name = text_of(map_of(value.get("agent")).get("agent_name"))
    if not name:
        return ()
    if not name.startswith("/"):
        return (name,)
    return tuple([part for part in name.split("/") if part][1:])


def with_agent(item: Json, event: Json) -> Json:
    """An item with the agent of its event, if only the event names it."""
    return {**item, "agent": event["agent"]} if "agent" in event and "agent" not in item else item


# input

_DONE: Final = (b"[DONE]", b'"[DONE]"')


def read_event(raw: RawEvent, max_bytes: int, max_nesting: int) -> Json | DoneEvent | Reject:
    """The JSON object of a raw event.

    Args:
        raw: The raw event.
        max_bytes: Larger ones become rejects (bytes).
        max_nesting: More deeply nested ones become rejects (levels).
    """
    if raw.data.strip() in _DONE:
        return DoneEvent(id=raw.id, name="[DONE]")
    value = read_message(raw, max_bytes, max_nesting)
    if isinstance(value, Reject):
        return value
    if isinstance(value, dict) and "type" not in value and isinstance(value.get("event"), str) and "data" in value:
        value = value["data"]  # an envelope, as relays and recordings put around a block of an event stream
        if value == "[DONE]":
            return DoneEvent(id=raw.id, name="[DONE]")
    if not isinstance(value, dict):
        return Reject(raw, "Expected an object with `type`")
    return value


_RESPONSE: Final = b'"response":'
_NO_RESPONSE: Final = b'"response":null}'
_MAX_REPEATED: Final = 65_536  # the largest response that is kept (bytes)


class RepeatedResponses:
    """Reads the events of one source. Servers send a response again under another name: its JSON is decoded once.

    Args:
        max_bytes: Larger messages become rejects (bytes).
        max_nesting: More deeply nested messages become rejects (levels).

    Attributes:
        small: A message of at most this size is within the bounds (bytes).
    """

    __slots__ = ("_bytes", "_max_bytes", "_max_nesting", "_response", "small")

    def __init__(self, max_bytes: int, max_nesting: int) -> None:
        self.small = min(max_bytes, 2 * max_nesting)  # what nests too deeply has more brackets
        self._max_bytes = max_bytes
        self._max_nesting = max_nesting
        self._bytes: bytes | None = None  # from the last response to the end of its event
        self._response: object = None

    def admits(self, data: bytes) -> bool:
        """True if a message is within the bounds."""
        return len(data) <= self._max_bytes and nesting_depth(data, self._max_nesting) <= self._max_nesting

    def read(self, raw: RawEvent) -> Json | DoneEvent | Reject:
        """The JSON object of a raw event, as :func:`read_event`; with the same response, if its bytes are the same."""
        head, found, rest = raw.data.partition(_RESPONSE)
        is_field = found and head.count(b"{") == 1  # else it is one of an inner object
        if is_field and rest == self._bytes and len(raw.data) <= self._max_bytes:
            try:
                value = msgspec.json.decode(head + _NO_RESPONSE)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                value = None
            if isinstance(value, dict):
                value["response"] = self._response
                return value
        read = read_event(raw, self._max_bytes, self._max_nesting)
        if (
            is_field
            and isinstance(read, dict)
            and len(rest) <= _MAX_REPEATED
            and next(reversed(read), "") == "response"
        ):
            self._bytes, self._response = rest, read["response"]
        return read


# recognition

AGENT_EVENT: Final = "raw_response_event"
"""The name under which an agent in the same process (OpenAI Agents SDK) passes an event of its model on."""

_PREFIX: Final = "response."


class _Header(Struct):
    """The fields of a message that say whether it is one of this wire."""

    type: Any = None
    object: Any = None
    event: Any = None
    id: Any = None
    sequence_number: Any = None
    code: Any = msgspec.UNSET
    message: Any = msgspec.UNSET
    error: Any = msgspec.UNSET

    @property
    def has_error(self) -> bool:
        return any(value is not msgspec.UNSET for value in (self.code, self.message, self.error))


_decode_header: Final = msgspec.json.Decoder(_Header).decode


def is_of_wire(raw: RawEvent) -> bool:
    """True if a raw event is certainly one of this wire: by its name, as an error with a type, or as a response."""
    if raw.event is not None and raw.event.startswith(_PREFIX):
        return True
    try:
        header = _decode_header(raw.data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    kind = header.type
    if isinstance(kind, str):
        if kind == "error":
            return header.has_error
        if kind == "keepalive":
            return type(header.sequence_number) is int  # a bare one may be a sign of life of any server
        return kind.startswith(_PREFIX) or kind == AGENT_EVENT
    if isinstance(header.object, str):
        return header.object == "response" and isinstance(header.id, str)
    return isinstance(header.event, str) and header.event.startswith(_PREFIX)
