"""An independent reading of recorded AG-UI streams: what a person would say that the server has sent.

It shares no code with the dialect. It reads a whole file, not event by event: the texts of a kind are gathered by id,
results by call, and the end is that of the last terminal event.
"""

from __future__ import annotations

import itertools
import json
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Reading", "apply_patch", "events_of", "read_events", "read_file"]

Json = dict[str, Any]
_TEXT = ("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CHUNK")
_CALL = ("TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_CHUNK")
_QUESTIONS = ("adk_request_confirmation", "confirm_changes", "request_info")


@dataclass
class Reading:
    """What one run of a file says."""

    id: str = ""
    thread_id: str | None = None
    status: str = "in_progress"
    texts: dict[str, str] = field(default_factory=dict)  # by id, of the run itself
    inner_texts: dict[str, str] = field(default_factory=dict)  # those of subagents
    reasoning: str = ""
    calls: dict[str, tuple[str | None, str, str | None]] = field(default_factory=dict)  # name, arguments, result
    pending: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    subagents: list[str] = field(default_factory=list)
    document: Any = None
    activities: dict[str, Any] = field(default_factory=dict)
    tokens: int | None = None
    error: str | None = None

    @property
    def text(self) -> str:
        """The text of the run itself."""
        return "".join(self.texts.values())


def events_of(path: Path) -> list[Json]:
    """Every event of a file, in order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".sse":
        lines = [line.partition(":")[2].strip() for line in lines if line.startswith("data:")]
    return [json.loads(line) for line in lines if line.startswith("{")]


def read_file(path: Path, offered: list[str] | None = None) -> list[Reading]:
    """A reading of each run of a file."""
    return read_events(events_of(path), offered)


def read_events(events: list[Json], offered: list[str] | None = None) -> list[Reading]:
    """A reading of each run. What precedes a start belongs to it."""
    starts = [n for n, event in enumerate(events) if event["type"] == "RUN_STARTED"] or [0]
    bounds = [0, *starts[1:], len(events)]
    return [_read(events[a:b], offered) for a, b in itertools.pairwise(bounds) if b > a]


def _get(value: Json, name: str) -> Any:
    snake = "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)
    return value.get(name, value.get(snake))


def _read(events: list[Json], offered: list[str] | None) -> Reading:
    names = [event["type"] for event in events]
    start = events[names.index("RUN_STARTED")] if "RUN_STARTED" in names else {}
    reading = Reading(id=_get(start, "runId") or "", thread_id=_get(start, "threadId"))
    _read_texts(reading, events)
    results = {_get(event, "toolCallId"): _content(event) for event in reversed(events) if _is_result(event)}
    history = [message for event in events for message in _of_this_run(event)]
    for message in history:
        if message.get("role") == "tool":
            results.setdefault(message["toolCallId"], _plain(message["content"]))
    for event in events:
        if event["type"] in _CALL and (id := _get(event, "toolCallId")):
            name, arguments, _ = reading.calls.get(id, (None, "", None))
            name = name or _get(event, "toolCallName")
            reading.calls[id] = name, arguments + (event.get("delta") or ""), results.get(id)
    for id, output in results.items():
        reading.calls.setdefault(id, (None, "", output))
    known = {_squeeze(text) for text in [*reading.texts.values(), *reading.inner_texts.values()]}
    for message in history:
        if message.get("role") == "assistant" and isinstance(message.get("content"), str):
            text = message["content"]
            if text and message["id"] not in reading.texts and _squeeze(text) not in known:
                known.add(_squeeze(text))
                reading.texts[message["id"]] = text
    reading.labels = [event["stepName"] for event in events if event["type"] == "STEP_STARTED"]
    reading.subagents = [event["name"] for event in events if event["type"] == "SUBAGENT_STARTED"]
    for event in events:
        if event["type"] == "STATE_SNAPSHOT":
            reading.document = deepcopy(event["snapshot"])
        elif event["type"] == "STATE_DELTA":
            reading.document = apply_patch({} if reading.document is None else reading.document, event["delta"])
        elif event["type"] == "ACTIVITY_SNAPSHOT":
            reading.activities[event["messageId"]] = event["content"]
    _read_end(reading, events, offered)
    return reading


def _read_texts(reading: Reading, events: list[Json]) -> None:
    lane = None
    for event in events:
        name = event["type"]
        if name in _TEXT:
            lane = _get(event, "messageId") or lane
            texts = reading.inner_texts if event.get("subagentRunId") else reading.texts
            texts[lane or ""] = texts.get(lane or "", "") + (event.get("delta") or "")
        elif ("REASONING_MESSAGE" in name or "THINKING_TEXT" in name) and isinstance(event.get("delta"), str):
            reading.reasoning += event["delta"]


def _is_result(event: Json) -> bool:
    return bool(event["type"] == "TOOL_CALL_RESULT")


def _content(event: Json) -> str:
    return _plain(event.get("content", event.get("result")))


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _squeeze(text: str) -> str:
    return " ".join(text.split())


def _of_this_run(event: Json) -> list[Json]:
    """The messages of a snapshot after the user's last one."""
    messages: list[Json] = event.get("messages") or [] if event["type"] == "MESSAGES_SNAPSHOT" else []
    users = [n for n, message in enumerate(messages) if message["role"] == "user"]
    return messages[users[-1] + 1 if users else 0 :]


