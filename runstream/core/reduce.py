"""The reducer: (state, event) in, state out. Pure and total: every event on every state gives a state, and an
event that says nothing new gives the same object.
"""

from __future__ import annotations

from typing import Any

from msgspec import structs

from runstream.core.accumulate import IndexOutOfBounds, are_items, merge, seed, shaped
from runstream.core.objects import ObjectState
from runstream.core.snapshots import Outcome, joined, reduce_run
from runstream.core.state import Live, RunCore, RunState, settled
from runstream.core.text import Text, TextBuffer
from runstream.events import Event, MessageDeltaEvent, MessageEvent, RunEvent, StepDeltaEvent, StepEvent
from runstream.model.deltas import (
    CodeInterpreterToolCallDelta,
    FunctionToolCallDelta,
    MessageDelta,
    RunStepDelta,
    TextPartDelta,
    ToolCallsDelta,
)
from runstream.model.message import Message
from runstream.model.step import RunStep, StepStatus

__all__ = ["Outcome", "append", "apply", "reduce"]


def reduce(
    state: RunState | None,
    event: Event,
    *,
    at: float = 0.0,
    restart: bool = False,
    replaying: bool = False,
    max_index: int = 4096,
    scope: str = "",
) -> RunState | None:
    """The state after an event.

    Args:
        state: The state before; ``None`` before a run was seen.
        event: An event of that run. Events of no run (threads, errors, unknown ones) change nothing.
        at: When it was observed (Unix seconds); enters only the timings.
        restart: Whether a repeated ``created`` starts the object's accumulation again (a later connection does).
        replaying: Whether the source tells the run from its start again: then a snapshot that is no newer is old.
        max_index: Deltas with a larger index change nothing.
        scope: The scope of a run that is seen for the first time.

    Returns:
        The new state; the same object if nothing changed; ``None`` while no snapshot of the run was seen.
    """
    return apply(state, event, at=at, restart=restart, replaying=replaying, max_index=max_index, scope=scope)[0]


def apply(
    state: RunState | None,
    event: Event,
    *,
    at: float = 0.0,
    restart: bool = False,
    replaying: bool = False,
    max_index: int = 4096,
    scope: str = "",
) -> tuple[RunState | None, Outcome]:
    """:func:`reduce`, with what the event was worth."""
    if isinstance(event, RunEvent):
        core, worth = reduce_run(state._core if state is not None else None, event, at, replaying, scope)
        if state is None:
            return RunState(core, _touched=-1, _event=event.event), worth
        if core is state._core:
            return state, worth
        live = state._live
        if live is not None and live.thread_id != core.run.thread_id:
            live = structs.replace(live, thread_id=core.run.thread_id)
        return RunState(core, state._objects, live, state._length, -1, event.event), worth
    if state is None:
        return None, Outcome.SAME
    if isinstance(event, MessageDeltaEvent | StepDeltaEvent):
        after = append(state, event.data)
        if after is not None:
            return after, Outcome.CHANGED
        return _delta(state, event, at, max_index)
    if isinstance(event, MessageEvent | StepEvent):
        return _full(state, event, at, restart)
    return state, Outcome.SAME


def append(state: RunState, delta: MessageDelta | RunStepDelta) -> RunState | None:
    """The hot path: a plain fragment of the text that grows right now. ``None`` if it is anything else."""
    live = state._live
    if live is None or live.object_id != delta.id or delta._wire is not None:
        return None
    if live.is_message:
        try:
            content = delta.delta.content  # type: ignore[union-attr]
        except AttributeError:
            return None  # a step with the id of a message
        if len(content) != 1:
            return None
        part = content[0]
        if type(part) is not TextPartDelta or part.index != live.index:
            return None
        text = part.text
        if text is None or text.annotations:
            return None
        fragment = text.value
    else:
        try:
            details = delta.delta.step_details  # type: ignore[union-attr]
        except AttributeError:
            return None  # a message with the id of a step
        if type(details) is not ToolCallsDelta or details.tool_calls is None or len(details.tool_calls) != 1:
            return None
        call = details.tool_calls[0]
        kind = type(call)
        if kind is FunctionToolCallDelta:
            inner = call.function  # type: ignore[union-attr]
            if inner is None or inner.name is not None or inner.output is not None or live.path[-1] != "arguments":
                return None
            fragment = inner.arguments
        elif kind is CodeInterpreterToolCallDelta:
            code = call.code_interpreter  # type: ignore[union-attr]
            if code is None or code.outputs or live.path[-1] != "input":
                return None
            fragment = code.input
        else:
            return None
        if call.index != live.index or call.id is not None:  # type: ignore[union-attr]
            return None
    if not fragment:
        return None
    buffer = live.buffer
    length = state._length
    if buffer.length != length:
        return None  # not the newest state of this text: the long way forks it
    buffer.write(fragment)
    buffer.last = fragment
    buffer.length = length = length + len(fragment)
    return RunState(state._core, state._objects, live, length)


