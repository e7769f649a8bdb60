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
    """The reason of an incomplete run or message: ``max_completion_tokens``, ``max_prompt_tokens``, or another.

    Attributes:
        reason: The reason; ``None`` if absent or null.
    """

    reason: str | None = None


class Run(WireStruct, frozen=True, kw_only=True):
    """One run. Times are Unix seconds, also if the server sent another unit.

    Every field except ``id`` and ``status`` may be absent on the wire. An absent field is ``None``; an absent list or
    mapping is empty. Runs are compared and hashed by value; compare ``id`` to compare identities.

    Attributes:
        id: The id of the run; required.
        status: The status; required. An unknown status is kept (:attr:`OpenStrEnum.is_known`).
        object: The type of the object on the wire: ``thread.run``.
        created_at: When the run was created (Unix seconds).
        thread_id: The id of the thread whose messages the run reads and continues.
        assistant_id: The id of the assistant or agent; ``agent_id`` on some wires.
        required_action: The calls that the run waits for; ``None`` unless the run waits for action.
        last_error: The error of a failed run; ``None`` if there was none.
        expires_at: When the server lets the run expire if it has not ended (Unix seconds); a server may send null at
            the end.
        started_at: When the work on the run started (Unix seconds); ``None`` before the first start. A run that
            continues after a required action is started again, and the time is then later.
        cancelled_at: When the run was cancelled (Unix seconds); ``None`` if it was not.
        failed_at: When the run failed (Unix seconds); ``None`` if it did not.
        completed_at: When the run completed (Unix seconds); ``None`` if it did not.
        incomplete_details: Why the run ended incomplete; ``None`` if it did not.
        model: The name of the model.
        instructions: The system prompt of the run; many servers send null.
        tools: The tools that the model may call, in the order of the wire.
        metadata: Pairs of strings that the application attached; null on the wire is empty too.
        usage: The token counts; ``None`` on most servers until the run has ended.
        temperature: The sampling temperature, usually from 0 to 2; an integer is read as a float.
        top_p: The share of probability that is sampled from, from 0 to 1; an integer is read as a float.
        max_prompt_tokens: The highest number of prompt tokens over the whole run; ``None``: no limit.
        max_completion_tokens: The highest number of completion tokens over the whole run; ``None``: no limit.
        truncation_strategy: Which messages of a long thread the model reads.
        tool_choice: ``none``, ``auto``, ``required``, or the tool that the model must call.
        parallel_tool_calls: True if the model may call several tools at the same time.
        response_format: ``auto``, or the format of the answer.
        tool_resources: Files and vector stores of the tools, as received; some servers send it, although the
            specification does not have it.
        reasoning_effort: How much the model reasons: "low", "medium", "high", or another.
        file_ids: The ids of the files of the run, as received; sent by servers of an early version of the API.
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
