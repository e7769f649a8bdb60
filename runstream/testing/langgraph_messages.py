"""Messages of the LangGraph wire as plain mappings: whole ones, and the chunks that are streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from runstream.testing.turns import ScriptedCall, pieces_of
from runstream.testing.wire import Json

__all__ = ["answer_message", "chunks_of", "tool_message", "user_messages"]


def user_messages(input: Any, count: int) -> list[Json]:
    """The messages of the input of a run, each with a type and an id.

    Args:
        input: The input.
        count: The number of messages before them.
    """
    messages = input.get("messages", []) if isinstance(input, dict) else []
    found: list[Json] = []
    for place, message in enumerate(messages if isinstance(messages, list) else [messages]):
        value = {"role": "user", "content": message} if isinstance(message, str) else message
        kind = "human" if value.get("role", value.get("type")) in ("user", "human") else value.get("role", "human")
        found.append({"type": kind, "id": f"human_{count + place}", "content": "", **_without_role(value)})
    return found


def answer_message(id: str, text: str, calls: Sequence[ScriptedCall]) -> Json:
    """The whole message of a model."""
    tool_calls = [{"name": call.name, "args": _arguments(call), "id": call.id, "type": "tool_call"} for call in calls]
    return {
        "type": "ai",
        "id": id,
        "content": text,
        "tool_calls": tool_calls,
        "invalid_tool_calls": [],
        "usage_metadata": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
    }


def chunks_of(message: Json, calls: Sequence[ScriptedCall]) -> Iterator[Json]:
    """The chunks of a message of a model; the last one has the tokens."""
    chunk: Json = {"type": "AIMessageChunk", "id": message["id"], "content": "", "tool_call_chunks": []}
    for piece in pieces_of(message["content"]):
        yield {**chunk, "content": piece}
    for index, call in enumerate(calls):
        first = {"index": index, "id": call.id, "name": call.name, "args": "", "type": "tool_call_chunk"}
        yield {**chunk, "tool_call_chunks": [first]}
        for piece in pieces_of(call.text):
            part = {"index": index, "id": None, "name": None, "args": piece, "type": "tool_call_chunk"}
            yield {**chunk, "tool_call_chunks": [part]}
    yield {**chunk, "usage_metadata": message["usage_metadata"], "chunk_position": "last"}


def tool_message(call: ScriptedCall, content: str) -> Json:
    """The result of a call."""
    return {
        "type": "tool",
        "id": f"result_{call.id}",
        "name": call.name,
        "tool_call_id": call.id,
        "content": content,
        "status": "success",
    }


def _arguments(call: ScriptedCall) -> Any:
    try:
        return msgspec.json.decode(call.text)
    except msgspec.DecodeError:
        return {}


def _without_role(value: Json) -> Json:
    return {key: field for key, field in value.items() if key not in ("role", "type")}
