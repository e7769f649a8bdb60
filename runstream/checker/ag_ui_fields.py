"""The fields of AG-UI events by type (version 1.0 of the specification): an event enters, its wrong fields leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from runstream.checker.values import count_of

__all__ = ["wrong_fields"]

_TABLE: Final = """
RUN_STARTED threadId:text runId:text protocolVersion?:text parentRunId?:text input?:object
RUN_FINISHED threadId:text runId:text result?:any outcome?:object usage?:list
RUN_ERROR message:text code?:text usage?:list
STEP_STARTED stepName:text @
STEP_FINISHED stepName:text @
TEXT_MESSAGE_START messageId:text role?:text name?:text @
TEXT_MESSAGE_CONTENT messageId:text delta:text @
TEXT_MESSAGE_END messageId:text @
TEXT_MESSAGE_CHUNK messageId?:text role?:text delta?:text name?:text @
TOOL_CALL_START toolCallId:text toolCallName:text parentMessageId?:text @
TOOL_CALL_ARGS toolCallId:text delta:text @
TOOL_CALL_END toolCallId:text @
TOOL_CALL_CHUNK toolCallId?:text toolCallName?:text parentMessageId?:text delta?:text @
TOOL_CALL_RESULT messageId:text toolCallId:text content:content role?:tool @
STATE_SNAPSHOT snapshot:any @
STATE_DELTA delta:list @
MESSAGES_SNAPSHOT messages:list
ACTIVITY_SNAPSHOT messageId:text activityType:text content:object replace?:flag @
ACTIVITY_DELTA messageId:text activityType:text patch:list @
REASONING_START messageId:text @
REASONING_END messageId:text @
REASONING_MESSAGE_START messageId:text role:reasoning @
REASONING_MESSAGE_CONTENT messageId:text delta:text @
REASONING_MESSAGE_END messageId:text @
REASONING_MESSAGE_CHUNK messageId?:text delta?:text @
REASONING_ENCRYPTED_VALUE subtype:text entityId:text encryptedValue:text @
SUBAGENT_STARTED subagentRunId:text name:text description?:text parentSubagentRunId?:text {origin}
SUBAGENT_FINISHED subagentRunId:text result?:any outcome?:object
SUBAGENT_ERROR subagentRunId:text message:text code?:text
RAW event:any source?:text @
CUSTOM name:text value:any @
""".replace("{origin}", "parentToolCallId?:text parentMessageId?:text")
"""A question mark stands for an optional field, ``@`` for an event that may name its subagent."""

_COMMON: Final = "timestamp?:integer metadata?:object rawEvent?:any"
_DROPPED: Final = frozenset(
    {("RUN_FINISHED", "outcome"), ("TOOL_CALL_START", "parentMessageId"), ("TOOL_CALL_CHUNK", "parentMessageId")}
)
"""The optional fields whose nulls readers leave out; older servers write them."""

_IS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "any": lambda value: True,
    "text": lambda value: isinstance(value, str),
    "flag": lambda value: isinstance(value, bool),
    "integer": lambda value: count_of(value) is not None,
    "object": lambda value: isinstance(value, dict),
    "list": lambda value: isinstance(value, list),
    "reasoning": lambda value: value in ("reasoning", "assistant"),  # before 0.1.14: assistant
    "tool": lambda value: value == "tool",
    "content": lambda value: isinstance(value, str | list),
}


def _read(line: str) -> tuple[str, dict[str, tuple[str, bool]]]:
    name, *fields = line.replace(" @", " subagentRunId?:text").split()
    found = {}
    for field in (*fields, *_COMMON.split()):
        key, _, kind = field.partition(":")
        found[key.removesuffix("?")] = (kind, key.endswith("?"))
    return name, found


_FIELDS: Final = dict(map(_read, _TABLE.strip().splitlines()))


def wrong_fields(kind: str, value: dict[str, Any]) -> Iterator[str]:
    """The names of the fields of an event that lack, or whose values have another type.

    Args:
        kind: The type of the event; of an unknown one no field is wrong.
        value: The event.
    """
    for name, (type, is_optional) in _FIELDS.get(kind, {}).items():
        if name not in value:
            if not is_optional:
                yield name
        elif value[name] is None:
            if type != "any" and not (is_optional and (kind, name) in _DROPPED):
                yield name
        elif not _IS[type](value[name]):
            yield name
