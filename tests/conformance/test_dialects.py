"""What each server does differently, as a little stream of its own, folded right. No server is detected."""

from __future__ import annotations

import json
from typing import Any

from runstream.core.state import RunState
from runstream.engine.fold import Folded, fold
from runstream.model.actions import SubmitToolApprovalAction
from runstream.model.message import UrlCitationAnnotation
from runstream.model.signals import ActionRequired
from runstream.model.step import ActivitiesDetails
from runstream.model.tool_calls import ConnectedAgentToolCall, McpToolCall

MS = 1_725_000_000_123
SECONDS = 1_725_000_000


def _fold(*events: tuple[str, Any]) -> Folded:
    folded = fold([{"event": name, "data": data} for name, data in events])
    assert not folded.rejects
    assert not folded.orphans
    return folded


def _state(folded: Folded) -> RunState:
    (state,) = folded.runs
    return state


def _run(status: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    run = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": status, **fields}
    return f"thread.run.{status}", run


def _step(status: str, details: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": "step_1",
        "object": "thread.run.step",
        "run_id": "run_1",
        "status": status,
        "type": details["type"],
        "step_details": details,
        **fields,
    }


def _message(status: str, content: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "object": "thread.message",
        "run_id": "run_1",
        "role": "assistant",
        "status": status,
        "content": content,
        **fields,
    }


def test_azure_waits_for_approval_of_an_mcp_call() -> None:
    """`submit_tool_approval` is an action like any other: its calls are flat, and parsed."""
    call = {"id": "call_1", "type": "mcp", "name": "search", "arguments": '{"q":"x"}', "server_label": "github"}
    action = {"type": "submit_tool_approval", "submit_tool_approval": {"tool_calls": [call]}}
    activity = {
        "id": "activity_1",
        "type": "mcp_list_tools",
        "server_label": "github",
        "tools": {"search": {"a": None}},
    }
    listed = {"type": "activities", "activities": [activity]}
    folded = _fold(
        _run("in_progress", agent_id="asst_1"),
        ("thread.run.step.created", _step("in_progress", {"type": "activities", "activities": []})),
        ("thread.run.step.in_progress", _step("in_progress", {"type": "activities", "activities": []})),
        ("thread.run.step.created", _step("in_progress", {"type": "activities", "activities": []})),
        ("thread.run.step.completed", _step("completed", listed)),
        _run("requires_action", required_action=action, agent_id="asst_1"),
        ("done", "[DONE]"),
    )
    state = _state(folded)
    assert isinstance(state.run.required_action, SubmitToolApprovalAction)
    (asked,) = [signal for signal in folded.signals if isinstance(signal, ActionRequired)]
    (awaited,) = asked.calls
    assert (awaited.id, awaited.name, awaited.parsed) == ("call_1", "search", {"q": "x"})
    assert isinstance(awaited.call, McpToolCall)
    assert awaited.call.server_label == "github"
    assert state.run.assistant_id == "asst_1"
    assert state.run.to_dict()["agent_id"] == "asst_1"
    (step,) = state.steps
    assert isinstance(step.step_details, ActivitiesDetails)
    assert step.step_details.activities[0].tools == {"search": {"a": None}}
    assert [signal.type for signal in folded.signals if signal.type.startswith("step.")] == [
        "step.created",
        "step.completed",
    ]
    assert [signal.type for signal in folded.signals][-2:] == ["run.paused", "source.ended"]


def test_azure_connected_agents_name_their_own_run() -> None:
    """A call of another agent carries that agent's run and thread, and is no run of this stream."""
    call = {
        "id": "call_1",
        "type": "connected_agent",
        "connected_agent": {"name": "stocks", "arguments": "MSFT?", "run_id": "run_9", "thread_id": "thread_9"},
    }
    opened = {"index": 0, **call}
    details = {"type": "tool_calls", "tool_calls": [call]}
    answered = {**call, "connected_agent": {**call["connected_agent"], "output": "up"}}  # type: ignore[dict-item]
    folded = _fold(
        _run("in_progress"),
        ("thread.run.step.created", _step("in_progress", {"type": "tool_calls", "tool_calls": []})),
        ("thread.run.step.delta", {"id": "step_1", "delta": {"step_details": {**details, "tool_calls": [opened]}}}),
        ("thread.run.step.completed", _step("completed", {**details, "tool_calls": [answered]})),
        _run("completed", usage={"prompt_tokens": 1, "total_tokens": 2, "prompt_token_details": {"cached_tokens": 1}}),
    )
    state = _state(folded)
    (found,) = state.tool_calls
    assert isinstance(found, ConnectedAgentToolCall)
    assert (found.name, found.connected_agent.run_id, found.connected_agent.output) == ("stocks", "run_9", "up")
    assert state.usage is not None
    assert state.usage.prompt_tokens_details is not None
    assert state.usage.prompt_tokens_details.cached_tokens == 1
    assert state.run.to_dict()["usage"] == {
        "prompt_tokens": 1,
        "total_tokens": 2,
        "prompt_token_details": {"cached_tokens": 1},
    }


def test_azure_says_twice_that_a_step_is_completed() -> None:
    """The second `completed` of a step says nothing new: no signal, no change."""
    details = {
        "type": "tool_calls",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}", "output": "1"}}
        ],
    }
    completed = ("thread.run.step.completed", _step("completed", details, completed_at=SECONDS))
    folded = _fold(_run("in_progress"), completed, completed, _run("completed"))
    told = [signal.type for signal in folded.signals]
    assert [told.count(name) for name in ("step.created", "tool_call.completed", "step.completed")] == [1, 1, 1]
    assert len({signal.key for signal in folded.signals}) == len(folded.signals)


