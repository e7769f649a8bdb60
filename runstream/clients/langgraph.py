"""The client of LangGraph servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Unpack

from runstream.clients.answers import CallAnswer
from runstream.clients.api import Api, read_json
from runstream.clients.base import BaseClient
from runstream.clients.options import ClientOptions
from runstream.clients.run_sources import RecoveringSource
from runstream.clients.session import Session
from runstream.clients.tools import LocalTool
from runstream.core.state import RunState
from runstream.dialects.langgraph_base import latest_run
from runstream.errors import RequestFailed, SourceFailed
from runstream.model.signal_base import AwaitedCall
from runstream.sources.base import Receiver, Source
from runstream.sources.langgraph import LangGraphSource
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import POST_UNKNOWN

__all__ = ["LangGraphClient"]

_NO_THREADS: Final = "path /threads after the base URL"
_FIRST: Final = "-1"  # the event id before the first one: without it, a server begins in the middle of a text
_MAX_RUNS: Final = 100  # of a thread that are listed


class LangGraphClient(BaseClient):
    """Starts runs of a LangGraph server, answers their interrupts, cancels and rejoins them; needs the extra ``http``.

    ::

        client = LangGraphClient("https://agent.example")
        async with client.run(assistant_id="agent", input={"messages": [...]}) as stream:
            run = await stream.result()

    ``thread_id`` is part of the path; without it a thread is created. The other fields are the body. Tools of a graph
    run on the server, so the client executes none; an interrupt is answered by ``approve``, or by hand.

    An approval answers an interrupt with true, a refusal with false; ``Approve(value)`` and an output answer it with
    that value, as the graph expects it.

    A lost stream is joined again. If the response to the answers is lost, the server is asked for the latest run of the
    thread: a run that is not known here has the answers, and is joined; else they are sent again.

    Args:
        base_url: The URL of the server.
        options: See :class:`ClientOptions`.

    Raises:
        ImportError: See :class:`BaseClient`.
        TypeError: See :class:`BaseClient`.
        ValueError: See :class:`BaseClient`.
    """

    dialect: ClassVar[str] = "langgraph"

    def __init__(self, base_url: str, **options: Unpack[ClientOptions]) -> None:
        super().__init__(base_url, **options)

    def _start(self, body: dict[str, Any], tools: Sequence[LocalTool], session: Session) -> Source:
        if "assistant_id" not in body:
            raise ValueError("a run needs its assistant: run(assistant_id=...)")
        thread_id = body.pop("thread_id", None)
        session.request = body
        if thread_id is not None:
            return self._source(thread_id, json=body)  # of a lost request it is unknown which run of the thread it made
        return NewThread(
            self._api,
            lambda made: self._recovering(
                made, lambda policy: self._source(made, reconnect=policy, json=body), (), name="run"
            ),
        )

    def _submit(self, state: RunState, answers: Sequence[tuple[AwaitedCall, CallAnswer]], session: Session) -> Source:
        assistant = session.request.get("assistant_id") or state.run.assistant_id
        thread_id, body = state.run.thread_id, {**session.request, "assistant_id": assistant}
        values = {call.id: self._interrupt_value(answer) for call, answer in answers}
        if thread_id is None:
            return self._source(None, json=body).answer(values)
        return self._recovering(
            thread_id,
            lambda policy: _answer_again(self._source(thread_id, reconnect=policy, json=body).answer(values)),
            state.pieces,
            awaits=lambda: session.is_latest([call.key for call, _ in answers]),
            asks_first=session.asks_first,
            name=f"answer {state.run_id}",
        )

    def _follow(self, run_id: str, state: RunState | None, place: Mapping[str, Any]) -> Source:
        thread_id, latest = self._place(run_id, state, place)
        if state is None or not state.run.requires_action:
            place_in = self._sessions.source_of(run_id)
            if place_in is not None and place_in.last_id is not None and latest_run(place_in.memory) == latest:
                return self._source(thread_id, run_id=latest, name=place_in.name)  # goes on after the last id
            return self._source(thread_id, run_id=latest, last_event_id=_FIRST)
        return AnsweredRun(
            self._source(thread_id, run_id=latest),
            lambda: self._runs_after(thread_id, latest),
            lambda found: self._source(thread_id, run_id=found, last_event_id=_FIRST),
        )

    async def _runs_after(self, thread_id: str, run_id: str) -> list[Any]:
        """The runs of a thread after one of them, the latest first; none if the server does not list them.

        Raises:
            RequestFailed: The server refused the request.
        """
        runs = read_json(await self._api.get("threads", thread_id, "runs", missing="such thread", limit=_MAX_RUNS))
        ids = [_text_of(run, "run_id") for run in runs] if isinstance(runs, list) else []
        return runs[: ids.index(run_id)] if run_id in ids else []

    async def _fetch(
        self, run_id: str, state: RunState | None, place: Mapping[str, Any], *, retry: bool = True
    ) -> list[bytes]:
        thread_id, latest = self._place(run_id, state, place)
        run = await self._api.get("threads", thread_id, "runs", latest, missing=f"run {run_id}", retry=retry)
        return [run, await self._api.get("threads", thread_id, "state", missing=f"run {run_id}", retry=retry)]

    async def _cancel(self, run_id: str, state: RunState | None, place: Mapping[str, Any]) -> list[bytes] | None:
        thread_id, latest = self._place(run_id, state, place)
        if state is not None and state.run.requires_action:
            return None  # for the server, an interrupted run has ended: there is nothing to cancel
        path = ("threads", thread_id, "runs", latest)
        await self._api.post(*path, "cancel", missing=f"run {run_id}")
        return [await self._api.get(*path, missing=f"run {run_id}")]

    def _place(self, run_id: str, state: RunState | None, place: Mapping[str, Any]) -> tuple[str, str]:
        """The thread of a run, and the id of its latest part on the server."""
        thread_id = place.get("thread_id") or (state.run.thread_id if state is not None else None)
        if not thread_id:
            raise LookupError(f"the thread of run {run_id} is not known here; pass thread_id=")
        return str(thread_id), state.pieces[-1] if state is not None and state.pieces else run_id

    def _recovering(
        self,
        thread_id: str,
        request: Callable[[Reconnect | None], Source],
        known: Sequence[str],
        *,
        awaits: Callable[[], bool] | None = None,
        asks_first: bool = False,
        name: str,
    ) -> Source:
        """A source whose request is sent again if the server has not processed it.

        Args:
            thread_id: The thread.
            request: Makes the source that sends the request, with the attempts that are left.
            known: The runs of the thread that are known; the request makes another one.
            awaits: See :class:`RecoveringSource`.
            asks_first: True if another process may have sent the request.
            name: The source's name.
        """
        made: list[str] = []

        async def waits() -> bool:
            runs = read_json(await self._api.get("threads", thread_id, "runs", missing="such thread", limit=1))
            latest = _text_of(runs[0], "run_id") if isinstance(runs, list) and runs else None
            made[:] = [latest] if latest is not None and latest not in known else []
            return not made

        def join() -> Source | None:
            return self._source(thread_id, run_id=made[0], last_event_id=_FIRST) if made else None

        return RecoveringSource(
            request,
            join,
            waits=waits,
            awaits=awaits,
            asks_first=asks_first,
            reconnect=self._reconnect,
            name=name,
        )

    def _source(self, thread_id: str | None, **options: Any) -> LangGraphSource:
        return LangGraphSource(
            self._api.base_url,
            thread_id=thread_id,
            headers=self._api.headers,
            auth=self._api.auth,
            **{"reconnect": self._reconnect, **self._http, **options},
        )


class AnsweredRun:
    """Follows a run that waited when it was last seen. If it was answered since, no process read what follows.

    The run of the server that has the answers is read from its beginning: the answers are not sent a second time.

    Args:
        joined: Follows the run of the server that waited.
        find_later: Returns the later runs of the thread, the latest first.
        join: Makes the source that reads another run of the server from its beginning.
    """

    def __init__(
        self, joined: Source, find_later: Callable[[], Awaitable[list[Any]]], join: Callable[[str], Source]
    ) -> None:
        self.name = joined.name
        self.dialect = LangGraphClient.dialect
        self._joined = joined
        self._find_later = find_later
        self._join = join

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more; see :class:`~runstream.sources.base.Source`.

        Raises:
            SourceFailed: A later run of the thread has replaced what the run waited for, or the source failed for good.
        """
        try:
            later = await self._find_later()
        except RequestFailed:
            later = []  # the request to join shows what is wrong
        answers: str | None = None
        for run in reversed(later):
            if _has_new_input(run):
                break
            answers = _text_of(run, "run_id") or answers
        if later and answers is None:
            raise SourceFailed("the run does not wait any more: its thread has a later run with new input")
        await (self._joined if answers is None else self._join(answers)).run(receiver)


