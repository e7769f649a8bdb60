"""`connect`: a URL enters, a stream leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack
from urllib.parse import urlsplit

from runstream.sources.base import Source
from runstream.stream.run_stream import RunStream

if TYPE_CHECKING:
    # For annotations only: a transport is loaded when a URL needs it.
    import ssl as ssl_module
    from collections.abc import Callable, Mapping, Sequence

    from httpx2 import AsyncClient
    from reactivex import abc

    from runstream.core.state import RunState
    from runstream.dialects.registry import DialectLike
    from runstream.engine.watchdogs import Watchdogs
    from runstream.errors import SubscriberFailed
    from runstream.model.limits import Limits
    from runstream.sources.connection_loop import ResumeHook
    from runstream.sources.credentials import Credentials
    from runstream.sources.reconnect import Reconnect
    from runstream.sources.websocket import FirstMessages
    from runstream.store.base import StateStore
    from runstream.stream.channel import OnSubscriberError
    from runstream.stream.repairs import Repair

__all__ = ["ConnectOptions", "connect"]

_STREAM = (
    "fetch_run",
    "limits",
    "dialect",
    "clock",
    "on_subscriber_error",
    "wait_timeout",
    "close_timeout",
    "buffer",
    "max_connections",
    "watchdogs",
    "scheduler",
    "store",
)


class ConnectOptions(TypedDict, total=False):
    """The options of :func:`connect`: those of the source for the URL, and those of the stream.

    A ``ws`` URL takes no ``method``, ``json``, ``content``, ``last_event_id``, ``client`` and ``read_timeout``; an
    ``http`` URL takes no ``subprotocols``, ``first_messages``, ``ping_interval``, ``ping_timeout``, ``max_queue``,
    ``max_queue_bytes`` and ``max_unsent_bytes``.
    """

    # of both sources
    name: str | None
    headers: Mapping[str, str] | None
    auth: Credentials | None
    ssl: ssl_module.SSLContext | None
    proxy: str | Literal[True] | None
    resume: ResumeHook | None
    reconnect: Reconnect | None
    max_message_bytes: int
    open_timeout: float
    grace: float | None
    # of WebSocketSource
    subprotocols: Sequence[str] | None
    first_messages: FirstMessages
    ping_interval: float | None
    ping_timeout: float | None
    max_queue: int
    max_queue_bytes: int
    max_unsent_bytes: int
    # of SseSource
    method: Literal["GET", "POST"]
    json: Any
    content: bytes | str | None
    last_event_id: str | None
    client: AsyncClient | None
    read_timeout: float | None
    # of RunStream
    fetch_run: Callable[[RunState], Any] | Repair | None
    limits: Limits | None
    dialect: DialectLike | None
    clock: Callable[[], float]
    on_subscriber_error: OnSubscriberError | Callable[[SubscriberFailed], object]
    wait_timeout: float
    close_timeout: float
    buffer: int
    max_connections: int
    watchdogs: Watchdogs | None
    scheduler: abc.SchedulerBase | None
    store: StateStore | None


def connect(url: str, **options: Unpack[ConnectOptions]) -> RunStream:
    """A stream of the runs at a URL, over a WebSocket or as server-sent events.

    ::

        async with runstream.connect("wss://gateway.example/runs", auth=token) as stream:
            run = await stream.result()

    Args:
        url: A ``ws://``, ``wss://``, ``http://`` or ``https://`` URL; the last two need the extra ``http``.
        options: See :class:`ConnectOptions`: the keyword arguments of :class:`~runstream.WebSocketSource` or
            :class:`~runstream.SseSource`, and of :class:`~runstream.RunStream`, such as ``dialect``; ``close_timeout``
            is the stream's.

    Raises:
        ValueError: The URL has another scheme, or no host; or the dialect is not registered.
        TypeError: An unknown option.
        ImportError: The extra is missing.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        # The message of the standard library may contain the credentials.
        raise ValueError("connect() takes a ws://, wss://, http:// or https:// URL, and this is none") from None
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
        raise ValueError(
            "connect() takes a ws://, wss://, http:// or https:// URL; other sources go to RunStream(source)"
        )
    of_source: dict[str, Any] = {**options}
    stream = {name: of_source.pop(name) for name in _STREAM if name in of_source}
    return RunStream(_source(parts.scheme, url, of_source), **stream)


def _source(scheme: str, url: str, options: dict[str, Any]) -> Source:
    # Only the transport of the URL is loaded: websockets, or an HTTP client.
    if scheme in ("ws", "wss"):
        from runstream.sources.websocket import WebSocketSource

        return WebSocketSource(url, **options)
    from runstream.sources.sse import SseSource

    return SseSource(url, **options)
