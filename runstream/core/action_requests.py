"""The requests for action of a run: which calls they name, and which request begins a round."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from msgspec import structs

from runstream.core.call_identity import base_of_call, digest_base, parse_json, signature_of
from runstream.core.call_names import base_of
from runstream.core.calls import MAX_ENDED, Calls, OpenCall, add_whole, without
from runstream.model.common import Timestamp
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

# Returns the arguments of a step's call so far, by the id of the step and the name of the call; ``None`` if unknown.
ArgumentsOf: TypeAlias = Callable[[str, str], str | None]


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
        calls = structs.replace(calls, open=without(calls.open, matched))
    if kind is RequestKind.SAME:
        return structs.replace(calls, pairs=pairs[: len(names)], names=tuple(names)) if names else calls
    if any(call.id for call in requested):
        request = ",".join(sorted(names))
    else:
        calls, request = calls.number(digest_base(action.to_dict()))
    new_round = kind is RequestKind.NEW
    if new_round and calls.open:
        # The run went on since the end of these steps; and steps of requests long ago won't come any more.
        over = [each for each in calls.open if each.step_id and each.signature]
        unseen = [each for each in calls.open if not each.step_id]
        over += unseen[: max(0, len(unseen) - max(MAX_ENDED, len(names)))]
        if over:
            calls = structs.replace(calls, open=without(calls.open, over))
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
            wanted = parse_json(call.arguments)
            fitting = [each for each, text in zip(found, texts, strict=True) if text and parse_json(text) == wanted]
            growing = [each for each, text in zip(found, texts, strict=True) if call.arguments.startswith(text or "")]
            chosen = (fitting or growing or found[-1:])[0]
        in_steps[base].remove(chosen)
        matched.append(chosen)
        return calls, chosen.name
    return calls.number(base, "", signature) if call.id else calls.number(base)
