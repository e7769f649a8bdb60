"""The relay as an ASGI application: requests of browsers in, event streams out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from http import HTTPStatus

from runstream.logs import LOG
from runstream.sinks.asgi import (
    Receive,
    Scope,
    Send,
    get_header,
    get_path,
    get_query,
    respond,
    serve_http,
    stream_response,
)
from runstream.sinks.sse.relay import SseRelay
from runstream.stream.run_stream import RunStream

__all__ = ["SseApp"]

_BEFORE, _BEHIND = "/runs/", "/events"


class SseApp:
    """An ASGI application (ASGI 3) that serves the events of an :class:`SseRelay`.

    ``GET /runs/{id}/events`` has the events of one run (of a scope with ``?scope=``), ``GET /events`` those of all. The
    last id of a client stands in ``Last-Event-ID``, as EventSource sends it when it reconnects, or in the parameter
    ``last_event_id``, for a first request. After the end the response is 204, so that EventSource stops.

    It needs no framework, and can be mounted in any::

        app.mount("/api", SseApp(stream))      # FastAPI, Starlette: /api/runs/{id}/events

    The application in which it is mounted decides who may read the runs. It sends no headers of CORS: pages of other
    sites can't read it, unless that application permits it.

    A server that stops must not wait for clients that stay: give it a time-out (uvicorn:
    ``timeout_graceful_shutdown``), or call :meth:`SseRelay.close` before.

    Args:
        stream: The stream, or a relay of it.
        max_clients: Number of clients served at once; a further one receives 503.
        send_timeout: Seconds after which a client that does not read is dropped, where the server reports it.
    """

    def __init__(self, stream: RunStream | SseRelay, *, max_clients: int = 1_000, send_timeout: float = 10.0) -> None:
        self.relay = stream if isinstance(stream, SseRelay) else SseRelay(stream)
        self._max_clients = max_clients
        self._send_timeout = send_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        await serve_http(scope, receive, send, self._http, self.relay.close)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        relay, path = self.relay, get_path(scope)
        run_id: str | None = None
        if path.startswith(_BEFORE) and path.endswith(_BEHIND) and len(path) > len(_BEFORE) + len(_BEHIND):
            run_id = path[len(_BEFORE) : -len(_BEHIND)]
        elif path != _BEHIND:
            await respond(send, HTTPStatus.NOT_FOUND, b"There is nothing here. Events are at /events.\n")
            return
        if scope["method"] not in {"GET", "HEAD"}:
            await respond(send, HTTPStatus.METHOD_NOT_ALLOWED, b"Only GET.\n", headers=[("Allow", "GET, HEAD")])
            return
        last = get_header(scope, b"last-event-id") or get_query(scope, "last_event_id")
        of_scope = get_query(scope, "scope") or ""
        if relay.is_end(last, run_id, scope=of_scope):
            await respond(send, HTTPStatus.NO_CONTENT)
        elif relay.clients >= self._max_clients:
            await respond(send, HTTPStatus.SERVICE_UNAVAILABLE, b"Too many clients are connected.\n")
        else:
            is_head = scope["method"] == "HEAD"
            end = await stream_response(
                receive,
                send,
                _nothing() if is_head else relay.events(run_id, scope=of_scope, last_event_id=last),
                headers=relay.headers.items(),
                send_timeout=self._send_timeout,
                closing=relay.closing,
            )
            if end == "slow":
                LOG.warning("sse_client_dropped", reason=f"it read nothing for {self._send_timeout:g} s")


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield b""
