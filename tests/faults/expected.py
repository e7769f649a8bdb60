"""The expected result of a case: the offline fold of the same events without faults, in the framing of the source."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.engine.fold import Folded, fold
from runstream.model.events import MessageEvent, RunEvent, StepEvent
from runstream.model.frozen import ABSENT_LIST
from runstream.model.message import RefusalPart, TextPart
from runstream.model.raw import Answer, RawEvent, RawItem, Request, ResponseHead
from runstream.model.signals import (
    ArgumentsDelta,
    CustomReceived,
    ReasoningDelta,
    RefusalDelta,
    RunInterrupted,
    RunPaused,
    RunSignal,
    Signal,
    TextDelta,
    TextReplaced,
    ToolCallOutputDelta,
)
from tests.faults.content import NAMED, Item
from tests.faults.junk import PRIVATE_NAMES
from tests.faults.streams import graph_answers, graph_place, interleaved, poll_raws, protocol_of

__all__ = ["PROGRESS", "Expected", "Place", "detail", "expected_of", "facts_by_key", "objects_by_id", "texts_of"]

# Progress may be divided differently. `text_replaced` corrects text after a fault: the clean stream needs none. The
# signal of an open run depends on when its source ended; the oracle checks it separately.
PROGRESS = (TextDelta, RefusalDelta, ReasoningDelta, ArgumentsDelta, ToolCallOutputDelta)
_FREE = (*PROGRESS, TextReplaced, RunPaused, RunInterrupted)


Place: TypeAlias = tuple[str, int]
"""The place of a text in its object: its kind (``text``, ``refusal``, ``reasoning``, ...), and its index."""


class Expected(Struct, frozen=True):
    """The result of the clean stream: the stream without faults.

    Attributes:
        runs: The final states, by run id.
        facts: By run id, the fields of the signals other than progress, by key, in order.
        rejects: Number of events that are rejects even without a fault.
        terminal: By run id, the numbers of the events that end the run.
        announced: By id of a call, the numbers of the events that show its item (Responses wire).
        asked: By run id, the numbers of the events that are a question beside a plain end (AG-UI wire).
        begun: By id of a response, the numbers of the events that show it before its end.
        errors: The numbers of the events with an error that may be the end of its run, before the run's own end.
        held: The ids of the runs whose end only the end of the source proves: an error that nothing follows.
        whole: By id of a message or step, the numbers of the events with the complete object after its end.
        texts: All values of the texts of messages and of the arguments of calls, by message or step and place; of a
            series of values that only grew, the last one.
        replaced: The keys of the texts that the clean stream itself replaces, because a full object differs from its
            fragments.
        done_before: Whether `done` is sent before the end.
        done: Whether it is sent at all.
    """

    runs: dict[str, RunState]
    facts: dict[str, dict[str, Any]]
    rejects: int
    terminal: dict[str, frozenset[int]]
    announced: dict[str, frozenset[int]]
    begun: dict[str, frozenset[int]]
    asked: dict[str, frozenset[int]]
    errors: frozenset[int]
    held: frozenset[str]
    whole: dict[str, frozenset[int]]
    texts: dict[tuple[str, Place], tuple[str, ...]]
    replaced: frozenset[str]
    done_before: bool
    done: bool


@lru_cache(maxsize=2048)
def expected_of(streams: tuple[str, ...], source: str) -> Expected:
    """The expected result of streams, sent one after the other by a source."""
    events = interleaved(streams, None)
    raws = [RawEvent(item.name, item.data) for item in events]
    if source == "ws":
        bare = protocol_of(streams) not in NAMED
        raws = [RawEvent(data=Item(item.name, item.data, None, item.number, bare=bare).envelope()) for item in events]
    if source == "poll":
        return _polled(streams)
    protocol = protocol_of(streams)
    before, after = _beside(streams, source) if protocol.startswith("langgraph") else ([], [])
    folded = fold([*before, *raws, *after], dialect=protocol, clock=lambda: 1.0)
    return _expected(folded, [[raw] for raw in raws], protocol, before, after)


def _beside(streams: tuple[str, ...], source: str) -> tuple[list[RawItem], list[RawItem]]:
    """The items of a source of a LangGraph server before and after the events: the request, and the last answer."""
    if source == "file":
        return [], []
    (name,) = streams
    thread_id, run_id = graph_place(name)
    before: list[RawItem] = []
    if protocol_of(streams) == "langgraph":
        place = f"/threads/{thread_id}/runs/{run_id}"
        before = [Request(body=b'{"assistant_id":"a"}')] if source == "post" else []
        before.append(ResponseHead(status=200, headers=(("content-location", place),)))
    answers = {kind: {"http": status, "body": body} for kind, (status, body) in graph_answers(name).items()}
    return before, [Answer(data=msgspec.json.encode({"run_id": run_id, **answers}), at=1.0)]


def _polled(streams: tuple[str, ...]) -> Expected:
    """The expected result of polls that receive all snapshots."""
    moments = poll_raws(streams)
    return _expected(fold([raw for moment in moments for raw in moment], clock=lambda: 1.0), moments, "assistants")


def _expected(
    folded: Folded,
    events: list[list[RawEvent]],
    protocol: str,
    before: Iterable[RawItem] = (),
    after: Iterable[RawItem] = (),
) -> Expected:
    """The expected result, from the fold and from the raw events by number.

    Args:
        folded: The fold.
        events: The raw events.
        protocol: The protocol.
        before: The items before them.
        after: The items after them.
    """
    terminal: dict[str, set[int]] = {}
    whole: dict[str, set[int]] = {}
    held: set[str] = set()
    errors: set[int] = set()
    number = error = -1
    engine = Engine(clock=lambda: 1.0)

    def note(event: Any) -> None:
        if isinstance(event, RunEvent | MessageEvent | StepEvent) and event.data.is_terminal:
            kind = terminal if isinstance(event, RunEvent) else whole
            if isinstance(event, MessageEvent) and event.data.content is ABSENT_LIST:
                return  # ended, and not whole
            found = kind.setdefault(event.data.id, set())
            if number < len(events):
                found.add(number)
            if isinstance(event, RunEvent) and error >= 0 and event.data.status == "failed":
                found.add(error)  # the error may be the only end that arrives
                errors.add(error)
                if number == len(events) or event.name == "error":
                    held.add(event.data.id)

    engine.on_event = note
    intake = engine.intake("clean", dialect=protocol)
    intake.feed_all(before)
    for raws in events:
        number += 1
        if protocol == "responses" and any(b'"type":"error"' in raw.data.replace(b" ", b"")[:40] for raw in raws):
            error = number
        intake.feed_all(raws)
        if any(number in numbers for numbers in terminal.values()):
            error = -1
    number = len(events)
    intake.feed_all(after)
    intake.end()
    if after:  # the server says so once all events were sent
        for state in folded.runs:
            terminal.setdefault(state.run_id, set()).add(number - 1)
    if protocol == "langgraph-thread":  # the server may contradict them: they are certain later
        for number, raw in enumerate(raw for raws in events for raw in raws):
            if b'"lifecycle"' in raw.data and not re.search(rb'"event": ?"(running|started)"', raw.data):
                for state in folded.runs:
                    terminal.setdefault(state.run_id, set()).add(number)
    if protocol == "ag-ui":
        terminal = _ends([raw for raws in events for raw in raws])
    return Expected(
        {state.run_id: state for state in folded.runs},
        {state.run_id: facts_by_key(folded.signals, state.run_id) for state in folded.runs},
        len(folded.rejects),
        {id: frozenset(numbers) for id, numbers in terminal.items()},
        *(_announced(events) if protocol == "responses" else ({}, {})),
        _asked([raw for raws in events for raw in raws]) if protocol == "ag-ui" else {},
        frozenset(errors),
        frozenset(held),
        {id: frozenset(numbers) for id, numbers in whole.items()},
        _history([raw for raws in events for raw in raws], protocol),
        frozenset(signal.key for signal in folded.signals if isinstance(signal, TextReplaced)),
        any(raw.data == b"[DONE]" for raws in events[:-1] for raw in raws),
        any(raw.data == b"[DONE]" for raws in events for raw in raws),
    )


def _ends(raws: list[RawEvent]) -> dict[str, set[int]]:
    """The numbers of the events with the end of each run (AG-UI wire): a later event has made the end certain."""
    found: dict[str, set[int]] = {}
    run_id = ""
    for number, raw in enumerate(raws):
        event = msgspec.json.decode(raw.data)
        if event["type"] == "RUN_STARTED":
            run_id = event["runId"]
        elif event["type"] in {"RUN_FINISHED", "RUN_ERROR"}:
            found.setdefault(run_id, set()).add(number)
    return found


def _asked(raws: list[RawEvent]) -> dict[str, frozenset[int]]:
    """The numbers of the questions of each run (AG-UI wire)."""
    found: dict[str, set[int]] = {}
    run_id = ""
    for number, raw in enumerate(raws):
        event = msgspec.json.decode(raw.data)
        if event["type"] == "RUN_STARTED":
            run_id = event["runId"]
        elif event["type"] == "CUSTOM" and event.get("name") == "on_interrupt":
            found.setdefault(run_id, set()).add(number)
    return {id: frozenset(numbers) for id, numbers in found.items()}


def _announced(events: list[list[RawEvent]]) -> tuple[dict[str, frozenset[int]], dict[str, frozenset[int]]]:
    """The numbers of the events that show a call, and of those that show a response before its end, by id."""
    found: dict[str, set[int]] = {}
    begun: dict[str, set[int]] = {}
    for number, raws in enumerate(events):
        for raw in raws:
            event = msgspec.json.decode(raw.data) if raw.data != b"[DONE]" else {}
            if event.get("type") in {"response.created", "response.queued", "response.in_progress"}:
                begun.setdefault(event["response"]["id"], set()).add(number)
            shown = [event.get("item"), *((event.get("response") or {}).get("output") or ())]
            for item in filter(None, shown):
                found.setdefault(item.get("call_id") or "", set()).add(number)
    return (
        {id: frozenset(numbers) for id, numbers in found.items()},
        {id: frozenset(numbers) for id, numbers in begun.items()},
    )


def _history(raws: list[RawEvent], protocol: str) -> dict[tuple[str, Place], tuple[str, ...]]:
    engine = Engine(clock=lambda: 1.0)
    found: dict[tuple[str, Place], tuple[str, ...]] = {}

    def note(state: RunState) -> None:
        item: Any
        for item in (*state.messages, *state.steps):
            for place, text in texts_of(state, item.id).items():
                known = found.get((item.id, place), ("",))
                found[item.id, place] = (*known[:-1], text) if text.startswith(known[-1]) else (*known, text)

    engine.on_state = note
    engine.intake("clean", dialect=protocol).feed_all(raws)
    if protocol == "responses":
        # Some servers send a final response that differs from its items: without these, it is all there is.
        for raw in raws:
            if b'"output":' in raw.data.replace(b'" :', b'":'):
                engine = Engine(clock=lambda: 1.0)
                engine.on_state = note
                engine.intake("whole", dialect=protocol).feed(raw)
    return found


def texts_of(state: RunState, id: str) -> dict[Place, str]:
    """The texts of a message's parts, of a step's reasoning, or the arguments of its calls, by place."""
    found: dict[Place, str] = {}
    if (message := state.message(id)) is not None:
        for at, part in enumerate(message.content):
            if isinstance(part, TextPart):
                found["text", at] = part.text.value or ""
            elif isinstance(part, RefusalPart):
                found["refusal", at] = part.refusal or ""
    elif (step := state.step(id)) is not None:
        for at, call in enumerate(step.tool_calls):
            found["arguments", at] = getattr(call, "arguments", None) or ""
        for kind, name in (("reasoning", "content"), ("summary", "summary")):
            for at, piece in enumerate(getattr(step.step_details, name, ())):
                found[kind, at] = piece.text or ""
    return found


def facts_by_key(signals: Iterable[Signal], run_id: str) -> dict[str, Any]:
    """The fields of the signals of a run other than progress, by key, in order."""
    return {
        signal.key: detail(signal)
        for signal in signals
        if isinstance(signal, RunSignal)
        and signal.run_id == run_id
        and not isinstance(signal, _FREE)
        and not (isinstance(signal, CustomReceived) and signal.name in PRIVATE_NAMES)
    }


def detail(signal: Signal) -> dict[str, Any]:
    """The fields of a signal, without those that depend on the time of observation."""
    free = {"at", "duration", "partial"}  # a document may miss a change, as a message may miss text
    return {name: value for name, value in signal.to_dict().items() if name not in free}


def objects_by_id(state: RunState) -> dict[str, Any]:
    """The messages and steps of a state as on the wire, by id."""
    items: tuple[Any, ...] = (*state.steps, *state.messages)
    return {item.id: item.to_dict() for item in items}
