"""Derives signals from (state before, state after). Pure; it compares the two states, so one fact gives one signal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from runstream.core.object_deltas import call_name
from runstream.core.object_list import ObjectState
from runstream.core.state import NO_CALLS, RunState, get_view
from runstream.core.text import Text, text_from
from runstream.model.message import Message, MessageStatus, TextPart
from runstream.model.run import Run, RunStatus
from runstream.model.signals import (
    ActionRequired,
    ArgumentsDelta,
    AwaitedCall,
    MessageCompleted,
    MessageCreated,
    MessageIncomplete,
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
)
from runstream.model.step import MessageCreationDetails, RunStep, StepStatus
from runstream.model.tool_calls import CodeInterpreterToolCall, FunctionToolCall, parse_arguments

# The first fields of each run signal: run id, thread id, scope, time.
_Common: TypeAlias = tuple[str, str | None, str, float]

__all__ = ["awaited_calls", "derive", "progress_signal", "run_duration"]

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
        progress: True to emit ``message.text`` and ``tool_call.arguments``.
    """
    if after is before:
        return []
    position = after._touched
    if before is None or position == -1:
        return _run_signals(before, after, at)
    if position == -2:
        return [progress_signal(after, before._length, at)] if progress else []
    run = after._head.run
    common = (run.id, run.thread_id, after._head.scope, at)
    new = after._objects[position]
    if after._growing is not None and before._growing is None and _is_first_fragment(before, after, position):
        growing = after._growing
        fragment = growing.buffer.last
        return [TextDelta(*common, new.id, growing.part, 0, fragment)] if progress else []
    if after._growing is None and before._growing is not None and _ends_unchanged(before, position, new):
        known: Any = before._objects[position].full
        full: Any = new.full
        if full.is_terminal and known is not None and not known.is_terminal:
            return [_MESSAGE_ENDED[full.status](*common, full)]
    old = before._all_objects()[position] if position < len(before._objects) else None
    if new.is_message:
        return _message_signals(old, new, common, progress)
    return _step_signals(old, new, common, progress, after._head.calls_done - before._head.calls_done)


def progress_signal(after: RunState, offset: int, at: float) -> TextDelta | ArgumentsDelta:
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
    if growing.is_message:
        return TextDelta(
            growing.run_id, growing.thread_id, growing.scope, at, growing.object_id, growing.index, offset, text
        )
    return ArgumentsDelta(growing.run_id, growing.thread_id, growing.scope, at, growing.call_id, offset, text)


def awaited_calls(run: Run) -> tuple[AwaitedCall, ...]:
    """The calls that a run waits for, with their arguments parsed."""
    calls = []
    for call in run.pending_tool_calls:
        parsed, error = parse_arguments(call.arguments) if call.arguments is not None else (None, None)
        calls.append(AwaitedCall(call.id, call.name, call.arguments, parsed, error, call))
    return tuple(calls)


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
    old_done = before._head.calls_done if before is not None else NO_CALLS
    done = head.calls_done
    if len(done) != len(old_done):
        new = [call for call in run.pending_tool_calls if call.id in done and call.id not in old_done]
        signals.extend([ToolCallCompleted(*common, call.id, call) for call in new])
    if status.is_terminal:
        if before is None or not before._head.run.status.is_terminal:
            signals.append(_ENDED[status](*common, run, run_duration(after)))
    elif status is _REQUIRES_ACTION:
        if run.required_action is not None and len(head.action_keys) > (
            len(before._head.action_keys) if before is not None else 0
        ):
            signals.append(ActionRequired(*common, run, run.required_action, awaited_calls(run)))
    elif before is None:
        signals.append(RunStatusChanged(*common, None, status, len(head.action_keys)))
    elif len(before._head.action_keys) != len(head.action_keys) or status not in before._head.statuses:
        signals.append(RunStatusChanged(*common, before._head.run.status, status, len(head.action_keys)))
    return signals


def _message_signals(old: ObjectState | None, new: ObjectState, common: _Common, progress: bool) -> list[Signal]:
    full: Any = new.full
    known: Any = old.full if old is not None else None
    signals: list[Signal] = []
    if full is not None and known is None:
        signals.append(MessageCreated(*common, get_view(new)))
    if new.parts is None:
        changed = old is None or old.parts is not None or known is None or full.content != known.content
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
    if growing is None or not length or growing.position != position or growing.part < 0 or position >= len(old):
        return False
    full: Any = old[position].full
    if old[position].parts is not None or full is None or full.content or growing.buffer.length != length:
        return False
    parts: Any = after._objects[position].parts
    return len(parts["content"]) == 1 and len(growing.buffer.last) == length


