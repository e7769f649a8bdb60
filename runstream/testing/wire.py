"""Builds events and objects of the Assistants wire as plain mappings, with the fields that servers send, nulls too."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple, TypeAlias

import msgspec

from runstream.model.raw import RawEvent

__all__ = [
    "GROWING",
    "Json",
    "WireEvent",
    "call_delta",
    "content_delta",
    "message_json",
    "reasoning_delta",
    "required_action",
    "run_json",
    "step_json",
    "without_nulls",
]

Json: TypeAlias = dict[str, Any]
"""A JSON object, as builtins."""

# The place of the text that grows in a call, by the type of the tool.
GROWING = {"function": ("function", "arguments"), "code_interpreter": ("code_interpreter", "input")}
_LIFETIME = 600


class WireEvent(NamedTuple):
    """One event as a server sends it.

    Attributes:
        name: The name of the event.
        data: Its data: an object, or the literal ``[DONE]``.
        at: Time of the event (Unix seconds).
        id: An id that is unique among all events of all scripts, as long as the runs have different ids.
    """

    name: str
    data: Json | str
    at: int
    id: str

    def raw(self, *, ids: bool = False, enveloped: bool = False) -> RawEvent:
        """The event as a transport delivers it.

        Args:
            ids: True if it has its id.
            enveloped: True if the name is in the JSON (WebSocket, JSONL) instead of beside it (SSE).
        """
        id = self.id if ids else None
        if enveloped:
            envelope: Json = {} if id is None else {"id": id}
            body = msgspec.json.encode({**envelope, "event": self.name, "data": self.data})
            return RawEvent(data=body, at=self.at)
        body = self.data.encode() if isinstance(self.data, str) else msgspec.json.encode(self.data)
        return RawEvent(self.name, body, id, id, self.at)

    def sse(self, *, ids: bool = False) -> bytes:
        """The event as a block of an event stream.

        Args:
            ids: True if it has its id.
        """
        raw = self.raw(ids=ids)
        id = b"" if raw.id is None else b"id: " + raw.id.encode() + b"\n"
        return b"event: " + self.name.encode() + b"\ndata: " + raw.data + b"\n" + id + b"\n"


def run_json(id: str, *, thread_id: str, at: int, **fields: Any) -> Json:
    """A new run; ``fields`` are added or replace others."""
    return {
        "id": id,
        "object": "thread.run",
        "created_at": at,
        "assistant_id": "asst_1",
        "thread_id": thread_id,
        "status": "queued",
        "started_at": None,
        "expires_at": at + _LIFETIME,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "required_action": None,
        "last_error": None,
        "model": "gpt-4o",
        "instructions": None,
        "tools": [],
        "tool_resources": {},
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "max_completion_tokens": None,
        "max_prompt_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "incomplete_details": None,
        "usage": None,
        "response_format": "auto",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        **fields,
    }


def step_json(id: str, run: Json, details: Json, *, at: int) -> Json:
    """A new step of ``run``."""
    return {
        "id": id,
        "object": "thread.run.step",
        "created_at": at,
        "run_id": run["id"],
        "assistant_id": run["assistant_id"],
        "thread_id": run["thread_id"],
        "type": details["type"],
        "status": "in_progress",
        "cancelled_at": None,
        "completed_at": None,
        "expires_at": run["created_at"] + _LIFETIME,
        "failed_at": None,
        "last_error": None,
        "step_details": details,
        "usage": None,
    }


def message_json(id: str, run: Json, *, at: int) -> Json:
    """A new, empty message of ``run``."""
    return {
        "id": id,
        "object": "thread.message",
        "created_at": at,
        "assistant_id": run["assistant_id"],
        "thread_id": run["thread_id"],
        "run_id": run["id"],
        "status": "in_progress",
        "incomplete_details": None,
        "incomplete_at": None,
        "completed_at": None,
        "role": "assistant",
        "content": [],
        "attachments": [],
        "metadata": {},
    }


def call_delta(step_id: str, call: Json) -> Json:
    """A step delta with one fragment of one call."""
    details = {"type": "tool_calls", "tool_calls": [call]}
    return {"id": step_id, "object": "thread.run.step.delta", "delta": {"step_details": details}}


def reasoning_delta(step_id: str, key: str, piece: str) -> Json:
    """A step delta with one fragment of a reasoning (``content``) or its ``summary``."""
    details = {"type": "reasoning", key: [{"index": 0, "text": piece}]}
    return {"id": step_id, "object": "thread.run.step.delta", "delta": {"step_details": details}}


def content_delta(message_id: str, part: Json) -> Json:
    """A message delta with one fragment of one content part."""
    return {"id": message_id, "object": "thread.message.delta", "delta": {"content": [part]}}


def required_action(calls: Sequence[Json]) -> Json:
    """The required action of a run that waits for these calls: outputs, or approval if they are MCP calls."""
    kind = "submit_tool_approval" if calls and calls[0]["type"] == "mcp" else "submit_tool_outputs"
    asked: list[Json] = []
    for call in calls:
        if call["type"] == "function":
            inner = {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
            asked.append({"id": call["id"], "type": "function", "function": inner})
        else:
            asked.append(deepcopy(call))
    return {"type": kind, kind: {"tool_calls": asked}}


def without_nulls(value: Any) -> Any:
    """The JSON value without its null fields, at any depth: the form in which states are written."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
