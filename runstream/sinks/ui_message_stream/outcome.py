"""The runs of a UI message: their metadata, and how the stream ends. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from runstream.model.common import LastError, Usage
from runstream.model.run import Run
from runstream.model.signals import (
    AwaitedCall,
    RunCancelled,
    RunCompleted,
    RunExpired,
    RunFailed,
    RunIncomplete,
    RunInterrupted,
    StepCancelled,
    StepExpired,
    StepFailed,
)
from runstream.sinks.ui_message_stream.chunks import UiMessageChunk

__all__ = ["ErrorText", "Failure", "RunEnd", "RunFacts", "error_text", "outcome_chunks", "run_metadata"]

RunEnd: TypeAlias = RunCompleted | RunFailed | RunCancelled | RunExpired | RunIncomplete | RunInterrupted

Failure: TypeAlias = RunFailed | RunExpired | RunInterrupted | StepFailed | StepCancelled | StepExpired
"""A fact of a run, or of a step with calls, without success."""

ErrorText: TypeAlias = Callable[[Failure | None], str]
"""Returns the text that a browser shows of a :data:`Failure`; ``None`` stands for a stream that ends without a fact."""

_REASONS: Final = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "max_completion_tokens": "length",
    "max_prompt_tokens": "length",
    "content_filter": "content-filter",
}


class RunFacts:
    """The last facts of one run.

    Attributes:
        waiting: The calls that it waits for.
        end: How it ended, or that it was cut off; ``None`` so far.
        usage: The usage that was sent.
    """

    __slots__ = ("end", "usage", "waiting")

    def __init__(self) -> None:
        self.waiting: tuple[AwaitedCall, ...] = ()
        self.end: RunEnd | None = None
        self.usage: Usage | None = None


def error_text(signal: Failure | None) -> str:
    """The text of an error without words of the server: only the code of the error is the server's.

    Args:
        signal: The fact.
    """
    match signal:
        case RunFailed(run=run):
            return _with_code("The run failed", run.last_error)
        case StepFailed(step=step):
            return _with_code("The call failed", step.last_error)
        case RunExpired():
            return "The run has expired."
        case StepCancelled():
            return "The call was cancelled."
        case StepExpired():
            return "The call has expired."
    return "The connection to the run was lost before its end."


def _with_code(text: str, error: LastError | None) -> str:
    code = error.code if error is not None else None
    return f"{text}: {code}." if isinstance(code, str) and code else f"{text}."


def run_metadata(run_id: str, run: Run | None, status: str | None = None) -> UiMessageChunk:
    """The chunk with the metadata of a run, below ``runs`` by its id; ``runId`` is the id of the run of the last chunk.

    Args:
        run_id: The id of the run.
        run: The run; ``None`` if only its status has changed.
        status: Its status.
    """
    fields: dict[str, Any] = {"status": status}
    if run is not None:
        fields = {"threadId": run.thread_id, "status": run.status.value, "model": run.model}
        if (usage := run.usage) is not None:
            counts = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
            fields["usage"] = dict(zip(("inputTokens", "outputTokens", "totalTokens"), counts, strict=True))
        if run.last_error is not None:
            fields["errorCode"] = run.last_error.code
        if run.incomplete_details is not None:
            fields["incompleteReason"] = run.incomplete_details.reason
    known = {name: value for name, value in fields.items() if value is not None}
    return {"type": "message-metadata", "messageMetadata": {"runId": run_id, "runs": {run_id: known}}}


def outcome_chunks(runs: Sequence[RunFacts], text_of: ErrorText) -> list[UiMessageChunk]:
    """The last chunks of a stream.

    Args:
        runs: Its runs, in order of their last fact. The last one without success decides, else one that waits.
        text_of: See :data:`ErrorText`.
    """
    waits = any(run.waiting and not isinstance(run.end, RunInterrupted) for run in runs)
    ends = [run.end for run in runs if not run.waiting or run.end is not None]
    failed = [end for end in ends if not isinstance(end, RunCompleted | RunIncomplete)]
    if failed or not runs:
        end = failed[-1] if failed else None
        if isinstance(end, RunCancelled):
            return [{"type": "abort", "reason": "The run was cancelled."}]
        error: Any = end
        # A front end reads nothing behind an error.
        return [{"type": "error", "errorText": text_of(error)}, {"type": "finish", "finishReason": "error"}]
    if waits:
        return [{"type": "finish", "finishReason": "tool-calls"}]
    reasons = [_reason(end) for end in ends if isinstance(end, RunIncomplete)]
    return [{"type": "finish", "finishReason": reasons[-1] if reasons else "stop"}]


def _reason(end: RunIncomplete) -> str:
    details = end.run.incomplete_details
    return _REASONS.get(details.reason or "", "other") if details is not None else "other"
