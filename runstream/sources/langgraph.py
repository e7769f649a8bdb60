"""The source of one run of a LangGraph server: a request in, raw events and what the server says at the end out."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal
from urllib.parse import quote

from msgspec.structs import replace

from runstream.model.raw import ResponseHead
from runstream.sources.connection_loop import Disconnect, Resume, ResumeInfo
from runstream.sources.credentials import Credentials
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.langgraph_server import LangGraphServer
from runstream.sources.reconnect import Reconnect
from runstream.sources.request_items import response_item
from runstream.sources.sse import POST_ONCE, SseSession, SseSource
from runstream.sources.sse_parser import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

__all__ = ["LangGraphSource", "answer_body"]

_MODES: Final = ("messages-tuple", "updates", "values", "custom")
# The fields of a request that a further run of the thread has too.
_KEPT: Final = (
    *("assistant_id", "stream_mode", "stream_subgraphs", "stream_resumable", "on_disconnect", "config", "context"),
    *("metadata", "interrupt_before", "interrupt_after", "durability", "multitask_strategy"),
)
_BREAKPOINT: Final = "breakpoint:"


def answer_body(answers: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a request that answers what a run waits for.

    Args:
        answers: The answer to each interrupt, by the id of its call. ``None``, or the ids of breakpoints: the run goes
            on. An interrupt of a server of 2025, which has no ids of its own, can only be answered alone.
    """
    given = {id: value for id, value in (answers or {}).items() if not id.startswith(_BREAKPOINT)}
    if not given:
        return {"input": None}
    (id, *more) = given
    if not more and ":" in id:  # an id that is the place of the node
        return {"command": {"resume": given[id]}}
    return {"command": {"resume": given}}


