"""Encodes a run as an AG-UI stream: signals and states of any dialect enter, AG-UI events leave. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from runstream.core.derive import action_required
from runstream.core.state import RunState
from runstream.model.run import Run, RunStatus
from runstream.model.signal_base import AwaitedCall, BaseSignal, RunSignal
from runstream.model.signals import (
    ActionRequired,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunExpired,
    RunFailed,
    RunIncomplete,
    RunInterrupted,
    RunStatusChanged,
)
from runstream.sinks.ag_ui.content import Content
from runstream.sinks.ag_ui.events import AgUiEvent, error_code, usage_entry
from runstream.sinks.ag_ui.values import Values
from runstream.sinks.ag_ui.waiting import AgUiWaiting, interrupt_value

__all__ = ["PROTOCOL_VERSION", "AgUiEncoder", "supports_1_0"]

PROTOCOL_VERSION: Final = "1.0"

_MESSAGES: Final[Mapping[str, str]] = {
    "failed": "The run failed.",
    "expired": "The run took too long.",
    "incomplete": "The run ended before its answer was complete.",
    "cancelled": "The run was cancelled.",
    "interrupted": "The connection to the run was lost.",
}
"""The messages of errors, by code: the server's own words may contain what users should not see."""


def supports_1_0(version: str | None) -> bool:
    """True if a ``protocolVersion`` is 1.0 or later; false if it is absent.

    Args:
        version: The version.
    """
    major = (version or "0").partition(".")[0]
    return major.isdecimal() and int(major) >= 1


