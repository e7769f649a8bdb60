"""The requests for action of a run: which calls they name, and which request begins a round."""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

from msgspec import structs

from runstream.core.call_identity import base_of_call, digest_base, parse_json, signature_of
from runstream.core.calls import MAX_ENDED, Calls, add_whole
from runstream.core.open_calls import OpenCall
from runstream.model.common import Timestamp
from runstream.model.keys import digest
from runstream.model.run import Run, RunStatus
from runstream.model.tool_calls import ToolCall

__all__ = [
    "RequestKind",
    "accept_request",
    "awaited_names",
    "classify_request",
    "is_request",
    "request_pairs",
]

_REQUIRES_ACTION: Final = RunStatus.REQUIRES_ACTION
_INTERRUPT: Final = "interrupt"  # a kind of action (:class:`runstream.model.actions.ActionCall`)

# Returns the arguments of a step's calls so far, by their names; the argument is the id of the step.
ArgumentsOf: TypeAlias = Callable[[str], Mapping[str, str | None]]


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


def is_request(run: Run) -> bool:
    """True if a snapshot of a run requires an action."""
    return run.status is _REQUIRES_ACTION and run.required_action is not None


def request_pairs(run: Run) -> tuple[str, ...]:
    """The identities of the requested calls, in order; of the action itself if it has no calls.

    Equal identities within a request are numbered, so that none is lost.
    """
    action: Any = run.required_action
    calls = action.tool_calls
    pairs = [f"{base_of_call(call)}/{signature_of(call)}" for call in calls] or [f"{digest_base(action.to_dict())}/"]
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
    arguments_of = cache(arguments_of)
    in_steps: dict[str, _StepCalls] = {}
    for base in {pair.partition("/")[0] for pair in pairs}:
        if opened := calls.open.of_id(base):
            in_steps[base] = _StepCalls(arguments_of, opened)
    for call, pair in zip(requested, pairs, strict=False):
        name = known.get(pair)
        if name is None:
            calls, name = _name_requested(calls, call, pair, in_steps)
        names.append(name)
    if taken := [each for found in in_steps.values() for each in found.taken]:
        calls = structs.replace(calls, open=calls.open.remove(taken))
    if kind is RequestKind.SAME:
        return structs.replace(calls, pairs=pairs[: len(names)], names=tuple(names)) if names else calls
    if any(call.id for call in requested):
        request = ",".join(sorted(names))
    else:
        calls, request = calls.number(digest_base(action.to_dict()))
    new_round = kind is RequestKind.NEW
    if new_round and calls.open:
        # The run went on since the end of these steps; and steps of requests long ago won't come any more.
        over = calls.open.ended()
        over += calls.open.requested(max(0, calls.open.requested_count - max(MAX_ENDED, len(names))))
        if over:
            calls = structs.replace(calls, open=calls.open.remove(over))
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
    return tuple([base_of_call(call) for call in pending])


def _name_requested(calls: Calls, call: ToolCall, pair: str, in_steps: dict[str, _StepCalls]) -> tuple[Calls, str]:
    """Name a requested call: as its step did, or anew.

    Args:
        calls: The calls of the run.
        call: The call.
        pair: Its identity.
        in_steps: The open calls of steps, by their encoded ids; the call that is found is removed.
    """
    base, signature = pair.split("/")[:2]
    if call.type == _INTERRUPT:
        return calls.number(base)  # it asks about a call, maybe under the id of the call, and is not that call
    found = in_steps[base].take(call.arguments, signature) if base in in_steps else None
    if found is not None:
        return calls, found.name
    return calls.number(base, "", signature) if call.id else calls.number(base)


class _StepCalls:
    """The open calls of one id in steps. A request takes each of them once, in time linear in their number.

    Args:
        arguments_of: Finds the arguments of calls in steps.
        calls: The calls, in order.

    Attributes:
        taken: The calls that were taken.
    """

    def __init__(self, arguments_of: ArgumentsOf, calls: Iterable[OpenCall]) -> None:
        self.taken: list[OpenCall] = []
        self._arguments_of = arguments_of
        self._open: dict[str, OpenCall] = {}  # of steps that have not ended; by name, in order
        self._ended: dict[str, deque[OpenCall]] = {}  # of ended steps, by signature
        # Names by the digest of the arguments and by their text; built when a choice depends on the arguments.
        self._by_value: dict[str, deque[str]] = {}
        self._by_text: dict[str, deque[str]] = {}
        self._places: dict[str, int] = {}
        for call in calls:
            if call.signature:
                self._ended.setdefault(call.signature, deque()).append(call)
            else:
                self._open[call.name] = call

    def take(self, arguments: str | None, signature: str) -> OpenCall | None:
        """Remove and return the call that a request means; ``None`` if there is none.

        Args:
            arguments: The arguments in the request.
            signature: The signature of the requested call.
        """
        found = None
        if self._open:
            # Of several steps the one with these arguments; else the last one: the end of the earlier ones was missed.
            name = self._find(arguments) if arguments is not None and len(self._open) > 1 else None
            found = self._open.pop(name) if name is not None else self._open.popitem()[1]
        elif ended := self._ended.get(signature):
            # The end of a step may arrive before the request for its call, as from another source.
            found = ended.popleft()
        if found is not None:
            self.taken.append(found)
        return found

    def _find(self, arguments: str) -> str | None:
        """The name of the first call with these arguments, else of the first one whose arguments may become these."""
        if not self._places:
            self._read_arguments()
        name = self._first(self._by_value.get(digest(parse_json(arguments))))
        if name is not None:
            return name
        lengths = {len(text) for text in self._by_text if len(text) <= len(arguments)}
        growing = [self._first(self._by_text.get(arguments[:length])) for length in lengths]
        return min(filter(None, growing), key=self._places.__getitem__, default=None)

    def _first(self, names: deque[str] | None) -> str | None:
        """The first of these names that was not taken."""
        while names and names[0] not in self._open:
            names.popleft()
        return names[0] if names else None

    def _read_arguments(self) -> None:
        for place, (name, call) in enumerate(self._open.items()):
            text = self._arguments_of(call.step_id).get(name) or ""
            self._places[name] = place
            self._by_text.setdefault(text, deque()).append(name)
            if text:
                self._by_value.setdefault(digest(parse_json(text)), deque()).append(name)
