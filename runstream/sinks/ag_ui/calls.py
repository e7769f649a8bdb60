"""Tool calls and their results: their signals enter, AG-UI events leave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from runstream.core.call_identity import base_of_call
from runstream.core.state import RunState, call_names, is_whole_call
from runstream.model.frozen import thaw
from runstream.model.keys import call_key
from runstream.model.signal_base import AwaitedCall
from runstream.model.signals import ArgumentsDelta, ToolCallCompleted, ToolCallResult
from runstream.model.step import RunStep, StepStatus
from runstream.model.tool_calls import CodeInterpreterToolCall, FileSearchToolCall, LogsOutput, ToolCall
from runstream.sinks.ag_ui.events import AgUiEvent
from runstream.sinks.ag_ui.lanes import Lanes
from runstream.sinks.ag_ui.transcript import CallRecord, Transcript
from runstream.sinks.ag_ui.waiting import HIDDEN_KINDS, tool_call_id

__all__ = ["Calls"]

_ANSWERED_LATER: Final = frozenset(
    {"function", "custom", "shell", "patch", "apply_patch", "computer", "tool_search", "local_shell", "", *HIDDEN_KINDS}
)
"""Kinds of calls that may be answered by the application, after their step has ended."""
_NAMED: Final = frozenset({"function", "custom"})
"""Kinds of calls that have a name, which may follow later; others have that of their kind where they have none."""
_FAILURES: Final = {
    StepStatus.FAILED: "The call failed.",
    StepStatus.CANCELLED: "The call was cancelled.",
    StepStatus.EXPIRED: "The call took too long.",
}
_NOT_WHOLE: Final = "The arguments of the call are incomplete."
_MAX_LOOKUPS: Final = 4


class Calls:
    """The tool calls of a run.

    Args:
        out: The list to which snapshots of all messages are appended.
        lanes: What is open.
        transcript: The messages of the thread.
    """

    def __init__(self, out: list[AgUiEvent], lanes: Lanes, transcript: Transcript) -> None:
        self._out = out
        self._lanes = lanes
        self._transcript = transcript
        self._unanswered: dict[str, CallRecord] = {}

    def add_step(self, step: RunStep, scope: str, path: tuple[str, ...], state: RunState | None) -> None:
        """Open the calls of a step whose names are known."""
        for call, key in _keys(step, scope, state):
            record = self._record(call.id, key, path)
            self._name(record, call)
            self._open(record)

    def write(self, signal: ArgumentsDelta, state: RunState | None) -> None:
        """Send arguments that were appended. They are kept back while the name of the call is unknown."""
        record = self._record(signal.call_id, signal.call_key, signal.path)
        delta = signal.delta
        if signal.offset < record.length:
            delta = delta[record.length - signal.offset :]
        elif signal.offset > record.length and (call := _find(state, signal.call_key)) is not None:
            delta = (call.arguments or "")[record.length : signal.offset] + delta
        if record.name is None and record.lookups < _MAX_LOOKUPS:
            record.lookups += 1
            if (call := _find(state, signal.call_key)) is not None:
                self._name(record, call)
        if not delta:
            return
        self._open(record)
        record.append(delta)
        if record.is_open:
            self._lanes.write_arguments(record, delta)

    def complete(self, call: ToolCall, key: str, path: tuple[str, ...]) -> CallRecord:
        """Send the end of the arguments of a call, and what of them no signal had."""
        record = self._record(call.id, key, path)
        self._name(record, call)
        self._open(record)
        arguments = call.arguments
        if arguments is not None and not record.is_whole:
            known = record.arguments
            if arguments.startswith(known):
                if rest := arguments[len(known) :]:
                    record.append(rest)
                    if record.is_open:
                        self._lanes.write_arguments(record, rest)
            elif record.is_sent:
                record.replace(arguments)
                self._out.append({"type": "MESSAGES_SNAPSHOT", "messages": self._transcript.messages()})
        record.is_whole = True
        self._lanes.close_call(record)
        return record

    def finish(self, signal: ToolCallCompleted) -> None:
        """Send the end of the arguments of a call."""
        self.complete(signal.call, signal.call_key, signal.path)

    def answer(self, signal: ToolCallResult) -> None:
        """Send the result of a call."""
        record = self._record(signal.call_id, signal.call_key, signal.path)
        if record.output is not None:
            return
        self._name(record, signal.call)
        if record.name is not None and not record.is_sent:
            self.complete(signal.call, signal.call_key, signal.path)
        self._answer(record, signal.output)

    def answer_awaited(self, call: AwaitedCall, output: str) -> None:
        """Send the result of a call that has waited, if it was not sent."""
        record = self.complete(call.call, call.key, ())
        if record.output is None:
            self._answer(record, output)

    def end_step(self, step: RunStep, scope: str, path: tuple[str, ...], state: RunState | None) -> None:
        """Answer the calls of a step that has ended, if no one else will answer them."""
        failure = _FAILURES.get(step.status) if step.status is not None else None
        for call, key in _keys(step, scope, state):
            record = self._record(call.id, key, path)
            self._name(record, call)
            if record.output is not None or (failure is None and record.kind in _ANSWERED_LATER):
                continue
            if failure is None:
                self.complete(call, key, path)
            self._open(record)
            self._answer(record, failure if failure is not None else _output_of(call))

    def announce(self, call: AwaitedCall) -> str:
        """Send a call that waits for the front end, if it was not sent; return its id."""
        return self.complete(call.call, call.key, ()).id

    def sent(self) -> dict[str, str]:
        """The ids of the calls that were sent, by their keys."""
        return {key: record.id for key, record in self._transcript.calls.items() if record.is_sent}

    def answer_all(self, output: str) -> None:
        """Answer all calls without a result, so that the front end does not execute them."""
        for record in list(self._unanswered.values()):
            self._answer(record, output)

    def answer_partial(self) -> None:
        """Answer all calls whose arguments are incomplete, so that the front end does not execute them."""
        for record in list(self._unanswered.values()):
            if not record.is_whole:
                self._answer(record, _NOT_WHOLE)

    def add_state(self, step: RunStep, state: RunState, path: tuple[str, ...]) -> list[CallRecord]:
        """The records of the calls of a step of a state that are shown."""
        found = []
        for call, key in _keys(step, state.scope, state):
            record = self._record(call.id, key, path)
            self._name(record, call)
            record.append(call.arguments or "")
            if record.kind in HIDDEN_KINDS or record.name is None:
                continue
            record.output = call.output
            if record.output is None and step.is_terminal and record.kind not in _ANSWERED_LATER:
                record.output = _output_of(call)
            record.is_whole = record.output is not None or is_whole_call(state, key)
            found.append(record)
        return found

    def keep(self, records: Iterable[CallRecord]) -> list[dict[str, Any]]:
        """The messages of records, for a snapshot: they count as sent."""
        messages = []
        for record in records:
            record.is_sent = True
            messages += record.to_messages()
        return messages

    def send(self, records: Iterable[CallRecord]) -> None:
        """Send records as if they were new."""
        for record in records:
            output, record.output = record.output, None
            self._open(record)
            if record.is_whole:
                self._lanes.close_call(record)
            if output is not None:
                self._answer(record, output)

    def _record(self, call_id: str, key: str, path: tuple[str, ...]) -> CallRecord:
        found = self._transcript.calls.get(key)
        if found is None:
            found = self._transcript.make_call(key, tool_call_id(call_id, key), self._lanes.tag(path))
        return found

    def _name(self, record: CallRecord, call: ToolCall) -> None:
        if record.name is None:
            record.kind = call.type
            record.name = call.name or (call.type if call.type not in _NAMED else None)

    def _open(self, record: CallRecord) -> None:
        """Open a call that has a name, once, with the arguments that were kept back."""
        if record.is_sent or record.name is None or record.kind in HIDDEN_KINDS:
            return
        self._lanes.open_call(record)
        self._unanswered[record.id] = record
        if record.length:
            self._lanes.write_arguments(record, record.arguments)

    def _answer(self, record: CallRecord, output: str) -> None:
        self._unanswered.pop(record.id, None)
        if self._transcript.is_answered(record.id):
            record.output = output  # the front end has added it
        elif record.kind not in HIDDEN_KINDS:
            self._lanes.answer(record, output)


def _keys(step: RunStep, scope: str, state: RunState | None) -> Iterator[tuple[ToolCall, str]]:
    """The calls of a step with their keys."""
    names = call_names(state, step.id) if state is not None else []
    for number, call in enumerate(step.tool_calls):
        name = names[number] if number < len(names) else base_of_call(call)
        yield call, call_key(scope, step.run_id or (state.run_id if state is not None else ""), name)


def _find(state: RunState | None, key: str) -> ToolCall | None:
    """The call of a state with a key."""
    for step in state.steps if state is not None else ():
        for call, other in _keys(step, state.scope, state):  # type: ignore[union-attr]
            if other == key:
                return call
    return None


def _output_of(call: ToolCall) -> str:
    """The output of a call that the server has run: its output, or what it found as JSON text."""
    if call.output is not None:
        return call.output
    found: Any = ()
    if isinstance(call, CodeInterpreterToolCall):
        found = call.code_interpreter.outputs
        if found and all(isinstance(output, LogsOutput) for output in found):
            return "".join([output.logs or "" for output in found])
    elif isinstance(call, FileSearchToolCall):
        found = call.file_search.results
    return msgspec.json.encode([thaw(each.to_dict()) for each in found]).decode() if found else ""
