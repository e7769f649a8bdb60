"""The AG-UI endpoint as an ASGI application, to be mounted in another: FastAPI, Starlette, or any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import msgspec

from runstream.clients.base import BaseClient
from runstream.logs import LOG
from runstream.model.validation import check_counts, check_seconds
from runstream.sinks.ag_ui.run_input import AgUiInputError, read_input
from runstream.sinks.ag_ui.threads import AgUiHandler, AgUiThreads, OnDisconnect

__all__ = ["AgUiApp"]

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]

_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # else nginx delays the events
)
_HEARTBEAT: Final = b": keep-alive\n\n"
_DISCONNECTED: Final = "http.disconnect"


class AgUiApp:
    """An ASGI application (ASGI 3) with one AG-UI endpoint: it takes a ``RunAgentInput`` by POST, and answers with the
    event stream of the run that the handler starts::

        async def handle(request: AgUiRequest) -> RunStream:
            return client.run(model="small", input=request.input.text)

        app = AgUiApp(handle, client=client)
        app.mount("/agent", AgUiApp(handle))      # within FastAPI, Starlette

    A run of any protocol is shown. Calls of tools that the front end offers are left to it; approvals, interrupts and
    all other calls that wait become interrupts. The next request of the thread brings the answers: they are submitted
    by ``client``, or the handler finds them in its request.

    A request with the ids of a run that is going on joins it.

    What a thread waits for is kept in this process. The application in which it is mounted decides who may use it.

    Args:
        handler: Starts or continues a run. It may raise :class:`AgUiInputError` to refuse a request.
        client: The client that the handler uses: it submits the answers, and cancels the run of a front end that
            leaves.
        on_disconnect: ``"cancel"``: the run of a front end that leaves is cancelled, if the client's protocol can, and
            its stream is closed. ``"continue"``: it goes on, and the answers that it waits for are awaited.
        finish_at_action: True to end the event stream as soon as the run waits. By default it ends with the stream of
            the run, so that tools on the server can answer before.
        show_errors: True to send the server's words about an error of a run, which may contain what users should not
            see. By default only the code is sent.
        show_raw: True to pass on ``RAW`` events of an AG-UI server.
        max_body_bytes: A longer request is refused.
        max_threads: How many threads may wait; of more the oldest is forgotten.
        heartbeat: Seconds of silence after which a comment is sent.
        settle_time: How long signals may follow the end of a run (seconds), if its stream goes on.

    Raises:
        ValueError: A bound is out of its range.
    """

    def __init__(
        self,
        handler: AgUiHandler,
        *,
        client: BaseClient | None = None,
        on_disconnect: OnDisconnect = "cancel",
        finish_at_action: bool = False,
        show_errors: bool = False,
        show_raw: bool = False,
        max_body_bytes: int = 4 * 2**20,
        max_threads: int = 10_000,
        heartbeat: float = 15.0,
        settle_time: float = 1.0,
    ) -> None:
        check_counts(max_body_bytes=max_body_bytes, max_threads=max_threads)
        check_seconds(heartbeat=heartbeat, settle_time=settle_time)
        if on_disconnect not in ("cancel", "continue"):
            raise ValueError("on_disconnect is 'cancel' or 'continue'")
        self._max_body_bytes = max_body_bytes
        self._heartbeat = heartbeat
        self._threads = AgUiThreads(
            handler,
            client=client,
            on_disconnect=on_disconnect,
            finish_at_action=finish_at_action,
            settle_time=settle_time,
            max_threads=max_threads,
            encoder_options={"show_errors": show_errors, "show_raw": show_raw},
        )

    async def aclose(self) -> None:
        """End the runs that go on without a front end."""
        await self._threads.close()

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        """Respond to one request."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before the accept: HTTP 403
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _http(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        try:
            if scope["method"] != "POST":
                raise AgUiInputError("the endpoint takes POST alone", status=405, code="method_not_allowed")
            body = await _read_body(receive, self._max_body_bytes)
            if body is None:
                return  # the client has left
            blocks = await self._threads.open(read_input(body))
        except AgUiInputError as error:
            await _refuse(send, error)
            return
        except Exception as error:
            LOG.error("ag_ui_handler_failed", error=type(error).__name__)
            await _refuse(send, AgUiInputError("the request failed", status=500, code="internal_error"))
            return
        await _send_blocks(blocks, receive, send, self._heartbeat)

    async def _lifespan(self, receive: _Receive, send: _Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.shutdown":
                await self.aclose()
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return


async def _read_body(receive: _Receive, limit: int) -> bytes | None:
    """The body of a request; ``None`` if the client leaves before its end.

    Raises:
        AgUiInputError: It is longer than the limit (bytes).
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == _DISCONNECTED:
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise AgUiInputError(f"the body is longer than {limit} bytes", status=413, code="body_too_large")
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def _refuse(send: _Send, error: AgUiInputError) -> None:
    """Send the reason of a refusal as JSON."""
    body = msgspec.json.encode({"error": {"type": "invalid_request_error", "code": error.code, "message": str(error)}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_blocks(blocks: AsyncGenerator[bytes, None], receive: _Receive, send: _Send, heartbeat: float) -> None:
    """Send an event stream, until it ends or the client leaves."""
    left = asyncio.ensure_future(_wait_until_left(receive))
    sending = asyncio.ensure_future(_send_all(blocks, send, heartbeat))
    try:
        await asyncio.wait({left, sending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        left.cancel()
        sending.cancel()
        _, result = await asyncio.gather(left, sending, return_exceptions=True)
    if isinstance(result, Exception) and not isinstance(result, OSError):  # ASGI 2.4: the client has left
        raise result


async def _send_all(blocks: AsyncGenerator[bytes, None], send: _Send, heartbeat: float) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
    async with aclosing(blocks):
        following: asyncio.Task[bytes] | None = None
        try:
            while True:
                if following is None:
                    following = asyncio.ensure_future(anext(blocks))
                done, _ = await asyncio.wait({following}, timeout=heartbeat)
                block = _HEARTBEAT
                if done:
                    try:
                        block, following = following.result(), None
                    except StopAsyncIteration:
                        break
                await send({"type": "http.response.body", "body": block, "more_body": True})
        finally:
            if following is not None and not following.done():
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
    await send({"type": "http.response.body", "body": b""})


async def _wait_until_left(receive: _Receive) -> None:
    while (await receive())["type"] != _DISCONNECTED:
        pass
