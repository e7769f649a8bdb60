"""An independent reading of recorded Responses streams: what a person would say that the server has sent.

It shares no code with the dialect. It reads a whole file, not event by event, and prefers the last whole object to the
fragments; :func:`from_fragments` reads the fragments alone.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Reading", "add_up", "events_of", "from_fragments", "read_exchanges", "read_file"]

Json = dict[str, Any]
_WAITING = {
    "function_call",
    "custom_tool_call",
    "mcp_approval_request",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "computer_call",
    "tool_search_call",
}
_CALLS = {
    *_WAITING,
    "mcp_call",
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
}
_CALLS |= {"program"}
_FIELDS = ("arguments", "input", "action", "actions", "operation", "code")


@dataclass
class Reading:
    """What one response of a file says."""

    id: str = ""
    status: str = ""
    text: str = ""
    reasoning: str = ""
    summary: str = ""
    refusal: str = ""
    calls: dict[str, tuple[str | None, Any]] = field(default_factory=dict)  # name and arguments by id
    outputs: dict[str, Any] = field(default_factory=dict)  # of calls that have one, by id
    pending: set[str] = field(default_factory=set)
    usage: dict[str, int] = field(default_factory=dict)
    annotations: list[str] = field(default_factory=list)  # their types
    continues: str | None = None  # the response that it names

    @property
    def tokens(self) -> int | None:
        return self.usage.get("total_tokens")


def events_of(path: Path) -> list[Json]:
    """Every event of a file that is a JSON object, in order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".sse":
        lines = [line.partition(":")[2].strip() for line in lines if line.startswith("data:")]
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [event for event in found if isinstance(event, dict)]


def read_file(path: Path) -> list[Reading]:
    """A reading of each response of a file."""
    readings: list[Reading] = []
    part: list[Json] = []
    for event in events_of(path):
        if event.get("type") == "response.created" and part:
            readings.append(_read(part))
            part = []
        part.append(event)
    return [*readings, _read(part)] if part else readings


def read_exchanges(path: Path) -> dict[str, Reading]:
    """The last reading of each polled response of a file, by its id."""
    readings = {}
    for exchange in json.loads(path.read_text(encoding="utf-8")):
        body = exchange["body"]
        event = {"type": f"response.{body['status']}", "response": body}
        reading = readings[body["id"]] = _read([event])
        if reading.status not in ("completed", "incomplete", "failed", "requires_action"):
            reading.status = body["status"]
    return readings


def add_up(readings: list[Reading]) -> dict[str, int]:
    """The tokens of several responses."""
    found: Counter[str] = Counter()
    for reading in readings:
        for name, count in reading.usage.items():
            found[name] += count
    return dict(found)


def _read(events: list[Json]) -> Reading:
    reading = Reading()
    snapshots = [event["response"] for event in events if isinstance(event.get("response"), dict)]
    last = snapshots[-1] if snapshots else {}
    # Ids may change from snapshot to snapshot: the first one is the response's.
    reading.id = snapshots[0].get("id", "") if snapshots else ""
    reading.continues = last.get("previous_response_id")
    names = [event.get("type", "error") for event in events]
    done = [event["item"] for event in events if event.get("type") == "response.output_item.done"]
    final = last.get("output") or []
    streamed = {_name(item) for item in done}
    items = [*done, *[item for item in final if _name(item) not in streamed and not _same(item, done)]]
    items = [*_left_open(events, items), *items]
    answered = {item.get("call_id") for item in items if item["type"].endswith("_output")}
    for item in items:
        _add_item(reading, item)
    for name, status in (("completed", "completed"), ("incomplete", "incomplete"), ("failed", "failed")):
        if f"response.{name}" in names:
            reading.status = status
    if not reading.status:
        reading.status = "failed" if "error" in names and snapshots else "in_progress" if snapshots else ""
    if reading.status == "completed":
        reading.pending = {_name(item) for item in items if _waits(item, last) and item.get("call_id") not in answered}
        if reading.pending:
            reading.status = "requires_action"
    reading.usage = _usage(last.get("usage"))
    return reading


