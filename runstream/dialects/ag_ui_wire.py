"""The AG-UI wire: the types of its events, slim decoders of its fragments, and its values as canonical values.

The objects of the wire enter as parsed JSON. Every function reads what it can: a value of an unexpected type is absent.
Both spellings of a field are read: ``messageId`` and ``message_id``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeAlias, Union, cast

import msgspec
from msgspec import Struct, field

from runstream.dialects.redaction_rules import split_words
from runstream.model.common import CompletionTokensDetails, ErrorObject, PromptTokensDetails, Usage
from runstream.model.events import Target
from runstream.model.raw import RawEvent
from runstream.model.surrogates import decode_odd, is_odd

__all__ = [
    "EVENT_TYPES",
    "FRAGMENTS",
    "RUN_ID",
    "Fragment",
    "Json",
    "any_id_of",
    "call_id_of",
    "decode_fragment",
    "error_of",
    "field_of",
    "id_in",
    "json_text",
    "objects_of",
    "output_of",
    "read_number_ids",
    "restore_halves",
    "text_of",
    "time_of",
    "usage_entries",
    "usage_of",
]

Json: TypeAlias = Mapping[str, Any]

RUN_ID: Final = "runstream.run_id"
"""The key in the metadata of a run under which the ``runId`` of its latest part stands."""

EVENT_TYPES: Final = split_words(
    """
    RUN_STARTED RUN_FINISHED RUN_ERROR STEP_STARTED STEP_FINISHED
    TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT TEXT_MESSAGE_END TEXT_MESSAGE_CHUNK
    TOOL_CALL_START TOOL_CALL_ARGS TOOL_CALL_END TOOL_CALL_CHUNK TOOL_CALL_RESULT
    STATE_SNAPSHOT STATE_DELTA MESSAGES_SNAPSHOT ACTIVITY_SNAPSHOT ACTIVITY_DELTA
    REASONING_START REASONING_END REASONING_MESSAGE_START REASONING_MESSAGE_CONTENT REASONING_MESSAGE_END
    REASONING_MESSAGE_CHUNK REASONING_ENCRYPTED_VALUE
    SUBAGENT_STARTED SUBAGENT_FINISHED SUBAGENT_ERROR RAW CUSTOM
    THINKING_START THINKING_END THINKING_TEXT_MESSAGE_START THINKING_TEXT_MESSAGE_CONTENT THINKING_TEXT_MESSAGE_END
    """
)
"""The types of events of 1.0, and those of earlier releases that servers still send."""

# fragments

FRAGMENTS: Final[Mapping[str, tuple[Target, str]]] = {
    "TEXT_MESSAGE_CONTENT": ("text", "messageId"),
    "TEXT_MESSAGE_CHUNK": ("text", "messageId"),
    "TOOL_CALL_ARGS": ("arguments", "toolCallId"),
    "TOOL_CALL_CHUNK": ("arguments", "toolCallId"),
    "REASONING_MESSAGE_CONTENT": ("reasoning", "messageId"),
    "REASONING_MESSAGE_CHUNK": ("reasoning", "messageId"),
}
"""The text that an event with a fragment continues, and the field with the id of its message or call."""


class Fragment(Struct, frozen=True, gc=False, tag_field="type"):
    """An event with a fragment of one text; each type of event has a class.

    Attributes:
        target: The text that grows.
        name: The type of the event.
        is_chunk: True if the event may open and close its object.
        object_id: The id of the message or call.
        owner: The id of the subagent's run.
        role: The role that a chunk repeats.
        call_name: The name of the call that a chunk repeats.
    """

    target: ClassVar[Target]
    name: ClassVar[str]
    is_chunk: ClassVar[bool]

    delta: str
    object_id: str | None = None
    owner: str | None = field(default=None, name="subagentRunId")
    role: str | None = None
    call_name: str | None = field(default=None, name="toolCallName")


def _fragment_type(name: str, target: Target, key: str) -> type[Fragment]:
    title = "_" + "".join(part.capitalize() for part in name.split("_"))
    make: Any = type(Struct)
    attributes: dict[str, Any] = {
        "__module__": __name__,
        "__annotations__": {"object_id": str | None},
        "object_id": field(default=None, name=key),
        "target": target,
        "name": name,
        "is_chunk": name.endswith("CHUNK"),
    }
    return cast(type[Fragment], make(title, (Fragment,), attributes, frozen=True, gc=False, tag=name))


_FRAGMENT_TYPES: Final = tuple(_fragment_type(name, *found) for name, found in FRAGMENTS.items())
globals().update({kind.__name__: kind for kind in _FRAGMENT_TYPES})  # picklable by their module

decode_fragment: Final = msgspec.json.Decoder(Union[_FRAGMENT_TYPES]).decode  # noqa: UP007 - built at run time
"""Decodes the data of a fragment, and refuses those of every other event."""

# values


def text_of(value: object) -> str | None:
    """The value if it is a text."""
    return value if isinstance(value, str) else None


def field_of(value: Json, name: str) -> Any:
    """The value of a field, in camelCase or else in snake_case; ``None`` if it is absent or null.

    Args:
        value: The event, or an object in it.
        name: The name in camelCase.
    """
    found = value.get(name)
    return value.get(_SNAKE.get(name) or _snake(name)) if found is None else found


def _snake(name: str) -> str:
    found = _SNAKE[name] = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return found


_SNAKE: Final[dict[str, str]] = {}


_ID_FIELDS: Final = frozenset(
    split_words(
        """
        id messageId toolCallId runId threadId parentMessageId parentRunId parentToolCallId subagentRunId
        parentSubagentRunId entityId interruptId
        """
    )
)
_MAIN_IDS: Final = frozenset({"id", "messageId", "toolCallId", "runId", "threadId"})
_ID_NAMES: Final = _ID_FIELDS | {_snake(name) for name in _ID_FIELDS}
_WITH_IDS: Final = frozenset({"messages", "toolCalls", "tool_calls", "outcome", "interrupts", "resume"})
_LISTS_OF_IDS: Final = frozenset({"pendingToolCallIds", "pending_tool_call_ids", "interruptIds", "interrupt_ids"})


def read_number_ids(value: Any) -> bool:
    """Replace ids that are numbers by their text, in place: servers that count their objects send such ids.

    Args:
        value: The event, or the input of a run.

    Returns:
        True if the id of a run, a thread, a message or a call is one of them. Other ids are not reported: many events
        do not have their fields.
    """
    found = False
    for name, item in value.items():
        if type(item) is int or type(item) is float:
            if name in _ID_NAMES:
                value[name] = json_text(item)
                found = found or name in _MAIN_IDS
        elif name in _WITH_IDS:
            for each in objects_of(item if isinstance(item, list) else [item]):
                found = read_number_ids(each) or found
        elif name in _LISTS_OF_IDS and isinstance(item, list) and not all(isinstance(each, str) for each in item):
            value[name] = [json_text(each) if type(each) is int else each for each in item]
            found = True
    return found


def objects_of(value: object) -> list[Json]:
    """The objects of a list; none if the value is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def restore_halves(delta: str, data: bytes) -> str:
    """A fragment with the halves of surrogate pairs that it has on the wire, in place of U+FFFD.

    Args:
        delta: The fragment.
        data: The event.
    """
    if not is_odd(data):
        return delta
    found = decode_odd(data)
    if "delta" not in found:
        found = found.get("data")  # an envelope
    return text_of(found.get("delta") if isinstance(found, dict) else None) or delta


