"""The source of a thread of a LangGraph server: the thread protocol, over an event stream or a WebSocket."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal
from urllib.parse import quote

import msgspec

from runstream.errors import SourceFailed
from runstream.sources.base import Receiver
from runstream.sources.connection_loop import Resume, ResumeInfo
from runstream.sources.credentials import Credentials, redact_url
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.langgraph_server import LangGraphServer
from runstream.sources.langgraph_session import ResumeGap, ThreadSession
from runstream.sources.reconnect import Reconnect
from runstream.sources.request_items import request_item
from runstream.sources.sse import SseSource
from runstream.sources.sse_parser import MAX_EVENT_BYTES
from runstream.sources.websocket import WebSocketSource

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["LangGraphThreadSource"]

_CHANNELS: Final = ("lifecycle", "messages", "values", "input", "tools", "updates", "custom", "tasks")
_GAP: Final = "the server does not have the events after the last one any more"


class LangGraphThreadSource:
    """Reads all runs of a thread of a LangGraph server by its thread protocol; needs the extra ``http``. ::

        start = {"assistant_id": "agent", "input": {"messages": [{"role": "user", "content": "Boats at Elm?"}]}}
        source = LangGraphThreadSource("https://agent.example", thread_id, start=start)

    The stream outlives its runs, so the source ends once a run has ended and none is open; a run that waits is open.
    It is continued on this source: ``await source.respond({id: value})``.

    Not every end is on the stream: a run that was rolled back or reached a limit of time sends nothing. The server is
    asked at each end, and where a run has sent nothing for ``ask_after`` seconds. Events have no run id: a source that
    joins in the middle of a run asks for the runs of the thread; it fails if the server does not say which one it is.

    Args:
        url: The URL of the server. Its credentials and query values appear in no message and no log.
        thread_id: The id of the thread.
        start: The parameters of the run to start once the stream is open: ``assistant_id``, ``input``, ``config``.
        transport: ``"sse"`` or ``"websocket"``. Commands are requests in both.
        channels: The channels to subscribe to. ``lifecycle`` and ``input`` are always among them.
        ends: False to read on after the end of a run, until the source is removed.
        ask_after: The time without an event after which the server is asked about an open run (seconds); ``None``:
            never.
        name: The source's name; the URL without secrets by default.
        headers: Headers of each request.
        auth: A bearer token or headers, or a function (sync or async) that returns them; called for each request.
        client: A ready ``httpx2.AsyncClient`` (or one of ``httpx``), which the caller closes.
        ssl: TLS settings; the system's trust store by default.
        proxy: A proxy's URL, ``None`` for none, ``True`` for the system's.
        reconnect: When to try again; ``None``: never.
        max_message_bytes: Size of one event (bytes). A larger one is rejected and not kept in memory.
        open_timeout: Limit for connecting (seconds).
        read_timeout: Longest time without any data; a heartbeat counts (seconds). ``None`` for any time.

    Attributes:
        dialect: The dialect of its events.

    Raises:
        ImportError: The extra is not installed and no ``client`` given.
        ValueError: An unknown transport, or a value outside its range.
    """

    dialect: ClassVar[str] = "langgraph-thread"

    def __init__(
        self,
        url: str,
        thread_id: str,
        *,
        start: Mapping[str, Any] | None = None,
        transport: Literal["sse", "websocket"] = "sse",
        channels: Iterable[str] = _CHANNELS,
        ends: bool = True,
        ask_after: float | None = 10.0,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Credentials | None = None,
        client: AsyncClient | None = None,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | Literal[True] | None = True,
        reconnect: Reconnect | None = Reconnect(),  # noqa: B008 - frozen
        max_message_bytes: int = MAX_EVENT_BYTES,
        open_timeout: float = 10.0,
        read_timeout: float | None = 60.0,
    ) -> None:
        if transport not in ("sse", "websocket"):
            raise ValueError("transport must be 'sse' or 'websocket'")
        self.name = name or redact_url(url)
        self.thread_id = thread_id
        self._path = f"/threads/{quote(thread_id, safe='')}"
        self._url = f"{url.rstrip('/')}{self._path}/stream/events"
        self._start = dict(start) if start is not None else None
        self._transport = transport
        self._channels = list(dict.fromkeys([*channels, "lifecycle", "input"]))
        self._ends = ends
        self._ask_after = ask_after
        self._common: dict[str, Any] = {"headers": headers, "auth": auth, "reconnect": reconnect, "ssl": ssl}
        self._common |= {"proxy": proxy, "max_message_bytes": max_message_bytes, "open_timeout": open_timeout}
        self._http: dict[str, Any] = {"client": client, "read_timeout": read_timeout}
        options = {"client": client, "ssl": ssl, "proxy": proxy}
        self._server = LangGraphServer(
            url, headers, auth, {**options, "open_timeout": open_timeout, "read_timeout": 30.0}
        )
        self._session: ThreadSession | None = None
        self._inner = self._make_inner()

    def __repr__(self) -> str:
        return f"LangGraphThreadSource({self.name!r})"

    async def run(self, receiver: Receiver) -> None:
        """Read until a run has ended and none is open; see :class:`~runstream.sources.base.Source`.

        Raises:
            SourceFailed: The source failed for good.
        """
        session = self._session = ThreadSession(
            receiver,
            self._server,
            name=self.name,
            thread_id=self.thread_id,
            take_start=self._take_start,
            start=self.start,
            ask_after=self._ask_after,
            ends=self._ends,
        )
        while True:
            try:
                await self._read(session)
            except ResumeGap:
                receiver.disconnected(_GAP)
                if session.is_refused:
                    raise SourceFailed(f"{self.name}: {_GAP}") from None
                session.is_refused = True
                self._inner = self._make_inner()  # without the place
            else:
                return

    async def _read(self, session: ThreadSession) -> None:
        reading = asyncio.create_task(self._inner.run(session))
        watching = asyncio.create_task(session.watch())
        try:
            await asyncio.wait((reading, watching), return_when=asyncio.FIRST_COMPLETED)
            for task in (watching, reading):
                if task.done():
                    task.result()
        finally:
            for task in (reading, watching, *session.tasks):
                task.cancel()
            await asyncio.gather(reading, watching, *session.tasks, return_exceptions=True)

    async def start(self, **params: Any) -> None:
        """Start a run of the thread.

        Args:
            params: The parameters: ``assistant_id``, ``input``, ``config``. With the input ``None``, the run that waits
                goes on from its breakpoint.

        Raises:
            SourceFailed: The server has refused it.
            RuntimeError: The source is not attached to a stream.
        """
        await self._command("run.start", params)

    async def respond(self, answers: Mapping[str, Any]) -> None:
        """Answer interrupts of the run that waits. The run goes on in this source.

        Args:
            answers: The answer to each interrupt, by the id of its call.

        Raises:
            SourceFailed: The server has refused it.
            RuntimeError: The source is not attached to a stream.
        """
        session = self._session
        places = session.places if session is not None else {}
        responses = [
            {"namespace": places.get(id, []), "interrupt_id": id, "response": answer} for id, answer in answers.items()
        ]
        await self._command("input.respond", responses[0] if len(responses) == 1 else {"responses": responses})

    async def _command(self, method: str, params: Mapping[str, Any]) -> None:
        session = self._session
        if session is None:
            raise RuntimeError("the source is not attached to a stream")
        session.commands += 1
        command = {"id": session.commands, "method": method, "params": dict(params)}
        session.receiver.feed(request_item(msgspec.json.encode(command), None, ()))
        try:
            status, reply = await self._server.request("POST", f"{self._path}/commands", command)
        except ConnectFailed as error:
            raise SourceFailed(f"{method}: {error.reason}") from error
        if status >= 300 or not isinstance(reply, dict):
            raise SourceFailed(f"{method}: the server answered with HTTP {status}", status=status)
        session.note_reply(reply)
        if reply.get("type") == "error":
            raise SourceFailed(f"{method}: the server refused it", server_message=str(reply.get("message") or ""))

    def _take_start(self) -> Mapping[str, Any] | None:
        """The parameters of the run to start, once."""
        start, self._start = self._start, None
        return start

    # connections

    def _make_inner(self) -> SseSource | WebSocketSource:
        if self._transport == "sse":
            return SseSource(
                self._url,
                method="POST",
                json=self._subscription(None),
                name=self.name,
                resume=self._resume,
                **self._common,
                **self._http,
            )
        url = "ws" + self._url.removeprefix("http")
        return WebSocketSource(url, name=self.name, first_messages=self._first_messages, **self._common)

    def _subscription(self, last_id: str | None) -> dict[str, Any]:
        since = _number(last_id)
        return {"channels": self._channels, **({"since": since} if since is not None else {})}

    def _resume(self, info: ResumeInfo) -> Resume:
        """Subscribe again, after the last event."""
        session = self._session
        last_id = None if session is not None and session.has_gap else info.last_id
        assert isinstance(self._inner, SseSource)
        self._inner._content = msgspec.json.encode(self._subscription(last_id))
        return Resume(method="POST")

    def _first_messages(self, last_id: str | None) -> list[str]:
        session = self._session
        if session is None or session.has_gap:
            last_id = None
        command = {"id": 0, "method": "subscription.subscribe", "params": self._subscription(last_id)}
        return [msgspec.json.encode(command).decode()]


def _number(id: str | None) -> int | None:
    return int(id) if id is not None and id.isascii() and id.isdigit() else None
