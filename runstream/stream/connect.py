"""`connect`: a URL enters, a stream leaves."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from runstream.sources.base import Source
from runstream.stream.run_stream import RunStream

__all__ = ["connect"]

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


def connect(url: str, **options: Any) -> RunStream:
    """A stream of the runs at a URL, over a WebSocket or as server-sent events.

    ::

        async with runstream.connect("wss://gateway.example/runs", auth=token) as stream:
            run = await stream.result()

    Args:
        url: A ``ws://``, ``wss://``, ``http://`` or ``https://`` URL; the last two need the extra ``http``.
        options: The keyword arguments of :class:`~runstream.WebSocketSource` or :class:`~runstream.SseSource`, and of
            :class:`~runstream.RunStream`, such as ``dialect``; ``close_timeout`` is the stream's.

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
    stream = {name: options.pop(name) for name in _STREAM if name in options}
    return RunStream(_source(parts.scheme, url, options), **stream)


def _source(scheme: str, url: str, options: dict[str, Any]) -> Source:
    # Only the transport of the URL is loaded: websockets, or an HTTP client.
    if scheme in ("ws", "wss"):
        from runstream.sources.websocket import WebSocketSource

        return WebSocketSource(url, **options)
    from runstream.sources.sse import SseSource

    return SseSource(url, **options)
