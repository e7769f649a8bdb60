"""The arguments of requested calls, where a request leaves out what its steps have streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runstream.model.actions import CallsAction, SubmitToolApprovalAction, SubmitToolOutputsAction
from runstream.model.run import Run
from runstream.model.tool_calls import FunctionToolCall, ToolCall, UnknownToolCall

if TYPE_CHECKING:
    from runstream.core.state import RunState

__all__ = ["MISSING_ARGUMENTS", "fill_arguments", "lacks_arguments"]

MISSING_ARGUMENTS: Final = "Arguments were not received whole"
"""The :attr:`~runstream.AwaitedCall.error` of a call whose arguments have a gap, and that is requested without them."""

_INTERRUPT: Final = "interrupt"  # it has no arguments of its own
_ONLY_NAMED: Final = frozenset({"id", "type"})  # the fields of a request that names its call, and has nothing of it


class _Streamed(NamedTuple):
    """A call in its step, and whether its arguments may miss something."""

    call: ToolCall
    partial: bool


def fill_arguments(state: RunState, run: Run) -> Run:
    """Add to requested calls the arguments that their steps have streamed. What a request leaves out erases nothing.

    Args:
        state: The state before the request.
        run: The snapshot with the request.

    Returns:
        The snapshot itself if its request leaves nothing out.
    """
    action: Any = run.required_action
    if action is None or not any(map(_has_none, action.tool_calls)):
        return run
    changed: Any = action
    match action:
        case CallsAction(calls=calls):
            changed = action.replace(calls=tuple([_fill(state, call.tool_call, call) for call in calls]))
        case SubmitToolOutputsAction(submit_tool_outputs=inner):
            changed = action.replace(submit_tool_outputs=inner.replace(tool_calls=_fill_all(state, inner.tool_calls)))
        case SubmitToolApprovalAction(submit_tool_approval=inner):
            changed = action.replace(submit_tool_approval=inner.replace(tool_calls=_fill_all(state, inner.tool_calls)))
    return run if changed == action else run.replace(required_action=changed)


def lacks_arguments(state: RunState, call: ToolCall) -> bool:
    """True if a requested call has no arguments, and those that its step has streamed may miss something."""
    if not _has_none(call):
        return False
    streamed = _find(state, call)
    return streamed is not None and streamed.partial


def _has_none(call: ToolCall) -> bool:
    return not call.arguments and call.type != _INTERRUPT


def _fill_all(state: RunState, calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    return tuple([_fill(state, call, call) for call in calls])


def _fill(state: RunState, call: ToolCall, value: Any) -> Any:
    """The call of a request with its arguments.

    Args:
        state: The state before the request.
        call: The call.
        value: The call as the request has it.
    """
    streamed = _find(state, call) if _has_none(call) else None
    if streamed is None or streamed.partial or not streamed.call.arguments:
        return value
    if isinstance(value, UnknownToolCall):
        return streamed.call if _ONLY_NAMED.issuperset(value.raw) else value
    if isinstance(value, FunctionToolCall):
        return value.replace(function=value.function.replace(arguments=streamed.call.arguments))
    return value.replace(arguments=streamed.call.arguments)


def _find(state: RunState, call: ToolCall) -> _Streamed | None:
    """The latest call with this id in a step, if it has arguments or may have some."""
    for step in reversed(state.steps):
        for known in reversed(step.tool_calls):
            if known.id == call.id and known.id and (known.arguments or step.id in state.partial):
                return _Streamed(known, step.id in state.partial)
    return None
