"""The calls of one stream's runs: answered by tools or by the application, and submitted when all are answered."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from runstream.clients.answers import Approve, ApproveFunction, CallAnswer, Decline, Output
from runstream.clients.claims import Claim, Claims
from runstream.clients.outputs import encode_output, json_value
from runstream.clients.tool_runner import ToolRunner
from runstream.clients.tools import LocalTool, ToolContext
from runstream.clients.tracing import RunTracing, TracedSource, in_call
from runstream.clients.waiting_run import WaitingRun
from runstream.core.selection import RUN_ENDS
from runstream.core.state import RunState
from runstream.errors import ReturnRefused
from runstream.logs import LOG
from runstream.model.run import RunKey
from runstream.model.signal_base import AwaitedCall
from runstream.model.signals import ActionRequired
from runstream.sources.base import Source
from runstream.stream.run_stream import RunStream
from runstream.stream.source_handle import SourceHandle

__all__ = ["Session", "Submit", "UnansweredFunction"]

Check: TypeAlias = Callable[[AwaitedCall, CallAnswer], None]
"""Raises :class:`AnswerNotValid` for an answer that the call does not accept."""

Submit: TypeAlias = Callable[[RunState, list[tuple[AwaitedCall, CallAnswer]], "Session"], Source]
"""Makes the source that submits all answers of a run of the session, and reads what the server sends then."""

Follow: TypeAlias = Callable[[str, "Session | None"], Source]
"""Makes the source that reads the further course of a run, by its id, whose calls another session has answered;
``None`` if that one has ended."""

UnansweredFunction: TypeAlias = Callable[[ActionRequired, tuple[AwaitedCall, ...]], object | Awaitable[object]]
"""Called with the calls of a request that no tool and no approval has answered; sync or async."""

_EXECUTED: Final = frozenset({"function", "custom"})
_DECIDED: Final = frozenset({"approval", "interrupt"})


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
        claims: The claims of the sessions of the client: the calls that another stream has answered.
        follow: See :data:`Follow`.
        tracer: The tracer of the client.

    Attributes:
        ended: True if the stream has ended.
        restored: True if the stream began with a run of another process.
        asks_first: True if answers to the run may have been sent already, so that the server is asked first.
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
        claims: Claims[Session],
        follow: Follow,
        tracer: RunTracing | None = None,
    ) -> None:
        self.stream = stream
        self.tools = tools
        self.approve = approve
        self.ended = False
        self.restored = False
        self.asks_first = False
        self.request: dict[str, Any] = {}
        self.history: list[Any] = []
        self.outputs: dict[str, str] = {}
        self.submitted: dict[str, CallAnswer] = {}
        self._submit = submit
        self._check = check
        self._runner = runner
        self._on_unanswered = on_unanswered
        self._waiting: dict[RunKey, WaitingRun] = {}
        self._resumed: dict[RunKey, WaitingRun] = {}  # whose answers this session submits for one that has ended
        self._handles: list[SourceHandle] = []
        self._claims = claims
        self._follow = follow
        self._tracer = tracer
        self._detached: str | None = None
        self._timer: asyncio.Task[None] | None = None
        # At once, and before the application's handlers: a plain function among them may answer immediately.
        stream.on(ActionRequired, self.note)
        stream.on(ActionRequired, self._on_action, concurrency=concurrency)
        stream.on(RUN_ENDS, self._end)
        stream._results.open_calls = self._open_calls
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
        if self._tracer is not None:
            source = TracedSource(source, lambda: continues or self._open_run())
        self._handles.append(self.stream.attach(source, continues=continues))

    def _open_run(self) -> str:
        state = self.open_state()
        return "" if state is None else state.run_id

    def detach(self, reason: str) -> None:
        """Close the connections, and cancel the calls that are being answered: open runs are interrupted, and
        no further call is answered.

        Args:
            reason: The reason in the signals.
        """
        self._detached = reason
        for run, waiting in [*self._waiting.items()]:
            self._stop_answering(run)
            waiting.cancel()
            # It has no connection that could break off, or its end would be a pause.
            self.stream.interrupt(run[1], reason, scope=run[0])
        for handle in self._handles:
            handle.remove(reason)

    def start_timer(self, seconds: float, stop: Callable[[str], Awaitable[None]], reason: str) -> None:
        """Call a function for each run that has not ended after a time.

        Args:
            seconds: The time.
            stop: Called with the id of the run.
            reason: Why the connections are closed if no run is known by then.
        """

        async def run() -> None:
            await asyncio.sleep(seconds)
            states = list(self.stream.latest.values())
            if not states:
                self.detach(reason)
            for state in states:
                if not state.is_terminal:
                    await stop(state.run_id)

        self._timer = asyncio.create_task(run())

    def add_answers(self, run: RunKey, answers: Mapping[str, Any]) -> Source | None:
        """Note answers of the application; see :meth:`note_answers`.

        Returns:
            The source that submits all answers, if none is missing now.
        """
        self.note_answers(run, answers)
        return self.take_answers(run)

    def note_answers(self, run: RunKey, answers: Mapping[str, Any]) -> None:
        """Note answers of the application.

        Args:
            run: The scope and id of the run.
            answers: By the ids or keys of the calls: an :data:`~runstream.CallAnswer`, or an output: text, or a value
                that is encoded as JSON.

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
            answer = _encodable(value if isinstance(value, Output | Approve | Decline) else _output_of(call, value))
            self._check(call, answer)
            found.append((call, answer))
        if waiting.is_submitted and all(handle.done for handle in self._handles):
            self.asks_first = waiting.reopen() or self.asks_first  # they were lost or refused
        for call, answer in found:
            waiting.add(call, answer)

    def is_answered(self, run: RunKey) -> bool:
        """True if no answer is missing that the run waits for."""
        waiting = self._waiting.get(run)
        return waiting is not None and not waiting.open

    def take_answers(self, run: RunKey) -> Source | None:
        """The source that submits all answers of a run, if none is missing."""
        waiting = self._waiting.get(run) or self._resumed.get(run)
        return None if waiting is None else self._take(run, waiting)

    def take_over(self, ended: Session, run: RunKey) -> None:
        """Take what a session whose stream has ended knows about a run: its answers, and what its server needs."""
        if (waiting := ended._waiting.pop(run, None)) is not None:
            self._resumed[run] = waiting
            self._claims.move(ended, self, [call.key for call in waiting.signal.calls])
            # Answers that were submitted on a stream which has ended while the run waited were lost or refused.
            self.asks_first = waiting.reopen()
        self.asks_first = self.asks_first or ended.asks_first
        self.restored = ended.restored
        self.request, self.history, self.outputs = ended.request, ended.history, ended.outputs
        self.submitted = ended.submitted

    def note(self, signal: ActionRequired) -> None:
        """Note a request of a run; answers that are known stay."""
        if self._detached is not None:
            # It was received while the run was cancelled, or the run was fetched then.
            self.stream.interrupt(signal.run_id, self._detached, scope=signal.scope)
            return
        run = (signal.scope, signal.run_id)
        known = self._resumed.pop(run, None) or WaitingRun(signal)
        self._waiting.setdefault(run, known).update(signal)

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
        if (claim := self._claims.find(self, [call.key for call in waiting.signal.calls])) is not None:
            waiting.close()
            return self._follow_other(run[1], claim)
        results = await asyncio.gather(
            *(waiting.work(call, partial(self._answer_call, waiting, call)) for call in waiting.open),
            return_exceptions=True,
        )
        if self._waiting.get(run) is not waiting:
            return None  # the run has ended meanwhile
        if source := self._take(run, waiting):
            return source
        if waiting.open:
            results += await asyncio.gather(
                waiting.work(None, lambda: self._report(signal, waiting.open)), return_exceptions=True
            )
            if self._waiting.get(run) is not waiting:
                return None
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return self._take(run, waiting)

    def _follow_other(self, run_id: str, claim: Claim[Session]) -> Source:
        LOG.info("calls_answered_elsewhere", run_id=run_id)
        return self._follow(run_id, claim.session)

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
            with in_call(self._tracer, signal.run_id, call.key, scope=signal.scope):
                output = await self._runner.run((signal.scope, signal.run_id), tool, call, context)
            waiting.add(call, Output(output))
        elif call.kind in _DECIDED and self.approve is not None:
            with in_call(self._tracer, signal.run_id, call.key, scope=signal.scope):
                answer = self.approve(call, signal.run)
                if inspect.isawaitable(answer):
                    answer = await answer
            if answer is None:
                return
            if not isinstance(answer, Output | Approve | Decline):
                raise ReturnRefused(f"approve returns Approve(), Decline() or None, not a {type(answer).__name__}")
            answer = _encodable(answer)
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
        state = self._state(run)
        if state is None or (answers := waiting.take()) is None:
            return None
        if (claim := self._claims.claim(self, [call.key for call, _ in answers])) is not None:
            return self._follow_other(run[1], claim)
        self.submitted |= {call.key: answer for call, answer in answers}
        return self._submit(state, answers, self)

    def awaits(self, keys: Iterable[str]) -> bool:
        """True if a run waits for answers to these calls, as far as this stream has seen it."""
        for run, waiting in self._waiting.items():
            if {call.key for call in waiting.signal.calls}.issuperset(keys):
                state = self._state(run)
                return state is not None and state.run.requires_action
        return False

    def is_latest(self, keys: Iterable[str]) -> bool:
        """True if these calls are those of the last request of a run that has not ended, as far as it was seen here."""
        waiting = [*self._waiting.values(), *self._resumed.values()]
        return any({call.key for call in one.signal.calls}.issuperset(keys) for one in waiting)

    def _open_calls(self, run: RunKey) -> list[str]:
        waiting = self._waiting.get(run)
        return [] if waiting is None else [call.id for call in waiting.open]

    def _state(self, run: RunKey) -> RunState | None:
        return self.stream.latest.get(run if run[0] else run[1])

    def _end_stream(self, error: Exception | None = None) -> None:
        self.ended = True
        for run, waiting in self._resumed.items():
            if (state := self._state(run)) is not None and state.run.requires_action:
                self._waiting.setdefault(run, waiting)  # the answers were lost or refused once more
        if self._timer is not None:
            self._timer.cancel()

    def _end(self, signal: Any) -> None:
        self._stop_answering((signal.scope, signal.run_id))

    def _stop_answering(self, run: RunKey) -> None:
        self._resumed.pop(run, None)
        waiting = self._waiting.pop(run, None)
        if waiting is not None:
            waiting.cancel()
        self._runner.cancel(run)


def _encodable(answer: CallAnswer) -> CallAnswer:
    """An answer whose values are JSON builtins.

    Raises:
        TypeError: A value has no form in JSON.
    """
    if isinstance(answer, Decline):
        return Decline(json_value(answer.reason))
    return type(answer)(json_value(answer.value))


def _output_of(call: AwaitedCall, value: Any) -> Output:
    return Output(encode_output(value) if call.kind in _EXECUTED else value)
