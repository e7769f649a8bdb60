"""The LangGraph wire: the names of its events, its fragments of text, and its objects as canonical objects.

The objects of the wire enter as parsed JSON. Every function reads what it can: a value of an unexpected type is absent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, TypeGuard

import msgspec
from msgspec import Meta, Struct

from runstream.errors import DecodeError
from runstream.model.common import CompletionTokensDetails, PromptTokensDetails, Usage
from runstream.model.jsontext import decode_json

__all__ = [
    "ATTEMPT",
    "INTERRUPT",
    "MODES",
    "RUN_ID",
    "Content",
    "Json",
    "TextChunk",
    "add_usage",
    "content_of",
    "decode_text_chunk",
    "integer_of",
    "is_json_of",
    "is_message",
    "json_text",
    "make_message_id",
    "mapping_of",
    "mappings_of",
    "messages_in",
    "role_of",
    "split_name",
    "text_of",
    "time_of",
    "usage_of",
]

Json: TypeAlias = Mapping[str, Any]

RUN_ID: Final = "runstream.langgraph_run_id"
"""The key in the metadata of a run under which the id of its latest run on the server stands."""

ATTEMPT: Final = "runstream.attempt"
"""The key in the metadata of a run under which the number of the server's attempt stands, from the second one on."""

INTERRUPT: Final = "__interrupt__"
"""The key of the interrupts in ``values`` and ``updates``."""

MODES: Final = frozenset({"values", "updates", "messages", "tasks", "checkpoints", "debug"})
"""The names of events that no other protocol has; that of subgraphs follows after a vertical bar."""


# fragments

_Empty = Annotated[list[Any], Meta(max_length=0)]
_EmptyMap = Annotated[dict[str, Any], Meta(max_length=0)]


class TextChunk(Struct, frozen=True, gc=False, tag_field="type", tag="AIMessageChunk"):
    """A chunk of a message that contains a text and nothing else.

    Attributes:
        id: The id of its message.
        content: The text.
    """

    id: str
    content: str
    additional_kwargs: _EmptyMap = {}
    response_metadata: _EmptyMap = {}
    tool_call_chunks: _Empty = []
    usage_metadata: None = None
    chunk_position: None = None


class _Skipped(Struct, frozen=True, gc=False):
    """The object beside a chunk; nothing of it is read."""


decode_text_chunk: Final = msgspec.json.Decoder(tuple[TextChunk, _Skipped]).decode
"""Decodes the data of a chunk that contains a text and nothing else, and refuses those of every other event."""


# values


def text_of(value: object) -> str | None:
    """The value if it is a text."""
    return value if isinstance(value, str) else None


