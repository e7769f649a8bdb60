"""Run steps and their details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeAlias

from runstream.model.base import Unknown, WireStruct
from runstream.model.common import LastError, OpenStrEnum, Tagged, Timestamp, Usage, derive_usage, keep_usage
from runstream.model.frozen import ABSENT_LIST, ABSENT_MAP, FrozenMap, StringMap
from runstream.model.tool_calls import ToolCall

__all__ = [
    "ActivitiesDetails",
    "Activity",
    "LabelDetails",
    "MessageCreation",
    "MessageCreationDetails",
    "ReasoningDetails",
    "ReasoningPart",
    "RunStep",
    "StepDetails",
    "StepStatus",
    "SubagentDetails",
    "ToolCallsDetails",
    "UnknownDetails",
]


class StepStatus(OpenStrEnum):
    """The statuses of a step; any other string is an unknown status, not an error."""

    IN_PROGRESS = "in_progress"
    CANCELLED = "cancelled"
    FAILED = "failed"
    COMPLETED = "completed"
    EXPIRED = "expired"


StepStatus._ends_with(StepStatus.CANCELLED, StepStatus.FAILED, StepStatus.COMPLETED, StepStatus.EXPIRED)


class MessageCreation(WireStruct, frozen=True, kw_only=True):
    """The message that a step creates."""

    message_id: str | None = None


class MessageCreationDetails(Tagged, frozen=True, kw_only=True, tag="message_creation"):
    """The step creates a message."""

    message_creation: MessageCreation | None = None


class ToolCallsDetails(Tagged, frozen=True, kw_only=True, tag="tool_calls"):
    """The step calls tools."""

    tool_calls: tuple[ToolCall, ...] = ABSENT_LIST


class Activity(WireStruct, frozen=True, kw_only=True):
    """Another action of an agent (Azure), such as listing the tools of an MCP server."""

    id: str | None = None
    type: str | None = None
    server_label: str | None = None
    tools: FrozenMap | None = None


class ActivitiesDetails(Tagged, frozen=True, kw_only=True, tag="activities"):
    """The step neither created a message nor called tools (Azure)."""

    activities: tuple[Activity, ...] = ABSENT_LIST


class ReasoningPart(WireStruct, frozen=True, kw_only=True):
    """One part of a reasoning, or of its summary."""

    text: str | None = None

    def __repr__(self) -> str:
        return f"ReasoningPart({len(self.text or '')} characters)"


class ReasoningDetails(Tagged, frozen=True, kw_only=True, tag="reasoning"):
    """The model reasoned: ``content`` has the reasoning itself where the server sends it, ``summary`` its summary."""

    summary: tuple[ReasoningPart, ...] = ABSENT_LIST
    content: tuple[ReasoningPart, ...] = ABSENT_LIST

    @property
    def text(self) -> str:
        """The reasoning; the summary if there is no reasoning."""
        return _join(self.content) or _join(self.summary)


def _join(parts: tuple[ReasoningPart, ...]) -> str:
    return "".join([part.text or "" for part in parts])


class LabelDetails(Tagged, frozen=True, kw_only=True, tag="label"):
    """The step is a label that the server gives to a stretch of its run: a phase, or the node of a graph."""

    name: str | None = None


class SubagentDetails(Tagged, frozen=True, kw_only=True, tag="subagent"):
    """The step is the work of a subagent or subgraph. What it sends has a ``path``."""

    name: str | None = None
    description: str | None = None


class UnknownDetails(Unknown, frozen=True, kw_only=True, tag_field="type", tag="$unknown"):
    """Any other step details, as received."""


StepDetails: TypeAlias = (
    MessageCreationDetails
    | ToolCallsDetails
    | ActivitiesDetails
    | ReasoningDetails
    | LabelDetails
    | SubagentDetails
    | UnknownDetails
)


class RunStep(WireStruct, frozen=True, kw_only=True):
    """One step of a run. Times are Unix seconds. Only ``id`` is required."""

    id: str
    object: str | None = None
    created_at: Timestamp | None = None
    assistant_id: str | None = None
    thread_id: str | None = None
    run_id: str | None = None
    type: str | None = None
    status: StepStatus | None = None
    step_details: StepDetails | None = None
    last_error: LastError | None = None
    expires_at: Timestamp | None = None
    expired_at: Timestamp | None = None
    cancelled_at: Timestamp | None = None
    failed_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    metadata: StringMap = ABSENT_MAP
    usage: Usage | None = None

    _aliases: ClassVar[Mapping[str, str]] = {"agent_id": "assistant_id"}

    @classmethod
    def _derive(cls, values: dict[str, Any]) -> bool:
        return derive_usage(values)

    def __repr__(self) -> str:
        return f"RunStep(id={self.id!r}, type={self.type!r}, status={self.status and self.status.value!r})"

    @property
    def is_terminal(self) -> bool:
        """True if the step has ended."""
        return self.status is not None and self.status.is_terminal

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the step; empty for steps of another type."""
        details = self.step_details
        return details.tool_calls if isinstance(details, ToolCallsDetails) else ()

    @property
    def message_id(self) -> str | None:
        """The id of the message that the step creates, if it creates one."""
        details = self.step_details
        if isinstance(details, MessageCreationDetails) and details.message_creation is not None:
            return details.message_creation.message_id
        return None

    @property
    def name(self) -> str | None:
        """The name of a label or of a subagent; ``None`` for steps of another type."""
        details = self.step_details
        return details.name if isinstance(details, LabelDetails | SubagentDetails) else None

    @property
    def reasoning(self) -> str:
        """The reasoning of the step, else its summary; empty for steps of another type."""
        details = self.step_details
        return details.text if isinstance(details, ReasoningDetails) else ""

    def replace(self, **changes: Any) -> Self:
        """A copy with the given fields replaced; see :meth:`WireStruct.replace`."""
        keep_usage(self, self.usage, changes)
        return super().replace(**changes)
