"""The calls of the steps of a run: their names in keys, and which of them are complete or have a result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct, structs

from runstream.core.call_identity import signature_of
from runstream.core.call_names import NO_NAMES
from runstream.core.calls import MAX_ENDED, Calls, add_whole
from runstream.core.object_list import ObjectState
from runstream.core.open_calls import OpenCall
from runstream.model.keys import escape_id
from runstream.model.run import RunStatus
from runstream.model.step import MessageCreationDetails, RunStep, StepStatus
from runstream.model.tool_calls import FunctionToolCall, GenericToolCall, ToolCall, UnknownToolCall

__all__ = ["StepCall", "add_step", "end_step", "name_step_calls", "step_call", "step_calls"]

# The statuses of a run that ended early: its calls are not to be executed.
_NOT_COMPLETED: Final = frozenset({RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.INCOMPLETE, RunStatus.EXPIRED})
_RESULT_STATUSES: Final = frozenset({"completed", "failed"})  # of steps, and of generic calls


class StepCall(Struct, frozen=True, gc=False):
    """A call of a step.

    Attributes:
        index: Its index.
        id: Its id; the step's id and the index if its id was missed.
        name: Its name in keys.
    """

    index: int
    id: str
    name: str


def step_calls(item: ObjectState) -> list[StepCall]:
    """The calls of a step as far as they are known, in order."""
    found = []
    names: dict[str, Iterator[str]] = {}  # by id; of calls with one id they are used in the order of the calls
    has_keys = item.parts is not None and "step_details" in item.parts
    for index, id in _ids(item):
        base = escape_id(id)
        name = item.calls.at(index, base) if id and has_keys else None
        if name is None and id:
            if base not in names:
                names[base] = iter(item.calls.of_id(base))
            name = next(names[base], None)
        found.append(StepCall(index, id, name) if name is not None else _unnamed(item, index, id))
    return found


def _unnamed(item: ObjectState, index: int, id: str) -> StepCall:
    return StepCall(index, id or f"{item.id}:{index}", f"{escape_id(item.id)}:{index}")


def step_call(item: ObjectState, index: int, id: str) -> StepCall:
    """One of :func:`step_calls` of a step that deltas build, by its index and its id."""
    name = item.calls.at(index, escape_id(id)) if id else None
    if name is not None:
        return StepCall(index, id, name)
    if not id:
        return _unnamed(item, index, id)
    return next(call for call in step_calls(item) if call.index == index)


def name_step_calls(calls: Calls, item: ObjectState, ids: Mapping[int, str] | None = None) -> tuple[Calls, ObjectState]:
    """Name the calls of a step that have no name yet: as their request did, or anew.

    Args:
        calls: The calls of the run.
        item: The step.
        ids: The ids of its calls that have no name, by their indices; ``None`` if they are unknown.

    Returns:
        The calls of the run and the step; the same objects if there is nothing new.
    """
    if ids is not None:
        new = [(index, escape_id(id)) for index, id in ids.items()]
    else:
        if item.parts is None and item.calls is NO_NAMES and type(item.full.step_details) is MessageCreationDetails:  # type: ignore[union-attr]
            return calls, item
        seen: Counter[str] = Counter()
        new = []
        for index, id in _ids(item):
            base = escape_id(id)
            seen[base] += 1
            if id and seen[base] > item.calls.count(base):
                new.append((index, base))
    if not new:
        return calls, item
    wire = item.full.tool_calls if ids is None and item.parts is None and isinstance(item.full, RunStep) else None
    names = item.calls
    for index, base in new:
        signature = signature_of(wire[index]) if wire is not None and base in calls.counts else ""
        calls, name = _name_of_step(calls, base, item.id, signature)
        names = names.add(name, index)
    return calls, structs.replace(item, calls=names, view=None)


def _name_of_step(calls: Calls, base: str, step_id: str, signature: str) -> tuple[Calls, str]:
    """Name a call of a step: as its request did, or anew. Of several requested calls with its id it is the one with
    its signature, else the first one.
    """
    if base not in calls.counts:
        return calls.number(base, step_id)
    found = calls.open.find_requested(base, signature)
    if found is None:
        return calls.number(base, step_id)
    return structs.replace(calls, open=calls.open.remove((found,))), found.name


def end_step(calls: Calls, item: ObjectState) -> Calls:
    """Note that a step has ended: a request that follows is for one of its calls only if it is equal."""
    if item.calls is NO_NAMES or not (known := calls.open.of_step(item.id)):
        return calls
    full: Any = item.full
    signatures = {each.name: signature_of(call) for each, call in zip(step_calls(item), full.tool_calls, strict=False)}
    opened = calls.open.remove([each for each in known if each.name not in signatures])
    opened = opened.add(
        *[OpenCall(each.name, item.id, signatures[each.name]) for each in known if each.name in signatures]
    )
    ended = opened.ended()
    excess = len(ended) - max(MAX_ENDED, len(signatures))
    return structs.replace(calls, open=opened.remove(ended[:excess]) if excess > 0 else opened)


def add_step(calls: Calls, item: ObjectState, status: RunStatus) -> Calls:
    """Note the calls of a step whose arguments are complete, and those whose output is.

    Args:
        calls: The calls of the run.
        item: The step, with its full object.
        status: The status of the run.
    """
    full: Any = item.full
    if full.status == StepStatus.COMPLETED:
        names: Iterable[str] = item.calls
        if status in _NOT_COMPLETED:
            # A call of such a run is not to be executed: it is complete only if it was executed.
            known = zip(step_calls(item), full.tool_calls, strict=False)
            names = [each.name for each, call in known if _was_executed(call) and each.name in item.calls]
        calls = add_whole(calls, names)
    return _add_results(calls, item)


def _was_executed(call: ToolCall) -> bool:
    """True if a call has an output, or if only the server can execute it."""
    return call.output is not None or not isinstance(call, FunctionToolCall | GenericToolCall | UnknownToolCall)


def _add_results(calls: Calls, item: ObjectState) -> Calls:
    """Note the calls of a step whose output is complete: the step or the call itself has ended, and has an output."""
    full: Any = item.full
    wire: tuple[ToolCall, ...] = full.tool_calls
    if all(call.output is None for call in wire):
        return calls
    results = calls.results
    has_ended = full.status in _RESULT_STATUSES
    for known, call in zip(step_calls(item), wire, strict=False):
        ended = has_ended or (type(call) is GenericToolCall and call.status in _RESULT_STATUSES)
        if ended and call.output is not None and known.name in item.calls and known.name not in results:
            results = results.add(known.name)
    return calls if results is calls.results else structs.replace(calls, results=results)


def _ids(item: ObjectState) -> list[tuple[int, str]]:
    """The index and the id of each call of a step; "" for an id that was missed."""
    details = item.parts.get("step_details") if item.parts is not None else None
    if details is not None:
        calls = details.get("tool_calls") if isinstance(details, dict) else None
        found = []
        for index, call in sorted(calls.items()) if isinstance(calls, dict) else ():
            id = call.get("id") if isinstance(call, dict) else None
            found.append((index, id if isinstance(id, str) else ""))
        return found
    if isinstance(item.full, RunStep):
        return [(index, call.id) for index, call in enumerate(item.full.tool_calls)]
    return []