def integer_of(value: object) -> int | None:
    """The value if it is a whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mapping_of(value: object) -> Json:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings_of(value: object) -> list[Json]:
    """The objects in a list; none if the value is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def json_text(value: object) -> str:
    """A value as text: a text itself, JSON of any other value."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def is_json_of(text: str, value: object) -> bool:
    """True if a text is, or is JSON of, a value: servers write it in other forms."""
    try:
        return text == value or bool(decode_json(text) == value)
    except DecodeError:
        return False


def time_of(value: object) -> int | None:
    """The Unix time of a text with an ISO time (seconds)."""
    try:
        return int(datetime.fromisoformat(value).timestamp()) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def split_name(name: str) -> tuple[str, tuple[str, ...]]:
    """The name of an event, and the path of the subgraph that follows it."""
    base, bar, rest = name.partition("|")
    return (base, tuple(rest.split("|"))) if bar else (base, ())


# messages


class Content(NamedTuple):
    """The content of a message.

    Attributes:
        texts: Its texts: the index that the wire gives the block of each (``None`` if it has none), and the text.
        reasoning: Its reasoning, likewise.
        summaries: The summaries of its reasoning, likewise.
        calls: The tool calls that stand in it.
    """

    texts: list[tuple[int | None, str]]
    reasoning: list[tuple[int | None, str]]
    summaries: list[tuple[int | None, str]]
    calls: list[Json]


def content_of(message: Json) -> Content:
    """The content of a message or a chunk: a text, or blocks. Blocks of other kinds are left out."""
    found = Content([], [], [], [])
    content = message.get("content")
    if isinstance(content, str) and content:
        found.texts.append((None, content))
    for block in content if isinstance(content, list) else ():
        if isinstance(block, str):
            found.texts.append((None, block))
        elif isinstance(block, dict):
            _read_block(block, found)
    reasoning = mapping_of(message.get("additional_kwargs")).get("reasoning_content")
    if isinstance(reasoning, str) and reasoning and not found.reasoning:
        found.reasoning.append((None, reasoning))
    return found


def _read_block(block: Json, found: Content) -> None:
    index = integer_of(block.get("index"))
    match block.get("type"):
        case "text" | "output_text":
            found.texts.append((index, text_of(block.get("text")) or ""))
        case "reasoning" | "thinking" as kind:
            text = text_of(block.get("reasoning")) or text_of(block.get(kind)) or text_of(block.get("text"))
            for place, part in enumerate(mappings_of(block.get("summary"))):
                at = integer_of(part.get("index"))
                found.summaries.append((place if at is None else at, text_of(part.get("text")) or ""))
            if text:
                found.reasoning.append((index, text))
        case "tool_call":
            found.calls.append(block)


def is_message(value: object) -> TypeGuard[Json]:
    """True if a value of a state is a message: typed, or plain with a role."""
    if not isinstance(value, dict) or "content" not in value:
        return False
    kind = value.get("type", value.get("role"))
    return isinstance(kind, str) and kind in _ROLES


_ROLES: Final[Mapping[object, str]] = {
    "ai": "assistant",
    "assistant": "assistant",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "tool": "tool",
    "ToolMessage": "tool",
    "ToolMessageChunk": "tool",
    "human": "user",
    "user": "user",
    "HumanMessage": "user",
    "HumanMessageChunk": "user",
    "system": "system",
    "SystemMessage": "system",
    "developer": "system",
    "function": "function",
    "chat": "chat",
    "remove": "remove",
}


def role_of(message: Json) -> str | None:
    """The role of a message: ``assistant``, ``tool``, ``user``, ``system``, or another; ``None`` if it is unknown."""
    kind = message.get("type", message.get("role"))
    return _ROLES.get(kind) if isinstance(kind, str) else None


def messages_in(update: object) -> Iterator[Json]:
    """The messages that a node has written, under any key of its update; an update may be a list of updates."""
    for part in update if isinstance(update, list) else (update,):
        if is_message(part):
            yield part
        elif isinstance(part, list) and len(part) == 2 and isinstance(part[0], str):  # a pair of a key and its value
            yield from filter(is_message, part[1] if isinstance(part[1], list) else (part[1],))
        elif isinstance(part, dict):
            for value in part.values():
                yield from filter(is_message, value if isinstance(value, list) else (value,))


def make_message_id(message: Json) -> str:
    """The id of a message without one, made of its content: each event that repeats the message makes the same."""
    content = msgspec.json.encode([role_of(message), message.get("content")])
    return f"message-{hashlib.blake2b(content, digest_size=8).hexdigest()}"


def usage_of(message: Json) -> tuple[int, ...] | None:
    """The tokens of a message or a chunk: input, output, all, cached input, reasoning; ``None`` if it has none."""
    usage = message.get("usage_metadata")
    if not isinstance(usage, dict):
        return None
    found = [integer_of(usage.get(key)) or 0 for key in ("input_tokens", "output_tokens", "total_tokens")]
    found.append(integer_of(mapping_of(usage.get("input_token_details")).get("cache_read")) or 0)
    found.append(integer_of(mapping_of(usage.get("output_token_details")).get("reasoning")) or 0)
    return tuple(found)


def add_usage(counts: list[tuple[int, ...]]) -> Usage | None:
    """The sum of the tokens of some messages; ``None`` if none has any."""
    if not counts:
        return None
    given, made, all_tokens, cached, reasoning = (sum(each) for each in zip(*counts, strict=True))
    return Usage(
        prompt_tokens=given,
        completion_tokens=made,
        total_tokens=all_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached) if cached else None,
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=reasoning) if reasoning else None,
    )
