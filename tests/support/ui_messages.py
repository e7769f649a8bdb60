"""UI messages: a strict reader of chunks, by the rules of the package `ai`; what a state and a message both show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runstream.core.state import RunState, call_names, stepless_calls
from runstream.model.frozen import thaw
from runstream.model.message import RefusalPart, TextPart
from runstream.model.step import ReasoningDetails
from runstream.model.tool_calls import (
    CodeInterpreterToolCall,
    FileSearchToolCall,
    GenericToolCall,
    McpToolCall,
    UnknownToolCall,
)
from runstream.sinks.ui_message_stream.tool_calls import tool_call_id

__all__ = ["BrokenStream", "ShownCall", "read_chunks", "shown_by_message", "shown_by_state"]

FIELDS: Mapping[str, set[str]] = {
    "start": set(),
    "start-step": set(),
    "finish-step": set(),
    "finish": {"finishReason"},
    "abort": set(),
    "error": {"errorText"},
    "message-metadata": {"messageMetadata"},
    "text-start": {"id"},
    "text-delta": {"id", "delta"},
    "text-end": {"id"},
    "reasoning-start": {"id"},
    "reasoning-delta": {"id", "delta"},
    "reasoning-end": {"id"},
    "tool-input-start": {"toolCallId", "toolName"},
    "tool-input-delta": {"toolCallId", "inputTextDelta"},
    "tool-input-available": {"toolCallId", "toolName", "input"},
    "tool-input-error": {"toolCallId", "toolName", "input", "errorText"},
    "tool-output-available": {"toolCallId", "output"},
    "tool-output-error": {"toolCallId", "errorText"},
    "tool-output-denied": {"toolCallId"},
    "tool-approval-request": {"approvalId", "toolCallId"},
    "source-url": {"sourceId", "url"},
    "source-document": {"sourceId", "mediaType", "title"},
    "file": {"url", "mediaType"},
}
"""The fields that each chunk needs (`uiMessageChunkSchema`)."""


class BrokenStream(AssertionError):
    """A chunk that the reader of the package rejects, or that no order permits."""


def read_chunks(chunks: Iterable[dict[str, Any]], *, message: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The message that the reader of version 6 builds of a stream.

    Args:
        chunks: The chunks, as far as they were sent.
        message: The message that the stream continues.

    Raises:
        BrokenStream: The chunks are no stream.
    """
    reader = _Reader(message)
    for place, chunk in enumerate(chunks):
        try:
            reader.read(chunk)
        except (AssertionError, KeyError) as error:
            raise BrokenStream(f"chunk {place}, {chunk}: {error!r}") from error
    return reader.message