def json_text(value: Any) -> str:
    """A value as JSON text."""
    return msgspec.json.encode(value).decode()


def output_of(content: Any) -> str:
    """The output of a call: a text as it is, the texts of parts if there are no other parts, else JSON text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content:
        texts = [text_of(part.get("text")) for part in objects_of(content) if part.get("type") == "text"]
        if len(texts) == len(content) and None not in texts:
            return "".join([text or "" for text in texts])
    return json_text(content)


def time_of(value: object) -> int | None:
    """A timestamp as whole Unix seconds. The wire states no unit: milliseconds by custom, seconds of some servers.

    A number that is neither, such as a clock that began with its process, is no time.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    if 1e11 <= value < 1e14:
        return int(value // 1000)
    return int(value) if 1e9 <= value < 1e11 else None


def usage_entries(value: object, note: Callable[[str, str], None]) -> list[dict[str, Any]]:
    """The entries of ``usage``; some servers send one entry without the list.

    Args:
        value: The field.
        note: Counts a violation.
    """
    if isinstance(value, dict):
        note("field_value", "usage")
        value = [value]
    return [dict(entry) for entry in objects_of(value)]


def usage_of(value: object) -> Usage | None:
    """The sum of the entries of ``usage``, one for each provider and model. A number that no entry has is absent."""
    entries = objects_of(value)

    def total(*names: str) -> int | None:
        found = [number for entry in entries if (number := _number_in(entry, names)) is not None]
        return sum(found) if found else None

    def whole_of(entry: Json) -> int | None:
        prompt, completion = _number_in(entry, _INPUT), _number_in(entry, _OUTPUT)
        known = prompt + completion if prompt is not None and completion is not None else None
        return _number_in(entry, ("totalTokens",)) or known

    prompt, completion = total(*_INPUT), total(*_OUTPUT)
    wholes = [number for entry in entries if (number := whole_of(entry)) is not None]
    whole = sum(wholes) if wholes else None
    cached, reasoning = total("cachedInputTokens"), total("reasoningTokens")
    if prompt is completion is whole is None:
        return None
    if whole is None and prompt is not None and completion is not None:
        whole = prompt + completion
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=whole,
        prompt_tokens_details=None if cached is None else PromptTokensDetails(cached_tokens=cached),
        completion_tokens_details=None if reasoning is None else CompletionTokensDetails(reasoning_tokens=reasoning),
    )


