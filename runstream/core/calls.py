"""The tool calls and the requests for action of a run: the names of calls in keys, and the rounds.

A server may repeat an id in another call of a run: at another index, in another step, or in a later round. The name of
a call is therefore its id with ``~k`` behind it for the k-th call of that id in its run, k from 2. A call is seen in
two places, in a step and in a request for action, in either order; both places get one name.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from msgspec import Struct, structs

from runstream.core.call_names import NO_NAMES, base_of
from runstream.core.object_list import ObjectState
from runstream.core.tally import NO_TALLY, Tally
from runstream.model.common import Timestamp
from runstream.model.frozen import thaw
from runstream.model.keys import digest, escape_id
from runstream.model.run import Run, RunStatus
from runstream.model.step import MessageCreationDetails, RunStep, StepStatus
from runstream.model.tool_calls import (
    FunctionToolCall,
    GenericToolCall,
    ToolCall,
    UnknownToolCall,
    parse_arguments,
)

__all__ = [
    "NO_CALLS",
    "Calls",
    "OpenCall",
    "RequestKind",
    "StepCall",
    "accept_request",
    "add_step",
    "add_whole",
    "awaited_names",
    "classify_request",
    "close_calls",
    "end_step",
    "is_request",
    "name_step_calls",
    "request_pairs",
    "step_call",
    "step_calls",
]

_REQUIRES_ACTION: Final = RunStatus.REQUIRES_ACTION
_INTERRUPT: Final = "interrupt"  # a kind of action (:class:`runstream.model.actions.ActionCall`)
# The statuses of a run that ended early: its calls are not to be executed.
_NOT_COMPLETED: Final = frozenset({RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.INCOMPLETE, RunStatus.EXPIRED})
_RESULT_STATUSES: Final = frozenset({"completed", "failed"})  # of steps, and of generic calls
# Calls of ended steps that no request named; likewise requested calls of earlier rounds that are in no step. More are
# kept only where one step or request has more.
_MAX_ENDED: Final = 64

# Returns the arguments of a step's call so far, by the id of the step and the name of the call; ``None`` if unknown.
ArgumentsOf: TypeAlias = Callable[[str, str], str | None]


class OpenCall(Struct, frozen=True, gc=False, array_like=True):
    """A call that was seen in one place only: in a step, or in a request.

    Attributes:
        name: Its name in keys.
        step_id: The id of its step; "" if it was seen in a request.
        signature: The signature of a call that is complete; "" while its step is open.
    """

    name: str
    step_id: str
    signature: str


class Calls(Struct, frozen=True, gc=False, eq=False):
    """The calls and requests of a run. All numbers count from the beginning of the run.

    Attributes:
        round: The number of rounds.
        request: The name of the last request in its key: the sorted names of its calls, or a digest; "" for none.
        started_at: ``started_at`` of the run in the last request.
        pairs: The identities (id and signature) of the calls of the last request, in its order.
        names: The names of these calls.
        counts: The ids of all calls, once for each call of the id; likewise the digests of requests.
        asked: The identities of all requested calls.
        whole: The names of the calls whose arguments are complete.
        open: The calls that were seen in one place only, in order.
        results: The names of the calls whose output is complete.
    """

    round: int = 0
    request: str = ""
    started_at: Timestamp | None = None
    pairs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    counts: Tally = NO_TALLY
    asked: Tally = NO_TALLY
    whole: Tally = NO_TALLY
    open: tuple[OpenCall, ...] = ()
    results: Tally = NO_TALLY

    def was_asked(self, pair: str) -> bool:
        """True if a call of this id and with these arguments was requested before."""
        # States of an older release know the ids alone.
        return pair in self.asked or _pair_of_any(pair) in self.asked

    def number(self, base: str, step_id: str = "", signature: str = "") -> tuple[Calls, str]:
        """Count one more call of an id (or digest), and name it.

        Args:
            base: The encoded id, or the digest.
            step_id: See :class:`OpenCall`; the call is open if this or the signature is given.
            signature: See :class:`OpenCall`.
        """
        counts = self.counts.add(base)
        k = counts.count(base)
        name = base if k == 1 else f"{base}~{k}"
        opened = (*self.open, OpenCall(name, step_id, signature)) if step_id or signature else self.open
        return structs.replace(self, counts=counts, open=opened), name


NO_CALLS: Final = Calls()


class RequestKind(enum.Enum):
    """The relation of a request to the ones before.

    Attributes:
        NEW: It begins a round.
        MORE: It is the present request with one call more, or with another one.
        SAME: It is the present request again.
        OLD: It was made before, and the run has left it behind.
    """

    NEW = "new"
    MORE = "more"
    SAME = "same"
    OLD = "old"


# requests


def is_request(run: Run) -> bool:
    """True if a snapshot of a run requires an action."""
    return run.status is _REQUIRES_ACTION and run.required_action is not None


def request_pairs(run: Run) -> tuple[str, ...]:
    """The identities of the requested calls, in order; of the action itself if it has no calls.

    Equal identities within a request are numbered, so that none is lost.
    """
    action: Any = run.required_action
    calls = action.tool_calls
    pairs = [f"{_base(call)}/{_signature(call)}" for call in calls] or [f"{_digest_base(action.to_dict())}/"]
    if len(set(pairs)) == len(pairs):
        return tuple(pairs)
    seen: Counter[str] = Counter()
    for position, pair in enumerate(pairs):
        seen[pair] += 1
        if seen[pair] > 1:
            pairs[position] = f"{pair}/{seen[pair]}"
    return tuple(pairs)


def classify_request(
    calls: Calls, pairs: tuple[str, ...], started_at: Timestamp | None, *, waits: bool, further: bool
) -> RequestKind:
    """Classify a request.

    Args:
        calls: The calls of the run before it.
        pairs: Its :func:`request_pairs`.
        started_at: ``started_at`` of the run in its snapshot.
        waits: True if the run waits for the last request.
        further: True if its source has shown that the run went on since the last request, or if it is the first one of
            its piece.
    """
    before = calls.started_at
    if further or (started_at is not None and before is not None and started_at > before):
        return RequestKind.NEW
    fresh = not all(map(calls.was_asked, pairs))
    if not waits:
        return RequestKind.NEW if fresh else RequestKind.OLD
    present = set(calls.pairs)
    if present == set(pairs):
        return RequestKind.SAME
    if not fresh:
        return RequestKind.OLD
    return RequestKind.NEW if present.isdisjoint(pairs) else RequestKind.MORE


def accept_request(
    calls: Calls, run: Run, pairs: tuple[str, ...], kind: RequestKind, arguments_of: ArgumentsOf
) -> Calls:
    """Name the calls of a request, and make it the last one.

    Args:
        calls: The calls of the run before it.
        run: The snapshot with the request.
        pairs: Its :func:`request_pairs`.
        kind: Its kind; not ``OLD``.
        arguments_of: Finds the arguments of calls in steps.
    """
    action: Any = run.required_action
    requested: tuple[ToolCall, ...] = action.tool_calls
    known = dict(zip(calls.pairs, calls.names, strict=True)) if kind is not RequestKind.NEW else {}
    names = []
    in_steps: dict[str, list[OpenCall]] = {}
    for each in calls.open:
        if each.step_id:
            in_steps.setdefault(base_of(each.name), []).append(each)
    matched: list[OpenCall] = []
    for call, pair in zip(requested, pairs, strict=False):
        name = known.get(pair)
        if name is None:
            calls, name = _name_requested(calls, call, pair, arguments_of, in_steps, matched)
        names.append(name)
    if matched:
        calls = structs.replace(calls, open=_without(calls.open, matched))
    if kind is RequestKind.SAME:
        return structs.replace(calls, pairs=pairs[: len(names)], names=tuple(names)) if names else calls
    if any(call.id for call in requested):
        request = ",".join(sorted(names))
    else:
        calls, request = calls.number(_digest_base(action.to_dict()))
    new_round = kind is RequestKind.NEW
    if new_round and calls.open:
        # The run went on since the end of these steps; and steps of requests long ago won't come any more.
        over = [each for each in calls.open if each.step_id and each.signature]
        unseen = [each for each in calls.open if not each.step_id]
        over += unseen[: max(0, len(unseen) - max(_MAX_ENDED, len(names)))]
        if over:
            calls = structs.replace(calls, open=_without(calls.open, over))
    asked = calls.asked
    for pair in pairs:
        if pair not in asked:
            asked = asked.add(pair)
    calls = structs.replace(
        calls,
        round=calls.round + new_round,
        request=request,
        started_at=run.started_at if new_round or calls.started_at is None else calls.started_at,
        pairs=pairs,
        names=tuple(names) or (request,),
        asked=asked,
    )
    wanted = zip(names, requested, strict=True)
    return add_whole(calls, [name for name, call in wanted if call.id and call.type != _INTERRUPT])


def awaited_names(calls: Calls, run: Run) -> tuple[str, ...]:
    """The names of the calls that a run waits for, in the order of :attr:`Run.pending_tool_calls`.

    Args:
        calls: The calls of the run.
        run: The run.
    """
    pending = run.pending_tool_calls
    if is_request(run) and len(pending) == len(calls.names):
        return calls.names
    return tuple([_base(call) for call in pending])


def add_whole(calls: Calls, names: Iterable[str]) -> Calls:
    """Note that the arguments of these calls are complete."""
    whole = calls.whole
    for name in names:
        if name not in whole:
            whole = whole.add(name)
    return calls if whole is calls.whole else structs.replace(calls, whole=whole)


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


def close_calls(calls: Calls) -> Calls:
    """Note that a new piece has begun: its calls are others than those that were seen in one place before."""
    return structs.replace(calls, open=()) if calls.open else calls


def _name_requested(
    calls: Calls,
    call: ToolCall,
    pair: str,
    arguments_of: ArgumentsOf,
    in_steps: dict[str, list[OpenCall]],
    matched: list[OpenCall],
) -> tuple[Calls, str]:
    """Name a requested call: as its step did, or anew.

    Args:
        calls: The calls of the run.
        call: The call.
        pair: Its identity.
        arguments_of: Finds the arguments of calls in steps.
        in_steps: The open calls of steps, by their encoded ids; the call of a step that is found is removed.
        matched: The calls that were found.
    """
    base, signature = pair.split("/")[:2]
    if call.type == _INTERRUPT:
        return calls.number(base)  # it asks about a call, maybe under the id of the call, and is not that call
    found = in_steps.get(base, [])
    # The end of a step may arrive before the request for its call, as from another source.
    ended = [each for each in found if each.signature == signature]
    found = [each for each in found if not each.signature] or ended[:1]
    if found:
        # Of several steps the one with these arguments; else the last one: the end of the earlier ones was missed.
        chosen = found[-1]
        if len(found) > 1 and call.arguments is not None:
            texts = [arguments_of(each.step_id, each.name) for each in found]
            wanted = _parse(call.arguments)
            fitting = [each for each, text in zip(found, texts, strict=True) if text and _parse(text) == wanted]
            growing = [each for each, text in zip(found, texts, strict=True) if call.arguments.startswith(text or "")]
            chosen = (fitting or growing or found[-1:])[0]
        in_steps[base].remove(chosen)
        matched.append(chosen)
        return calls, chosen.name
    return calls.number(base, "", signature) if call.id else calls.number(base)


# steps


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
    seen: Counter[str] = Counter()
    for index, id in _ids(item):
        base = escape_id(id)
        name = item.calls.name(base, seen[base]) if id else None
        seen[base] += 1
        found.append(StepCall(index, id, name) if name is not None else _unnamed(item, index, id))
    return found


def _unnamed(item: ObjectState, index: int, id: str) -> StepCall:
    return StepCall(index, id or f"{item.id}:{index}", f"{escape_id(item.id)}:{index}")


def step_call(item: ObjectState, index: int, id: str) -> StepCall:
    """One of :func:`step_calls`, by its index and its id."""
    base = escape_id(id)
    if id and item.calls.count(base) == 1 and (name := item.calls.name(base, 0)) is not None:
        return StepCall(index, id, name)
    if not id:
        return _unnamed(item, index, id)
    return next(call for call in step_calls(item) if call.index == index)


def name_step_calls(calls: Calls, item: ObjectState, ids: Iterable[str] | None = None) -> tuple[Calls, ObjectState]:
    """Name the calls of a step that have no name yet: as their request did, or anew.

    Args:
        calls: The calls of the run.
        item: The step.
        ids: The ids of its calls that have no name; ``None`` if they are unknown.

    Returns:
        The calls of the run and the step; the same objects if there is nothing new.
    """
    if ids is not None:
        missing = Counter([escape_id(id) for id in ids])
    else:
        if item.parts is None and item.calls is NO_NAMES and type(item.full.step_details) is MessageCreationDetails:  # type: ignore[union-attr]
            return calls, item
        missing = Counter([escape_id(id) for _, id in _ids(item) if id])
        for base in missing:
            missing[base] -= item.calls.count(base)
    names = item.calls
    for base, count in missing.items():
        for _ in range(count):
            calls, name = _name_of_step(calls, base, item)
            names = names.add(name)
    if names is item.calls:
        return calls, item
    return calls, structs.replace(item, calls=names, view=None)


def _name_of_step(calls: Calls, base: str, item: ObjectState) -> tuple[Calls, str]:
    if base not in calls.counts:
        return calls.number(base, item.id)
    found = [each for each in calls.open if not each.step_id and _is_of(each, base)]
    if found:
        chosen = found[0]
        if len(found) > 1 and isinstance(item.full, RunStep):
            signatures = {_signature(call) for call in item.full.tool_calls if _base(call) == base}
            chosen = next((each for each in found if each.signature in signatures), chosen)
        return structs.replace(calls, open=tuple([each for each in calls.open if each is not chosen])), chosen.name
    return calls.number(base, item.id)


def end_step(calls: Calls, item: ObjectState) -> Calls:
    """Note that a step has ended: a request that follows is for one of its calls only if it is equal."""
    if not calls.open or item.calls is NO_NAMES or all(each.step_id != item.id for each in calls.open):
        return calls
    full: Any = item.full
    signatures = {known.name: _signature(call) for known, call in zip(step_calls(item), full.tool_calls, strict=False)}
    found = []
    for each in calls.open:
        if each.step_id != item.id:
            found.append(each)
        elif each.name in signatures:
            found.append(OpenCall(each.name, each.step_id, signatures[each.name]))
    ended = [each for each in found if each.step_id and each.signature]
    excess = len(ended) - max(_MAX_ENDED, len(signatures))
    return structs.replace(calls, open=_without(found, ended[:excess] if excess > 0 else ()))


def _without(calls: Iterable[OpenCall], removed: Iterable[OpenCall]) -> tuple[OpenCall, ...]:
    """Calls without some of them."""
    ids = {id(each) for each in removed}
    return tuple([each for each in calls if id(each) not in ids])


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


# identities


def _base(call: ToolCall) -> str:
    return escape_id(call.id) if call.id else _digest_base(call.to_dict())


def _digest_base(value: Any) -> str:
    return f"digest:{digest(value)}"  # no id contains a colon once it is escaped


def _is_of(call: OpenCall, base: str) -> bool:
    return base_of(call.name) == base


def _signature(call: ToolCall) -> str:
    """The digest of a call without its id. Arguments are compared as JSON values: gateways may format them anew."""
    text = call.arguments
    if text is None:
        return digest({name: value for name, value in call.to_dict().items() if name != "id"})
    return digest([call.name, _parse(text)])


def _parse(text: str) -> Any:
    value, error = parse_arguments(text)
    return text if error is not None else [thaw(value)]


def _pair_of_any(pair: str) -> str:
    """The identity of a call with any arguments."""
    return f"{pair.partition('/')[0]}/"
