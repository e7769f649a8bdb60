"""The state of a run for a subscriber that joins late: the state in, the signals that rebuild it out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct, structs

from runstream.core.calls import NO_CALLS
from runstream.core.derive import derive, message_signals, step_signals
from runstream.core.object_list import ObjectState
from runstream.core.state import RunState, get_view
from runstream.core.step_calls import step_calls
from runstream.core.streamed_texts import streamed
from runstream.model.keys import call_key
from runstream.model.signals import (
    ActivityChanged,
    ArgumentsDelta,
    DocumentChanged,
    RunCreated,
    RunInterrupted,
    RunPaused,
    RunStalled,
    Signal,
    ToolCallCompleted,
    ToolCallResult,
)
from runstream.model.step import RunStep
from runstream.model.tool_calls import ConnectedAgentToolCall, McpToolCall

__all__ = ["StateSnapshot"]

_Common: TypeAlias = tuple[str, str | None, str, float]
_NOTICES = (RunPaused, RunInterrupted, RunStalled)


class StateSnapshot(Struct, frozen=True, gc=False):
    """The state of one run at the moment at which a subscriber joins; no signal, and no fact of its own.

    The signals that follow it continue it without a gap or an overlap: each fact is either in the snapshot or follows,
    and the offset of the next ``message.text`` is the length of the text in :meth:`signals`.

    Attributes:
        state: The latest state of the run.
        facts: The signals about the run as a whole that are still true, as they were emitted, in the order of
            observation: ``run.created``, the last status, ``run.action_required``, the end, ``run.paused``,
            ``run.interrupted``, ``run.stalled``.
        at: The time of the snapshot (Unix seconds).
    """

    state: RunState
    facts: tuple[Signal, ...]
    at: float

    @property
    def type(self) -> str:
        """Its name beside those of signals: ``"state.snapshot"``."""
        return "state.snapshot"

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.state.run_id

    @property
    def scope(self) -> str:
        """The scope of its source; "" by default."""
        return self.state.scope

    @property
    def thread_id(self) -> str | None:
        """The id of the run's thread; ``None`` if it is unknown."""
        return self.state.thread_id

    def signals(self) -> list[Signal]:
        """The signals that build this state from nothing, so that one consumer of signals serves early and late.

        ``run.created`` comes first; then each message and step, with each text, the arguments and the output of each
        call as one signal from offset 0; then documents and activities; the status of the run comes last. Keys of
        facts are those of the signals that were emitted, except that of documents with several paths only the last
        change has its own number. Left out is what no state contains: replaced texts, custom values, earlier statuses,
        signals of sources. They are built anew by each call, which costs as much as the state is large.
        """
        state, at = self.state, self.at
        known = {type(fact): fact for fact in self.facts}
        first, *rest = derive(None, state, at, progress=False)
        awaited = {signal.key: signal for signal in rest if isinstance(signal, ToolCallCompleted)}
        found = [known.get(RunCreated, first), *_objects(state, at, awaited), *_values(state, at)]
        found += awaited.values()
        found += [known.get(type(signal), signal) for signal in rest if not isinstance(signal, ToolCallCompleted)]
        return found + [fact for fact in self.facts if isinstance(fact, _NOTICES)]

    def to_dict(self) -> dict[str, Any]:
        """The snapshot as JSON builtins: ``type``, ``run_id``, ``thread_id``, ``scope``, ``at``, ``status`` and
        ``signals``, each as its own ``to_dict`` has it.
        """
        state = self.state
        return {
            "type": self.type,
            "run_id": state.run_id,
            "thread_id": state.thread_id,
            "scope": state.scope,
            "at": self.at,
            "status": state.status.value,
            "signals": [signal.to_dict() for signal in self.signals()],
        }

    def to_json(self) -> str:
        """The snapshot as one line of JSON."""
        return msgspec.json.encode(self.to_dict()).decode()


def _objects(state: RunState, at: float, awaited: dict[str, ToolCallCompleted]) -> Iterator[Signal]:
    """The signals of messages and steps, in order of creation.

    Args:
        state: The state.
        at: The time of the snapshot (Unix seconds).
        awaited: The facts of calls that the run waits for, by key; those of calls of steps are removed.
    """
    common = (state.run_id, state.thread_id, state.scope, at)
    calls = state._head.calls
    for each in state._all_objects():
        item = _as_emitted(each)
        if item.is_message:
            found = message_signals(None, item, common, True)
        else:
            found = step_signals(None, item, common, True, calls, NO_CALLS)
            if isinstance(item.full, RunStep) and item.parts is None:
                found[1:1] = _other_arguments(state, item, item.full, common)  # behind `step.created`
            elif item.parts is not None:
                emitted = {signal.key for signal in found}
                facts = [awaited.get(fact.key, fact) for fact in _call_facts(state, item, common)]
                found += [fact for fact in facts if fact.key not in emitted]
            for signal in found:
                awaited.pop(signal.key, None)
        yield from [structs.replace(signal, path=item.path) for signal in found] if item.path else found


def _as_emitted(item: ObjectState) -> ObjectState:
    """An object with each text as far as its signals were emitted: after a reset the new text is shorter than that."""
    if item.parts is None:
        return item
    return structs.replace(item, parts=streamed(item.parts), view=None)


def _other_arguments(state: RunState, item: ObjectState, full: RunStep, common: _Common) -> Iterator[Signal]:
    """The arguments of calls whose full object makes no progress: they may have been streamed before it came."""
    for call, wire in zip(step_calls(item), full.tool_calls, strict=False):
        if isinstance(wire, ConnectedAgentToolCall | McpToolCall) and wire.arguments:
            yield ArgumentsDelta(*common, call.id, 0, wire.arguments, call_key(state.scope, state.run_id, call.name))


def _call_facts(state: RunState, item: ObjectState, common: _Common) -> Iterator[Signal]:
    """The facts of the calls of a step that fragments built."""
    calls = state._head.calls
    for call, wire in zip(step_calls(item), get_view(item).tool_calls, strict=False):
        key = call_key(state.scope, state.run_id, call.name)
        if call.name in calls.whole:
            yield ToolCallCompleted(*common, call.id, wire, key)
        if call.name in calls.results:
            yield ToolCallResult(*common, call.id, wire, wire.output or "", key)


def _values(state: RunState, at: float) -> Iterator[Signal]:
    """The signals of documents and activities."""
    common = (state.run_id, state.thread_id, state.scope, at)
    documents = state._head.documents
    # The last change last. The others have numbers before it, so that no two keys are equal.
    paths = sorted(documents.values, key=lambda path: path == documents.path)
    for version, path in enumerate(paths, documents.version - len(paths) + 1):
        partial = path in documents.partial
        yield DocumentChanged(*common, version, documents.get(path), None, documents.size_of(path), partial, path=path)
    for each in state.activities:
        yield ActivityChanged(
            *common, each.id, each.kind, each.version, each.value, None, each.content.size, each.partial, path=each.path
        )
