"""Runs as AG-UI streams, and what a reader of these streams knows: for tests of AG-UI out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runstream.core.state import RunState, call_names
from runstream.engine.engine import Engine
from runstream.engine.fold import fold
from runstream.model.frozen import thaw
from runstream.model.keys import call_key
from runstream.model.raw import Answer, RawEvent, Request
from runstream.model.signals import ToolCallCompleted
from runstream.model.tool_calls import ToolCall
from runstream.recordings.reader import read_recording
from runstream.sinks.ag_ui.encoder import AgUiEncoder
from runstream.sinks.ag_ui.events import AgUiEvent, sse_block
from runstream.sinks.ag_ui.texts import REFUSAL
from runstream.sinks.ag_ui.waiting import HIDDEN_KINDS, tool_call_id
from tests.conformance.recorded import RECORDINGS

__all__ = ["RECORDED", "Encoded", "encode", "items_of", "knowledge", "read_back", "recorded_runs"]

_SUFFIXES = (".sse", ".jsonl", ".json")
RECORDED = sorted(
    str(path.relative_to(RECORDINGS))
    for path in RECORDINGS.rglob("*")
    if path.suffix in _SUFFIXES and not path.name.endswith(".after.json")
) or ["absent"]
"""The shared recordings of all dialects, by their paths."""


class Encoded(NamedTuple):
    """One run and its stream.

    Attributes:
        state: Its final state.
        events: The AG-UI events.
        encoder: Their encoder.
        calls: The name and the arguments of each call that was complete once, by its id on the wire.
    """

    state: RunState
    events: list[AgUiEvent]
    encoder: AgUiEncoder
    calls: dict[str, tuple[str, str]]


def items_of(name: str) -> tuple[list[Any], str | None]:
    """The items of a recording, with what the server said when it was asked later, and its dialect if it says none."""
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip("no shared recordings beside the repository")
    if path.suffix == ".json":
        found = json.loads(path.read_bytes())
        bodies = [exchange["body"] for exchange in found] if isinstance(found, list) else [found]
        objects = [item for body in bodies for item in (body["data"] if body.get("object") == "list" else [body])]
        return [Answer(data=json.dumps(item).encode()) for item in objects], None
    items: list[Any] = list(read_recording(path))
    after = path.with_suffix(".after.json")
    if after.exists():
        items += [Answer(data=json.dumps(exchange["body"]).encode()) for exchange in _exchanges(after)]
    return items, None


def _exchanges(path: Path) -> list[Any]:
    found = json.loads(path.read_bytes())
    return [exchange for exchange in found if isinstance(exchange, dict) and "body" in exchange]


def _name_of(call: ToolCall) -> str | None:
    """The name under which a call is shown; ``None`` if it is not."""
    if call.type in HIDDEN_KINDS:
        return None
    return call.name or (call.type if call.type not in ("function", "custom") else None)


def encode(
    items: Iterable[Any],
    *,
    dialect: str | None = None,
    make: Callable[[], AgUiEncoder] = lambda: AgUiEncoder("thread-1", "run-1"),
    join_after: int | None = None,
) -> list[Encoded]:
    """The stream of each run.

    Args:
        items: What a source delivers.
        dialect: Its dialect.
        make: Makes the encoder of a run.
        join_after: The number of items after which a front end joins; ``None``: from the beginning.
    """
    engine = Engine()
    encoders: dict[tuple[str, str], AgUiEncoder] = {}
    events: dict[tuple[str, str], list[AgUiEvent]] = {}
    calls: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
    joined = join_after is None

    def on_signal(signal: Any) -> None:
        run_id = getattr(signal, "run_id", None)
        if run_id is None or not joined:
            return
        key = (signal.scope, run_id)
        if key not in encoders:
            encoders[key], events[key] = make(), []
        if isinstance(signal, ToolCallCompleted) and (shown := _name_of(signal.call)) is not None:
            id = tool_call_id(signal.call_id, signal.call_key)
            calls.setdefault(key, {})[id] = (shown, signal.call.arguments or "")
        events[key] += encoders[key].encode(signal, engine.state(run_id, signal.scope))

    engine.on_signal = on_signal
    intake = engine.intake("stream", dialect=dialect)
    for number, item in enumerate(items):
        if number == join_after:
            joined = True
            for state in engine.states():
                key = (state.scope, state.run_id)
                encoders[key] = make()
                events[key] = encoders[key].snapshot(state)
        intake.feed_all([item])
    intake.end()
    found = []
    for (scope, run_id), encoder in encoders.items():
        state = engine.state(run_id, scope)
        assert state is not None
        found.append(Encoded(state, events[scope, run_id] + encoder.finish(), encoder, calls.get((scope, run_id), {})))
    return found


@cache
def recorded_runs(name: str) -> list[Encoded]:
    """The streams of the runs of a recording."""
    items, dialect = items_of(name)
    return encode(items, dialect=dialect)


def read_back(events: Sequence[AgUiEvent], tools: Iterable[str] = ()) -> RunState:
    """What our own reader makes of a stream.

    Args:
        events: The events.
        tools: The names of the tools that the request offers.
    """
    body = {"threadId": "thread-1", "runId": "run-1", "messages": [], "tools": [{"name": name} for name in tools]}
    blocks = [RawEvent(data=sse_block(event)[6:].strip()) for event in events]
    folded = fold([Request(body=json.dumps(body).encode()), *blocks], dialect="ag-ui")
    assert not folded.rejects, folded.rejects
    # A result whose call an earlier run has named is legal; this reader has no earlier run.
    assert set(folded.stats.violations) <= {"result_of_known_call", "snapshot_text"}, folded.stats.violations
    (state,) = folded.runs
    return state


def knowledge(state: RunState) -> dict[str, Any]:
    """What a state says, in words that both sides have.

    Refusals, questions to the user and messages of other roles are left out.
    """
    messages = [message for message in state.messages if message.role in ("assistant", None)]
    texts: dict[bool, list[str]] = {True: [], False: []}
    for message in messages:
        if message.text and not message.id.endswith(REFUSAL):
            texts[not state.path_of(message.id)].append(message.text)
    calls = {}
    outputs = {}
    for step in state.steps:
        for call, name in zip(step.tool_calls, call_names(state, step.id), strict=True):
            if (shown := _name_of(call)) is None:
                continue
            id = tool_call_id(call.id, call_key(state.scope, state.run_id, name))
            calls[id] = (shown, call.arguments or "")
            if call.output is not None:
                outputs[id] = call.output
    return {
        "text": "".join(texts[True]),
        "inner": sorted(texts[False]),
        "calls": calls,
        "outputs": outputs,
        "document": thaw(state.document),
        "activities": {activity.id: thaw(activity.value) for activity in state.activities},
        "labels": [step.name for step in state.steps if step.type == "label"],
    }
