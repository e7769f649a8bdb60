"""The source of a thread of a LangGraph server: the thread protocol, over an event stream or a WebSocket."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal
from urllib.parse import quote

import msgspec

from runstream.dialects.base import Dialect
from runstream.errors import SourceFailed
from runstream.model.raw import Answer, RawEvent, RawItem
from runstream.sources.base import Receiver
from runstream.sources.connection_loop import Resume, ResumeInfo
from runstream.sources.credentials import Credentials, redact_url
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.langgraph_server import LangGraphServer
from runstream.sources.reconnect import Reconnect
from runstream.sources.request_items import request_item
from runstream.sources.sse import SseSource
from runstream.sources.sse_parser import MAX_EVENT_BYTES
from runstream.sources.websocket import WebSocketSource

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["LangGraphThreadSource"]

_CHANNELS: Final = ("lifecycle", "messages", "values", "input", "tools", "updates", "custom", "tasks")
_ENDED: Final = frozenset({"completed", "failed", "interrupted"})
_GAP: Final = "the server does not have the events after the last one any more"
_BEGUN: Final = frozenset({"running", "started"})
_MAX_SEARCHES: Final = 3
_NO_RUN: Final = "it joined in the middle of a run, and the server does not say of which one"


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
        self._session: _Session | None = None
        self._inner = self._make_inner()

    def __repr__(self) -> str:
        return f"LangGraphThreadSource({self.name!r})"

    async def run(self, receiver: Receiver) -> None:
        """Read until a run has ended and none is open; see :class:`~runstream.sources.base.Source`.

        Raises:
            SourceFailed: The source failed for good.
        """
        session = self._session = _Session(self, receiver)
        while True:
            try:
                await self._read(session)
            except _Gap:
                receiver.disconnected(_GAP)
                if session.is_refused:
                    raise SourceFailed(f"{self.name}: {_GAP}") from None
                session.is_refused = True
                self._inner = self._make_inner()  # without the place
            else:
                return

    async def _read(self, session: _Session) -> None:
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


class _Session:
    """One run of the source: a receiver that notes which runs begin and end, and asks about them.

    Attributes:
        receiver: The receiver of the stream.
        tasks: The tasks of commands that were sent when the source was connected.
        places: The namespaces of the interrupts, by their ids.
        commands: The number of commands.
        has_gap: True while the server does not have the events after the last one any more.
        is_refused: True until the first event of a subscription without a place.
    """

    def __init__(self, source: LangGraphThreadSource, receiver: Receiver) -> None:
        self.receiver = receiver
        self.tasks: list[asyncio.Task[None]] = []
        self.places: dict[str, list[str]] = {}
        self.commands = 0
        self.has_gap = False
        self.is_refused = False
        self._source = source
        self._run_id: str | None = None
        self._is_open = False
        self._failure: Exception | None = None
        self._last = time.monotonic()
        self._wake = asyncio.Event()
        self._has_joined = False  # True once an event came whose run is unknown
        self._searches = 0
        self._asks: list[str] = []

    # the receiver

    def feed(self, item: RawItem) -> None:
        """Process one item."""
        self.receiver.feed(item)
        self._note(item)

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        """Process several items."""
        items = list(items)
        await self.receiver.feed_all(items)
        for item in items:
            self._note(item)

    async def ready(self) -> None:
        """Return when more input is welcome."""
        await self.receiver.ready()

    def connected(self, attempt: int = 0) -> None:
        """Report that the source is connected; then the run is started."""
        self.receiver.connected(attempt)
        self._last = time.monotonic()
        start, self._source._start = self._source._start, None
        if start is not None:
            self.tasks.append(asyncio.create_task(self._begin(start)))

    def disconnected(self, reason: str, attempt: int = 0, server_message: str = "") -> None:
        """Report that the connection was lost."""
        self.receiver.disconnected(reason, attempt, server_message)

    def decoder(self) -> Dialect:
        """A new decoder of the source's dialect."""
        return self.receiver.decoder()

    def cursor(self, run_id: str | None = None) -> str | None:
        """The place from which the server goes on."""
        return self.receiver.cursor(run_id)

    @property
    def live(self) -> bool:
        """True: the server closes a quiet stream, and the next run of the thread may begin at any time."""
        return True

    @property
    def expects_idle(self) -> bool:
        """False: the server is asked instead."""
        return False

    @property
    def continues(self) -> str | None:
        """The id of the run that the source continues."""
        return self.receiver.continues

    @property
    def progress(self) -> int:
        """A number that has grown if the state of a run has advanced."""
        return self.receiver.progress

    @property
    def last_id(self) -> str | None:
        """The number of the last event."""
        return self.receiver.last_id

    # runs

    async def _begin(self, params: Mapping[str, Any]) -> None:
        try:
            await self._source.start(**params)
        except (SourceFailed, RuntimeError) as error:
            self._failure = error
            self._wake.set()

    def note_reply(self, reply: Mapping[str, Any]) -> None:
        """Process the answer to a command."""
        self.receiver.feed(Answer(data=msgspec.json.encode(reply), at=time.time()))
        result = reply.get("result")
        if isinstance(result, dict) and isinstance(result.get("run_id"), str):
            self._run_id, self._is_open = result["run_id"], True
            self._last = time.monotonic()

    def _note(self, item: RawItem) -> None:
        """Note the beginning and the end of runs, and the places of interrupts."""
        if not isinstance(item, RawEvent):
            return
        self._last = time.monotonic()
        head = item.data[:400]
        if self.has_gap and b'"resume_gap"' not in head:
            self.has_gap = self.is_refused = False  # later events have a place again
        if self._run_id is None and not self._has_joined and b'"method"' in head and b'"synth:' not in head:
            self._has_joined = True
            self._wake.set()
        if not any(part in head for part in (b'"lifecycle"', b'"input.requested"', b'"resume_gap"')):
            return
        try:
            frame = msgspec.json.decode(item.data)
            if frame.get("error") == "resume_gap":
                self.has_gap = True
                self._failure = _Gap()
                self._wake.set()
                return
            params = frame["params"]
            data, names = params["data"], params["namespace"]
            if frame["method"] == "input.requested":
                self.places[data["interrupt_id"]] = names
            elif not names:
                self._note_lifecycle(data["event"], frame.get("event_id"))
        except (msgspec.MsgspecError, UnicodeError, KeyError, TypeError, AttributeError, RecursionError):
            return

    def _note_lifecycle(self, event: str, id: object) -> None:
        parts = id.split(":", 2) if isinstance(id, str) else []
        if len(parts) == 3 and parts[0] == "synth":
            self._run_id = parts[1]
        if event in _BEGUN:
            self._is_open = True
        elif event in _ENDED and self._run_id is not None:
            self._asks.append(self._run_id)
            self._wake.set()

    async def watch(self) -> None:
        """Ask about runs that have ended, or that send nothing; return when none is open any more.

        Raises:
            Exception: A command could not be sent, or the server has lost the place.
        """
        limit = self._source._ask_after
        while True:
            pause = None if limit is None else max(0.05, limit - (time.monotonic() - self._last))
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                if self._is_open and self._run_id is not None and time.monotonic() - self._last >= (limit or 0):
                    self._asks.append(self._run_id)
            self._wake.clear()
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if self._has_joined and self._run_id is None:
                await self._find_run()
            while self._asks:
                if await self._ask(self._asks.pop(0)) and self._source._ends and not self._asks:
                    return
            if self._is_open:
                self._last = max(self._last, time.monotonic() - (limit or 0) / 2)

    async def _find_run(self) -> None:
        """Find the run in whose middle the source has joined.

        Raises:
            SourceFailed: The server does not say which one it is.
        """
        source = self._source
        found = await source._server.find_run(source.thread_id)
        if self._run_id is not None:
            return  # an event has named it meanwhile
        if found is not None:
            self._run_id, self._is_open = found, True
            self._asks.append(found)
            return
        self._searches += 1
        self._last = time.monotonic()
        if self._searches >= _MAX_SEARCHES or source._ask_after is None:
            raise SourceFailed(f"{source.name}: {_NO_RUN}")

    async def _ask(self, run_id: str) -> bool:
        """Ask about a run.

        Returns:
            True if it has ended, and no other has begun.
        """
        try:
            answer, is_open = await self._source._server.ask(self._source.thread_id, run_id)
        except ConnectFailed:
            return False
        if answer is None:
            return False
        self.receiver.feed(answer)
        if run_id != self._run_id or is_open:
            return False
        self._is_open = _waits(answer.data)
        return not self._is_open


class _Gap(Exception):
    """The server does not have the events after the last one any more."""


def _waits(data: bytes) -> bool:
    """True if a run waits, as the server says."""
    found = msgspec.json.decode(data)
    state = (found.get("state") or {}).get("body") or {}
    status = ((found.get("run") or {}).get("body") or {}).get("status")
    return status == "success" and bool(
        state.get("next") or any(task.get("interrupts") for task in state.get("tasks") or [])
    )
