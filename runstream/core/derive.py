"""Signals from (before, after): pure, and edges only, so that one fact gives one signal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from runstream.core.objects import ObjectState
from runstream.core.reduce import call_name
from runstream.core.signals import (
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
from runstream.core.state import RunState, view, with_text
from runstream.core.text import Text, since
from runstream.model.calls import CodeInterpreterToolCall, FunctionToolCall, parse_arguments
from runstream.model.message import Message, MessageStatus, TextPart
from runstream.model.run import Run, RunStatus
from runstream.model.step import RunStep, StepStatus

# What every run signal starts with: run id, thread id, scope, time.
_Head: TypeAlias = tuple[str, str | None, str, float]

__all__ = ["awaited_calls", "derive", "progress_signal", "run_duration"]

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
    """The signals of one change of state, in the order in which they should be told.

    Args:
        before: The state before, ``None`` at first sight of the run.
        after: The state after.
        at: When it was observed (Unix seconds).
        progress: Whether to give ``message.text`` and ``tool_call.arguments``.
    """
    if after is before:
        return []
    run = after.run
    head = (run.id, run.thread_id, after.scope, at)
    position = after._touched
    if before is None or position == -1:
        return list(_run_signals(before, after, head))
    if position == -2:
        return [progress_signal(after, before._length, at)] if progress else []
    old, new = _item(before, position), _item(after, position)
    assert new is not None
    if new.is_message:
        return list(_message_signals(old, new, head, progress))
    done = after._core.calls_done - before._core.calls_done
    return list(_step_signals(old, new, head, progress, done))


def progress_signal(after: RunState, offset: int, at: float) -> TextDelta | ArgumentsDelta:
    """The one signal of a plain fragment (:func:`~runstream.core.reduce.append`): :func:`derive`'s hot path."""
    live: Any = after._live
    buffer, length = live.buffer, after._length
    # What grew on since still has it, at its place.
    text = buffer.last if buffer.length == length else buffer.read()[offset:length]
    if live.is_message:
        return TextDelta(live.run_id, live.thread_id, live.scope, at, live.object_id, live.index, offset, text)
    return ArgumentsDelta(live.run_id, live.thread_id, live.scope, at, live.call_id, offset, text)


def _item(state: RunState, position: int) -> ObjectState | None:
    objects = state._objects
    if position >= len(objects):
        return None
    item = objects[position]
    live = state._live
    if live is not None and live.position == position:
        return with_text(item, live, state._length)
    return item


def awaited_calls(run: Run) -> tuple[AwaitedCall, ...]:
    """The calls that a run waits for, with their arguments parsed."""
    calls = []
    for call in run.pending_tool_calls:
        parsed, error = parse_arguments(call.arguments) if call.arguments is not None else (None, None)
        calls.append(AwaitedCall(call.id, call.name, call.arguments, parsed, error, call))
    return tuple(calls)


def run_duration(state: RunState) -> float | None:
    """Seconds from a run's creation to its end: by the server's clock, or as observed where it does not say."""
    run = state.run
    if not run.is_terminal:
        return None
    end = run.completed_at or run.failed_at or run.cancelled_at
    if end is not None and run.created_at is not None and end >= run.created_at:
        return float(end - run.created_at)
    core = state._core
    return core.since - core.first_seen if core.since > core.first_seen else None


def _run_signals(before: RunState | None, after: RunState, head: _Head) -> Iterator[Signal]:
    run = after.run
    if before is None:
        yield RunCreated(*head, run)
    old_done = before._core.calls_done if before is not None else frozenset()
    done = after._core.calls_done
    if len(done) != len(old_done):
        for call in run.pending_tool_calls:
            if call.id in done and call.id not in old_done:
                yield ToolCallCompleted(*head, call.id, call)
    if run.status.is_terminal:
        if before is None or not before.is_terminal:
            yield _ENDED[run.status](*head, run, run_duration(after))
    elif run.status == RunStatus.REQUIRES_ACTION:
        if run.required_action is not None and after.round > (before.round if before is not None else 0):
            yield ActionRequired(*head, run, run.required_action, awaited_calls(run))
    elif before is None or before.round != after.round or run.status not in before._core.statuses:
        yield RunStatusChanged(*head, before.status if before is not None else None, run.status, after.round)


