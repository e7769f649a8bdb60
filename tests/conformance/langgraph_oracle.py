"""An independent reading of recorded LangGraph streams, and of what the server said afterwards.

It shares no code with the dialects: it reads a whole file, and what the server said when it was asked is the last word.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Reading", "Stream", "events_of", "last_word", "read_run", "read_thread", "requests_of"]

Json = dict[str, Any]


@dataclass
class Reading:
    """What a stream says."""

    texts: dict[str, str] = field(default_factory=dict)  # by message, of the root alone
    calls: dict[str, tuple[str, str]] = field(default_factory=dict)  # name and arguments by id
    results: dict[str, str] = field(default_factory=dict)
    reasoning: str = ""
    document: Any = None
    customs: list[Any] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    interrupts: set[str] = field(default_factory=set)
    waits: bool = False
    runs: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts.values())


@dataclass
class Stream:
    """One entry of the requests."""

    stem: str
    thread: str | None
    run: str | None
    body: Json
    is_answer: bool


def events_of(path: Path) -> list[tuple[str, Any]]:
    """The names and data of a file's events."""
    text = path.read_bytes().decode()
    if path.suffix == ".jsonl":
        return [(frame.get("method", frame["type"]), frame) for frame in map(json.loads, text.splitlines())]
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def requests_of(folder: Path) -> dict[str, Stream]:
    """What was asked, by the stem of the file."""
    found = {}
    for stem, entry in json.loads((folder / "requests.json").read_bytes()).items():
        place = (entry.get("response_headers") or {}).get("content-location", "").strip("/").split("/")
        body = entry.get("body") or {}
        answers = "command" in body or ("input" in body and body["input"] is None)
        found[stem] = Stream(
            stem, place[1] if place[0] == "threads" else None, place[-1] if "runs" in place else None, body, answers
        )
    return found


def last_word(answers: Json) -> tuple[str, set[str]]:
    """The status of a run that the server has been asked about, and the interrupts that it waits for."""
    run, state, thread = answers["run"], answers["state"]["body"], answers["thread"]["body"]
    if run["http"] == 404:
        return ("cancelled", set()) if (thread.get("error") or {}).get("error") == "UserRollback" else ("gone", set())
    status = run["body"]["status"]
    if status != "success":
        return {"error": "failed", "timeout": "expired", "interrupted": "cancelled"}[status], set()
    asked = [each for task in state["tasks"] for each in task["interrupts"]]
    ids = {each.get("id") or "|".join(each["ns"]) for each in asked}
    if not ids:
        ids = {f"breakpoint:{node}" for node in state["next"]}
    return ("requires_action", ids) if state["next"] or asked else ("completed", set())


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content if block["type"] == "text")


def _reasoning(content: Any) -> str:
    return "" if isinstance(content, str) else "".join(block.get("reasoning", "") for block in content)


def read_run(path: Path) -> Reading:
    """Read a stream of the run wire."""
    reading = Reading()
    old: set[str] | None = None
    nested: set[str] = set()
    for name, data in events_of(path):
        kind, _, namespace = name.partition("|")
        if kind == "metadata" and "attempt" in data and data["run_id"] not in reading.runs:
            reading.runs.append(data["run_id"])
            old = None if not reading.runs[1:] else set(reading.texts) | (old or set())
        elif kind == "error":
            reading.errors.append(data["error"])
        elif kind == "custom":
            reading.customs.append(data)
        elif kind == "values":
            values = {key: value for key, value in data.items() if key != "__interrupt__"}
            _ask(reading, data.get("__interrupt__"))
            messages = [each for each in values.get("messages", []) if isinstance(each, dict)]
            if not namespace:
                if values or "__interrupt__" not in data:
                    reading.document = values
                if old is None:
                    old = {each["id"] for each in messages}
                for message in messages:
                    if message["id"] not in old | nested:
                        _add(reading, message)
        elif kind == "updates":
            _ask(reading, data.get("__interrupt__"))
            for node, update in data.items():
                if node.startswith("__") or not isinstance(update, dict):
                    continue
                for message in update.get("messages") or []:
                    if message.get("id") not in nested or message.get("type") != "ai":
                        _add(reading, message, root=not namespace)
        elif kind == "messages":
            message = data[0]
            if namespace:
                nested.add(message["id"])
            _add_chunk(reading, message, root=not namespace)
        elif kind in ("messages/partial", "messages/complete"):
            for message in data:
                _add(reading, message)
    return reading


def _ask(reading: Reading, interrupts: Any) -> None:
    if interrupts is not None:
        reading.waits = True
        reading.interrupts |= {each.get("id") or "|".join(each["ns"]) for each in interrupts}


def _add_chunk(reading: Reading, message: Json, *, root: bool) -> None:
    if message["type"] != "AIMessageChunk":
        _add(reading, message, root=root)
        return
    if root:
        reading.texts[message["id"]] = reading.texts.get(message["id"], "") + _text(message["content"])
    reading.reasoning += _reasoning(message["content"])
    for chunk in message["tool_call_chunks"]:
        if chunk["id"]:
            reading.calls[chunk["id"]] = (chunk["name"], "")
        last = [*reading.calls][-1] if chunk["id"] is None else chunk["id"]
        name, arguments = reading.calls[last]
        reading.calls[last] = (name, arguments + (chunk["args"] or ""))


def _add(reading: Reading, message: Json, *, root: bool = True) -> None:
    role = message.get("type") or message.get("role")
    if role == "tool":
        reading.results[message["tool_call_id"]] = message["content"]
    elif role == "ai" and root:
        reading.texts[message["id"]] = _text(message["content"])
    for call in message.get("tool_calls") or []:
        known = reading.calls.get(call["id"])
        if known is None or json.loads(known[1] or "{}") != call["args"]:
            reading.calls[call["id"]] = (call["name"], json.dumps(call["args"]))


def read_thread(path: Path) -> Reading:
    """Read a stream of the thread protocol: its last state is what it says."""
    reading = Reading()
    for name, frame in events_of(path):
        if frame.get("type") != "event":
            continue
        data = frame["params"]["data"]
        if name == "lifecycle" and not frame["params"]["namespace"]:
            if data["event"] == "running":
                reading.runs.append(frame["event_id"].split(":")[1])
            if data["event"] == "failed":
                reading.errors.append(data["error"])
            reading.waits = data["event"] == "interrupted" and bool(reading.interrupts)
        elif name == "input.requested":
            reading.interrupts.add(data["interrupt_id"])
        elif name == "values":
            reading.document = data
            for message in data["messages"]:
                if message["type"] == "ai":
                    reading.texts[message["id"]] = _text(message["content"])
                    for call in message.get("tool_calls") or []:
                        reading.calls[call["id"]] = (call["name"], json.dumps(call["args"]))
                elif message["type"] == "tool":
                    reading.results[message["tool_call_id"]] = message["content"]
        elif name == "messages" and "values" not in {method for method, _ in events_of(path)}:
            if data["event"] == "message-start":
                reading.texts[data["id"]] = ""
            elif data["event"] == "content-block-delta" and data["delta"]["type"] == "text-delta":
                reading.texts[[*reading.texts][-1]] += data["delta"]["text"]
    return reading