def _delta(
    state: RunState, event: MessageDeltaEvent | StepDeltaEvent, at: float, max_index: int
) -> tuple[RunState, Outcome]:
    """A delta, the long way: a first fragment, annotations, another part, several parts, an unknown kind."""
    is_message = isinstance(event, MessageDeltaEvent)
    objects = settled(state)
    position = objects.find(event.data.id)
    held = objects[position] if position >= 0 else ObjectState(event.data.id, is_message, None, None, True)
    if held.is_message is not is_message:
        return state, Outcome.CONFUSED
    if held.is_terminal:
        return state, Outcome.LATE
    name = "content" if is_message else "step_details"
    delta = event.data.delta.to_dict()
    if name in delta:
        delta[name] = shaped(name, delta[name])
    parts = held.parts
    if parts is None:
        parts = _seeded(held, name)
    try:
        merged = merge(parts, delta, max_index)
    except IndexOutOfBounds:
        return state, Outcome.REFUSED
    if merged is parts:
        return state, Outcome.SAME
    item = ObjectState(held.id, is_message, held.full, merged, held.partial)
    objects = objects.append(item) if position < 0 else objects.set(position, item)
    position = len(objects) - 1 if position < 0 else position
    core = _with_object(state._core, item, at)
    live, length = _live(item, position, event, core)
    return RunState(core, objects, live, length, position, event.event), Outcome.CHANGED


def _seeded(item: ObjectState, name: str) -> dict[Any, Any]:
    """What the full object says, as parts that deltas can go on from."""
    known = shaped(name, item.full.to_dict().get(name)) if item.full is not None else None
    return {name: seed(known, name)} if known else {}


def _with_object(core: RunCore, item: ObjectState, at: float) -> RunCore:
    """The core after ``item`` changed: the time of the first text, the calls whose arguments are whole."""
    if item.is_message:
        if core.first_text is None and item.text():
            return structs.replace(core, first_text=at - core.first_seen)
    elif item.is_terminal and isinstance(item.full, RunStep) and item.full.status == StepStatus.COMPLETED:
        new = {call.id for call in item.full.tool_calls if call.id} - core.calls_done
        if new:
            return structs.replace(core, calls_done=core.calls_done | new)
    return core


def _live(
    item: ObjectState, position: int, event: MessageDeltaEvent | StepDeltaEvent, core: RunCore
) -> tuple[Live | None, int]:
    """The text that a delta appended to last, to be kept apart from now on."""
    path: tuple[Any, ...]
    call_id = ""
    body: Any = event.data.delta
    if isinstance(event, MessageDeltaEvent):
        if core.first_text is None:
            return None, 0  # its time is to be noted first
        if not body.content or type(part := body.content[-1]) is not TextPartDelta:
            return None, 0
        index, path = part.index, ("content", part.index, "text", "value")
    else:
        calls = getattr(body.step_details, "tool_calls", None)
        if not calls:
            return None, 0
        call = calls[-1]
        if type(call) is FunctionToolCallDelta:
            path = ("step_details", "tool_calls", call.index, "function", "arguments")
        elif type(call) is CodeInterpreterToolCallDelta:
            path = ("step_details", "tool_calls", call.index, "code_interpreter", "input")
        else:
            return None, 0
        index = call.index
        call_id = call_name(item, index)
    text: Any = item.parts
    for key in path:
        text = text.get(key) if isinstance(text, dict) else None
    if not isinstance(text, Text):
        return None, 0
    if text.prior is not None and text.length <= text.prior.length:
        return None, 0  # told again: not beyond what was shown, and not compared with it yet
    run = core.run
    live = Live(
        position,
        item.id,
        item.is_message,
        index,
        path,
        call_id,
        event.event,
        text.buffer,
        text.prior,
        run.id,
        run.thread_id,
        core.scope,
    )
    return live, text.length


def call_name(item: ObjectState, index: int) -> str:
    """A tool call's id; step and index where its first delta was missed."""
    details = (item.parts or {}).get("step_details")
    calls = details.get("tool_calls") if isinstance(details, dict) else None
    call = calls.get(index) if isinstance(calls, dict) else None
    found = call.get("id") if isinstance(call, dict) else None
    return found if isinstance(found, str) and found else f"{item.id}:{index}"


