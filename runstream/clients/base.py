"""The base class of all clients: it starts, answers, cancels and rejoins runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from runstream.clients.answer_schemas import check_answer
from runstream.clients.answers import Approve, ApproveFunction, CallAnswer, Decline
from runstream.clients.api import Api
from runstream.clients.checks import check_functions, check_url
from runstream.clients.options import ClientOptions
from runstream.clients.outputs import ToolErrorPolicy, failure_output
from runstream.clients.protocol import ProtocolRequests
from runstream.clients.run_sources import CANCELLED, TIME_PASSED, AnswerAfter, FollowAfter, ReportedRun, TimeLimit
from runstream.clients.session import Session, UnansweredFunction
from runstream.clients.sessions import Sessions
from runstream.clients.tool_runner import CONCURRENCY, ToolRunner
from runstream.clients.tools import LocalTool, ToolLike, tools_by_name
from runstream.clients.tracing import RunTracing, in_call, traced_credentials
from runstream.core.state import RunState
from runstream.engine.fold import fold
from runstream.errors import RequestFailed
from runstream.logs import LOG
from runstream.model.raw import Answer
from runstream.model.run import Run
from runstream.model.signal_base import AwaitedCall
from runstream.model.signals import ActionRequired
from runstream.model.validation import check_seconds
from runstream.sources.base import Source
from runstream.sources.credentials import Credentials
from runstream.sources.http_client import client_library
from runstream.sources.reconnect import Reconnect
from runstream.store.base import StateStore, StoredRun
from runstream.store.calls import CallStore
from runstream.store.memory import MemoryStore
from runstream.stream.run_stream import RunStream

__all__ = ["BaseClient"]

_HTTP: Final = ("client", "ssl", "proxy", "open_timeout", "read_timeout")


class BaseClient(ProtocolRequests):
    """A client of one protocol.

    ::

        client = ResponsesClient("https://api.example/v1", api_key=key, tools=[get_weather])
        async with client.run(model="small", input="How is the weather in Oslo?") as stream:
            run = await stream.result()

    A client may be used for any number of runs, at the same time too. Leaving its context closes its connections, as
    :meth:`aclose` does. Request bodies are the protocol's own.

    Args:
        base_url: The URL before the protocol's paths; a query in it is part of each request.
        api_key: The credentials: a bearer token or headers, or a function (sync or async) that returns them.
        headers: Headers of each request.
        tools: The tools of all runs.
        approve: Decides about calls that wait for an approval, and answers interrupts; ``None``: they wait for
            :meth:`approve`, :meth:`decline` or :meth:`answer`.
        on_tool_error: The output for a call whose tool failed; see :data:`~runstream.ToolErrorPolicy`.
        on_unanswered: Called with the calls of a run that no tool and no approval has answered; sync or async.
        tool_timeout: The longest time of one call (seconds) of a tool that has none of its own.
        tool_concurrency: How many calls are executed at a time, over all runs of the client.
        store: Stores states, places and outputs, so that a restarted process continues; see
            :class:`~runstream.RunStream`. Outputs are stored if it is a :class:`~runstream.CallStore` too.
        reconnect: When a lost connection is made again; ``None``: never.
        tracer: Records the runs of all streams of the client: a :class:`~runstream.RunTracer`. Tools and ``approve``
            run inside the span of their call, and requests carry the trace context of their run (``traceparent``).
        options: Options of the requests and of the streams; see :class:`ClientOptions`.

    Raises:
        ImportError: The extra ``http`` is not installed, and no ``client`` was passed.
        TypeError: An unknown option, a tool that can't be one, or a value of another type.
        ValueError: A value outside its range, two tools with one name, or a URL that is none of ``http://`` or
            ``https://``.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: Credentials | None = None,
        headers: Mapping[str, str] | None = None,
        tools: Iterable[ToolLike] = (),
        approve: ApproveFunction | None = None,
        on_tool_error: ToolErrorPolicy = failure_output,
        on_unanswered: UnansweredFunction | None = None,
        tool_timeout: float | None = None,
        tool_concurrency: int = CONCURRENCY,
        store: StateStore | None = None,
        reconnect: Reconnect | None = Reconnect(),  # noqa: B008 - frozen
        tracer: RunTracing | None = None,
        **options: Any,
    ) -> None:
        if unknown := sorted(options.keys() - ClientOptions.__annotations__.keys()):
            raise TypeError(f"{type(self).__name__} has no option {unknown[0]!r}; ClientOptions lists all")
        if api_key is not None and not isinstance(api_key, str | Mapping) and not callable(api_key):
            kind = type(api_key).__name__
            raise TypeError(f"api_key is a token, headers, or a function that returns them, not {kind}")
        check_url(type(self).__name__, base_url)
        check_functions(approve=approve, on_tool_error=on_tool_error, on_unanswered=on_unanswered)
        stream: dict[str, Any] = {**options}
        self._http: dict[str, Any] = {name: stream.pop(name) for name in _HTTP if name in stream}
        client_library(self._http.get("client"))  # a missing library is reported now, not when a run starts
        self._stream_options = stream
        self._tools = tools_by_name(tools)
        self._approve = approve
        self._on_unanswered = on_unanswered
        self._concurrency = tool_concurrency
        self._store = store
        self._reconnect = reconnect
        self._tracer = tracer
        self._runner = ToolRunner(
            concurrency=tool_concurrency,
            timeout=tool_timeout,
            on_error=on_tool_error,
            store=store if isinstance(store, CallStore) else None,
        )
        self._api = Api(
            base_url,
            headers={**self.protocol_headers, **(headers or {})},
            auth=api_key if tracer is None else traced_credentials(api_key, tracer),
            retry=reconnect,
            options=self._http,
        )
        self._sessions = Sessions(store)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the tools that are running, and close the connections of requests. It closes no stream.

        The client can be used afterwards: a request opens its connection, and is to be followed by another close.
        """
        self._runner.close()
        await self._api.close()

    def run(
        self,
        body: Mapping[str, Any] | None = None,
        *,
        tools: Iterable[ToolLike] = (),
        approve: ApproveFunction | None = None,
        timeout: float | None = None,
        **fields: Any,
    ) -> RunStream:
        """Start a run.

        The request is sent when the stream is first read. The calls of the run are answered by tools and by
        ``approve``; the stream ends when the run has ended, or waits for an answer that is missing.

        Args:
            body: The body of the request, as the protocol has it.
            tools: Tools of this run, in addition to those of the client; they are part of the request.
            approve: Decides about approvals and interrupts of this run, in place of that of the client.
            timeout: The longest time until the end of the run (seconds), waiting included. Then :meth:`cancel` is
                called.
            fields: Fields of the body.

        Returns:
            The stream of the run, not yet started.

        Raises:
            ValueError: A field of the body that the client needs is missing, or the time-out is outside its range.
            TypeError: The body is no mapping, or can't be encoded; or a tool can't be one.
        """
        own = tools_by_name(tools)
        if body is not None and not isinstance(body, Mapping):
            raise TypeError(f"the body is a mapping of the request's fields, not {type(body).__name__}")
        request = {**(body or {}), **fields}
        try:
            msgspec.json.encode(request)
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"the body can't be encoded as JSON: {error}") from error
        return self._open(lambda session: self._start(request, [*own.values()], session), own, approve, timeout, None)

    def rejoin(
        self,
        run_id: str,
        *,
        tools: Iterable[ToolLike] = (),
        approve: ApproveFunction | None = None,
        timeout: float | None = None,
        **place: Any,
    ) -> RunStream:
        """Follow a run that goes on without a stream here: after a restart, or in another process.

        Args:
            run_id: The id of the run.
            tools: See :meth:`run`.
            approve: See :meth:`run`.
            timeout: The longest time until the end of the run (seconds), waiting included.
            place: ``thread_id``, if this client has not seen the run and its protocol needs it; and fields of the
                further requests of the run that its protocol needs again, such as ``instructions`` or ``context``.

        Returns:
            A new stream, not yet started. It begins with the state of the run, if the client or its store has it.

        Raises:
            LookupError: The place of the run is not known.
            ValueError: The run has ended, as the client or its store knows.
            UnsupportedRequest: The protocol has no way to do it.
        """
        state = self._sessions.state(run_id)
        if state is not None and state.is_terminal:
            before = "" if self._store is None else '; store.get("", run_id).ended says it before'
            ended = f"run {run_id} has ended ({state.status.value})"
            raise ValueError(f"{ended}, so there is nothing to follow: fetch() returns it{before}")

        def follow(session: Session) -> Source:
            session.restored = session.asks_first = True
            session.request = self._further_request(
                {name: value for name, value in place.items() if name != "thread_id"}, session
            )
            return AnswerAfter(self._follow(run_id, state, place), run_id, session)

        return self._open(follow, tools_by_name(tools), approve, timeout, state)

    async def fetch(self, run_id: str, **place: Any) -> Run:
        """The run as it is on the server.

        Args:
            run_id: The id of the run.
            place: ``thread_id``, see :meth:`rejoin`.

        Raises:
            RequestFailed: The server refused the request, or has no such run.
            LookupError: The place of the run is not known.
            UnsupportedRequest: The protocol has no way to do it.
        """
        with in_call(self._tracer, run_id):
            return self._read(run_id, await self._fetch(run_id, self._sessions.state(run_id), place))

    async def cancel(self, run_id: str, **place: Any) -> Run | None:
        """Ask the server to cancel a run. Its stream reports the end as the server reports it.

        Where the protocol can't cancel, the connection is closed: the run is then cut off, as
        :class:`~runstream.RunInterrupted` says.

        Args:
            run_id: The id of the run.
            place: ``thread_id``, see :meth:`rejoin`.

        Returns:
            The run as the server reports it; ``None`` if the protocol has no answer.

        Raises:
            RequestFailed: The server refused it, as it does for a run that has ended.
            LookupError: The place of the run is not known.
        """
        return await self._cancel_run(run_id, place, CANCELLED)

    async def _cancel_run(self, run_id: str, place: Mapping[str, Any], reason: str) -> Run | None:
        session = self._sessions.find(run_id)
        with in_call(self._tracer, run_id):
            answer = await self._cancel(run_id, self._sessions.state(run_id), place)
        if answer is None:
            sessions = self._sessions.find_all(run_id)
            if not sessions:
                raise LookupError(
                    f"run {run_id} has no open stream here, and {type(self).__name__} can't cancel another"
                )
            for one in sessions:
                one.detach(reason)
            return None
        run = self._read(run_id, answer)
        if session is not None and run.is_terminal:
            session.attach(ReportedRun(answer), continues=run_id)
        elif session is not None and session.waits(("", run_id)):
            session.attach(self._follow(run_id, self._sessions.state(run_id), place), continues=run_id)
        return run

    def answer(self, run_id: str, answers: Mapping[str, Any]) -> RunStream:
        """Answer calls of a run that waits. All answers are submitted as soon as none is missing; until then those that
        are known are kept, and a later call may bring the rest.

        Args:
            run_id: The id of the run.
            answers: By the ids (or keys) of the calls: the output, as text or a value that is encoded as JSON; or an
                :data:`~runstream.CallAnswer`.

        Returns:
            The stream of the run: the open one, or a new one if it has ended.

        Raises:
            LookupError: The run does not wait here, or not for such a call.
            AnswerNotValid: An answer does not fit the schema of its interrupt; nothing was noted or sent.
            TypeError: An output can't be encoded, or ``answers`` is no mapping.
        """
        if not isinstance(answers, Mapping):
            kind = type(answers).__name__
            raise TypeError(
                f"answers is a mapping of the ids of calls to their answers, {{call.id: output}}, not {kind}"
            )
        session = self._sessions.find(run_id)
        if session is None:
            return self._answer_ended(run_id, answers)
        source = session.add_answers(("", run_id), answers)
        if source is not None:
            session.attach(source, continues=run_id)
        return session.stream

    async def make_answer(
        self,
        signal: ActionRequired,
        state: RunState,
        *,
        answers: Mapping[str, Any] | None = None,
        request: Mapping[str, Any] | None = None,
    ) -> Source | None:
        """The answer to a run whose stream is not here, as in a cluster: tools are executed, and approvals decided.

        Args:
            signal: The request of the run.
            state: The state of the run.
            answers: Answers of the application; see :meth:`answer`.
            request: Fields of the further request that its protocol needs again, such as ``model``.

        Returns:
            The source that submits the answers and reads what follows; ``None`` if one is missing.

        Raises:
            LookupError: The run does not wait for such a call.
            AnswerNotValid: An answer does not fit the schema of its interrupt.
            ToolFailed: A tool failed, and the policy gives no output for it.
            TypeError: An output can't be encoded.
        """
        store = MemoryStore()
        store.put([StoredRun(scope=state.scope, run_id=state.run_id, state=state)])
        session = self._make_session(store, {}, None)
        session.stream.restore(state.run_id, scope=state.scope)
        session.restored = session.asks_first = True
        session.request = self._further_request(request or {}, session)
        run = (signal.scope, signal.run_id)
        try:
            if answers:
                session.note(signal)
                source = session.add_answers(run, answers)
                if source is not None:
                    return source
            return await session.answer(signal)
        finally:
            self._runner.cancel(run, [call.key for call in signal.calls])

    def submitted(self, run_id: str) -> Mapping[str, CallAnswer]:
        """The answers that were submitted for a run: outputs and decisions. Some protocols do not repeat them.

        Args:
            run_id: The id of the run.

        Returns:
            The answers by the keys of the calls; those of other runs of the same stream may be among them. Empty for
            a run of another process, and for one that ended before the last 1,000 runs of this client.
        """
        return self._sessions.submitted(run_id)

    def approve(self, run_id: str, *call_ids: str, value: Any = None) -> RunStream:
        """Approve calls of a run that waits, or answer its interrupts.

        Args:
            run_id: The id of the run.
            call_ids: The calls; by default all approvals and interrupts that it waits for.
            value: See :class:`~runstream.Approve`.

        Returns:
            See :meth:`answer`.

        Raises:
            LookupError: See :meth:`answer`.
            AnswerNotValid: See :meth:`answer`.
        """
        return self._decide(run_id, call_ids, Approve(value))

    def decline(self, run_id: str, *call_ids: str, reason: str = "") -> RunStream:
        """Decline calls of a run that waits, or answer its interrupts with "no".

        Args:
            run_id: The id of the run.
            call_ids: See :meth:`approve`.
            reason: Why, for the model.

        Returns:
            See :meth:`answer`.

        Raises:
            LookupError: See :meth:`answer`.
            AnswerNotValid: See :meth:`answer`.
        """
        return self._decide(run_id, call_ids, Decline(reason))

    # Streams and their sessions.

    def _check(self, call: AwaitedCall, answer: CallAnswer) -> None:
        if call.kind == "interrupt":
            check_answer(call, self._interrupt_value(answer))

    def _open(
        self,
        make_source: Callable[[Session], Source | None],
        tools: Mapping[str, LocalTool],
        approve: ApproveFunction | None,
        timeout: float | None,
        state: RunState | None,
    ) -> RunStream:
        check_seconds(timeout=timeout)
        check_functions(approve=approve)
        store = self._store
        if store is None and state is not None:
            store = MemoryStore()
            store.put([StoredRun(scope=state.scope, run_id=state.run_id, state=state)])
        session = self._make_session(store, tools, approve)
        stream = session.stream
        if state is not None:
            stream.restore(state.run_id)
        source = make_source(session)
        if source is not None and timeout is not None:
            source = TimeLimit(source, timeout, session, self._stop)
        if source is not None:
            session.attach(source, continues=None if state is None else state.run_id)
        self._sessions.add(session)
        return stream

    def _make_session(
        self, store: StateStore | None, tools: Mapping[str, LocalTool], approve: ApproveFunction | None
    ) -> Session:
        stream = RunStream(dialect=self.dialect, store=store, fetch_run=self._repair(), **self._stream_options)
        if self._tracer is not None:
            self._tracer.observe(stream)  # before the handlers of the session: the span of a call is open then
        return Session(
            stream,
            self._submit,
            check=self._check,
            tools={**self._tools, **tools},
            runner=self._runner,
            approve=approve if approve is not None else self._approve,
            on_unanswered=self._on_unanswered,
            concurrency=self._concurrency,
            claims=self._sessions.claims,
            follow=self._follow_other,
            tracer=self._tracer,
        )

    def _follow_other(self, run_id: str, other: Session | None) -> Source:
        return FollowAfter(run_id, self._sessions, other, lambda state: self._follow(run_id, state, {}))

    async def _stop(self, run_id: str) -> None:
        """Cancel a run whose time has passed; if the server refuses it, the connection is closed."""
        session = self._sessions.find(run_id)
        try:
            await self._cancel_run(run_id, {}, TIME_PASSED)
        except (RequestFailed, LookupError) as error:
            LOG.warning("run_not_cancelled", run_id=run_id, error=type(error).__name__)
            if session is not None:
                session.detach(TIME_PASSED)

    def _read(self, run_id: str, objects: Sequence[bytes]) -> Run:
        states = fold([Answer(data=data) for data in objects], dialect=self.dialect).runs
        found = [state.run for state in states if state.run_id == run_id] or [state.run for state in states]
        if not found:
            raise RequestFailed(f"the answer about run {run_id} contains no run", reached=True)
        return found[0]

    def _decide(self, run_id: str, call_ids: Sequence[str], answer: CallAnswer) -> RunStream:
        session = self._sessions.find(run_id) or self._sessions.find_waiting(run_id)
        chosen = call_ids or session.decisions(("", run_id))
        return self.answer(run_id, dict.fromkeys(chosen, answer))

    def _answer_ended(self, run_id: str, answers: Mapping[str, Any]) -> RunStream:
        """Answer a run whose stream has ended: a new stream follows."""
        ended, run = self._sessions.find_waiting(run_id), ("", run_id)
        ended.note_answers(run, answers)
        if not ended.is_answered(run):
            return ended.stream
        state = ended.stream.latest[run_id]

        def submit(session: Session) -> Source | None:
            session.take_over(ended, run)
            return session.take_answers(run)

        return self._open(submit, ended.tools, ended.approve, None, state)
