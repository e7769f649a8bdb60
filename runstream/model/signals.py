"""Signals: the derived events that applications act on, one per fact. Each class is one kind of signal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from runstream.model.actions import RequiredAction
from runstream.model.common import ErrorObject
from runstream.model.keys import digest, escape_id
from runstream.model.message import Message
from runstream.model.progress_signals import (
    ArgumentsDelta,
    ProgressSignal,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallOutputDelta,
)
from runstream.model.run import Run, RunStatus
from runstream.model.signal_base import AwaitedCall, RunSignal, SourceSignal
from runstream.model.step import RunStep
from runstream.model.tool_calls import ToolCall

__all__ = [
    "SIGNAL_TYPES",
    "ActionRequired",
    "ActivityChanged",
    "ArgumentsDelta",
    "AwaitedCall",
    "CustomReceived",
    "DocumentChanged",
    "MessageCompleted",
    "MessageCreated",
    "MessageIncomplete",
    "ProgressSignal",
    "ReasoningDelta",
    "RefusalDelta",
    "RunCancelled",
    "RunCompleted",
    "RunCreated",
    "RunExpired",
    "RunFailed",
    "RunIncomplete",
    "RunInterrupted",
    "RunPaused",
    "RunSignal",
    "RunStalled",
    "RunStatusChanged",
    "Signal",
    "SourceConnected",
    "SourceDisconnected",
    "SourceEnded",
    "SourceError",
    "SourceResumed",
    "SourceSignal",
    "StepCancelled",
    "StepCompleted",
    "StepCreated",
    "StepExpired",
    "StepFailed",
    "TextDelta",
    "TextReplaced",
    "ToolCallCompleted",
    "ToolCallOutputDelta",
    "ToolCallResult",
]


class RunCreated(RunSignal, frozen=True, gc=False, tag="run.created"):
    """A run was seen for the first time, in any status; the signal of that status follows.

    Attributes:
        run: The run as it was then.
    """

    run: Run

    @property
    def key(self) -> str:
        return f"{self.run_key}/created"


class RunStatusChanged(RunSignal, frozen=True, gc=False, tag="run.status_changed"):
    """A run entered a status without a signal class of its own: queued, in_progress, cancelling, or an unknown one.

    Attributes:
        before: The status before; ``None`` for the first one.
        after: The new status.
        round: Number of requests for action so far: a status may occur once in each round.
    """

    before: RunStatus | None
    after: RunStatus
    round: int

    @property
    def key(self) -> str:
        return f"{self.run_key}/status/{escape_id(self.after.value)}/{self.round}"


class ActionRequired(RunSignal, frozen=True, gc=False, tag="run.action_required"):
    """A run waits for the application: for tool outputs, for an approval, or for an action of an unknown type.

    Emitted once for each request, and once more if the server adds calls to it.

    Attributes:
        run: The run after the event.
        action: The request as received.
        calls: The calls that the run waits for. Each has a key; execute a call once per key.
        request: The name of the request in the key: the sorted names of the calls, or a digest if no call has
            an id.
    """

    run: Run
    action: RequiredAction
    calls: tuple[AwaitedCall, ...]
    request: str

    @property
    def key(self) -> str:
        return f"{self.run_key}/action_required/{self.request}"


class _Ended(RunSignal, frozen=True, gc=False):
    """Base of the signals of the end of a run.

    Attributes:
        run: The run as it ended.
        duration: The time since its creation (seconds); ``None`` if unknown.
    """

    run: Run
    duration: float | None

    @property
    def key(self) -> str:
        return f"{self.run_key}/{self.type.removeprefix('run.')}"


class RunCompleted(_Ended, frozen=True, gc=False, tag="run.completed"):
    """A run completed; ``run.usage`` has the token counts."""


class RunFailed(_Ended, frozen=True, gc=False, tag="run.failed"):
    """A run failed; ``run.last_error`` has the reason."""


class RunCancelled(_Ended, frozen=True, gc=False, tag="run.cancelled"):
    """A run was cancelled."""


class RunExpired(_Ended, frozen=True, gc=False, tag="run.expired"):
    """A run expired."""


class RunIncomplete(_Ended, frozen=True, gc=False, tag="run.incomplete"):
    """A run ended incomplete; ``run.incomplete_details`` has the reason."""


class RunPaused(RunSignal, frozen=True, gc=False, tag="run.paused"):
    """The source of a run ended while the run requires action; the run continues with its next source.

    Attributes:
        run: The run after the event.
        round: The number of the request that waits, from 1.
    """

    run: Run
    round: int

    @property
    def key(self) -> str:
        return f"{self.run_key}/paused/{self.round}"


class RunInterrupted(RunSignal, frozen=True, gc=False, tag="run.interrupted"):
    """The source of a run ended for good before the run did: the state of the run may be incomplete.

    Attributes:
        run: The run as it was last.
        reason: The cause, in words of this library alone.
        last_event_id: The id of the last event that had one, ``None`` if none had.
        attempts: Number of connection attempts since the last success.
        n: Number of the interruption among those of the run, from 1.
        server_message: The server's words about the cause; "" if there are none. Logs leave them out by
            default.
    """

    run: Run
    reason: str
    last_event_id: str | None
    attempts: int
    n: int
    server_message: str = ""

    @property
    def key(self) -> str:
        return f"{self.run_key}/interrupted/{self.n}"


class RunStalled(RunSignal, frozen=True, gc=False, tag="run.stalled"):
    """No event of a run was received for longer than a limit of the watchdogs.

    Attributes:
        run: The run as it was last.
        idle: The time without an event (seconds).
        limit: The name of the limit that was exceeded.
        n: Number of the stall among those of the run, from 1.
    """

    run: Run
    idle: float
    limit: str
    n: int

    @property
    def key(self) -> str:
        return f"{self.run_key}/stalled/{self.n}"


class _MessageSignal(RunSignal, frozen=True, gc=False):
    """Base of the signals of a message.

    Attributes:
        message: The message after the event.
    """

    message: Message

    @property
    def key(self) -> str:
        return f"{self.run_key}/message/{escape_id(self.message.id)}/{self.type.removeprefix('message.')}"


class MessageCreated(_MessageSignal, frozen=True, gc=False, tag="message.created"):
    """A message was seen for the first time."""


class MessageCompleted(_MessageSignal, frozen=True, gc=False, tag="message.completed"):
    """A message is complete."""


class MessageIncomplete(_MessageSignal, frozen=True, gc=False, tag="message.incomplete"):
    """A message ended incomplete; its ``incomplete_details`` have the reason."""


class TextReplaced(RunSignal, frozen=True, gc=False, tag="message.text_replaced"):
    """A full object or a replay corrected a content part: ``text`` replaces the text of the part shown so far.

    Attributes:
        message_id: The id of the message.
        part: The index of the content part.
        text: The whole text of the part.
        n: Number of the replacement among those of its message, from 1.
    """

    message_id: str
    part: int
    text: str
    n: int

    @property
    def key(self) -> str:
        start = f"{self.run_key}/message/{escape_id(self.message_id)}"
        return f"{start}/text_replaced/{self.n}/{digest([self.part, self.text])}"


class _StepSignal(RunSignal, frozen=True, gc=False):
    """Base of the signals of a step.

    Attributes:
        step: The step after the event.
    """

    step: RunStep

    @property
    def key(self) -> str:
        return f"{self.run_key}/step/{escape_id(self.step.id)}/{self.type.removeprefix('step.')}"


class StepCreated(_StepSignal, frozen=True, gc=False, tag="step.created"):
    """A step was seen for the first time."""


class StepCompleted(_StepSignal, frozen=True, gc=False, tag="step.completed"):
    """A step completed."""


class StepFailed(_StepSignal, frozen=True, gc=False, tag="step.failed"):
    """A step failed; its ``last_error`` has the reason."""


class StepCancelled(_StepSignal, frozen=True, gc=False, tag="step.cancelled"):
    """A step was cancelled."""


class StepExpired(_StepSignal, frozen=True, gc=False, tag="step.expired"):
    """A step expired."""


class ToolCallCompleted(RunSignal, frozen=True, gc=False, tag="tool_call.completed"):
    """The arguments of a tool call are complete. Whether the run waits for the call, :class:`ActionRequired` says.

    Attributes:
        call_id: The id of the call.
        call: The call, with its arguments.
        call_key: The key of the call.
    """

    call_id: str
    call: ToolCall
    call_key: str

    @property
    def key(self) -> str:
        return f"{self.call_key}/completed"


class ToolCallResult(RunSignal, frozen=True, gc=False, tag="tool_call.result"):
    """The output of a tool call is complete: the application has submitted it, or the server has run the tool.

    Attributes:
        call_id: The id of the call.
        call: The call, with its arguments.
        output: The output as text; JSON text if the wire has another value.
        call_key: The key of the call.
    """

    call_id: str
    call: ToolCall
    output: str
    call_key: str

    @property
    def key(self) -> str:
        return f"{self.call_key}/result"


class DocumentChanged(RunSignal, frozen=True, gc=False, tag="document.changed"):
    """The document of a run has another value: the state that its agent shares with the application.

    ``path`` is the path of the document; empty for that of the run.

    Attributes:
        version: Number of the change among those of the documents of its run, from 1.
        value: The new document: read-only JSON. Unchanged parts are shared with the versions before.
        operations: The patch that made it (RFC 6902); ``None`` after a snapshot.
        size: The size of the document (bytes of JSON).
        partial: True if an earlier change may be missing, and no snapshot has followed.
    """

    version: int
    value: Any
    operations: Any = None
    size: int = 0
    partial: bool = False

    @property
    def key(self) -> str:
        return f"{self.run_key}/document/{self.version}"


class ActivityChanged(RunSignal, frozen=True, gc=False, tag="activity.changed"):
    """An activity of a run has another content: what an application shows beside messages, such as a plan.

    Attributes:
        activity_id: The id of the activity.
        kind: The kind of the content.
        version: Number of the change among those of the activity, from 1.
        value: The new content: read-only JSON.
        operations: The patch that made it (RFC 6902); ``None`` if the whole content was sent.
        size: The size of the content (bytes of JSON).
        partial: True if an earlier change may be missing, and no whole content has followed.
    """

    activity_id: str
    kind: str
    version: int
    value: Any
    operations: Any = None
    size: int = 0
    partial: bool = False

    @property
    def key(self) -> str:
        return f"{self.run_key}/activity/{escape_id(self.activity_id)}/{self.version}"


class CustomReceived(RunSignal, frozen=True, gc=False, tag="custom"):
    """The application on the server, or a server's extension of the protocol, sent a value for a run.

    Attributes:
        name: The name that the sender gave it.
        value: Any JSON value (read-only).
        n: Number of the event among those of its run, from 1.
    """

    name: str
    value: Any
    n: int

    @property
    def key(self) -> str:
        return f"{self.run_key}/custom/{self.n}"


class SourceConnected(SourceSignal, frozen=True, gc=False, tag="source.connected"):
    """A source is connected."""


class SourceDisconnected(SourceSignal, frozen=True, gc=False, tag="source.disconnected"):
    """A source lost its connection and will reconnect."""


class SourceResumed(SourceSignal, frozen=True, gc=False, tag="source.resumed"):
    """A source is connected again."""


class SourceEnded(SourceSignal, frozen=True, gc=False, tag="source.ended"):
    """A source ended: it delivers no further events."""


class SourceError(SourceSignal, frozen=True, gc=False, tag="source.error"):
    """A source failed, or the server sent an error event that ends no run.

    With ``error``, ``reason`` is the server's message, if it sent one; else it has words of this library alone.

    Attributes:
        error: The server's error; ``None`` if the failure is of this side.
        run_id: The id of the run that the error concerns: the one that the server names, or whose request it refused;
            else the run that the source continues, or the only run that it has sent. ``None`` if this is unknown.
    """

    error: ErrorObject | None = None
    run_id: str | None = None


Signal: TypeAlias = (
    RunCreated
    | RunStatusChanged
    | ActionRequired
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunExpired
    | RunIncomplete
    | RunPaused
    | RunInterrupted
    | RunStalled
    | MessageCreated
    | MessageCompleted
    | MessageIncomplete
    | TextDelta
    | TextReplaced
    | RefusalDelta
    | ReasoningDelta
    | StepCreated
    | StepCompleted
    | StepFailed
    | StepCancelled
    | StepExpired
    | ArgumentsDelta
    | ToolCallCompleted
    | ToolCallOutputDelta
    | ToolCallResult
    | DocumentChanged
    | ActivityChanged
    | CustomReceived
    | SourceConnected
    | SourceDisconnected
    | SourceResumed
    | SourceEnded
    | SourceError
)
"""Any signal. A ``match`` over its members is exhaustive."""

SIGNAL_TYPES: Mapping[str, Any] = {str(kind.__struct_config__.tag): kind for kind in Signal.__args__}
"""Every signal class by its type, such as ``run.completed``."""
