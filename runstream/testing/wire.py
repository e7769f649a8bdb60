"""The wire's objects as plain mappings, with the fields that servers send, nulls included."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, TypeAlias

__all__ = [
    "GROWING",
    "Json",
    "call_delta",
    "content_delta",
    "message_json",
    "required",
    "run_json",
    "step_json",
    "without_nulls",
]

Json: TypeAlias = dict[str, Any]

# Where a tool keeps what grows in it.
GROWING = {"function": ("function", "arguments"), "code_interpreter": ("code_interpreter", "input")}
_LIFETIME = 600


def run_json(id: str, *, thread_id: str, at: int, **fields: Any) -> Json:
    """A run that was just created; ``fields`` are added or take the place of others."""
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
    """A step of ``run`` that was just created."""
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
    """An empty message of ``run`` that was just created."""
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
    """A step delta that carries one piece of one call."""
    details = {"type": "tool_calls", "tool_calls": [call]}
    return {"id": step_id, "object": "thread.run.step.delta", "delta": {"step_details": details}}


def content_delta(message_id: str, part: Json) -> Json:
    """A message delta that carries one piece of one content part."""
    return {"id": message_id, "object": "thread.message.delta", "delta": {"content": [part]}}


def required(calls: Sequence[Json]) -> Json:
    """What a run asks for that waits for these calls: outputs, or approval where they are MCP calls."""
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
    """The JSON value with its null fields left out, at any depth: the form in which states are written."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