def _read_end(reading: Reading, events: list[Json], offered: list[str] | None) -> None:
    ends = [event for event in events if event["type"] in ("RUN_FINISHED", "RUN_ERROR")]
    usage = [entry for event in ends for entry in event.get("usage") or []]
    if usage:
        reading.tokens = sum(entry.get("totalTokens", 0) for entry in usage)
    errors = [event for event in ends if event["type"] == "RUN_ERROR"]
    if errors:
        reading.status = "failed"
        reading.error = errors[0].get("message") or errors[0].get("error")
        return
    if not ends or any(event["type"].startswith(("TEXT", "TOOL")) for event in events[events.index(ends[-1]) :]):
        return
    outcome = ends[-1].get("outcome") or {}
    asked = [event["value"] for event in events if event["type"] == "CUSTOM" and event["name"] == "on_interrupt"]
    announced = {_get(event, "toolCallId") for event in events if event["type"] in _CALL}
    open_calls = [id for id, (_, _, result) in reading.calls.items() if result is None and id in announced]
    if outcome.get("type") == "interrupt":
        reading.pending = [interrupt["id"] for interrupt in outcome["interrupts"]]
    elif outcome.get("type") == "cancelled":
        reading.status = "cancelled"
        return
    elif asked:
        reading.pending = ["" for _ in asked]
    elif outcome.get("pendingToolCallIds"):
        reading.pending = outcome["pendingToolCallIds"]
    else:
        questions = [id for id in open_calls if reading.calls[id][0] in _QUESTIONS]
        about = "".join(reading.calls[id][1] for id in questions)
        others = [id for id in open_calls if id not in questions and json.dumps(id) not in about]
        reading.pending = questions + [id for id in others if offered is None or reading.calls[id][0] in offered]
    reading.status = "requires_action" if reading.pending else "completed"


def apply_patch(document: Any, operations: list[Json]) -> Any:
    """A document after the operations of a JSON Patch, without `test`."""
    document = {"": deepcopy(document)}
    for operation in operations:
        path = _path(operation["path"])
        if operation["op"] in ("move", "copy"):
            value = _look(document, _path(operation["from"]))
            value = deepcopy(value)
            if operation["op"] == "move":
                _remove(document, _path(operation["from"]))
            _add(document, path, value)
        elif operation["op"] == "remove":
            _remove(document, path)
        elif operation["op"] == "add":
            _add(document, path, deepcopy(operation["value"]))
        else:
            parent = _look(document, path[:-1])
            parent[int(path[-1]) if isinstance(parent, list) else path[-1]] = deepcopy(operation["value"])
    return document[""]


def _path(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]


def _look(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _add(document: Any, path: list[str], value: Any) -> None:
    parent = _look(document, path[:-1])
    if isinstance(parent, list):
        parent.insert(len(parent) if path[-1] == "-" else int(path[-1]), value)
    else:
        parent[path[-1]] = value


def _remove(document: Any, path: list[str]) -> None:
    parent = _look(document, path[:-1])
    del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]