def test_azure_failures_have_codes_of_their_own() -> None:
    """An error code outside the published ones is a value like any other."""
    failed = _run("failed", last_error={"code": "invalid_engine_error", "message": "no such engine"})
    state = _state(_fold(_run("in_progress"), failed))
    assert state.run.last_error is not None
    assert state.run.last_error.code == "invalid_engine_error"


def test_azure_cites_pages() -> None:
    """A `url_citation` is an annotation with its page."""
    note = {
        "type": "url_citation",
        "text": "[1]",
        "start_index": 3,
        "end_index": 6,
        "url_citation": {"url": "https://example.org", "title": "Example"},
    }
    delta = {
        "content": [{"index": 0, "type": "text", "text": {"value": "See[1]", "annotations": [{"index": 0, **note}]}}]
    }
    state = _state(
        _fold(
            _run("in_progress"),
            ("thread.message.created", _message("in_progress", [])),
            ("thread.message.delta", {"id": "msg_1", "delta": delta}),
        )
    )
    (found,) = state.messages[0].annotations
    assert isinstance(found, UrlCitationAnnotation)
    assert found.url_citation is not None
    assert found.url_citation.url == "https://example.org"


def test_alibaba_sends_milliseconds_and_content_that_is_an_object() -> None:
    """Times are read as Unix seconds and written as they came; a delta's one part needs no list and no index."""
    extra = {"request_id": "r-1", "status_code": 200, "usage": None}

    def delta(value: str) -> tuple[str, dict[str, Any]]:
        content = {"type": "text", "text": {"value": value}}
        return "thread.message.delta", {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": content}}

    whole = [{"type": "text", "text": {"value": "Hello there", "annotations": []}}]
    usage = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    folded = _fold(
        _run("queued", created_at=MS, **extra),
        _run("in_progress", created_at=MS, started_at=MS + 1000, **extra),
        ("thread.message.created", _message("in_progress", [], created_at=MS)),
        delta("Hello"),
        delta(" there"),
        ("thread.message.completed", _message("completed", whole, created_at=MS, completed_at=MS + 2000)),
        _run("completed", created_at=MS, started_at=MS + 1000, completed_at=MS + 3000, **{**extra, "usage": usage}),
    )
    state = _state(folded)
    assert (state.run.created_at, state.run.started_at, state.run.completed_at) == (SECONDS, SECONDS + 1, SECONDS + 3)
    assert (state.messages[0].created_at, state.messages[0].completed_at) == (SECONDS, SECONDS + 2)
    assert state.text == "Hello there"
    assert state.usage is not None
    assert (state.usage.prompt_tokens, state.usage.completion_tokens) == (7, 5)
    written = state.run.to_dict()
    assert (written["created_at"], written["usage"], written["request_id"]) == (MS, usage, "r-1")
    assert state.messages[0].to_dict()["completed_at"] == MS + 2000
    deltas = [signal for signal in folded.signals if signal.type == "message.text"]
    assert [signal.delta for signal in deltas] == ["Hello", " there"]  # type: ignore[union-attr]
    assert folded.stats.mistyped == 0


def test_alibabas_deltas_alone_are_the_text() -> None:
    """Without the whole message the object-shaped content is text just the same."""
    parts = [{"content": {"type": "text", "text": {"value": value}}} for value in ("a", "b", "b", "c")]
    events = [("thread.message.delta", {"id": "msg_1", "delta": part}) for part in parts]
    state = _state(_fold(_run("in_progress"), ("thread.message.created", _message("in_progress", [])), *events))
    assert state.text == "abbc"
    assert state.messages[0].to_dict()["content"][0]["text"]["value"] == "abbc"


def test_open_assistant_api_sends_floats_and_usage_in_the_metadata() -> None:
    """Float times are whole seconds; the usage is read out of `metadata.usage` and stays written there."""
    usage = json.dumps({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})
    folded = _fold(
        _run("queued", created_at=SECONDS + 0.75),
        _run("in_progress", created_at=SECONDS + 0.75, started_at=SECONDS + 1.5),
        ("thread.message.created", _message("in_progress", [], created_at=SECONDS + 1.9)),
        _run("completed", created_at=SECONDS + 0.75, started_at=SECONDS + 1.5, metadata={"usage": usage, "a": "b"}),
    )
    state = _state(folded)
    assert (state.run.created_at, state.run.started_at) == (SECONDS, SECONDS + 1)
    assert state.messages[0].created_at == SECONDS + 1
    assert state.usage is not None
    assert state.usage.total_tokens == 7
    written = state.run.to_dict()
    assert written["metadata"] == {"usage": usage, "a": "b"}
    assert written["created_at"] == SECONDS + 0.75
    assert "usage" not in written
    assert folded.stats.mistyped == 0


def test_astra_has_a_status_of_its_own_and_says_in_progress_twice() -> None:
    """`generating` comes and goes with a signal once; a second `in_progress` says nothing new."""
    in_progress = _run("in_progress", created_at=SECONDS, started_at=SECONDS)
    call = {"id": "call_1", "type": "file_search", "file_search": {}}
    made = {"type": "tool_calls", "tool_calls": [call]}
    nothing = {"id": "step_1", "delta": {"step_details": {"type": "tool_calls", "tool_calls": None}}}
    folded = _fold(
        _run("queued", created_at=SECONDS),
        in_progress,
        in_progress,
        ("thread.run.generating", {**in_progress[1], "status": "generating"}),
        ("thread.run.step.created", _step("in_progress", made, created_at=MS)),
        ("thread.run.step.delta", nothing),
        ("thread.run.step.completed", _step("completed", made, created_at=MS, completed_at=MS + 5000)),
        _run("completed", created_at=SECONDS, started_at=SECONDS, completed_at=SECONDS + 9),
    )
    state = _state(folded)
    statuses = [signal.key for signal in folded.signals if signal.type == "run.status_changed"]
    assert statuses.count("run_1/status/in_progress/0") == 1
    assert len(set(statuses)) == len(statuses)
    (step,) = state.steps
    assert (step.created_at, step.completed_at) == (SECONDS, SECONDS + 5)
    assert step.to_dict()["completed_at"] == MS + 5000
    assert [call.id for call in state.tool_calls] == ["call_1"]
    assert state.run.is_complete


def test_astras_generating_is_a_status_where_the_event_has_a_known_name() -> None:
    """The snapshot's own status counts, whatever its event is called."""
    generating = _run("in_progress")[1] | {"status": "generating"}
    folded = _fold(_run("queued"), ("thread.run.in_progress", generating), _run("in_progress"), _run("completed"))
    changes = [signal.after.value for signal in folded.signals if signal.type == "run.status_changed"]  # type: ignore[union-attr]
    assert changes == ["queued", "generating", "in_progress"]
    assert not _state(_fold(_run("queued"), ("thread.run.in_progress", generating))).is_terminal


def test_a_step_delta_with_null_tool_calls_changes_nothing() -> None:
    """`tool_calls: null` neither clears the calls nor makes a new state."""
    opened = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{"}}
    nothing = {"id": "step_1", "delta": {"step_details": {"type": "tool_calls", "tool_calls": None}}}
    before = [
        _run("in_progress"),
        ("thread.run.step.created", _step("in_progress", {"type": "tool_calls", "tool_calls": []})),
        (
            "thread.run.step.delta",
            {"id": "step_1", "delta": {"step_details": {"type": "tool_calls", "tool_calls": [opened]}}},
        ),
    ]
    first, second = _fold(*before), _fold(*before, ("thread.run.step.delta", nothing))
    assert second.runs == first.runs
    assert len(second.signals) == len(first.signals)
    assert second.runs[0].tool_calls[0].arguments == "{"
