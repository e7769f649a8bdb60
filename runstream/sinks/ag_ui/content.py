"""Messages, calls, reasoning, labels and subagents of a run: their signals enter, AG-UI events leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from runstream.core.state import RunState, build_objects, get_view, stepless_calls
from runstream.model.keys import call_key
from runstream.model.message import Message
from runstream.model.signal_base import AwaitedCall
from runstream.model.signals import (
    ArgumentsDelta,
    MessageCompleted,
    MessageCreated,
    MessageIncomplete,
    ReasoningDelta,
    RefusalDelta,
    StepCancelled,
    StepCompleted,
    StepCreated,
    StepExpired,
    StepFailed,
    TextDelta,
    TextReplaced,
    ToolCallCompleted,
    ToolCallResult,
)
from runstream.model.step import ReasoningDetails, RunStep, SubagentDetails
from runstream.sinks.ag_ui.calls import Calls
from runstream.sinks.ag_ui.events import AgUiEvent, error_code
from runstream.sinks.ag_ui.lanes import Lanes
from runstream.sinks.ag_ui.texts import Texts
from runstream.sinks.ag_ui.transcript import Transcript

__all__ = ["Content"]

_SUBAGENT_FAILED: Final = "The subagent failed."


class Content:
    """What a run shows: its messages, calls, reasoning, labels and subagents.

    Args:
        out: The list to which events are appended.
        messages: The messages of the front end.
        modern: True for a peer of 1.0.
    """

    def __init__(self, out: list[AgUiEvent], messages: Iterable[Mapping[str, Any]], *, modern: bool) -> None:
        self._out = out
        self._transcript = Transcript(messages)
        self._lanes = Lanes(out, modern=modern)
        self._texts = Texts(out, self._lanes, self._transcript)
        self._calls = Calls(out, self._lanes, self._transcript)
        self._lengths: dict[str, int] = {}  # of reasoning, by message

    def add(self, signal: Any, state: RunState | None) -> bool:
        """Append the events of a signal; false if it is of another kind.

        Args:
            signal: The signal.
            state: The state of its run, now or later.
        """
        handler = _HANDLERS.get(type(signal))
        if handler is None:
            return False
        handler(self, signal, state)
        return True

    def tag(self, path: tuple[str, ...]) -> str | None:
        """The id of the subagent's run at a path; ``None`` for the run itself."""
        return self._lanes.tag(path)

    def reasoning_id(self, id: str) -> str:
        """The id of a message of reasoning that another AG-UI server has sent under this id, if there is one."""
        return f"reasoning/{id}" if f"reasoning/{id}" in self._lengths else id

    def announce(self, call: AwaitedCall) -> str:
        """Send a call that waits for the front end, if it was not sent; return its id."""
        return self._calls.announce(call)

    def answer(self, call: AwaitedCall, output: str) -> None:
        """Send the result of a call, if it was not sent."""
        self._calls.answer_awaited(call, output)

    def sent_calls(self) -> dict[str, str]:
        """The ids of the calls that were sent, by their keys."""
        return self._calls.sent()

    def answer_all(self, output: str) -> None:
        """Answer all calls without a result."""
        self._calls.answer_all(output)

    def answer_partial(self) -> None:
        """Answer all calls whose arguments are incomplete."""
        self._calls.answer_partial()

    def flush(self) -> None:
        """Send what is kept back."""
        self._texts.flush()

    def close_all(self, suspended: list[str] | None = None) -> None:
        """Close all that is open.

        Args:
            suspended: The ids of the interrupts if the run goes on after an answer.
        """
        self.flush()
        self._lanes.close_all(suspended)

    def add_state(self, state: RunState) -> None:
        """Append the content of a state: a snapshot of the messages, then all that does not belong into it.

        The snapshot has the messages up to the first that is open, since what follows it could not be in its place.
        From there on all is sent as if it were new.
        """
        rest: list[Callable[[], Any]] = []
        messages: list[dict[str, Any]] = []
        for item in build_objects(state):
            value, path = get_view(item), item.path
            if isinstance(value, Message):
                texts = self._texts.add_state(value, path)
                if value.is_terminal and not rest:
                    messages += self._texts.keep(texts)
                elif texts:
                    rest.append(partial(self._texts.send, texts, is_terminal=value.is_terminal))
            elif isinstance(value, RunStep):
                messages += self._add_step(state, value, path, rest)
        for call, name in stepless_calls(state):
            key = call_key(state.scope, state.run_id, name)
            rest.append(partial(self._calls.complete, call, key, ()))
        self._out.append({"type": "MESSAGES_SNAPSHOT", "messages": self._transcript.messages_with(messages)})
        for send in rest:
            send()

    def _add_step(
        self, state: RunState, step: RunStep, path: tuple[str, ...], rest: list[Callable[[], Any]]
    ) -> list[dict[str, Any]]:
        """The messages of a step for the snapshot; what can't be in it is appended to the rest."""
        details = step.step_details
        if step.type == "label":
            if not step.is_terminal:
                rest.append(partial(self._open_step, step, path))
        elif isinstance(details, SubagentDetails):
            self._lanes.open_subagent(path, step.id, details.name, details.description)
            if step.is_terminal:
                self._lanes.close_subagent(path, step.id)
        elif isinstance(details, ReasoningDetails):
            return self._add_reasoning(step, details, path, rest)
        elif step.tool_calls:
            calls = self._calls.add_state(step, state, path)
            if not rest and all(call.output is not None for call in calls):
                return self._calls.keep(calls)
            rest.append(partial(self._calls.send, calls))
        return []

    def _add_reasoning(
        self, step: RunStep, details: ReasoningDetails, path: tuple[str, ...], rest: list[Callable[[], Any]]
    ) -> list[dict[str, Any]]:
        tag = self._lanes.tag(path)
        texts = {
            self._reasoning_message(step.id, kind, number): part.text
            for kind, parts in (("reasoning", details.content), ("summary", details.summary))
            for number, part in enumerate(parts)
            if part.text
        }
        self._lengths |= {id: len(text) for id, text in texts.items()}
        if step.is_terminal and not rest:
            found = [{"id": id, "role": "reasoning", "content": text} for id, text in texts.items()]
            return found if tag is None else [{**message, "subagentRunId": tag} for message in found]
        if not step.is_terminal:
            rest.append(partial(self._lanes.open_span, step.id, tag))
        rest += [partial(self._lanes.reason, step.id, id, tag, text) for id, text in texts.items()]
        if step.is_terminal:
            rest.append(partial(self._lanes.close_span, step.id))
        return []

    # signals

    def _on_message(self, signal: MessageCreated, state: RunState | None) -> None:
        self._texts.create(signal.message, signal.path)

    def _on_text(self, signal: TextDelta | RefusalDelta, state: RunState | None) -> None:
        self._texts.write(signal, state)

    def _on_replaced(self, signal: TextReplaced, state: RunState | None) -> None:
        self._texts.replace(signal, state)

    def _on_message_end(self, signal: MessageCompleted | MessageIncomplete, state: RunState | None) -> None:
        self._texts.end(signal.message, signal.path)

    def _on_arguments(self, signal: ArgumentsDelta, state: RunState | None) -> None:
        self._calls.write(signal, state)

    def _on_call(self, signal: ToolCallCompleted, state: RunState | None) -> None:
        self._calls.finish(signal)

    def _on_result(self, signal: ToolCallResult, state: RunState | None) -> None:
        self._calls.answer(signal)

    def _on_reasoning(self, signal: ReasoningDelta, state: RunState | None) -> None:
        id = self._reasoning_message(signal.step_id, signal.kind, signal.part)
        length = self._lengths.get(id, 0)
        delta = signal.delta[max(0, length - signal.offset) :]
        self._lengths[id] = max(length, signal.offset + len(signal.delta))
        if delta:
            self._lanes.reason(signal.step_id, id, self._lanes.tag(signal.path), delta)

    def _reasoning_message(self, step_id: str, kind: str, part: int) -> str:
        """The id of the message for a part of a reasoning, or of its summary."""
        return step_id if kind == "reasoning" and not part else f"{step_id}/{kind}/{part}"

    def _on_step(self, signal: StepCreated, state: RunState | None) -> None:
        step, details = signal.step, signal.step.step_details
        if step.type == "label":
            self._open_step(step, signal.path)
        elif isinstance(details, SubagentDetails):
            self._lanes.open_subagent(signal.path, step.id, details.name, details.description)
        elif step.type == "reasoning":
            self._lanes.open_span(step.id, self._lanes.tag(signal.path))
        else:
            self._calls.add_step(step, signal.scope, signal.path, state)

    def _open_step(self, step: RunStep, path: tuple[str, ...]) -> None:
        self._lanes.open_step(step.id, step.name or step.id, self._lanes.tag(path))

    def _on_step_end(
        self, signal: StepCompleted | StepFailed | StepCancelled | StepExpired, state: RunState | None
    ) -> None:
        step, path = signal.step, signal.path
        if step.type == "label":
            self._lanes.close_step(step.id)
        elif step.type == "reasoning":
            self._lanes.close_span(step.id)
        elif step.type == "subagent":
            error = None
            if not isinstance(signal, StepCompleted):
                code = step.last_error.code if step.last_error is not None else None
                error = {"message": _SUBAGENT_FAILED, "code": error_code(code, signal.type.removeprefix("step."))}
            self._lanes.close_subagent(path, step.id, error)
        else:
            self._calls.end_step(step, signal.scope, path, state)


_HANDLERS: Final[Mapping[type, Callable[[Content, Any, RunState | None], None]]] = {
    MessageCreated: Content._on_message,
    TextDelta: Content._on_text,
    RefusalDelta: Content._on_text,
    TextReplaced: Content._on_replaced,
    MessageCompleted: Content._on_message_end,
    MessageIncomplete: Content._on_message_end,
    ArgumentsDelta: Content._on_arguments,
    ToolCallCompleted: Content._on_call,
    ToolCallResult: Content._on_result,
    ReasoningDelta: Content._on_reasoning,
    StepCreated: Content._on_step,
    StepCompleted: Content._on_step_end,
    StepFailed: Content._on_step_end,
    StepCancelled: Content._on_step_end,
    StepExpired: Content._on_step_end,
}
