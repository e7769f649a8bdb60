"""Conforming streams of each protocol, made by hand; a test breaks one rule in one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from runstream.checker.check import check
from runstream.checker.report import CheckReport

__all__ = [
    "Event",
    "ag_ui_events",
    "assistants_events",
    "check_blocks",
    "check_lines",
    "edited",
    "errors",
    "langgraph_events",
    "notes",
    "response_object",
    "responses_events",
    "thread_events",
]

Event = dict[str, Any]


def blocks_of(events: Sequence[tuple[str | None, Any, str | None]]) -> bytes:
    """An event stream with a name, data and an id for each event."""
    lines: list[str] = []
    for name, data, id in events:
        lines += [f"event: {name}"] if name is not None else []
        lines += [f"id: {id}"] if id is not None else []
        lines += [f"data: {data if isinstance(data, str) else json.dumps(data)}", ""]
    return "\n".join([*lines, ""]).encode() if lines else b""


def check_blocks(
    events: Sequence[tuple[str | None, Any, str | None]], dialect: str | None = None, name: str = "made.sse"
) -> CheckReport:
    """The report on an event stream."""
    return check(blocks_of(events), dialect=dialect, format="sse", name=name)


def check_lines(events: Sequence[Any], dialect: str | None = None) -> CheckReport:
    """The report on lines of JSON."""
    data = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in events)
    return check(data.encode(), dialect=dialect, format="jsonl", name="made.jsonl")


def errors(report: CheckReport) -> set[str]:
    """The names of the broken rules."""
    return {finding.rule.name for finding in report.errors}


def notes(report: CheckReport) -> set[str]:
    """The names of the notes."""
    return {finding.rule.name for finding in report.notes}


def edited(events: list[Event], edit: Callable[[list[Event]], object]) -> list[Event]:
    """The events after an edit in place; copies, so that the original stays."""
    copied: list[Event] = json.loads(json.dumps(events))
    edit(copied)
    return copied


# Responses


def response_object(status: str = "in_progress", output: Sequence[Any] = (), **more: Any) -> Event:
    """A response object with all required fields."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": "small",
        "output": list(output),
        "error": None,
        "incomplete_details": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tools": [],
        "usage": None,
        **more,
    }


def responses_events() -> list[Event]:
    """A response with a message and a function call."""
    part = {"type": "output_text", "text": "Hello there", "annotations": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    call = {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_abc",
        "name": "get_time",
        "arguments": "{}",
    }
    at: Event = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    of_call: Event = {"item_id": "fc_1", "output_index": 1}
    events: list[Event] = [
        {"type": "response.created", "response": response_object()},
        {"type": "response.in_progress", "response": response_object()},
        {"type": "response.output_item.added", "output_index": 0, "item": {**message, "content": []}},
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **at, "delta": "Hello"},
        {"type": "response.output_text.delta", **at, "delta": " there"},
        {"type": "response.output_text.done", **at, "text": "Hello there"},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.output_item.added", "output_index": 1, "item": {**call, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", **of_call, "delta": "{}"},
        {"type": "response.function_call_arguments.done", **of_call, "arguments": "{}"},
        {"type": "response.output_item.done", "output_index": 1, "item": call},
        {"type": "response.completed", "response": response_object("completed", [message, call])},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


# Assistants


def _run(status: str, **more: Any) -> Event:
    empty = (
        "required_action last_error expires_at cancelled_at failed_at completed_at incomplete_details instructions "
        "usage temperature top_p max_prompt_tokens max_completion_tokens truncation_strategy started_at"
    )
    return {
        **dict.fromkeys(empty.split()),
        "id": "run_1",
        "object": "thread.run",
        "created_at": 1,
        "thread_id": "thread_1",
        "assistant_id": "asst_1",
        "model": "small",
        "tools": [],
        "metadata": {},
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "response_format": "auto",
        "status": status,
        **more,
    }


