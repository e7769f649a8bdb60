"""The encoder: signals and snapshots of runs in, chunks of one UI message out. Pure; each prefix is a valid stream."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from runstream.clients.answers import CallAnswer
from runstream.core.selection import RUN_ENDS
from runstream.core.state import RunState
from runstream.core.state_snapshot import StateSnapshot
from runstream.model.keys import run_key
from runstream.model.signals import (
    ActionRequired,
    ActivityChanged,
    ArgumentsDelta,
    CustomReceived,
    DocumentChanged,
    MessageCompleted,
    MessageCreated,
    MessageIncomplete,
    ReasoningDelta,
    RefusalDelta,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunExpired,
    RunFailed,
    RunIncomplete,
    RunInterrupted,
    RunSignal,
    RunStalled,
    RunStatusChanged,
    Signal,
    SourceDisconnected,
    SourceError,
    SourceResumed,
    StepCancelled,
    StepCompleted,
    StepCreated,
    StepExpired,
    StepFailed,
    TextDelta,
    TextReplaced,
    ToolCallCompleted,
    ToolCallOutputDelta,
    ToolCallResult,
)
from runstream.model.step import RunStep
from runstream.model.tool_calls import ToolCall
from runstream.sinks.ui_message_stream.chunks import UiMessageChunk
from runstream.sinks.ui_message_stream.data_parts import (
    MAX_DATA,
    activity_chunk,
    custom_chunk,
    document_chunk,
    notice_chunk,
    step_chunk,
)
from runstream.sinks.ui_message_stream.outcome import (
    ErrorText,
    RunFacts,
    error_text,
    outcome_chunks,
    run_metadata,
)
from runstream.sinks.ui_message_stream.posted import PostedMessage
from runstream.sinks.ui_message_stream.sources import FileUrl, file_chunks, no_url, source_chunks
from runstream.sinks.ui_message_stream.text_parts import PartKey, TextKind, TextParts
from runstream.sinks.ui_message_stream.tool_calls import keyed_calls
from runstream.sinks.ui_message_stream.tool_parts import SdkVersion, ToolParts

__all__ = ["Submitted", "UiMessageEncoder", "no_answer"]

_StepEnded: TypeAlias = StepCompleted | StepFailed | StepCancelled | StepExpired

Submitted: TypeAlias = Callable[[str, str], CallAnswer | None]
"""Returns the submitted answer to a call, by the id of the run and the key of the call."""

_SHOWN_ROLES: Final = frozenset({None, "assistant"})


def no_answer(run_id: str, key: str) -> None:
    """No answer to any call."""


class UiMessageEncoder:
    """Encodes runs of any protocol as one UI message stream (version ``v1``), for ``useChat`` of the npm package `ai`.

    ::

        encoder = UiMessageEncoder()
        for signal in folded.signals:
            chunks += encoder.encode(signal)
        chunks += encoder.finish()

    All that it is passed becomes parts of one assistant message. Nothing is read and nothing is sent: each call returns
    the chunks that are due, as JSON builtins, and all chunks so far are a valid stream that is not finished.

    Args:
        message_id: The id of the message; ``None``: the browser makes one.
        message: The assistant message that the browser has and that this stream continues, as it was posted. Of a
            snapshot only what is not in it is sent.
        sdk: The oldest version of the package `ai` that reads the stream. Version 5 knows no approvals: it receives
            each as a part ``data-approval``.
        typed_tools: The names of the tools for which the front end has types, as ``tool-{name}``; all others are
            ``dynamic-tool``. ``None``: all functions.
        submitted: Returns the answer that the application has submitted for a call, by the id of the run and the key
            of the call; ``None`` if there is none. Not all protocols report these answers:
            :meth:`ResponsesClient.submitted` has them.
        file_url: Returns the URL of a file of the server, for images in messages; ``None`` without one.
        error_text: Returns the text of the ``error`` chunk. The default has no words of the server.
        max_data: The size (bytes of JSON) up to which documents, activities and custom values are sent.

    Raises:
        ValueError: The version is neither 5 nor 6, or ``max_data`` is negative.
    """

    def __init__(
        self,
        *,
        message_id: str | None = None,
        message: Mapping[str, Any] | None = None,
        sdk: SdkVersion = 6,
        typed_tools: Collection[str] | None = None,
        submitted: Submitted = no_answer,
        file_url: FileUrl = no_url,
        error_text: ErrorText = error_text,
        max_data: int = MAX_DATA,
    ) -> None:
        if sdk not in (5, 6):
            raise ValueError(f"sdk is 5, or 6 for this version and later ones, not {sdk!r}")
        if max_data < 0:
            raise ValueError("max_data can't be negative")
        self._message_id = message_id
        self._posted = PostedMessage(message)
        self._texts = TextParts()
        self._tools = ToolParts(sdk, typed_tools, self._posted.tools)
        self._submitted = submitted
        self._file_url = file_url
        self._error_text = error_text
        self._max_data = max_data
        self._runs: dict[str, RunFacts] = {}  # by run key, in order of their last fact
        self._open_runs: set[str] = set()
        self._waiting_runs: set[str] = set()
        self._hidden: set[tuple[str, str]] = set()  # messages of other roles
        self._open_steps: dict[str, dict[str, None]] = {}  # steps with calls, by run key
        self._started = self._finished = self._is_snapshot = False

    @property
    def tool_call_keys(self) -> Mapping[str, str]:
        """The keys of the calls by their ``toolCallId``, for answers that a browser sends."""
        return self._tools.keys()

    @property
    def is_waiting(self) -> bool:
        """True if a run waits for an action, as far as it was encoded."""
        return bool(self._waiting_runs)

    @property
    def has_ended(self) -> bool:
        """True if there was a run, and all runs have ended."""
        return bool(self._runs) and not self._open_runs

    @property
    def is_finished(self) -> bool:
        """True after :meth:`finish`."""
        return self._finished

    def start(self) -> list[UiMessageChunk]:
        """The first chunks; empty if the stream has begun. The other methods call it where needed."""
        if self._started:
            return []
        self._started = True
        named = {"messageId": self._message_id} if self._message_id is not None else {}
        found: list[UiMessageChunk] = [{"type": "start", **named}, {"type": "start-step"}]
        return [*found, *self._tools.decline(self._posted.declined)]

    def encode(self, item: Signal | StateSnapshot, state: RunState | None = None) -> list[UiMessageChunk]:
        """The chunks of a signal, or of the state of a run in place of its signals so far.

        Args:
            item: The signal or snapshot.
            state: The latest state of the run, if there is one. It names calls of which only arguments were received:
                without it, these are sent when they are complete.

        Returns:
            The chunks; empty after :meth:`finish`.
        """
        if self._finished:
            return []
        found = self.start()
        if not isinstance(item, StateSnapshot):
            return [*found, *self._encode(item, state)]
        self._is_snapshot = True
        found += [chunk for signal in item.signals() for chunk in self._encode(signal, item.state)]
        found += self._answers(item.run_id, self._tools.open_keys(run_key(item.scope, item.run_id)))
        self._is_snapshot = False
        if self._posted.has_run(item.run_id):
            self._tools.has_output = False  # the stream has begun with a step of its own
        return found

    def finish(self, states: Iterable[RunState] = ()) -> list[UiMessageChunk]:
        """The last chunks: open parts end, requests for approvals follow, then the outcome of the runs.

        Call it when no further signal is to be sent: the runs have ended, wait for the user, or are cut off. A request
        for an approval is not sent before, because the application may answer it itself, and a browser can't before
        the response has ended.

        Args:
            states: The latest states of the runs. They have what no signal has reported: the usage of a run, which
                some protocols send after its end, and calls that were cut off before their arguments.
        """
        if self._finished:
            return []
        found = self.start()
        self._finished = True
        states = [*states]
        found += [chunk for state in states for chunk in self._unseen_calls(state)]
        waiting = [call for run in self._runs.values() for call in run.waiting]
        found += self._tools.flush({call.key for call in waiting})
        found += self._texts.end_all()
        for call in waiting:
            found += self._tools.request(call)
            found += self._tools.ask(call)
        if self._tools.has_output and not waiting:
            # A front end that sends by itself when all calls of the last step have outputs would send again.
            found += _BOUNDARY
        found += [run_metadata(state.run_id, state.run) for state in states if self._has_news(state)]
        found.append({"type": "finish-step"})
        return [*found, *outcome_chunks([*self._runs.values()], self._error_text)]

    def _encode(self, signal: Signal, state: RunState | None) -> Iterator[UiMessageChunk]:
        match signal:
            case TextDelta(message_id=id, part=part, delta=text):
                if (signal.run_key, id) not in self._hidden:
                    yield from self._append(signal, "text", id, part, text)
            case ArgumentsDelta(call_key=key, delta=text):
                yield from self._before_call(key)
                yield from self._tools.grow(key, text, lambda: self._find_call(signal, key, state))
            case ReasoningDelta(step_id=id, part=part, delta=text, kind=kind):
                yield from self._append(signal, kind, id, part, text)
            case ToolCallOutputDelta(call_key=key, delta=text):
                yield from self._tools.grow_output(key, text, lambda: self._find_call(signal, key, state))
            case RefusalDelta(message_id=id, part=part, delta=text):
                if (signal.run_key, id) not in self._hidden:
                    yield from self._append(signal, "refusal", id, part, text)
            case TextReplaced(message_id=id, part=part, text=text):
                if (signal.run_key, id) not in self._hidden:
                    yield from self._boundary()
                    yield from self._texts.replace(self._key(signal, "text", id, part), text, signal.path)
            case MessageCreated() | MessageCompleted() | MessageIncomplete():
                yield from self._message(signal)
            case StepCreated(step=step):
                yield from self._step_created(signal, step, state)
            case StepCompleted() | StepFailed() | StepCancelled() | StepExpired():
                yield from self._step_ended(signal, state)
            case ToolCallCompleted(call_key=key, call=call):
                yield from self._before_call(key)
                yield from self._tools.complete(key, call)
            case ToolCallResult(call_key=key, call=call, output=output):
                yield from self._before_call(key)
                yield from self._tools.result(key, call, output)
            case DocumentChanged():
                yield document_chunk(signal, self._max_data)
            case ActivityChanged():
                yield activity_chunk(signal, self._max_data)
            case CustomReceived():
                yield custom_chunk(signal, self._max_data)
            case RunStalled() | SourceDisconnected() | SourceResumed() | SourceError():
                yield notice_chunk(signal)
            case RunSignal():
                yield from self._run(signal)

    def _answers(self, run_id: str, keys: Iterable[str]) -> Iterator[UiMessageChunk]:
        """The chunks of the answers that the application has submitted to some calls."""
        for key in keys:
            answer = self._submitted(run_id, key)
            if answer is not None:
                yield from self._tools.answer(key, answer)

    def _has_news(self, state: RunState) -> bool:
        facts = self._runs.get(run_key(state.scope, state.run_id))
        return facts is not None and facts.usage != state.usage

    def _unseen_calls(self, state: RunState) -> Iterator[UiMessageChunk]:
        key = run_key(state.scope, state.run_id)
        for step_id in self._open_steps.get(key, ()):
            step = state.step(step_id)
            for name, call in keyed_calls(state.scope, state.run_id, step, state) if step is not None else ():
                yield from self._before_call(name)
                yield from self._tools.begin(name, call)

    # Texts and calls

    def _append(self, signal: RunSignal, kind: TextKind, id: str, part: int, text: str) -> Iterator[UiMessageChunk]:
        yield from self._boundary()
        key = self._key(signal, kind, id, part)
        known = self._posted.text(key) if self._is_snapshot else ""
        if text.startswith(known):
            yield from self._texts.append(key, text[len(known) :], signal.path)
        else:
            yield from self._texts.replace(key, text, signal.path)

    def _key(self, signal: RunSignal, kind: TextKind, id: str, part: int) -> PartKey:
        return PartKey(signal.run_key, signal.run_id, kind, id, part)

    def _before_call(self, key: str) -> Iterator[UiMessageChunk]:
        if not self._tools.is_known(key):
            yield from self._boundary()

    def _boundary(self) -> Iterator[UiMessageChunk]:
        """The chunks between two steps of the message: content after outputs is a further step of the model.

        The end of a step closes all texts, and a call whose input grows belongs to one step.
        """
        if self._tools.has_output and not self._tools.is_growing:
            self._tools.has_output = False
            yield from self._texts.end_all()
            yield from _BOUNDARY

    def _message(self, signal: MessageCreated | MessageCompleted | MessageIncomplete) -> Iterator[UiMessageChunk]:
        message = signal.message
        owner = (signal.run_key, message.id)
        if message.role not in _SHOWN_ROLES:
            self._hidden.add(owner)
        if isinstance(signal, MessageCreated) or owner in self._hidden:
            return
        yield from self._texts.end(*owner)
        for chunk in (*source_chunks(signal.run_id, message), *file_chunks(signal.run_id, message, self._file_url)):
            if not self._is_snapshot or not self._posted.has(chunk):
                yield chunk

    def _step_created(self, signal: StepCreated, step: RunStep, state: RunState | None) -> Iterator[UiMessageChunk]:
        yield from step_chunk(signal, step)
        if step.type == "tool_calls" or step.tool_calls:
            self._open_steps.setdefault(signal.run_key, {})[step.id] = None
            for key, call in keyed_calls(signal.scope, signal.run_id, step, state):
                yield from self._before_call(key)
                yield from self._tools.begin(key, call)

    def _step_ended(self, signal: _StepEnded, state: RunState | None) -> Iterator[UiMessageChunk]:
        step = signal.step
        self._open_steps.get(signal.run_key, {}).pop(step.id, None)
        yield from self._texts.end(signal.run_key, step.id)
        yield from step_chunk(signal, step)
        error = None if isinstance(signal, StepCompleted) else self._error_text(signal)
        for key, call in keyed_calls(signal.scope, signal.run_id, step, state):
            yield from self._before_call(key)
            yield from self._tools.end_by_step(key, call, error)

    def _find_call(self, signal: RunSignal, key: str, state: RunState | None) -> ToolCall | None:
        """A call of an open step, by its key."""
        if state is None:
            return None
        for step_id in reversed(self._open_steps.get(signal.run_key, {})):
            step = state.step(step_id)
            if step is not None:
                for found, call in keyed_calls(signal.scope, signal.run_id, step, state):
                    if found == key:
                        return call
        return None

    # Runs

    def _run(self, signal: RunSignal) -> Iterator[UiMessageChunk]:
        facts = self._runs.pop(signal.run_key, None) or RunFacts()
        self._runs[signal.run_key] = facts
        match signal:
            case RunCreated(run=run):
                yield run_metadata(signal.run_id, run)
            case RunStatusChanged():
                yield from self._go_on(signal, facts)
                facts.end = None
                yield run_metadata(signal.run_id, None, signal.after.value)
            case ActionRequired(calls=calls, run=run):
                facts.waiting, facts.end = calls, None
                for call in calls:
                    yield from self._before_call(call.key)
                    yield from self._tools.request(call)
                yield run_metadata(signal.run_id, run)
            case RunInterrupted():
                facts.end = signal
            case RunCompleted() | RunFailed() | RunCancelled() | RunExpired() | RunIncomplete():
                yield from self._go_on(signal, facts)
                facts.end = signal
                self._open_steps.pop(signal.run_key, None)
                facts.usage = signal.run.usage
                yield run_metadata(signal.run_id, signal.run)
        self._open_runs -= {signal.run_key}
        self._waiting_runs -= {signal.run_key}
        if not isinstance(facts.end, RUN_ENDS):
            self._open_runs.add(signal.run_key)
        if facts.waiting:
            self._waiting_runs.add(signal.run_key)

    def _go_on(self, signal: RunSignal, facts: RunFacts) -> Iterator[UiMessageChunk]:
        """The chunks of a run that waits no longer: of the answers that the application has submitted."""
        if facts.waiting:
            yield from self._answers(signal.run_id, [call.key for call in facts.waiting])
            self._tools.has_output = True  # what follows is the next step, also where no output was reported
        facts.waiting = ()


_BOUNDARY: Final[tuple[UiMessageChunk, ...]] = ({"type": "finish-step"}, {"type": "start-step"})
