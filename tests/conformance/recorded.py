"""The shared recordings: their names and bytes in; the server's own objects, read naively, out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from runstream.model.raw import RawEvent
from runstream.recordings.reader import read_recording

__all__ = [
    "ENDED",
    "PAIRS",
    "POLLED",
    "RECORDINGS",
    "STREAMS",
    "Said",
    "body_of",
    "ended_objects",
    "exchanges",
    "is_full_ending",
    "raws_of",
    "said",
    "without_nulls",
]

RECORDINGS: Final = Path(__file__).parents[2].parent / "shared" / "recordings"
"""Beside the repository, and no part of it."""

ENDED: Final = frozenset({"completed", "incomplete", "failed", "cancelled", "expired"})

PAIRS: Final = (
    (
        "oai_dotnet_function_sync_1_create_thread_and_run.sse",
        "oai_dotnet_function_sync_2_submit_tool_outputs.sse",
    ),
    (
        "oai_dotnet_function_async_1_create_thread_and_run.sse",
        "oai_dotnet_function_async_2_submit_tool_outputs.sse",
    ),
)
"""Two streams of one run: it asks for tool outputs in the first, and goes on in the second."""


def _named(suffix: str) -> list[str]:
    # Where there are none, one name that `body_of` skips: a test without parameters would say nothing.
    return sorted(path.name for path in RECORDINGS.glob(f"*{suffix}")) or ["absent"]


STREAMS: Final = _named(".sse")
POLLED: Final = _named(".json")


def body_of(name: str) -> bytes:
    """The bytes of a recording; skips the test where there are none."""
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip(f"the shared recordings are not there: {RECORDINGS}")
    return path.read_bytes()


def raws_of(name: str) -> list[Any]:
    """The raw events of a recorded stream."""
    return list(read_recording(body_of(name), format="sse", name=name))


class Said(NamedTuple):
    """One event as the server said it: its name and its JSON."""

    event: str
    data: Any


def said(raws: list[Any]) -> list[Said]:
    """The events whose data is JSON, read with the standard library."""
    out = []
    for raw in raws:
        if isinstance(raw, RawEvent) and raw.event is not None:
            try:
                out.append(Said(raw.event, json.loads(raw.data)))
            except ValueError:
                continue
    return out


def is_full_ending(raw: Any) -> bool:
    """Whether this is a message or a step that ended, whole."""
    kind, _, status = (getattr(raw, "event", None) or "").rpartition(".")
    return kind in {"thread.message", "thread.run.step"} and status in ENDED


def ended_objects(raws: list[Any], kind: str) -> dict[str, Any]:
    """The last whole object of each ended message or step (``thread.message``, ``thread.run.step``), by its id."""
    found = {}
    for _, data in said(raws):
        if isinstance(data, dict) and data.get("object") == kind and data.get("status") in ENDED:
            found[data["id"]] = data
    return found


def without_nulls(value: Any) -> Any:
    """The JSON value with its null fields left out, at any depth."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def exchanges(name: str) -> list[Any]:
    """The bodies of a recorded list of exchanges, in order; a single object is a list of one."""
    found = json.loads(body_of(name))
    if isinstance(found, list):
        return [exchange["body"] for exchange in found]
    return [found]