class _Reader:
    def __init__(self, message: Mapping[str, Any] | None) -> None:
        self.message: dict[str, Any] = json.loads(json.dumps(message or {"id": "", "role": "assistant", "parts": []}))
        self.open: dict[tuple[str, str], dict[str, Any]] = {}
        self.inputs: dict[str, dict[str, Any]] = {}
        self.state = "new"
        self.last: str | None = None

    @property
    def parts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.message["parts"]
        return found

    def read(self, chunk: dict[str, Any]) -> None:
        kind = chunk["type"]
        json.dumps(chunk, allow_nan=False).encode()  # no lone surrogate either
        needed = {"data"} if kind.startswith("data-") else FIELDS[kind]
        assert needed <= chunk.keys(), needed
        assert self.last in (None, "error"), f"behind {self.last}"
        self._frame(kind)
        if kind.partition("-")[0] in ("text", "reasoning"):
            self._text(kind, chunk)
        elif kind.startswith("tool-"):
            self._tool(kind, chunk)
        elif kind == "start-step":
            self.parts.append({"type": "step-start"})
        elif kind == "start":
            self.message["id"] = chunk.get("messageId", self.message["id"])
        elif kind == "message-metadata":
            self.message["metadata"] = _merged(self.message.get("metadata") or {}, chunk["messageMetadata"])
        elif kind.startswith("data-"):
            if not chunk.get("transient"):
                self._data(chunk)
        elif kind in ("source-url", "source-document", "file"):
            self.parts.append(chunk)

    def _frame(self, kind: str) -> None:
        before = self.state
        if kind == "start":
            assert before == "new"
            self.state = "between"
        elif kind == "start-step":
            assert before == "between"
            self.state = "step"
        elif kind == "finish-step":
            assert before == "step"
            assert not self.open, self.open
            self.state = "between"
        elif kind in ("finish", "abort", "error"):
            assert before == "between"
            self.last = kind
        else:
            assert before == "step", before

    def _text(self, kind: str, chunk: dict[str, Any]) -> None:
        name, _, what = kind.partition("-")
        place = (name, chunk["id"])
        if what == "start":
            assert place not in self.open
            part = {"type": name, "text": "", "state": "streaming", "providerMetadata": chunk.get("providerMetadata")}
            self.open[place] = part
            self.parts.append(part)
        elif what == "delta":
            assert chunk["delta"]
            self.open[place]["text"] += chunk["delta"]
        else:
            self.open.pop(place)["state"] = "done"

    def _current(self) -> list[dict[str, Any]]:
        starts = [place for place, part in enumerate(self.parts) if part["type"] == "step-start"]
        return self.parts[starts[-1] + 1 :] if starts else self.parts

    def _find(self, id: str) -> dict[str, Any]:
        found = [part for part in self.parts if part.get("toolCallId") == id]
        assert found, "no such call"
        return found[-1]

    def _tool(self, kind: str, chunk: dict[str, Any]) -> None:
        id = chunk["toolCallId"]
        if kind == "tool-input-delta":
            part = self.inputs[id]
            assert part["state"] in ("input-streaming", "output-available"), part["state"]
            part["rawInput"] = part.get("rawInput", "") + chunk["inputTextDelta"]
            return
        if kind.startswith("tool-input-"):
            self._input(kind, chunk, id)
            return
        part = self._find(id)
        if kind == "tool-approval-request":
            assert part["state"] == "input-available"
            part |= {"state": "approval-requested", "approval": {"id": chunk["approvalId"]}}
        elif kind == "tool-output-denied":
            assert part["state"] in ("approval-responded", "approval-requested")
            part["state"] = "output-denied"
        else:
            assert bool(chunk.get("dynamic")) == (part["type"] == "dynamic-tool")
            part.pop("rawInput", None)
            if kind == "tool-output-available":
                part |= {"state": "output-available", "output": chunk["output"], "errorText": None}
                part["preliminary"] = chunk.get("preliminary", False)
            else:
                part |= {"state": "output-error", "errorText": chunk["errorText"], "output": None}

    def _input(self, kind: str, chunk: dict[str, Any], id: str) -> None:
        dynamic = bool(chunk.get("dynamic"))
        named = (
            {"type": "dynamic-tool", "toolName": chunk["toolName"]}
            if dynamic
            else {"type": f"tool-{chunk['toolName']}"}
        )
        known = [part for part in self.parts if part.get("toolCallId") == id]
        part = known[-1] if known else None
        if part is not None:
            # A call in an earlier step would be doubled; one of another type too.
            assert any(part is each for each in self._current())
            assert {name: part.get(name) for name in named} == named
            assert kind != "tool-input-start"
        else:
            part = {**named, "toolCallId": id}
            self.parts.append(part)
        part["providerExecuted"] = bool(chunk.get("providerExecuted", part.get("providerExecuted")))
        if kind == "tool-input-start":
            part["state"] = "input-streaming"
            self.inputs[id] = part
            return
        assert part.get("state") in (None, "input-streaming")
        part.pop("rawInput", None)
        part["input"] = chunk["input"]
        part["state"] = "input-available"
        if kind == "tool-input-error":
            part |= {"state": "output-error", "errorText": chunk["errorText"]}

    def _data(self, chunk: dict[str, Any]) -> None:
        for part in self.parts:
            if part["type"] == chunk["type"] and part.get("id") == chunk["id"]:
                part["data"] = chunk["data"]
                return
        self.parts.append(dict(chunk))