class LangGraphSource(SseSource):
    """Reads one run of a LangGraph server; needs the extra ``http``. ::

        body = {"assistant_id": "agent", "input": {"messages": [{"role": "user", "content": "Boats at Elm?"}]}}
        source = LangGraphSource("https://agent.example", thread_id=thread_id, json=body, auth=token)

    Without a body it joins a run: ``LangGraphSource(url, thread_id=..., run_id=...)``.

    The stream does not say how its run has ended, so the server is asked at the end of each response without an error:
    for the run, the state and the thread. The answer is an item of the source, and decides what becomes of the run. If
    the run goes on, or the connection was lost, the stream is joined again, after the last event id.

    Where a body does not say otherwise, the stream can be resumed (``stream_resumable``) and has the modes
    messages-tuple, updates, values and custom. A run without a thread can neither be joined nor asked about; it is
    interrupted at the end of its stream.

    A run that waits is continued by another source: return ``source.answer({id: value})`` from a handler of
    :class:`~runstream.ActionRequired`.

    Args:
        url: The URL of the server. Its credentials and query values appear in no message and no log.
        thread_id: The id of the thread; ``None`` for a run without one.
        run_id: The id of the run to join.
        json: The body of the request that starts a run, as the server has it: ``assistant_id``, ``input`` or
            ``command``, and more.
        stream_mode: The modes to which a joined stream is limited: one name or several; ``None`` for all of the run.
            A limited stream has fewer events also where it is joined again.
        name: The source's name; the URL without secrets by default.
        headers: Headers of each request.
        auth: A bearer token or headers, or a function (sync or async) that returns them; called for each request.
        last_event_id: The id after which a run is joined.
        client: A ready ``httpx2.AsyncClient`` (or one of ``httpx``), which the caller closes.
        ssl: TLS settings; the system's trust store by default.
        proxy: A proxy's URL, ``None`` for none, ``True`` for the system's.
        reconnect: When to try again; ``None``: never.
        max_message_bytes: Size of one event (bytes). A larger one is rejected and not kept in memory; later events are
            read.
        open_timeout: Limit for connecting, and for sending each part of the request (seconds).
        read_timeout: Longest time without any data; a heartbeat counts (seconds). ``None`` for any time.

    Attributes:
        dialect: The dialect of its events.
        thread_id: The id of the thread, once it is known.
        run_id: The id of the run on the server, once it is known.

    Raises:
        ImportError: The extra is not installed and no ``client`` given.
        ValueError: Neither a body nor a run to join, or both; a run to join without its thread; or a value outside its
            range.
        TypeError: ``json`` can't be encoded, or ``client`` is no client.
    """

    dialect: ClassVar[str] = "langgraph"
    _sent_once = POST_ONCE

    def __init__(
        self,
        url: str,
        *,
        thread_id: str | None = None,
        run_id: str | None = None,
        json: Mapping[str, Any] | None = None,
        stream_mode: str | tuple[str, ...] | list[str] | None = None,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Credentials | None = None,
        last_event_id: str | None = None,
        client: AsyncClient | None = None,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | Literal[True] | None = True,
        reconnect: Reconnect | None = Reconnect(),  # noqa: B008 - frozen
        max_message_bytes: int = MAX_EVENT_BYTES,
        open_timeout: float = 10.0,
        read_timeout: float | None = 60.0,
    ) -> None:
        if (json is None) == (run_id is None):
            raise ValueError("give either json, which starts a run, or run_id, to join one")
        if run_id is not None and thread_id is None:
            raise ValueError("a run is joined by its thread_id and its run_id")
        self._base = url.rstrip("/")
        self._stream_mode = stream_mode
        self.thread_id = thread_id
        self.run_id = run_id
        self._body = None
        self._more: dict[str, Any] = {
            "name": name,
            "headers": headers,
            "auth": auth,
            "client": client,
            "ssl": ssl,
            "proxy": proxy,
            "reconnect": reconnect,
            "max_message_bytes": max_message_bytes,
            "open_timeout": open_timeout,
            "read_timeout": read_timeout,
        }
        if json is not None:
            self._body = {"stream_mode": list(_MODES), "stream_resumable": True, **json}
            if thread_id is None:
                self._body.pop("stream_resumable", None)
            place = f"/threads/{quote(thread_id, safe='')}" if thread_id is not None else ""
            super().__init__(
                f"{self._base}{place}/runs/stream", method="POST", json=self._body, resume=self._join, **self._more
            )
        else:
            super().__init__(self._join_url(), resume=self._join, last_event_id=last_event_id, **self._more)
        options = {"client": client, "ssl": ssl, "proxy": proxy}
        self._server = LangGraphServer(
            self._base, headers, auth, {**options, "open_timeout": open_timeout, "read_timeout": 30.0}
        )

    def __repr__(self) -> str:
        return f"LangGraphSource({self.name!r})"

    @property
    def session_type(self) -> type[SseSession]:
        """The class of one run of the source."""
        return _RunSession

    @property
    def _can_resume(self) -> bool:
        return self.thread_id is not None and self.run_id is not None

    def answer(self, answers: Mapping[str, Any] | None = None, **fields: Any) -> LangGraphSource:
        """A source that continues the run, which waits: another run of the thread, with the same assistant and modes.

        Args:
            answers: The answer to each interrupt, by the id of its call; ``None`` to go on from a breakpoint. Some of
                several interrupts may be answered alone: the run asks for the others again.
            fields: Further fields of the request.

        Raises:
            ValueError: The thread is unknown: the source has not run, or the run has no thread.
        """
        if self.thread_id is None:
            raise ValueError("the run has no thread, so it can't be continued")
        kept = {name: value for name, value in (self._body or {}).items() if name in _KEPT}
        body = {**kept, **answer_body(answers), **fields}
        if "assistant_id" not in body:
            raise ValueError("a joined source needs the assistant: answer(answers, assistant_id=...)")
        return LangGraphSource(self._base, thread_id=self.thread_id, json=body, **self._more)

    def _join_url(self) -> str:
        thread, run = (quote(id or "", safe="") for id in (self.thread_id, self.run_id))
        url = f"{self._base}/threads/{thread}/runs/{run}/stream"
        if self._stream_mode is None:
            return url
        modes = self._stream_mode if isinstance(self._stream_mode, str) else _json_list(self._stream_mode)
        return f"{url}?stream_mode={quote(modes, safe='')}"

    def _join(self, info: ResumeInfo) -> Resume | None:
        """Join the run again; a POST whose run is unknown is not sent again.

        Before the first event all is asked for, since a server begins a join without an id in the middle of a text.
        """
        if self.thread_id is None or self.run_id is None:
            return None
        return Resume(url=self._join_url(), headers={"Last-Event-ID": "-1"} if info.last_id is None else None)

    def _note_head(self, head: ResponseHead | None) -> None:
        """Note the thread and the run that a response names."""
        place = dict(head.headers).get("content-location", "") if head is not None else ""
        parts = place.strip("/").split("/")
        found = dict(zip(parts[::2], parts[1::2], strict=False))
        self.thread_id = found.get("threads", self.thread_id)
        self.run_id = found.get("runs", self.run_id)


def _json_list(names: tuple[str, ...] | list[str]) -> str:
    """Several modes as the server reads them: repeated, only the last one would count."""
    return "[" + ",".join(f'"{name}"' for name in names) + "]"


class _RunSession(SseSession):
    """One run of the source, which asks the server at the end of each response."""

    _source: LangGraphSource

    async def read(self, response: Response, age: float | None) -> Disconnect:
        """Read a response to its end, and ask the server what became of the run."""
        source = self._source
        source._note_head(response_item(response.status_code, response.headers))
        end = await super().read(response, age)
        if not end.normal or (end.received and not self._receiver.live):
            return end
        if source.thread_id is None or source.run_id is None:
            return replace(end, complete=True)  # nothing more can be known
        try:
            answer, is_open = await source._server.ask(source.thread_id, source.run_id)
        except ConnectFailed:
            return replace(end, complete=True)
        if answer is not None:
            self._receiver.feed(answer)
        return end if is_open else replace(end, complete=True)
