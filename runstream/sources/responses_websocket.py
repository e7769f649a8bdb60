"""The WebSocket mode of the Responses API: one socket, and a source for each request that is sent over it."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Final, Literal, Self, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import msgspec
from websockets.exceptions import ConnectionClosed

from runstream.errors import SourceFailed
from runstream.model.validation import check_counts, check_seconds
from runstream.sources.base import Receiver
from runstream.sources.connection_loop import Disconnect, call_hook
from runstream.sources.credentials import Credentials, merge_headers, redact_url, resolve_headers
from runstream.sources.grace import GRACE, GraceTimer
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.reconnect import Reconnect, check_reconnect
from runstream.sources.request_items import request_item
from runstream.sources.responses_lanes import Lane, LaneRouter
from runstream.sources.sent_values import NOTHING_SENT, SentValues
from runstream.sources.urls import join_url
from runstream.sources.websocket_batches import BatchConnection
from runstream.sources.websocket_connection import close_socket, open_socket, read_socket

__all__ = ["ResponsesWebSocket", "SocketResponse"]

_NOT_SENT: Final = frozenset({"stream", "background"})  # fields of a POST that have no meaning here
_SCHEMES: Final = {"http": "ws", "https": "wss"}
_NO_REPLAY: Final = "a response can't be continued over another socket"


class ResponsesWebSocket:
    """One WebSocket to a server of the Responses API, over which any number of responses are requested.

    ::

        async with ResponsesWebSocket("https://api.example/v1", auth=key) as socket:
            async with RunStream(socket.response({"model": "m", "input": "Hello"})) as stream:
                run = await stream.result()

    Each request is a source of its own, which ends with its response: the socket stays open. A handler of
    :class:`~runstream.ActionRequired` returns ``socket.response(...)`` with the outputs.

    The socket is opened when the first request is sent. A socket that has reached ``max_age`` takes no further
    request: the next one is sent over a new socket, and the responses in progress end on the old one. Servers close a
    socket after 60 minutes. If a socket is lost, its responses can't be continued, and their runs are interrupted; the
    next request opens another one.

    A response whose source is removed is cancelled: its socket is closed. If other responses are in progress on it, the
    rest of the response is read and dropped instead, and its lane is used again after its end.

    By default one response is in progress on a socket at a time, and further requests wait. With ``lanes``, as many are
    in progress, each under a ``stream_id`` of its own, for a server that supports them. If a server names no lanes, one
    request is sent at a time from then on.

    Args:
        base_url: The URL before ``/responses``; ``https`` becomes ``wss``.
        lanes: How many responses are in progress on one socket.
        max_age: The age at which a socket takes no further request (seconds).
        keep_open: How long a socket stays open while there is no request (seconds).
        name: The name of its sources; the URL without secrets by default.
        headers: Headers of the handshake.
        auth: A bearer token or headers, or a function (sync or async) that returns them; called for each socket.
        ssl: TLS settings.
        proxy: A proxy's URL, ``None`` for none, ``True`` for the system's.
        reconnect: When to try again to open a socket; ``None``: never.
        max_message_bytes: Size of one message (bytes). A larger one ends the socket.
        max_queue_bytes: The size of the messages of one response that wait for the pipeline at which reading of the
            socket pauses (bytes).
        open_timeout: Limit for connecting (seconds).
        ping_interval: Time between pings (seconds), ``None`` for none.
        ping_timeout: Longest time without any data after a ping (seconds), ``None`` for any time.
        close_timeout: Limit for closing (seconds).
        grace: The time after which an error that is the last message of a response is its end; and after which an
            :class:`~runstream.Idle` is delivered, if the dialect waits for it (seconds).

    Raises:
        ValueError: A value outside its range.
    """

    def __init__(
        self,
        base_url: str,
        *,
        lanes: int = 1,
        max_age: float = 55 * 60.0,
        keep_open: float = 30.0,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Credentials | None = None,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | Literal[True] | None = True,
        reconnect: Reconnect | None = Reconnect(),  # noqa: B008 - frozen
        max_message_bytes: int = 16 * 2**20,
        max_queue_bytes: int = 16 * 2**20,
        open_timeout: float = 10.0,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        close_timeout: float = 2.0,
        grace: float = GRACE,
    ) -> None:
        check_reconnect(reconnect)
        check_seconds(
            max_age=max_age,
            keep_open=keep_open,
            open_timeout=open_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            grace=grace,
        )
        check_counts(lanes=lanes, max_message_bytes=max_message_bytes, max_queue_bytes=max_queue_bytes)
        scheme = urlsplit(base_url).scheme
        self._url = join_url(base_url, "responses", scheme=_SCHEMES.get(scheme, scheme))
        self.name = name or redact_url(self._url)
        self._lanes = lanes
        self._max_age = max_age
        self._keep_open = keep_open
        self._headers = dict(headers or {})
        self._auth = auth
        self._reconnect = reconnect
        self._max_queue_bytes = max_queue_bytes
        self._pings = {"ping_interval": ping_interval, "ping_timeout": ping_timeout}
        self._grace = grace
        self._options: dict[str, Any] = {
            "proxy": proxy,
            "max_size": max_message_bytes,
            "open_timeout": open_timeout,
            "close_timeout": close_timeout,
        }
        if ssl is not None:
            self._options["ssl"] = ssl
        self._sent = NOTHING_SENT
        self._routers: list[LaneRouter] = []
        self._opening = asyncio.Lock()
        self._freed = asyncio.Event()
        self._count = 0
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"ResponsesWebSocket({self.name!r})"

    def response(self, body: Mapping[str, Any], *, name: str | None = None) -> SocketResponse:
        """A source that requests one response when it is read.

        Args:
            body: The body of the request, as the API defines it for a POST; ``stream`` and ``background`` are left out.
            name: The source's name; that of the socket by default.

        Raises:
            TypeError: The body can't be encoded as JSON.
        """
        return SocketResponse(self, body, name or self.name)

    async def close(self) -> None:
        """Close all sockets. The responses in progress are lost."""
        self._closed = True
        self._stop_timer()
        tasks = [router.task for router in self._routers if router.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # requests

    async def _send(self, body: Mapping[str, Any], receiver: Receiver) -> tuple[LaneRouter, Lane]:
        """Send a request over a socket with room for it; its receiver has the request as an item first."""
        while True:
            router = await self._router()
            stream_id = None
            if self._lanes > 1 and router.names_lanes:
                taken = router.lanes
                stream_id = next(name for number in range(self._lanes) if (name := f"lane_{number}") not in taken)
            message = {"type": "response.create", **body, **({"stream_id": stream_id} if stream_id else {})}
            lane = router.lanes[stream_id] = Lane(stream_id, self._max_queue_bytes)
            receiver.connected()
            receiver.feed(request_item(msgspec.json.encode(body), receiver.continues, self._sent.credentials()))
            try:
                await router.socket.send(msgspec.json.encode(message).decode())
            except ConnectionClosed:
                pass  # the reader finds the reason
            except BaseException:
                self._release(router, lane)
                raise
            return router, lane

    async def _router(self) -> LaneRouter:
        """A socket with room for one more request."""
        while True:
            self._stop_timer()
            if self._closed:
                raise ConnectFailed("the socket was closed by the application")
            for router in self._routers:
                self._close_retired(router)
            usable = [each for each in self._routers if not self._is_retired(each)]
            for router in usable:
                if len(router.lanes) < (self._lanes if router.names_lanes else 1):
                    return router
            if usable:
                self._freed.clear()
                await self._freed.wait()
                continue
            async with self._opening:
                if all(self._is_retired(each) for each in self._routers):
                    await self._open()

    def _is_retired(self, router: LaneRouter) -> bool:
        router.is_retired = router.is_retired or _now() - router.opened_at >= self._max_age
        return router.is_retired

    def _close_retired(self, router: LaneRouter) -> None:
        """Close a socket that takes no further request and has none."""
        if not router.lanes and self._is_retired(router) and router.task is not None:
            router.task.cancel()

    def _release(self, router: LaneRouter, lane: Lane) -> None:
        """Note that a request is over, or is not read any more.

        A server makes a response to its end while its socket is open. So the socket is closed, unless it has other
        requests; with them, the lane of the response is not used again before its end.
        """
        if lane.is_over or lane.may_end:
            if router.lanes.get(lane.stream_id) is lane:
                del router.lanes[lane.stream_id]
        elif any(not each.is_left for each in router.lanes.values() if each is not lane):
            lane.leave()
        else:
            router.is_retired = True
            router.lanes.clear()
        self._free(router)

    def _free(self, router: LaneRouter) -> None:
        """Send what waits for a free lane, and close the socket if it is not used any more."""
        self._freed.set()
        self._close_retired(router)
        if not any(each.lanes for each in self._routers) and self._routers:
            self._stop_timer()
            self._timer = asyncio.get_running_loop().call_later(self._keep_open, self._close_idle)

    def _close_idle(self) -> None:
        for router in self._routers:
            if not router.lanes and router.task is not None:
                router.is_retired = True
                router.task.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # sockets

    async def _open(self) -> None:
        """Open a socket.

        Raises:
            ConnectFailed: There is none.
        """
        attempt = 0
        while True:
            try:
                secret = await call_hook("auth", resolve_headers, self._auth, retry=True)
                headers = merge_headers(self._headers, secret)
                proxy = self._options["proxy"]
                proxies = getproxies().values() if proxy is True else [proxy] if proxy else []
                self._sent = SentValues(urls=[self._url, *proxies], headers=headers)
                make = partial(BatchConnection, max_queue_bytes=self._max_queue_bytes)
                socket = await open_socket(self._url, headers, self._options, self._sent, make)
                break
            except ConnectFailed as error:
                attempt += 1
                policy = self._reconnect
                if not (error.retry and error.reached) or policy is None or policy.is_exhausted(attempt):
                    error.attempts = attempt
                    raise
                await asyncio.sleep(policy.delay(attempt, asked=error.wait))
        router = LaneRouter(socket, _now(), lambda: self._free(router))
        router.task = asyncio.create_task(self._read(router, self._sent), name=f"runstream socket {self.name}")
        self._routers.append(router)

    async def _read(self, router: LaneRouter, sent: SentValues) -> None:
        """Read a socket until it ends."""
        try:
            receiver = cast(Receiver, router)
            end = await read_socket(router.socket, receiver, age=None, sent=sent, **self._pings)
            router.lose(end)
        finally:
            self._routers.remove(router)
            if router.lanes:
                router.lose(Disconnect(reason="the socket was closed by the application"))
            self._freed.set()
            await close_socket(router.socket)


class SocketResponse:
    """The source of one response over a :class:`ResponsesWebSocket`. Made by :meth:`ResponsesWebSocket.response`.

    Attributes:
        name: Its name.
        dialect: The dialect of its events.
        refused: The HTTP status of the error that refused the request; ``None`` if it was accepted, 0 if the error has
            none.
    """

    dialect: ClassVar[str] = "responses"

    def __init__(self, socket: ResponsesWebSocket, body: Mapping[str, Any], name: str) -> None:
        self.name = name
        self._socket = socket
        self._body = {key: value for key, value in body.items() if key not in _NOT_SENT}
        msgspec.json.encode(self._body)  # raises here what can't be sent
        self._place: tuple[LaneRouter, Lane] | None = None
        self.refused: int | None = None

    def __repr__(self) -> str:
        return f"SocketResponse({self.name!r})"

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a further message about the response in progress, such as one that steers it.

        Args:
            message: The message; the ``stream_id`` of the response is added if it has one.

        Raises:
            RuntimeError: No response of this source is in progress.
        """
        if self._place is None or self._place[1].is_over:
            raise RuntimeError("no response of this source is in progress")
        router, lane = self._place
        named = {"stream_id": lane.stream_id} if lane.stream_id is not None else {}
        await router.socket.send(msgspec.json.encode({**message, **named}).decode())

    async def run(self, receiver: Receiver) -> None:
        """Send the request, and read its response to the end.

        Raises:
            SourceFailed: There is no socket, or it was lost.
        """
        socket = self._socket
        try:
            router, lane = self._place = await socket._send(self._body, receiver)
        except ConnectFailed as error:
            raise SourceFailed(
                error.reason,
                message=error.message,
                attempts=error.attempts,
                status=error.status,
                server_message=error.server_message,
            ) from error.__cause__
        try:
            with GraceTimer(receiver, socket._grace) as timer:
                while items := await _receive(lane, socket._grace):
                    timer.stop()
                    await receiver.feed_all(items)
                    timer.start()
        finally:
            self.refused = lane.refused
            socket._release(router, lane)
        if lane.lost is not None:
            raise SourceFailed(f"{lane.lost.reason}; {_NO_REPLAY}", server_message=lane.lost.server_message)


async def _receive(lane: Lane, grace: float) -> list[Any]:
    """The next messages of a lane; none at its end. An error that nothing follows in the grace time is its end."""
    if not lane.may_end:
        return list(await lane.receive())
    try:
        async with asyncio.timeout(grace):
            return list(await lane.receive())
    except TimeoutError:
        return []


def _now() -> float:
    return asyncio.get_running_loop().time()