def _full(state: RunState, event: MessageEvent | StepEvent, at: float, restart: bool) -> tuple[RunState, Outcome]:
    """A full object: it replaces what deltas built, and so heals gaps."""
    new = event.data
    objects = settled(state)
    position = objects.find(new.id)
    if position < 0:
        item = ObjectState(new.id, isinstance(event, MessageEvent), new)
        objects, position = objects.append(item), len(objects)
    else:
        held = objects[position]
        if held.is_message is not isinstance(event, MessageEvent):
            return state, Outcome.CONFUSED
        item = _replaced(held, event, restart)
        if item is held:
            late = held.is_terminal and held.full is not None and new.status != held.full.status
            return state, Outcome.LATE if late else Outcome.SAME
        objects = objects.set(position, item)
    core = _with_object(state._core, item, at)
    return RunState(core, objects, None, 0, position, event.event), Outcome.CHANGED


def _replaced(held: ObjectState, event: MessageEvent | StepEvent, restart: bool) -> ObjectState:
    """``held`` after a full object; the same if it says nothing new."""
    new: Any = event.data
    name = "content" if held.is_message else "step_details"
    full = joined(held.full, new, event.origin) if held.full is not None else new
    if full is held.full and not restart:
        return held
    if held.is_terminal:
        return held if full is held.full else ObjectState(held.id, held.is_message, full, held.parts, held.partial)
    parts, partial = held.parts, held.partial
    if new.is_terminal:
        if parts is None or event.origin is None or not event.origin.absent(name):
            parts, partial = None, False
    elif restart and event.event.endswith(".created"):
        built = parts if parts is not None else _seeded(held, name)
        again = _restarted(built)
        if parts is not None or again is not built:
            parts = _healed(again, new.to_dict().get(name), name)
    elif parts is not None and (full.content if held.is_message else full.step_details is not None):
        parts = _healed(parts, full.to_dict().get(name), name)
    elif parts is None and held.full is not None:
        parts = _kept(held, full, name)
    if parts is held.parts and full == held.full:
        return held
    return ObjectState(held.id, held.is_message, full, parts, partial)


def _restarted(parts: Any) -> Any:
    """The nodes with their texts empty again, remembering what was shown of them."""
    if isinstance(parts, Text):
        if not parts.length:
            return parts
        prior = parts.prior if parts.prior is not None and parts.prior.length >= parts.length else parts
        return Text(TextBuffer(), 0, max(parts.shown, parts.length), prior)
    if isinstance(parts, dict):
        again = {key: _restarted(value) for key, value in parts.items()}
        return again if any(again[key] is not value for key, value in parts.items()) else parts
    return parts


def _healed(parts: dict[Any, Any], snapshot: Any, name: str) -> dict[Any, Any]:
    """What is built after a snapshot of an object that has not ended: its content counts if it goes further."""
    snapshot = shaped(name, snapshot)
    if not snapshot:
        return parts
    return _longer(parts, {name: seed(snapshot, name)})  # type: ignore[no-any-return]


def _kept(held: ObjectState, full: Message | RunStep, name: str) -> dict[Any, Any] | None:
    """Where a snapshot of an object that has not ended is older than the one before it (a poll that another replica
    answered): what was known, and what it adds. ``None`` where it goes at least as far everywhere.
    """
    built = _seeded(held, name)
    if not built:
        return None
    snapshot = shaped(name, full.to_dict().get(name))
    new = {name: seed(snapshot, name)} if snapshot else {}
    return _longer(built, new) if _longer(new, built) is not new else None


def _longer(built: Any, snapshot: Any) -> Any:
    """``built``, with every text of the snapshot that continues it, and every node that it lacks."""
    if isinstance(built, Text):
        if isinstance(snapshot, Text) and snapshot.length > built.length and str(snapshot).startswith(str(built)):
            return Text(snapshot.buffer, snapshot.length, max(built.shown, snapshot.length), built.prior)
        return built
    if isinstance(built, dict) and isinstance(snapshot, dict):
        if built and snapshot and are_items(built) is not are_items(snapshot):
            return built  # one is a list's, the other is not
        out = dict(built)
        changed = False
        for key, value in snapshot.items():
            if key not in out:
                out[key] = value
                changed = True
            else:
                better = _longer(out[key], value)
                changed = changed or better is not out[key]
                out[key] = better
        return out if changed else built
    return built
