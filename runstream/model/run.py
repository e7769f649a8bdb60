"""The Run: the execution of an assistant on a thread, as the Assistants wire has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import msgspec
from msgspec import structs

from runstream.model.base import WireStruct, decode_hook, freeze_fields
from runstream.model.calls import RequiredAction, ToolCall
from runstream.model.frozen import ABSENT_LIST, ABSENT_MAP, FrozenList, FrozenMap, StringMap
from runstream.model.shared import LastError, OpenStrEnum, Timestamp, Usage
from runstream.model.tools import ResponseFormat, Tool, ToolChoice, TruncationStrategy

__all__ = ["IncompleteDetails", "Run", "RunStatus"]


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

    @property
    def is_terminal(self) -> bool:
        """Whether a run in this status never changes it again."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        RunStatus.CANCELLED,
        RunStatus.FAILED,
        RunStatus.COMPLETED,
        RunStatus.INCOMPLETE,
        RunStatus.EXPIRED,
    }
)
_PROCESSING = frozenset({RunStatus.QUEUED, RunStatus.IN_PROGRESS, RunStatus.CANCELLING})


class IncompleteDetails(WireStruct):
    """Why a run or message is incomplete: ``max_completion_tokens``, ``max_prompt_tokens``, or another reason."""

    reason: str | None = None


class Run(WireStruct):
    """One run. Every field but ``id`` and ``status`` may be absent on the wire, and reads as ``None`` (lists and
    mappings: empty) then. Times are Unix seconds, whatever unit the server sent.

    Compared and hashed by value; where identity is meant, compare ``id``.
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
    temperature: float | None = None
    top_p: float | None = None
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
        # Decoding gives frozen values; this is for those who build a Run by hand.
        freeze_fields(self, ("tools", "metadata"))
        if type(self.status) is str:
            structs.force_setattr(self, "status", RunStatus(self.status))

    def __repr__(self) -> str:
        return f"Run(id={self.id!r}, status={str(self.status)!r})"

    @property
    def is_processing(self) -> bool:
        """Whether the run is queued, in progress or being cancelled."""
        return self.status in _PROCESSING

    @property
    def requires_action(self) -> bool:
        """Whether the run waits for the application (``required_action`` says for what)."""
        return self.status == RunStatus.REQUIRES_ACTION

    @property
    def is_complete(self) -> bool:
        """Whether the run completed: this one status alone, not the other ways to end."""
        return self.status == RunStatus.COMPLETED

    @property
    def is_failed(self) -> bool:
        """Whether the run failed: this one status alone."""
        return self.status == RunStatus.FAILED

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return self.status == RunStatus.CANCELLED

    @property
    def is_expired(self) -> bool:
        """Whether the run expired."""
        return self.status == RunStatus.EXPIRED

    @property
    def is_incomplete(self) -> bool:
        """Whether the run ended incomplete (``incomplete_details`` says why)."""
        return self.status == RunStatus.INCOMPLETE

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended, in any of the five ways."""
        return self.status in _TERMINAL

    @property
    def pending_tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls that wait for outputs or approval; empty unless the run requires action."""
        return self.required_action.tool_calls if self.required_action is not None else ()

    def _completed(self) -> Self:
        # open-assistant-api sends the usage as JSON text in the metadata.
        text = self.metadata.get("usage")
        if self.usage is not None or text is None:
            return self
        try:
            found: Any = msgspec.json.decode(text)
            usage = msgspec.convert(found, Usage, dec_hook=decode_hook)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self
        structs.force_setattr(self, "usage", usage)
        return self
