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
    """The message that a step creates.

    Attributes:
        message_id: The id of the message; ``None`` if absent or null.
    """

    message_id: str | None = None


class MessageCreationDetails(Tagged, frozen=True, kw_only=True, tag="message_creation"):
    """The step creates a message.

    Attributes:
        message_creation: The object with the id of the message; ``None`` if absent or null.
    """

    message_creation: MessageCreation | None = None


class ToolCallsDetails(Tagged, frozen=True, kw_only=True, tag="tool_calls"):
    """The step calls tools.

    Attributes:
        tool_calls: The calls, by their indexes; empty if absent or null.
    """

    tool_calls: tuple[ToolCall, ...] = ABSENT_LIST


class Activity(WireStruct, frozen=True, kw_only=True):
    """Another action of an agent (Azure), such as listing the tools of an MCP server.

    An absent or null field is ``None``.

    Attributes:
        id: The id of the activity.
        type: The kind of the action, such as ``mcp_list_tools``; an open set.
        server_label: The name of the MCP server.
        tools: The tools of the server by name, as received.
    """

    id: str | None = None
    type: str | None = None
    server_label: str | None = None
    tools: FrozenMap | None = None


class ActivitiesDetails(Tagged, frozen=True, kw_only=True, tag="activities"):
    """The step neither created a message nor called tools (Azure).

    Attributes:
        activities: The actions, in the order of the wire; empty if absent or null.
    """

    activities: tuple[Activity, ...] = ABSENT_LIST


class ReasoningPart(WireStruct, frozen=True, kw_only=True):
    """One part of a reasoning, or of its summary.

    Attributes:
        text: The text, as far as it has arrived; ``None`` if absent or null.
    """

    text: str | None = None

    def __repr__(self) -> str:
        return f"ReasoningPart({len(self.text or '')} characters)"


class ReasoningDetails(Tagged, frozen=True, kw_only=True, tag="reasoning"):
    """The model reasoned: ``content`` has the reasoning itself where the server sends it, ``summary`` its summary.

    Attributes:
        summary: The parts of the summary, by their indexes; empty if the server sends none.
        content: The parts of the reasoning, by their indexes; empty if the server sends none.
    """

    summary: tuple[ReasoningPart, ...] = ABSENT_LIST
    content: tuple[ReasoningPart, ...] = ABSENT_LIST

    @property
    def text(self) -> str:
        """The reasoning; the summary if there is no reasoning."""
        return _join(self.content) or _join(self.summary)


def _join(parts: tuple[ReasoningPart, ...]) -> str:
    return "".join([part.text or "" for part in parts])


class LabelDetails(Tagged, frozen=True, kw_only=True, tag="label"):
    """The step is a label that the server gives to a stretch of its run: a phase, or the node of a graph.

    Attributes:
        name: The name of the phase or node; ``None`` if it has none.
    """

    name: str | None = None


class SubagentDetails(Tagged, frozen=True, kw_only=True, tag="subagent"):
    """The step is the work of a subagent or subgraph. What it sends has a ``path``.

    Attributes:
        name: The name of the subagent; ``None`` if it has none.
        description: What it is for; ``None`` if the server does not say it.
    """

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
"""What a step does, in a class by its ``type``."""


class RunStep(WireStruct, frozen=True, kw_only=True):
    """One step of a run. Times are Unix seconds.

    Only ``id`` is required. An absent or null field is ``None``; an absent or null mapping is empty.

    Attributes:
        id: The id of the step; required.
        object: The type of the object on the wire: ``thread.run.step``.
        created_at: When the step was created (Unix seconds).
        assistant_id: The id of the assistant or agent; ``agent_id`` on some wires.
        thread_id: The id of the thread.
        run_id: The id of the run.
        type: The type of the details: ``message_creation``, ``tool_calls``, or another. The details are in
            ``step_details``.
        status: The status; an unknown status is kept.
        step_details: What the step does, in a class by its type.
        last_error: The error of a failed step; ``None`` if there was none.
        expires_at: When the step expires or expired (Unix seconds); the name in streams and on Azure.
        expired_at: When the step expired (Unix seconds); the name in the specification.
        cancelled_at: When the step was cancelled (Unix seconds); ``None`` if it was not.
        failed_at: When the step failed (Unix seconds); ``None`` if it did not.
        completed_at: When the step completed (Unix seconds); ``None`` if it did not.
        metadata: Pairs of strings that the application attached.
        usage: The token counts; ``None`` on most servers until the step has ended.
    """

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