class NewThread:
    """A source that creates a thread first.

    Args:
        api: Sends the request.
        make_source: Makes the source of a thread.
    """

    def __init__(self, api: Api, make_source: Any) -> None:
        self.name = "run"
        self.dialect = LangGraphClient.dialect
        self._api = api
        self._make_source = make_source

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more; see :class:`~runstream.sources.base.Source`.

        Raises:
            SourceFailed: The thread or the run was refused, or the source failed for good.
        """
        try:
            thread = read_json(await self._api.post("threads", missing=_NO_THREADS))
        except RequestFailed as error:
            said = error.server_message
            raise SourceFailed(error.reason, message=error.message, status=error.status, server_message=said) from error
        thread_id = thread.get("thread_id") if isinstance(thread, dict) else None
        if not isinstance(thread_id, str):
            raise SourceFailed("the answer to POST /threads is no thread: the base URL is what stands before /threads")
        await self._make_source(thread_id).run(receiver)


def _answer_again(source: LangGraphSource) -> LangGraphSource:
    """A source that sends answers: whether they are sent again is decided by the client."""
    source._sent_once = POST_UNKNOWN
    return source


def _text_of(value: Any, name: str) -> str | None:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _has_new_input(run: Any) -> bool:
    """True if a run of a thread does not continue the one before it, as far as the server says."""
    sent = run.get("kwargs") if isinstance(run, dict) else None
    return isinstance(sent, dict) and sent.get("input") is not None and not sent.get("command")