# What the entry has, and what chat completions have in its place.
_INPUT: Final = ("inputTokens", "promptTokens")
_OUTPUT: Final = ("outputTokens", "completionTokens")


def _number_in(entry: Json, names: tuple[str, ...]) -> int | None:
    """The first number that an entry has under one of the names."""
    return next((found for name in names if (found := _count(field_of(entry, name))) is not None), None)


def _count(value: object) -> int | None:
    if isinstance(value, float) and value == value and abs(value) < 2.0**53:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def error_of(value: Json) -> ErrorObject:
    """The error of an event: ``message`` and ``code``, or what some servers send under ``error``."""
    message, code = value.get("message"), value.get("code")
    inner = value.get("error")
    if isinstance(inner, dict):
        message = message if message is not None else inner.get("message")
        code = code if code is not None else inner.get("code")
    elif message is None:
        message = inner
    if isinstance(message, dict | list):
        message = json_text(message)
    return ErrorObject(
        code=str(code) if isinstance(code, int) and not isinstance(code, bool) else text_of(code),
        message=text_of(message),
    )


def call_id_of(raw: RawEvent) -> str | None:
    """The id of the call that an event names."""
    try:
        value: Any = msgspec.json.decode(raw.data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    read_number_ids(value)
    return text_of(field_of(value, "toolCallId"))


def any_id_of(raw: RawEvent) -> str | None:
    """The id of an object that an event opens or continues; the event was read before."""
    value = msgspec.json.decode(raw.data)
    read_number_ids(value)
    return id_in(value)


def id_in(value: Json) -> str | None:
    """The id of an object that an event opens or continues; ``None`` for an event that ends one."""
    if str(value.get("type")).endswith(("END", "FINISHED", "REASONING_START")):
        return None
    names = ("messageId", "toolCallId", "subagentRunId", "stepName")
    return next((id for name in names if (id := text_of(field_of(value, name)))), None)
