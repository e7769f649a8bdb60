"""Run steps: whole objects as servers write them, and what is asked of them."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.model import (
    ActivitiesDetails,
    FrozenMap,
    LastError,
    MessageCreationDetails,
    RunStep,
    StepStatus,
    ToolCallsDetails,
    UnknownDetails,
    Usage,
)
from tests.support import wire

RUN = wire.run_object()


def step_of(details: dict[str, Any], **fields: Any) -> RunStep:
    """A whole step, written as it came but for the nulls."""
    data = wire.step_object("step_1", RUN, details, **fields)
    step = RunStep.from_json(data)
    assert step.to_dict() == {key: item for key, item in data.items() if item is not None}
    return step


def test_fields() -> None:
    """Every field of the reference is an attribute."""
    step = step_of(
        wire.message_creation("msg_1"),
        status="failed",
        last_error={"code": "server_error", "message": "m"},
        expired_at=1,
        cancelled_at=2,
        failed_at=3,
        completed_at=4,
        metadata={"a": "b"},
        usage={"total_tokens": 5},
    )
    assert (step.id, step.object, step.type) == ("step_1", "thread.run.step", "message_creation")
    assert (step.run_id, step.thread_id, step.assistant_id) == ("run_0001", "thread_0001", "asst_0001")
    assert step.status is StepStatus.FAILED
    assert step.last_error == LastError(code="server_error", message="m")
    assert (step.expired_at, step.cancelled_at, step.failed_at, step.completed_at) == (1, 2, 3, 4)
    assert step.expires_at == RUN["expires_at"]
    assert step.created_at == RUN["created_at"]
    assert step.metadata == {"a": "b"}
    assert step.usage == Usage(total_tokens=5)


def test_only_the_id_is_required() -> None:
    """All else may be absent."""
    step = RunStep.from_json({"id": "s"})
    assert step.status is None
    assert step.step_details is None
    assert step.metadata == {}
    assert (step.tool_calls, step.message_id, step.is_terminal) == ((), None, False)
    assert repr(step) == "RunStep(id='s', type=None, status=None)"


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        ("in_progress", False),
        ("cancelled", True),
        ("failed", True),
        ("completed", True),
        ("expired", True),
        ("generating", False),
    ],
)
def test_ending(status: str, ended: bool) -> None:
    """A step has ended in any of four statuses."""
    assert step_of(wire.message_creation("m"), status=status).is_terminal is ended


def test_message_creation() -> None:
    """The message that a step makes is at hand."""
    step = step_of(wire.message_creation("msg_1"))
    assert isinstance(step.step_details, MessageCreationDetails)
    assert step.message_id == "msg_1"
    assert step.tool_calls == ()
    assert step_of({"type": "message_creation"}).message_id is None
    assert step_of({"type": "message_creation", "message_creation": {}}).message_id is None


def test_tool_calls() -> None:
    """The calls of a step are at hand."""
    step = step_of(wire.tool_calls(wire.file_search_call("c1"), wire.code_interpreter_call("c2", "x")))
    assert isinstance(step.step_details, ToolCallsDetails)
    assert [call.id for call in step.tool_calls] == ["c1", "c2"]
    assert step.message_id is None


def test_activities() -> None:
    """Azure's third type of step."""
    activity = {"id": "a", "type": "mcp_list_tools", "server_label": "docs", "tools": {"search": {"parameters": None}}}
    step = step_of({"type": "activities", "activities": [activity, {"type": "new", "x": 1}]})
    assert isinstance(step.step_details, ActivitiesDetails)
    first, second = step.step_details.activities
    assert (first.type, first.server_label) == ("mcp_list_tools", "docs")
    assert isinstance(first.tools, FrozenMap)
    assert second.extra() == {"x": 1}


def test_unknown_details() -> None:
    """Details of a new type are kept."""
    step = step_of({"type": "thinking", "thinking": {"text": None}})
    assert isinstance(step.step_details, UnknownDetails)
    assert step.step_details.raw == {"type": "thinking", "thinking": {"text": None}}


def test_the_repr_tells_no_arguments() -> None:
    """The representation has id, type and status alone."""
    step = step_of(wire.tool_calls(wire.file_search_call("s3cret")))
    assert repr(step) == "RunStep(id='step_1', type='tool_calls', status='in_progress')"
    assert repr(step_of({"type": "x"}, status="new")) == "RunStep(id='step_1', type='x', status='new')"


def test_replace_takes_a_status_by_its_name() -> None:
    """A status given as a string becomes a status."""
    assert step_of(wire.message_creation("m")).replace(status="completed").status is StepStatus.COMPLETED