def _usage(usage: Any) -> dict[str, int]:
    if not isinstance(usage, dict):
        return {}
    found = {name: usage.get(name) for name in ("input_tokens", "output_tokens", "total_tokens")}
    found["cached_tokens"] = (usage.get("input_tokens_details") or {}).get("cached_tokens")
    found["reasoning_tokens"] = (usage.get("output_tokens_details") or {}).get("reasoning_tokens")
    return {name: count for name, count in found.items() if count is not None}


def _add_item(reading: Reading, item: Json) -> None:
    if item["type"] == "message":
        for part in item.get("content") or []:
            reading.text += part.get("text") or ""
            reading.refusal += part.get("refusal") or ""
            reading.annotations += [note["type"] for note in part.get("annotations") or []]
    elif item["type"] == "reasoning":
        reading.reasoning += "".join(part.get("text") or "" for part in item.get("content") or [])
        reading.summary += "".join(part.get("text") or "" for part in item.get("summary") or [])
    elif item["type"].endswith("_output"):
        reading.outputs[_name(item)] = item.get("output", item.get("result", item.get("tools")))
    elif item["type"] in _CALLS:
        arguments = next((item[name] for name in _FIELDS if item.get(name)), None)
        reading.calls[_name(item)] = (item.get("name"), arguments)
        if item.get("output") or item.get("result"):
            reading.outputs[_name(item)] = item.get("output") or item.get("result")


def _left_open(events: list[Json], items: list[Json]) -> list[Json]:
    """The messages that were announced and never closed, with the text of their fragments."""
    known = {item.get("id") for item in items}
    # A server that changes its ids in every event closes its items under other ids.
    if any(event.get("item_id") not in known for event in events if str(event.get("type")).endswith("_text.done")):
        return []
    found = []
    for event in events:
        item = event.get("item") or {}
        if event.get("type") == "response.output_item.added" and item["type"] == "message" and item["id"] not in known:
            pieces = [each["delta"] for each in events if each.get("item_id") == item["id"] and "delta" in each]
            found.append({**item, "content": [{"text": "".join(pieces)}]})
    return found


def _name(item: Json) -> str:
    return str(item.get("call_id") or item.get("id") or "")


def _same(item: Json, done: list[Json]) -> bool:
    """True if a streamed item says the same under another id."""
    for other in done:
        if other["type"] == item["type"] and (
            other.get("content") == item.get("content") if item["type"] == "message" else item["type"] == "reasoning"
        ):
            return True
    return False


def _waits(item: Json, response: Json) -> bool:
    if item["type"] not in _WAITING or item.get("status") == "incomplete":
        return False
    if item["type"] == "tool_search_call":
        return item.get("execution") == "client"
    if item["type"] == "custom_tool_call" and response.get("tools"):
        return any(tool.get("type") == "custom" and tool.get("name") == item["name"] for tool in response["tools"])
    if item["type"] == "shell_call":
        return "container" not in str((item.get("environment") or {}).get("type"))
    return True


def from_fragments(events: list[Json]) -> Reading:
    """The text, reasoning, refusal and arguments that the fragments alone say, in order of their items.

    Arguments stand under the id of their item.
    """
    reading = Reading()
    for event in events:
        fragment = event.get("delta")
        match str(event.get("type")).removeprefix("response."):
            case "output_text.delta":
                reading.text += fragment
            case "reasoning_text.delta":
                reading.reasoning += fragment
            case "reasoning_summary_text.delta":
                reading.summary += fragment
            case "refusal.delta":
                reading.refusal += fragment
            case (
                "function_call_arguments.delta"
                | "custom_tool_call_input.delta"
                | "mcp_call_arguments.delta"
                | "code_interpreter_call_code.delta"
            ):
                id = str(event.get("item_id"))
                name, known = reading.calls.get(id, (None, ""))
                reading.calls[id] = (name, known + fragment)
    return reading