def assistants_events() -> list[Event]:
    """A run with a step that calls a function, and a message: envelopes with the name and the data of each event."""
    own = {"created_at": 1, "run_id": "run_1", "thread_id": "thread_1"}
    step = {"id": "step_1", "object": "thread.run.step", "type": "tool_calls", "status": "in_progress", **own}
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}", "output": "1"}}
    message = {"id": "msg_1", "object": "thread.message", "status": "in_progress", "content": [], **own}
    whole = [{"type": "text", "text": {"value": "Hi you", "annotations": []}}]

    def of_call(**call: Any) -> Event:
        details = {"type": "tool_calls", "tool_calls": [{"index": 0, "type": "function", **call}]}
        return {"id": "step_1", "object": "thread.run.step.delta", "delta": {"step_details": details}}

    def text(value: str) -> Event:
        part = {"index": 0, "type": "text", "text": {"value": value}}
        return {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": [part]}}

    events: list[tuple[str, Any]] = [
        ("thread.run.created", _run("queued")),
        ("thread.run.queued", _run("queued")),
        ("thread.run.in_progress", _run("in_progress", started_at=2)),
        ("thread.run.step.created", step),
        ("thread.run.step.in_progress", step),
        ("thread.run.step.delta", of_call(id="call_1", function={"name": "get_time", "arguments": ""})),
        ("thread.run.step.delta", of_call(function={"arguments": "{}"})),
        (
            "thread.run.step.completed",
            {**step, "status": "completed", "step_details": {"type": "tool_calls", "tool_calls": [call]}},
        ),
        ("thread.message.created", message),
        ("thread.message.in_progress", message),
        ("thread.message.delta", text("Hi ")),
        ("thread.message.delta", text("you")),
        ("thread.message.completed", {**message, "status": "completed", "content": whole}),
        ("thread.run.completed", _run("completed", started_at=2, completed_at=3)),
        ("done", "[DONE]"),
    ]
    return [{"event": name, "data": data} for name, data in events]


# AG-UI


def ag_ui_events() -> list[Event]:
    """A run with a message, a reasoning, and a call with its result."""
    return [
        {"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"},
        {"type": "REASONING_START", "messageId": "rs"},
        {"type": "REASONING_MESSAGE_START", "messageId": "rs1", "role": "reasoning"},
        {"type": "REASONING_MESSAGE_CONTENT", "messageId": "rs1", "delta": "Well"},
        {"type": "REASONING_MESSAGE_END", "messageId": "rs1"},
        {"type": "REASONING_END", "messageId": "rs"},
        {"type": "TEXT_MESSAGE_START", "messageId": "m1", "role": "assistant"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "Hello"},
        {"type": "TEXT_MESSAGE_END", "messageId": "m1"},
        {"type": "TOOL_CALL_START", "toolCallId": "c1", "toolCallName": "get_time", "parentMessageId": "m1"},
        {"type": "TOOL_CALL_ARGS", "toolCallId": "c1", "delta": "{}"},
        {"type": "TOOL_CALL_END", "toolCallId": "c1"},
        {"type": "TOOL_CALL_RESULT", "messageId": "m2", "toolCallId": "c1", "content": "noon", "role": "tool"},
        {"type": "RUN_FINISHED", "threadId": "t1", "runId": "r1"},
    ]


# LangGraph


def langgraph_events() -> list[tuple[str | None, Any, str | None]]:
    """A run of several modes that fails at its end, so that its outcome is on the wire."""
    chunk = {"type": "AIMessageChunk", "id": "lc_run--1", "content": "Hi"}
    call = {"index": 0, "id": "call_1", "name": "get_time", "args": ""}
    more = {"index": 0, "id": None, "name": None, "args": "{}"}
    about = {"run_id": "run_1", "thread_id": "t1"}
    return [
        ("metadata", {"run_id": "run_1", "attempt": 1}, "1-0"),
        ("values", {"messages": []}, "2-0"),
        ("messages", [chunk, about], "3-0"),
        ("messages", [{**chunk, "content": "", "tool_call_chunks": [call]}, about], "3-1"),
        ("messages", [{**chunk, "content": "", "tool_call_chunks": [more]}, about], "4-0"),
        ("updates", {"model": {"messages": []}}, "5-0"),
        ("custom", '"half way"', "6-0"),
        ("error", {"error": "ValueError", "message": "no"}, "7-0"),
    ]


def thread_events() -> list[Event]:
    """A run of the thread protocol with a message of one block."""
    data: list[tuple[str, Any]] = [
        ("lifecycle", {"event": "running", "graph_name": "chat"}),
        ("messages", {"event": "message-start", "role": "ai", "id": "m1"}),
        ("messages", {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}}),
        ("messages", {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": "Hi "}}),
        ("messages", {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": "you"}}),
        ("messages", {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": "Hi you"}}),
        ("messages", {"event": "message-finish"}),
        ("lifecycle", {"event": "completed", "graph_name": "chat"}),
    ]
    return [
        {
            "type": "event",
            "method": method,
            "seq": number,
            "event_id": f"synth:run_1:lc||{each['event']}" if method == "lifecycle" else f"{number}-0",
            "params": {"namespace": [], "timestamp": 1, "data": each},
        }
        for number, (method, each) in enumerate(data, 1)
    ]
