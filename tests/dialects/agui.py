"""AG-UI streams for tests: events as short calls, folded."""

from __future__ import annotations

import json
from typing import Any

from runstream.core.state import RunState
from runstream.dialects.ag_ui import AgUiDialect
from runstream.engine.fold import Folded, fold
from runstream.model.raw import RawEvent, Request

__all__ = [
    "args",
    "call",
    "content",
    "decode",
    "event",
    "finished",
    "flat",
    "folded",
    "request",
    "result",
    "run_of",
    "started",
    "text",
    "violations",
]


def event(type: str, /, **fields: Any) -> RawEvent:
    """One event."""
    return RawEvent(data=json.dumps({"type": type, **fields}).encode(), at=1.0)


def started(run: str = "r1", thread: str = "t1", **fields: Any) -> RawEvent:
    """A RUN_STARTED."""
    return event("RUN_STARTED", threadId=thread, runId=run, **fields)


def finished(run: str = "r1", thread: str = "t1", **fields: Any) -> RawEvent:
    """A RUN_FINISHED."""
    return event("RUN_FINISHED", threadId=thread, runId=run, **fields)


def content(delta: str, id: str = "m1", **fields: Any) -> RawEvent:
    """A fragment of a message."""
    return event("TEXT_MESSAGE_CONTENT", messageId=id, delta=delta, **fields)


def text(words: str, id: str = "m1", **fields: Any) -> list[RawEvent]:
    """A whole message, a fragment for each word."""
    parts = [content(f"{word} ", id, **fields) for word in words.split()]
    start = event("TEXT_MESSAGE_START", messageId=id, role="assistant", **fields)
    return [start, *parts, event("TEXT_MESSAGE_END", messageId=id, **fields)]


def args(delta: str, id: str = "c1", **fields: Any) -> RawEvent:
    """A fragment of the arguments of a call."""
    return event("TOOL_CALL_ARGS", toolCallId=id, delta=delta, **fields)


def call(name: str, arguments: str = "{}", id: str = "c1", **fields: Any) -> list[RawEvent]:
    """A whole call, its arguments in two fragments."""
    half = len(arguments) // 2
    return [
        event("TOOL_CALL_START", toolCallId=id, toolCallName=name, **fields),
        args(arguments[:half], id),
        args(arguments[half:], id),
        event("TOOL_CALL_END", toolCallId=id),
    ]


def result(output: Any, id: str = "c1", **fields: Any) -> RawEvent:
    """The result of a call."""
    return event("TOOL_CALL_RESULT", messageId=f"result-{id}", toolCallId=id, content=output, **fields)


def request(run: str = "r1", thread: str = "t1", **fields: Any) -> Request:
    """The request of a run."""
    body = {"threadId": thread, "runId": run, "messages": [], "tools": [], "context": [], **fields}
    return Request(body=json.dumps(body).encode())


def flat(items: Any) -> list[Any]:
    """The items, with those of lists in any depth."""
    return [each for item in items for each in (flat(item) if isinstance(item, list | tuple) else [item])]


def folded(*items: Any) -> Folded:
    """The items, folded; no key comes twice, and nothing is rejected or without a run."""
    found = fold(flat(items), dialect="ag-ui")
    keys = [signal.key for signal in found.signals]
    assert len(set(keys)) == len(keys)
    assert not found.rejects
    assert not found.orphans
    return found


def run_of(*items: Any) -> RunState:
    """The only run of the items."""
    (state,) = folded(*items).runs
    return state


def decode(*items: Any) -> tuple[AgUiDialect, list[Any]]:
    """A decoder after these items, and all events that it has returned."""
    dialect = AgUiDialect()
    events: list[Any] = []
    for item in flat(items):
        found = dialect.decode(item)
        events += found if isinstance(found, list | tuple) else [found]
    return dialect, events


def violations(*items: Any) -> dict[str, int]:
    """The violations in these items."""
    return decode(*items)[0].violations