def _ends_unchanged(before: RunState, position: int, new: ObjectState) -> bool:
    """True if a full message has one text that equals the growing text, as nearly each message ends."""
    growing = before._growing
    if (
        growing is None
        or growing.position != position
        or growing.part
        or growing.prior is not None
        or new.parts is not None
    ):
        return False
    content = new.full.content  # type: ignore[union-attr]
    if len(content) != 1 or type(content[0]) is not TextPart or len(before._objects[position].parts["content"]) != 1:  # type: ignore[index]
        return False
    text = content[0].text.value
    return text is not None and growing.buffer.length == before._length and growing.buffer.equals(text)


def _text_signals(old: ObjectState | None, new: ObjectState, common: _Common, progress: bool) -> Iterator[Signal]:
    """The signals of text appended to, or replaced in, each text part of a message."""
    texts = dict(_text_parts(new))
    if old is not None and new.parts is None:
        texts = {**{index: "" for index, _ in _text_parts(old)}, **texts}
    for index, text in texts.items():
        change = _text_change(_text_at(old, index), text)
        if change is None:
            continue
        offset, fragment = change
        if offset < 0:
            yield TextReplaced(*common, new.id, index, fragment)
        elif progress:
            yield TextDelta(*common, new.id, index, offset, fragment)


def _step_signals(
    old: ObjectState | None, new: ObjectState, common: _Common, progress: bool, done: frozenset[str]
) -> list[Signal]:
    full: Any = new.full
    known: Any = old.full if old is not None else None
    signals: list[Signal] = []
    if full is not None and known is None:
        signals.append(StepCreated(*common, get_view(new)))
    if progress and (new.parts is not None or type(full.step_details) is not MessageCreationDetails):
        before = _argument_texts(old)
        for key, text in _argument_texts(new).items():
            change = _text_change(before.get(key), text)
            if change is not None and change[0] >= 0:
                signals.append(ArgumentsDelta(*common, key, *change))
    if done and full is not None:
        signals.extend([ToolCallCompleted(*common, call.id, call) for call in full.tool_calls if call.id in done])
    if full is not None and full.is_terminal and (known is None or not known.is_terminal):
        signals.append(_STEP_ENDED[full.status](*common, get_view(new)))
    return signals


def _text_change(old: Text | str | None, new: Text | str) -> tuple[int, str] | None:
    """Compare two versions of a text.

    Returns:
        The offset and the new text after it; -1 and the whole text if the emitted text was wrong; ``None`` without a
        change.
    """
    if isinstance(new, Text):
        emitted = old.emitted if isinstance(old, Text) else 0
        if isinstance(old, str):
            emitted = len(old)
        if new.emitted <= emitted:
            return None
        prior = new.prior
        if prior is not None and not str(new).startswith(str(prior)):
            return -1, str(new)
        return emitted, text_from(new, emitted)
    known = old or ""
    if isinstance(known, Text):
        prior = known.prior
        known = str(prior) if prior is not None and prior.length >= known.length else str(known)
    if new == known:
        return None
    return (len(known), new[len(known) :]) if new.startswith(known) else (-1, new)


def _text_parts(item: ObjectState) -> Iterator[tuple[int, Text | str]]:
    """The index and the text of each text part of a message."""
    if item.parts is not None and "content" in item.parts:
        for index, part in sorted(item.parts["content"].items()):
            text = _get_path(part, "text", "value")
            if isinstance(text, Text):
                yield index, text
    elif isinstance(item.full, Message):
        for index, found in enumerate(item.full.content):
            if isinstance(found, TextPart):
                yield index, found.text.value or ""


def _text_at(item: ObjectState | None, index: int) -> Text | str | None:
    if item is None:
        return None
    if item.parts is not None and "content" in item.parts:
        text = _get_path(item.parts["content"].get(index), "text", "value")
        return text if isinstance(text, Text) else None
    return next((text for at, text in _text_parts(item) if at == index), None)


def _argument_texts(item: ObjectState | None) -> dict[str, Text | str]:
    """The arguments or code of each tool call of a step, by the id of the call."""
    if item is None:
        return {}
    found: dict[str, Text | str] = {}
    if item.parts is not None and "step_details" in item.parts:
        calls = _get_path(item.parts["step_details"], "tool_calls")
        for index, call in sorted(calls.items()) if isinstance(calls, dict) else ():
            for path in (("function", "arguments"), ("code_interpreter", "input"), ("arguments",)):
                text = _get_path(call, *path)
                if isinstance(text, Text):
                    found[call_name(item, index)] = text
    elif isinstance(item.full, RunStep):
        for index, known in enumerate(item.full.tool_calls):
            if isinstance(known, FunctionToolCall | CodeInterpreterToolCall):
                found[known.id or f"{item.id}:{index}"] = known.arguments or ""
    return found


def _get_path(node: Any, *path: str) -> Any:
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node