def _message_signals(old: ObjectState | None, new: ObjectState, head: _Head, progress: bool) -> Iterator[Signal]:
    if new.full is not None and (old is None or old.full is None):
        yield MessageCreated(*head, view(new))
    texts = dict(_texts(new))
    if old is not None:
        texts = {**{index: "" for index, _ in _texts(old) if new.parts is None}, **texts}
    for index, text in texts.items():
        change = _growth(_text_at(old, index), text)
        if change is None:
            continue
        offset, fragment = change
        if offset < 0:
            yield TextReplaced(*head, new.id, index, fragment)
        elif progress:
            yield TextDelta(*head, new.id, index, offset, fragment)
    if new.is_terminal and not (old is not None and old.is_terminal):
        full: Any = new.full
        yield _MESSAGE_ENDED[full.status](*head, view(new))


def _step_signals(
    old: ObjectState | None, new: ObjectState, head: _Head, progress: bool, done: frozenset[str]
) -> Iterator[Signal]:
    if new.full is not None and (old is None or old.full is None):
        yield StepCreated(*head, view(new))
    if progress:
        before = _arguments(old)
        for key, text in _arguments(new).items():
            change = _growth(before.get(key), text)
            if change is not None and change[0] >= 0:
                yield ArgumentsDelta(*head, key, *change)
    if done and isinstance(new.full, RunStep):
        for call in new.full.tool_calls:
            if call.id in done:
                yield ToolCallCompleted(*head, call.id, call)
    if new.is_terminal and not (old is not None and old.is_terminal):
        full: Any = new.full
        yield _STEP_ENDED[full.status](*head, view(new))


def _growth(old: Text | str | None, new: Text | str) -> tuple[int, str] | None:
    """What is new in a text, and where it starts; -1 and the whole text if what was shown was wrong."""
    if isinstance(new, Text):
        shown = old.shown if isinstance(old, Text) else 0
        if isinstance(old, str):
            shown = len(old)
        if new.shown <= shown:
            return None
        prior = new.prior
        if prior is not None and not str(new).startswith(str(prior)):
            return -1, str(new)
        return shown, since(new, shown)
    told = old or ""
    if isinstance(told, Text):
        prior = told.prior
        told = str(prior) if prior is not None and prior.length >= told.length else str(told)
    if new == told:
        return None
    return (len(told), new[len(told) :]) if new.startswith(told) else (-1, new)


def _texts(item: ObjectState) -> Iterator[tuple[int, Text | str]]:
    """The text of each text part of a message, by the part's index."""
    if item.parts is not None and "content" in item.parts:
        for index, part in sorted(item.parts["content"].items()):
            text = _inner(part, "text", "value")
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
        text = _inner(item.parts["content"].get(index), "text", "value")
        return text if isinstance(text, Text) else None
    return next((text for at, text in _texts(item) if at == index), None)


def _arguments(item: ObjectState | None) -> dict[str, Text | str]:
    """The growing text of each tool call of a step, by call id."""
    if item is None:
        return {}
    found: dict[str, Text | str] = {}
    if item.parts is not None and "step_details" in item.parts:
        calls = _inner(item.parts["step_details"], "tool_calls")
        for index, call in sorted(calls.items()) if isinstance(calls, dict) else ():
            for path in (("function", "arguments"), ("code_interpreter", "input"), ("arguments",)):
                text = _inner(call, *path)
                if isinstance(text, Text):
                    found[call_name(item, index)] = text
    elif isinstance(item.full, RunStep):
        for index, known in enumerate(item.full.tool_calls):
            if isinstance(known, FunctionToolCall | CodeInterpreterToolCall):
                found[known.id or f"{item.id}:{index}"] = known.arguments or ""
    return found


def _inner(node: Any, *path: str) -> Any:
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node
