"""The calls of one stream's runs: answered by tools or by the application, and submitted when all are answered."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from runstream.clients.answers import Approve, ApproveFunction, CallAnswer, Decline, Output, WaitingRun
from runstream.clients.outputs import encode_output
from runstream.clients.tool_runner import ToolRunner
from runstream.clients.tools import LocalTool, ToolContext
from runstream.core.state import RunState
from runstream.logs import LOG
from runstream.model.run import RunKey
from runstream.model.signal_base import AwaitedCall
from runstream.model.signals import (
    ActionRequired,
    RunCancelled,
    RunCompleted,
    RunExpired,
    RunFailed,
    RunIncomplete,
)
from runstream.sources.base import Source
from runstream.store.base import StateStore
from runstream.stream.run_stream import RunStream
from runstream.stream.source_handle import SourceHandle

__all__ = ["Session", "Sessions", "Submit", "UnansweredFunction"]

Check: TypeAlias = Callable[[AwaitedCall, CallAnswer], None]
"""Raises :class:`AnswerNotValid` for an answer that the call does not accept."""

Submit: TypeAlias = Callable[[RunState, list[tuple[AwaitedCall, CallAnswer]], "Session"], Source]
"""Makes the source that submits all answers of a run of the session, and reads what the server sends then."""

UnansweredFunction: TypeAlias = Callable[[ActionRequired, tuple[AwaitedCall, ...]], object | Awaitable[object]]
"""Called with the calls of a request that no tool and no approval has answered; sync or async."""

_MAX_ENDED: Final = 1_000  # streams that have ended while a run waited, for a later answer
_EXECUTED: Final = frozenset({"function", "custom"})
_DECIDED: Final = frozenset({"approval", "interrupt"})
_ENDS: Final = (RunCompleted, RunFailed, RunCancelled, RunExpired, RunIncomplete)


class Session:
    """Answers the calls of one stream.

    Args:
        stream: The stream, not yet started.
        submit: See :data:`Submit`.
        check: See :data:`Check`.
        tools: The tools by their names.
        runner: Executes them.
        approve: Decides about approvals and interrupts; ``None``: they wait for the application.
        on_unanswered: See :data:`UnansweredFunction`.
        concurrency: How many runs are answered at a time.

    Attributes:
        ended: True if the stream has ended.
        request: The body of the first request, for servers that need it again.
        history: The items so far, for servers without memory.
        outputs: The outputs that were submitted, by the ids of their calls, for servers without memory.
        submitted: The answers that were submitted, by the keys of their calls.
    """

    def __init__(
        self,
        stream: RunStream,
        submit: Submit,
        *,
        check: Check,
        tools: Mapping[str, LocalTool],
        runner: ToolRunner,
        approve: ApproveFunction | None,
        on_unanswered: UnansweredFunction | None,
        concurrency: int,
    ) -> None:
        self.stream = stream
        self.tools = tools
        self.approve = approve
        self.ended = False
        self.request: dict[str, Any] = {}
        self.history: list[Any] = []
        self.outputs: dict[str, str] = {}
        self.submitted: dict[str, CallAnswer] = {}
        self._submit = submit
        self._check = check
        self._runner = runner
        self._on_unanswered = on_unanswered
        self._waiting: dict[RunKey, WaitingRun] = {}
        self._handles: list[SourceHandle] = []
        self._timer: asyncio.Task[None] | None = None
        # At once, and before the application's handlers: a plain function among them may answer immediately.
        stream.on(ActionRequired, self.note)
        stream.on(ActionRequired, self._on_action, concurrency=concurrency)
        stream.on(_ENDS, self._end)
        # Of the Observables it is the one with the fewest items; only its end is of interest.
        stream.rejects.subscribe(on_error=self._end_stream, on_completed=self._end_stream)

    @property
    def is_waiting(self) -> bool:
        """True if any run of this stream waits for an answer."""
        return bool(self._waiting)

    def waits(self, run: RunKey) -> bool:
        """True if a run of this stream waits for an answer."""
        return run in self._waiting

    def open_state(self) -> RunState | None:
        """The state of the first run of the stream that has not ended; ``None`` if there is none."""
        return next((state for state in self.stream.latest.values() if not state.is_terminal), None)

    def decisions(self, run: RunKey) -> list[str]:
        """The keys of the calls of a run that wait for an approval, or are interrupts."""
        waiting = self._waiting.get(run)
        return [] if waiting is None else [call.key for call in waiting.open if call.kind in _DECIDED]

    def attach(self, source: Source, *, continues: str | None) -> None:
        """Attach a source of this client."""
        self._handles = [handle for handle in self._handles if not handle.done]
        self._handles.append(self.stream.attach(source, continues=continues))

    def detach(self, reason: str) -> None:
        """Close the connections: open runs are interrupted.

        Args:
            reason: The reason in the signals.
        """
        for handle in self._handles:
            handle.remove(reason)

    def start_timer(self, seconds: float, stop: Callable[[str], Awaitable[None]]) -> None:
        """Call a function for each run that has not ended after a time.

        Args:
            seconds: The time.
            stop: Called with the id of the run.
        """

        async def run() -> None:
            await asyncio.sleep(seconds)
            for state in list(self.stream.latest.values()):
                if not state.is_terminal:
                    await stop(state.run_id)

        self._timer = asyncio.create_task(run())

    def add_answers(self, run: RunKey, answers: Mapping[str, Any]) -> Source | None:
        """Note answers of the application.

        Args:
            run: The scope and id of the run.
            answers: By the ids or keys of the calls: an :data:`~runstream.CallAnswer`, or an output: text, or a value
                that is encoded as JSON.

        Returns:
            The source that submits all answers, if none is missing now.

        Raises:
            LookupError: The run does not wait, or not for such a call.
            AnswerNotValid: An answer does not fit the schema of its interrupt. Then none of the answers is noted.
            TypeError: An output can't be encoded.
        """
        waiting = self._waiting.get(run)
        if waiting is None:
            raise LookupError(f"run {run[1]} does not wait for an answer")
        found: list[tuple[AwaitedCall, CallAnswer]] = []
        for call_id, value in answers.items():
            call = waiting.find(call_id)
            answer = value if isinstance(value, Output | Approve | Decline) else _output_of(call, value)
            self._check(call, answer)
            found.append((call, answer))
        for call, answer in found:
            waiting.add(call, answer)
        return self._take(run, waiting)

    def note(self, signal: ActionRequired) -> None:
        """Note a request of a run; answers that are known stay."""
        self._waiting.setdefault((signal.scope, signal.run_id), WaitingRun(signal)).update(signal)

    async def _on_action(self, signal: ActionRequired) -> None:
        source = await self._answer_noted(signal)
        if source is not None:
            self.attach(source, continues=signal.run_id)

    async def answer(self, signal: ActionRequired) -> Source | None:
        """Answer as many calls of a request as possible; return the source that submits the answers if all are there.

        Raises:
            ToolFailed: A tool failed, and the policy gives no output for it.
            AnswerNotValid: ``approve`` has answered an interrupt by a value that does not fit its schema.
        """
        self.note(signal)
        return await self._answer_noted(signal)

    async def _answer_noted(self, signal: ActionRequired) -> Source | None:
        run = (signal.scope, signal.run_id)
        waiting = self._waiting.get(run)
        if waiting is None:
            return None  # the run has ended meanwhile
        results = await asyncio.gather(
            *(self._answer_call(waiting, call) for call in waiting.open), return_exceptions=True
        )
        if self._waiting.get(run) is not waiting:
            return None  # the run has ended meanwhile
        if source := self._take(run, waiting):
            return source
        if waiting.open:
            await self._report(signal, waiting.open)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return self._take(run, waiting)

    async def _answer_call(self, waiting: WaitingRun, call: AwaitedCall) -> None:
        signal = waiting.signal
        if call.kind in _EXECUTED and (tool := self.tools.get(call.name or "")) is not None:
            context = ToolContext(
                call_key=call.key,
                call_id=call.id,
                run_id=signal.run_id,
                thread_id=signal.thread_id,
                run=signal.run,
            )
            waiting.add(call, Output(await self._runner.run((signal.scope, signal.run_id), tool, call, context)))
        elif call.kind in _DECIDED and self.approve is not None:
            answer = self.approve(call, signal.run)
            if inspect.isawaitable(answer):
                answer = await answer
            if answer is None:
                return
            if not isinstance(answer, Output | Approve | Decline):
                raise TypeError(f"approve returns Approve(), Decline() or None, not a {type(answer).__name__}")
            self._check(call, answer)
            waiting.add(call, answer)

    async def _report(self, signal: ActionRequired, calls: Iterable[AwaitedCall]) -> None:
        open_calls = tuple(calls)
        LOG.info(
            "calls_unanswered",
            run_id=signal.run_id,
            calls=[call.key for call in open_calls],
            kinds=sorted({call.kind for call in open_calls}),
        )
        if self._on_unanswered is not None:
            result = self._on_unanswered(signal, open_calls)
            if inspect.isawaitable(result):
                await result

    def _take(self, run: RunKey, waiting: WaitingRun) -> Source | None:
        state = self.stream.latest.get((run[0], run[1]) if run[0] else run[1])
        if state is None or (answers := waiting.take()) is None:
            return None
        self.submitted |= {call.key: answer for call, answer in answers}
        return self._submit(state, answers, self)

    def _end_stream(self, error: Exception | None = None) -> None:
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()

    def _end(self, signal: Any) -> None:
        run = (signal.scope, signal.run_id)
        self._waiting.pop(run, None)
        self._runner.cancel(run)


def _output_of(call: AwaitedCall, value: Any) -> Output:
    return Output(encode_output(value) if call.kind in _EXECUTED else value)


class Sessions:
    """The sessions of a client: of open streams, and of those that have ended while a run waited.

    Args:
        store: The store of the client's streams, if there is one.
    """

    def __init__(self, store: StateStore | None) -> None:
        self._store = store
        self._sessions: dict[Session, None] = {}

    def add(self, session: Session) -> None:
        """Add a session; ended ones are dropped, but for the latest with a run that waits."""
        ended = [one for one in self._sessions if one.ended]
        waiting = [one for one in ended if one.is_waiting]
        for one in {*ended} - {*waiting[-_MAX_ENDED:]}:
            del self._sessions[one]
        self._sessions[session] = None

    def find(self, run_id: str) -> Session | None:
        """The session whose stream has a run and is open."""
        return next((one for one in self._sessions if not one.ended and run_id in one.stream.latest), None)

    def find_waiting(self, run_id: str) -> Session:
        """The session of a run that waits, also if its stream has ended.

        Raises:
            LookupError: There is none.
        """
        for session in reversed(self._sessions):  # an earlier one may have known an earlier request of the run
            if session.waits(("", run_id)):
                return session
        raise LookupError(f"run {run_id} does not wait for an answer here; rejoin() follows a run of another process")

    def submitted(self, run_id: str) -> dict[str, CallAnswer]:
        """The answers that were submitted for a run, by the keys of their calls."""
        found: dict[str, CallAnswer] = {}
        for session in self._sessions:
            if run_id in session.stream.latest:
                found |= session.submitted
        return found

    def state(self, run_id: str) -> RunState | None:
        """The state of a run: of a stream, or of the store; ``None`` if it is not known."""
        for session in reversed(self._sessions):
            if (state := session.stream.latest.get(run_id)) is not None:
                return state
        stored = self._store.get("", run_id) if self._store is not None else None
        return None if stored is None else stored.state