class AgUiEncoder:
    """Encodes one run for one front end. Every prefix of what it returns is a valid AG-UI stream, and
    :meth:`finish` completes it::

        encoder = AgUiEncoder("thread-1", "run-1")
        async for signal in stream:
            for event in encoder.encode(signal, stream.latest.get(run_id)):
                print(event)
        for event in encoder.finish():
            print(event)

    A run of AG-UI ends where the run waits for the front end, which then starts a further one: each has an encoder of
    its own. The first run whose signal enters is the one that is encoded; signals of other runs are skipped.

    A message is opened with its first text. Only messages of the assistant are sent. A refusal is a message of its own,
    whose id ends in ``/refusal``. Text that replaces other text is sent as a snapshot of all messages.

    Args:
        thread_id: The thread's id, as the front end has it.
        run_id: The id of the AG-UI run, as the front end has it.
        run: The id of the run that is encoded, and its scope; by default that of the first signal.
        messages: The messages of the front end, for snapshots.
        tools: The names of the tools that the front end offers: it executes their calls.
        version: The ``protocolVersion`` of the front end. ``None``: it is older than 1.0, and gets no subagents, no
            cancelled outcome, no usage, and interrupts as the custom event ``on_interrupt``.
        show_errors: True to send the server's words about an error. By default only its code is sent.
        show_raw: True to send ``RAW`` events of an AG-UI server, which may contain requests to a model.

    Attributes:
        has_ended: True if the run has ended. Some servers send its messages after it, so signals are still encoded.
        waiting: What the front end has to answer, after :meth:`finish`; ``None`` if the run does not wait.
        is_finished: True after :meth:`finish`: no event follows.
    """

    def __init__(
        self,
        thread_id: str,
        run_id: str,
        *,
        run: str | tuple[str, str] | None = None,
        messages: Iterable[Mapping[str, Any]] = (),
        tools: Iterable[str] = (),
        version: str | None = PROTOCOL_VERSION,
        show_errors: bool = False,
        show_raw: bool = False,
    ) -> None:
        self.has_ended = self.is_finished = False
        self.waiting: AgUiWaiting | None = None
        self._ids = {"threadId": thread_id, "runId": run_id}
        self._key: tuple[str, str] | None = ("", run) if isinstance(run, str) else run
        self._tools = frozenset(tools)
        self._modern = supports_1_0(version)
        self._show_errors = show_errors
        self._out: list[AgUiEvent] = []
        self._content = Content(self._out, messages, modern=self._modern)
        self._values = Values(self._out, self._content, show_raw=show_raw)
        self._is_started = False
        self._action: ActionRequired | None = None
        self._run: Run | None = None

    @property
    def run_key(self) -> tuple[str, str] | None:
        """The scope and the id of the run that is encoded; ``None`` before its first signal."""
        return self._key

    @property
    def action(self) -> ActionRequired | None:
        """The request that the run waits for; ``None`` if it does not wait."""
        return self._action

    @property
    def has_begun(self) -> bool:
        """True after the first signal of the run, or its snapshot."""
        return self._run is not None

    def start(self) -> list[AgUiEvent]:
        """The start of the stream; nothing if it was started before. The other methods start it too."""
        self._start()
        return self._take()

    def snapshot(self, state: RunState) -> list[AgUiEvent]:
        """The run so far, for a front end that joins late: the first events of its stream.

        The messages are sent as one snapshot, the document as another; what is open is opened again, and takes the
        rest. The signals that follow this state continue it.

        Args:
            state: The state of the run.

        Raises:
            RuntimeError: Signals of the run were encoded before.
        """
        if self._run is not None:
            raise RuntimeError("a snapshot is the beginning of a stream: use a new encoder")
        self._key = (state.scope, state.run_id)
        self._start(state.first_seen)
        self._run, self.has_ended = state.run, state.is_terminal
        if state.run.requires_action and state.run.required_action is not None:
            self._action = action_required(state, state.first_seen)
        self._content.add_state(state)
        self._values.add_state(state)
        return self._take()

    def encode(self, signal: BaseSignal, state: RunState | None = None) -> list[AgUiEvent]:
        """The events of one signal.

        Args:
            signal: The signal.
            state: The state of its run, now or later than the signal: it has the names of calls, and texts that
                earlier signals lacked. ``None`` if it is not known.
        """
        if not isinstance(signal, RunSignal) or self.is_finished:
            return []
        key = (signal.scope, signal.run_id)
        if self._key is None:
            self._key = key
        if key != self._key:
            return []
        self._start(signal.at)
        if self._run is None and isinstance(signal, RunCreated):
            self._run = signal.run
        handler = _HANDLERS.get(type(signal))
        if handler is not None:
            handler(self, signal)
        elif not self._content.add(signal, state):
            self._values.add(signal)
        return self._take()

    def answer(self, call: AwaitedCall, output: str) -> list[AgUiEvent]:
        """The result of a call that the application has answered: some protocols have no signal of it.

        Nothing if the front end has the result.

        Args:
            call: The call, as a request for action had it.
            output: Its output.
        """
        if not self.is_finished:
            self._content.answer(call, output)
        return self._take()

    def finish(self, *, answered: Iterable[str] = (), code: str = "interrupted") -> list[AgUiEvent]:
        """The end of the stream, when no signal follows.

        It is the end of the run, or what the run waits for. Any other run was cut off: its end is an error.

        Args:
            answered: The keys of calls whose answers are known: the front end is not asked again.
            code: The code of the error for a run that was cut off.
        """
        if self.is_finished:
            return []
        self._start()
        run = self._run
        if self._action is not None:
            self._wait(self._action, frozenset(answered))
        elif run is None or not run.is_terminal:
            self._error(code, run)
        elif run.is_complete:
            self._finish({"type": "success"}, "")
        elif run.is_cancelled and self._modern:
            self._finish({"type": "cancelled"}, _MESSAGES["cancelled"])
        else:
            self._error(run.status.value, run)
        return self._take()

    # the course of the run

    def _take(self) -> list[AgUiEvent]:
        found = self._out[:]
        self._out.clear()
        return found

    def _start(self, at: float | None = None) -> None:
        if self._is_started:
            return
        self._is_started = True
        event: AgUiEvent = {"type": "RUN_STARTED", **self._ids}
        if self._modern:
            event["protocolVersion"] = PROTOCOL_VERSION
        if at is not None:
            event["timestamp"] = int(at * 1000)
        self._out.append(event)

    def _on_status(self, signal: Any) -> None:
        self._run = self._run or Run(id=signal.run_id, status=signal.after)
        if signal.after != RunStatus.REQUIRES_ACTION:
            self._action = None

    def _on_action(self, signal: Any) -> None:
        self._run, self._action = signal.run, signal

    def _on_interrupted(self, signal: Any) -> None:
        self._run, self._action = signal.run, None

    def _on_end(self, signal: Any) -> None:
        self._run, self._action, self.has_ended = signal.run, None, True

    # the end of the stream

    def _finish(self, outcome: dict[str, Any], unanswered: str) -> None:
        """Finish a run that has ended."""
        self._content.answer_all(unanswered)
        self._content.close_all()
        self._end({"type": "RUN_FINISHED", **self._ids, **({"outcome": outcome} if self._modern else {})})

    def _wait(self, signal: ActionRequired, answered: frozenset[str]) -> None:
        """Finish a run that waits for the front end."""
        self.waiting = waiting = AgUiWaiting.of(signal, self._tools, answered)
        pending = [self._content.announce(call) for call in waiting.calls]
        self._content.answer_partial()
        interrupts = waiting.interrupts(self._content.sent_calls()) if waiting.questions or not pending else []
        self._content.close_all(suspended=[interrupt["id"] for interrupt in interrupts])
        event: AgUiEvent = {"type": "RUN_FINISHED", **self._ids}
        if not self._modern:
            for interrupt in interrupts:
                self._out.append({"type": "CUSTOM", "name": "on_interrupt", "value": interrupt_value(interrupt)})
        elif interrupts:
            event["outcome"] = {"type": "interrupt", "interrupts": interrupts}
        else:
            event["outcome"] = {"type": "success", "pendingToolCallIds": pending}
        self._end(event)

    def _error(self, status: str, run: Run | None) -> None:
        """Finish a run that failed, or was cut off. All that is open is closed by the error itself."""
        self._content.flush()
        error = run.last_error if run is not None and status == "failed" else None
        code, message = status, _MESSAGES.get(status, _MESSAGES["interrupted"])
        if error is not None:
            code = error_code(error.code, status)
            if self._show_errors and error.message:
                message = error.message
        self._end({"type": "RUN_ERROR", "message": message, "code": code})

    def _end(self, event: AgUiEvent) -> None:
        run = self._run
        if self._modern and run is not None and run.usage is not None and (entry := usage_entry(run.usage, run.model)):
            event["usage"] = [entry]
        self.is_finished = True
        self._out.append(event)


_HANDLERS: Final[Mapping[type, Callable[[AgUiEncoder, Any], None]]] = {
    RunStatusChanged: AgUiEncoder._on_status,
    ActionRequired: AgUiEncoder._on_action,
    RunInterrupted: AgUiEncoder._on_interrupted,
    RunCompleted: AgUiEncoder._on_end,
    RunFailed: AgUiEncoder._on_end,
    RunCancelled: AgUiEncoder._on_end,
    RunExpired: AgUiEncoder._on_end,
    RunIncomplete: AgUiEncoder._on_end,
}
