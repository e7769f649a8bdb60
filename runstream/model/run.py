"""The Run: one execution of an assistant on a thread, with the fields of the Assistants wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeAlias

from msgspec import structs

from runstream.model.actions import RequiredAction
from runstream.model.base import WireStruct, freeze_as
from runstream.model.common import LastError, Number, OpenStrEnum, Timestamp, Usage, derive_usage, keep_usage
from runstream.model.frozen import ABSENT_LIST, ABSENT_MAP, FrozenList, FrozenMap, StringMap, thaw
from runstream.model.tool_calls import ToolCall
from runstream.model.tools import ResponseFormat, Tool, ToolChoice, TruncationStrategy

__all__ = ["IncompleteDetails", "Run", "RunKey", "RunStatus"]

# Scope and id of a run.
RunKey: TypeAlias = tuple[str, str]


class RunStatus(OpenStrEnum):
    """The statuses of a run; any other string is an unknown status, not an error."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    REQUIRES_ACTION = "requires_action"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FAILED = "failed"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    EXPIRED = "expired"


RunStatus._ends_with(
    RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.COMPLETED, RunStatus.INCOMPLETE, RunStatus.EXPIRED
)
_PROCESSING = frozenset({RunStatus.QUEUED, RunStatus.IN_PROGRESS, RunStatus.CANCELLING})


class IncompleteDetails(WireStruct, frozen=True, kw_only=True):
    """The reason of an incomplete run or message: ``max_completion_tokens``, ``max_prompt_tokens``, or another."""

    reason: str | None = None


class Run(WireStruct, frozen=True, kw_only=True):
    """One run. Times are Unix seconds, also if the server sent another unit.

    Every field except ``id`` and ``status`` may be absent on the wire. An absent field is ``None``; an absent list or
    mapping is empty. Runs are compared and hashed by value; compare ``id`` to compare identities.
    """

    id: str
    status: RunStatus
    object: str | None = None
    created_at: Timestamp | None = None
    thread_id: str | None = None
    assistant_id: str | None = None
    required_action: RequiredAction | None = None
    last_error: LastError | None = None
    expires_at: Timestamp | None = None
    started_at: Timestamp | None = None
    cancelled_at: Timestamp | None = None
    failed_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    incomplete_details: IncompleteDetails | None = None
    model: str | None = None
    instructions: str | None = None
    tools: tuple[Tool, ...] = ABSENT_LIST
    metadata: StringMap = ABSENT_MAP
    usage: Usage | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    max_prompt_tokens: int | None = None
    max_completion_tokens: int | None = None
    truncation_strategy: TruncationStrategy | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    tool_resources: FrozenMap | None = None
    reasoning_effort: str | None = None
    file_ids: FrozenList | None = None

    _aliases: ClassVar[Mapping[str, str]] = {"agent_id": "assistant_id"}

    def __post_init__(self) -> None:
        # Decoded values are frozen already; this is for a Run that a caller builds.
        if type(self.status) is not RunStatus:
            structs.force_setattr(self, "status", freeze_as(RunStatus, self.status))
        if not isinstance(self.tools, tuple):
            structs.force_setattr(self, "tools", freeze_as(tuple, self.tools))
        if not isinstance(self.metadata, StringMap):
            structs.force_setattr(self, "metadata", freeze_as(StringMap, self.metadata))
        resources: Any = self.tool_resources
        if type(resources) is dict:
            structs.force_setattr(self, "tool_resources", FrozenMap(thaw(resources)))
        files: Any = self.file_ids
        if type(files) is list:
            structs.force_setattr(self, "file_ids", FrozenList(thaw(files)))

    @classmethod
    def _derive(cls, values: dict[str, Any]) -> bool:
        return derive_usage(values)

    def __repr__(self) -> str:
        return f"Run(id={self.id!r}, status={str(self.status)!r})"

    @property
    def is_processing(self) -> bool:
        """True if the run is queued, in progress or being cancelled."""
        return self.status in _PROCESSING

    @property
    def requires_action(self) -> bool:
        """True if the run waits for the application; ``required_action`` has the calls."""
        return self.status == RunStatus.REQUIRES_ACTION

    @property
    def is_complete(self) -> bool:
        """True if the run completed; false for the other final statuses."""
        return self.status == RunStatus.COMPLETED

    @property
    def is_failed(self) -> bool:
        """True if the run failed; false for the other final statuses."""
        return self.status == RunStatus.FAILED

    @property
    def is_cancelled(self) -> bool:
        """True if the run was cancelled."""
        return self.status == RunStatus.CANCELLED

    @property
    def is_expired(self) -> bool:
        """True if the run expired."""
        return self.status == RunStatus.EXPIRED

    @property
    def is_incomplete(self) -> bool:
        """True if the run ended incomplete; ``incomplete_details`` has the reason."""
        return self.status == RunStatus.INCOMPLETE

    @property
    def is_terminal(self) -> bool:
        """True if the run has ended, in any of the five final statuses."""
        return self.status.is_terminal

    @property
    def pending_tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls that wait for outputs or approval; empty if there are none or the run has ended."""
        if self.required_action is None or self.is_terminal:
            return ()
        return self.required_action.tool_calls

    def replace(self, **changes: Any) -> Self:
        """A copy with the given fields replaced; see :meth:`WireStruct.replace`."""
        keep_usage(self, self.usage, changes)
        return super().replace(**changes)
