"""What a UI message has no part of its own for, as `data-*` parts: documents, activities, labels, notices. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from runstream.model.signals import (
    ActivityChanged,
    CustomReceived,
    DocumentChanged,
    RunSignal,
    RunStalled,
    SourceDisconnected,
    SourceError,
    SourceResumed,
)
from runstream.model.step import RunStep
from runstream.sinks.ui_message_stream.chunks import UiMessageChunk, json_size, readable

__all__ = ["MAX_DATA", "activity_chunk", "custom_chunk", "document_chunk", "notice_chunk", "step_chunk"]

MAX_DATA: Final = 65_536
"""The size (bytes of JSON) up to which a value is sent; of a larger one, its size is."""

_STEPS: Final = frozenset({"label", "subagent", "activities"})


def document_chunk(signal: DocumentChanged, max_size: int) -> UiMessageChunk:
    """The part with the document of a run, or of a subagent or subgraph; a later one replaces it."""
    data = {"runId": signal.run_id, "version": signal.version, **_value(signal.value, signal.size, max_size)}
    return {"type": "data-document", "id": "/".join([signal.run_id, *signal.path]), "data": _with_path(data, signal)}


def activity_chunk(signal: ActivityChanged, max_size: int) -> UiMessageChunk:
    """The part with an activity; a later one replaces it."""
    data = {"runId": signal.run_id, "activityId": signal.activity_id, "kind": signal.kind, "version": signal.version}
    data |= _value(signal.value, signal.size, max_size)
    return {"type": "data-activity", "id": f"{signal.run_id}/{signal.activity_id}", "data": _with_path(data, signal)}


def custom_chunk(signal: CustomReceived, max_size: int) -> UiMessageChunk:
    """A value of the application on the server. It is transient: the message does not keep it."""
    value = readable(signal.value)
    data = {"runId": signal.run_id, "name": signal.name, "n": signal.n, **_value(value, json_size(value), max_size)}
    return {"type": "data-custom", "data": _with_path(data, signal), "transient": True}


def step_chunk(signal: RunSignal, step: RunStep) -> Iterator[UiMessageChunk]:
    """The part of a label, of a subagent, or of another step without content; a later one replaces it."""
    if step.type in _STEPS:
        status = step.status.value if step.status is not None else None
        data = {"runId": signal.run_id, "stepId": step.id, "kind": step.type, "name": step.name, "status": status}
        yield {"type": "data-step", "id": f"{signal.run_id}/{step.id}", "data": _with_path(data, signal)}


def notice_chunk(signal: RunStalled | SourceDisconnected | SourceResumed | SourceError) -> UiMessageChunk:
    """A notice about the connection, without words of the server. It is transient."""
    data: dict[str, Any] = {"kind": signal.type}
    if isinstance(signal, RunStalled):
        data |= {"runId": signal.run_id, "idle": signal.idle}
    else:
        data["attempt"] = signal.attempt
    return {"type": "data-notice", "data": data, "transient": True}


def _value(value: Any, size: int, max_size: int) -> dict[str, Any]:
    return {"value": readable(value)} if size <= max_size else {"omitted": True, "size": size}


def _with_path(data: dict[str, Any], signal: RunSignal) -> dict[str, Any]:
    if signal.path:
        data["path"] = [*signal.path]
    if getattr(signal, "partial", False):
        data["partial"] = True
    return data