def _merged(base: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for name, value in new.items():
        old = found.get(name)
        found[name] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return found


# What both show

ShownCall = tuple[str, Any, Any]
"""The name, the input and the output of a call; ``...`` for an output that is not there."""


def shown_by_message(message: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a message shows: texts by their places, calls, documents, activities, statuses."""
    texts: dict[tuple[Any, ...], str] = {}
    calls: dict[str, ShownCall] = {}
    values: dict[str, Any] = {}
    sources = 0
    parts: Sequence[Mapping[str, Any]] = (message or {}).get("parts", ())
    for part in parts:
        kind = part["type"]
        if kind in ("text", "reasoning"):
            place = part["providerMetadata"]["runstream"]
            mark = "refusal" if place.get("refusal") else "summary" if place.get("summary") else kind
            key = (place["runId"], mark, place.get("messageId") or place.get("stepId"), place["part"])
            texts[key] = part["text"] if place.get("replaces") else texts.get(key, "") + part["text"]
        elif kind in ("source-url", "source-document"):
            sources += 1
        elif kind in ("data-document", "data-activity"):
            values[f"{kind}:{part['id']}"] = part["data"].get("value", ...)
        elif "toolCallId" in part:
            calls[part["toolCallId"]] = _call_of_part(part)
    metadata = (message or {}).get("metadata") or {}
    return {
        "texts": {key: text for key, text in texts.items() if text},
        "calls": calls,
        "values": values,
        "sources": sources,
        "statuses": {run_id: run.get("status") for run_id, run in metadata.get("runs", {}).items()},
        "tokens": {run_id: run.get("usage", {}).get("totalTokens") for run_id, run in metadata.get("runs", {}).items()},
    }


def _call_of_part(part: Mapping[str, Any]) -> ShownCall:
    name = part["toolName"] if part["type"] == "dynamic-tool" else part["type"].partition("-")[2]
    state = part["state"]
    raw = part.get("rawInput")
    shown = part.get("input")
    if raw is not None and (state == "input-streaming" or shown is None):
        shown = _value(raw)
    elif state == "input-streaming":
        shown = {}
    output = part.get("output", ...) if state == "output-available" else ...
    if output is None and "approval" in part:
        output = ...
    if state == "output-error":
        output = ... if part["errorText"] == "The arguments are not JSON." else "error"
    return (name, shown, output)


def shown_by_state(states: Iterable[RunState]) -> dict[str, Any]:
    """The same of states."""
    texts: dict[tuple[Any, ...], str] = {}
    calls: dict[str, ShownCall] = {}
    values: dict[str, Any] = {}
    sources = 0
    states = list(states)
    for state in states:
        id = state.run_id
        for message in state.messages:
            if message.role not in (None, "assistant"):
                continue
            for index, part in enumerate(message.content):
                if isinstance(part, TextPart):
                    texts[id, "text", message.id, index] = part.text.value or ""
                elif isinstance(part, RefusalPart):
                    texts[id, "refusal", message.id, index] = part.refusal or ""
            sources += len(message.annotations) if message.is_terminal else 0
        for step in state.steps:
            details = step.step_details
            if isinstance(details, ReasoningDetails):
                for kind, parts in (("reasoning", details.content), ("summary", details.summary)):
                    for index, each in enumerate(parts):
                        texts[id, kind, step.id, index] = each.text or ""
            for name, call in zip(call_names(state, step.id), step.tool_calls, strict=True):
                calls[tool_call_id(name)] = _call_of_state(call, step.status)
        for call, name in stepless_calls(state):
            calls[tool_call_id(name)] = _call_of_state(call, None)
        for path, value in state.documents.items():
            values["data-document:" + "/".join([id, *path])] = thaw(value)
        for activity in state.activities:
            values[f"data-activity:{id}/{activity.id}"] = thaw(activity.value)
    return {
        "texts": {key: text for key, text in texts.items() if text},
        "calls": calls,
        "values": values,
        "sources": sources,
        "statuses": {state.run_id: state.status.value for state in states},
        "tokens": {state.run_id: state.usage.total_tokens if state.usage is not None else None for state in states},
    }


_ANSWERED = {"custom", "shell", "apply_patch", "patch", "computer", "tool_search", "approval", "interrupt"}


def _call_of_state(call: Any, status: Any) -> ShownCall:
    done = status == "completed"
    output: Any = ...
    if call.output is not None:
        output = _value(call.output, only=("{", "["))
    elif status is not None and status.is_terminal and not done:
        output = "error"
    elif isinstance(call, CodeInterpreterToolCall) and done:
        output = {"outputs": [each.to_dict() for each in call.code_interpreter.outputs]}
    elif isinstance(call, FileSearchToolCall) and done:
        output = {"results": [each.to_dict() for each in call.file_search.results]}
    elif isinstance(call, UnknownToolCall) and done:
        output = call.to_dict()
    elif done and (isinstance(call, McpToolCall) or (isinstance(call, GenericToolCall) and call.type not in _ANSWERED)):
        output = None
    if isinstance(call, GenericToolCall) and call.type in ("approval", "interrupt"):
        output = ...  # the part ends when the question is answered
    return (call.name or call.type, _input_of_state(call), output)


def _input_of_state(call: Any) -> Any:
    if isinstance(call, CodeInterpreterToolCall) or (isinstance(call, GenericToolCall) and call.type == "custom"):
        return call.arguments or {}
    if call.arguments is None and isinstance(call, GenericToolCall) and call.type == "interrupt":
        return thaw(call.data) if call.data is not None else {}
    return {} if call.arguments is None or not call.arguments.strip() else _value(call.arguments)


def _value(text: str, only: tuple[str, ...] = ()) -> Any:
    if only and text.lstrip()[:1] not in only:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
