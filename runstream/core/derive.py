"""Derives signals from (state before, state after). Pure; it compares the two states, so one fact gives one signal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from msgspec import structs

from runstream.core.action_requests import awaited_names
from runstream.core.calls import NO_CALLS, Calls
from runstream.core.growing_texts import SIGNALS
from runstream.core.object_list import ObjectState
from runstream.core.requested_arguments import MISSING_ARGUMENTS, lacks_arguments
from runstream.core.state import RunState, get_view
from runstream.core.step_calls import step_calls
from runstream.core.text_changes import compare_texts, text_growth
from runstream.core.texts import (
    TextsOf,
    argument_texts,
    output_texts,
    reasoning_texts,
    refusal_texts,
    summary_texts,
)
from runstream.model.actions import kind_of_call
from runstream.model.keys import call_key
from runstream.model.message import MessageStatus
from runstream.model.run import RunStatus
from runstream.model.signals import (
    ActionRequired,
    ActivityChanged,
    ArgumentsDelta,
    AwaitedCall,
    DocumentChanged,
    MessageCompleted,
    MessageCreated,
    MessageIncomplete,
    RefusalDelta,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunExpired,
    RunFailed,
    RunIncomplete,
    RunStatusChanged,
    Signal,
    StepCancelled,
    StepCompleted,
    StepCreated,
    StepExpired,
    StepFailed,
    TextDelta,
    TextReplaced,
    ToolCallCompleted,
    ToolCallOutputDelta,
    ToolCallResult,
)
from runstream.model.step import MessageCreationDetails, StepStatus
from runstream.model.tool_calls import parse_arguments

# The first fields of each run signal: run id, thread id, scope, time.
_Common: TypeAlias = tuple[str, str | None, str, float]

__all__ = [
    "action_required",
    "awaited_calls",
    "derive",
    "message_signals",
    "progress_signal",
    "run_duration",
    "step_signals",
]

_REQUIRES_ACTION: Final = RunStatus.REQUIRES_ACTION
_ENDED: dict[str, Any] = {
    RunStatus.COMPLETED: RunCompleted,
    RunStatus.FAILED: RunFailed,
    RunStatus.CANCELLED: RunCancelled,
    RunStatus.EXPIRED: RunExpired,
    RunStatus.INCOMPLETE: RunIncomplete,
}
_STEP_ENDED: dict[str, Any] = {
    StepStatus.COMPLETED: StepCompleted,
    StepStatus.FAILED: StepFailed,
    StepStatus.CANCELLED: StepCancelled,
    StepStatus.EXPIRED: StepExpired,
}
_MESSAGE_ENDED: dict[str, Any] = {
    MessageStatus.COMPLETED: MessageCompleted,
    MessageStatus.INCOMPLETE: MessageIncomplete,
}


def derive(before: RunState | None, after: RunState, at: float, *, progress: bool = True) -> list[Signal]:
    """Derive the signals of one change of a state, in the order in which they should be emitted.

    Args:
        before: The state before; ``None`` for the first state of the run.
        after: The state after.
        at: The time of the change (Unix seconds).
        progress: True to emit progress: texts, arguments and outputs as they grow.
    """
    if after is before:
        return []
    position = after._touched
    if position == -1 or before is None:
        return _run_signals(before, after, at)
    if position == -2:
        return [progress_signal(after, before._length, at)] if progress else []
    run = after._head.run
    common = (run.id, run.thread_id, after._head.scope, at)
    if position < -2:
        return _document_signals(before, after, common) if position == -3 else _activity_signals(before, after, common)
    new = after._objects[position]
    signals = _object_signals(before, after, position, new, common, progress)
    return [structs.replace(signal, path=new.path) for signal in signals] if new.path else signals


def _object_signals(
    before: RunState, after: RunState, position: int, new: ObjectState, common: _Common, progress: bool
) -> list[Signal]:
    """The signals of a change of a message or step."""
    if after._growing is not None and before._growing is None and _is_first_fragment(before, after, position):
        growing = after._growing
        fragment = growing.buffer.last
        return [TextDelta(*common, new.id, growing.part, 0, fragment)] if progress else []
    if after._indices == () and new.parts is None:  # a full message that repeats the text that grew
        known: Any = before._objects[position].full
        full: Any = new.full
        if full.is_terminal and known is not None and not known.is_terminal:
            return [_MESSAGE_ENDED[full.status](*common, full)]
    old = before._all_objects()[position] if position < len(before._objects) else None
    indices = after._indices
    if indices is not None and old is not None and old.parts is not None:
        # A fragment concerns few of many parts.
        selected = new.select(indices)
        if selected is not new:
            old, new = old.select(indices), selected
    if new.is_message:
        return message_signals(old, new, common, progress)
    return step_signals(old, new, common, progress, after._head.calls, before._head.calls)


def _document_signals(before: RunState, after: RunState, common: _Common) -> list[Signal]:
    documents = after._head.documents
    version, path = documents.version, documents.path
    if version == before._head.documents.version:
        return []  # a change that could not be applied
    value, partial = documents.get(path), path in documents.partial
    operations, size = documents.operations, documents.size_of(path)
    return [DocumentChanged(*common, version, value, operations, size, partial, path=path)]


def _activity_signals(before: RunState, after: RunState, common: _Common) -> list[Signal]:
    activities = after._head.activities
    id = activities.changed
    new, old = activities.find(id), before._head.activities.find(id)
    if new is None or (old is not None and old.version == new.version):
        return []
    operations, size = activities.operations, new.content.size
    return [
        ActivityChanged(*common, id, new.kind, new.version, new.value, operations, size, new.partial, path=new.path)
    ]


def progress_signal(after: RunState, offset: int, at: float) -> Signal:
    """The signal of a plain fragment (:func:`~runstream.core.reduce.append`): the hot path of :func:`derive`.

    Args:
        after: The state after it.
        offset: The length of the text before it (characters).
        at: The time of its arrival (Unix seconds).
    """
    growing: Any = after._growing
    buffer, length = growing.buffer, after._length
    # A buffer that has grown since contains it too, at the same place.
    text = buffer.last if buffer.length == length else buffer.read()[offset:length]
    common = (growing.run_id, growing.thread_id, growing.scope, at)
    if growing.part >= 0:
        signal: Signal = growing.signal(*common, growing.object_id, growing.part, offset, text)
    else:
        signal = growing.signal(*common, growing.call_id, offset, text, growing.call_key)
    return signal


def awaited_calls(state: RunState) -> tuple[AwaitedCall, ...]:
    """The calls that a run waits for, with their arguments parsed."""
    run = state.run
    calls = []
    for call, name in zip(run.pending_tool_calls, awaited_names(state._head.calls, run), strict=True):
        kind = kind_of_call(run.required_action, call)
        parsed, error = call.arguments, None
        if parsed is not None and kind != "custom":
            parsed, error = parse_arguments(parsed)
        if lacks_arguments(state, call):
            error = MISSING_ARGUMENTS
        key = call_key(state.scope, run.id, name)
        calls.append(AwaitedCall(call.id, call.name, call.arguments, parsed, error, call, key, kind))
    return tuple(calls)


def action_required(state: RunState, at: float) -> ActionRequired:
    """The request for action that a run waits for.

    Args:
        state: The state of a run that has a required action.
        at: The time (Unix seconds).
    """
    run: Any = state.run
    calls = awaited_calls(state)
    return ActionRequired(
        run.id, run.thread_id, state.scope, at, run, run.required_action, calls, state._head.calls.request
    )


def run_duration(state: RunState) -> float | None:
    """The seconds from a run's creation to its end; ``None`` if it has not ended.

    By the server's clock; as observed by this process if the server does not send the times.
    """
    run = state.run
    if not run.is_terminal:
        return None
    end = run.completed_at or run.failed_at or run.cancelled_at
    if end is not None and run.created_at is not None and end >= run.created_at:
        return float(end - run.created_at)
    head = state._head
    return head.status_since - head.first_seen if head.status_since > head.first_seen else None


def _run_signals(before: RunState | None, after: RunState, at: float) -> list[Signal]:
    head = after._head
    run = head.run
    status = run.status
    common = (run.id, run.thread_id, head.scope, at)
    signals: list[Signal] = []
    if before is None:
        signals.append(RunCreated(*common, run))
    old_calls = before._head.calls if before is not None else NO_CALLS
    calls = head.calls
    if calls.whole is not old_calls.whole:
        for call, name in zip(run.pending_tool_calls, awaited_names(calls, run), strict=True):
            if call.id and name in calls.whole and name not in old_calls.whole:
                signals.append(ToolCallCompleted(*common, call.id, call, call_key(head.scope, run.id, name)))
    if status.is_terminal:
        if before is None or not before._head.run.status.is_terminal:
            signals.append(_ENDED[status](*common, run, run_duration(after)))
    elif status is _REQUIRES_ACTION:
        if run.required_action is not None and calls.request != old_calls.request:
            signals.append(action_required(after, at))
    elif before is None:
        signals.append(RunStatusChanged(*common, None, status, calls.round))
    elif old_calls.round != calls.round or status not in before._head.statuses:
        signals.append(RunStatusChanged(*common, before._head.run.status, status, calls.round))
    return signals


def message_signals(old: ObjectState | None, new: ObjectState, common: _Common, progress: bool) -> list[Signal]:
    """The signals of a change of a message; the arguments are those of :func:`step_signals`."""
    full: Any = new.full
    known: Any = old.full if old is not None else None
    signals: list[Signal] = []
    if full is not None and known is None:
        signals.append(MessageCreated(*common, get_view(new)))
    if new.parts is None:
        # Most messages are created without content.
        changed = (
            full.content if old is None else old.parts is not None or known is None or full.content != known.content
        )
    else:
        changed = progress or (old is not None and old.parts is not None)
    if changed:
        signals += _text_signals(old, new, common, progress)
    if full is not None and full.is_terminal and (known is None or not known.is_terminal):
        signals.append(_MESSAGE_ENDED[full.status](*common, get_view(new)))
    return signals


def _is_first_fragment(before: RunState, after: RunState, position: int) -> bool:
    """True if the change is the first fragment of an empty message and nothing else."""
    growing, length, old = after._growing, after._length, before._objects
    if (
        growing is None
        or growing.target != "text"
        or not length
        or growing.position != position
        or position >= len(old)
    ):
        return False
    full: Any = old[position].full
    if old[position].parts is not None or full is None or full.content or growing.buffer.length != length:
        return False
    parts: Any = after._objects[position].parts
    return len(parts["content"]) == 1 and len(growing.buffer.last) == length


def _text_signals(old: ObjectState | None, new: ObjectState, common: _Common, progress: bool) -> Iterator[Signal]:
    """The signals of text appended to, or replaced in, each text part of a message; then those of its refusals."""
    n = old.replaced if old is not None else 0
    for index, offset, fragment in compare_texts(old, new):
        if offset < 0:
            n += 1
            yield TextReplaced(*common, new.id, index, fragment, n)
        elif progress:
            yield TextDelta(*common, new.id, index, offset, fragment)
    if progress:
        yield from _growth_signals(RefusalDelta, old, new, refusal_texts, common)


def _growth_signals(
    make: Callable[..., Signal], old: ObjectState | None, new: ObjectState, texts_of: TextsOf, common: _Common
) -> Iterator[Signal]:
    """The signals of text that was appended to parts of an object.

    Args:
        make: Makes a signal.
        old: The object before; ``None`` if it was unknown.
        new: The object after.
        texts_of: Finds the texts of its parts.
        common: The first fields of each signal.
    """
    texts = texts_of(new)
    if not texts:
        return
    before = texts_of(old) if old is not None else {}
    for index, text in texts.items():
        change = text_growth(before.get(index), text)
        if change is not None:
            yield make(*common, new.id, index, *change)


def step_signals(
    old: ObjectState | None, new: ObjectState, common: _Common, progress: bool, calls: Calls, known_calls: Calls
) -> list[Signal]:
    """The signals of a change of a step, without its path.

    Args:
        old: The step before; ``None`` if it was unknown.
        new: The step after.
        common: The first fields of each signal.
        progress: True to emit progress.
        calls: The calls of the run after the change.
        known_calls: Those before it.
    """
    full: Any = new.full
    known: Any = old.full if old is not None else None
    signals: list[Signal] = []
    if full is not None and known is None:
        signals.append(StepCreated(*common, get_view(new)))
    if progress and (new.parts is not None or type(full.step_details) is not MessageCreationDetails):
        signals += _growth_signals(SIGNALS["reasoning"], old, new, reasoning_texts, common)
        signals += _growth_signals(SIGNALS["summary"], old, new, summary_texts, common)
        for make, texts_of in ((ArgumentsDelta, argument_texts), (ToolCallOutputDelta, output_texts)):
            before = {call.name: text for call, text in texts_of(old)}
            for call, text in texts_of(new):
                change = text_growth(before.get(call.name), text)
                if change is not None:
                    signals.append(make(*common, call.id, *change, call_key(common[2], common[0], call.name)))
    if full is not None and (calls.whole is not known_calls.whole or calls.results is not known_calls.results):
        for call, wire in zip(step_calls(new), full.tool_calls, strict=False):
            key = call_key(common[2], common[0], call.name)
            if call.name in calls.whole and call.name not in known_calls.whole:
                signals.append(ToolCallCompleted(*common, call.id, wire, key))
            if call.name in calls.results and call.name not in known_calls.results:
                signals.append(ToolCallResult(*common, call.id, wire, wire.output or "", key))
    if full is not None and full.is_terminal and (known is None or not known.is_terminal):
        signals.append(_STEP_ENDED[full.status](*common, get_view(new)))
    return signals
