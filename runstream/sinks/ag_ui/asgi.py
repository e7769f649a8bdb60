"""The AG-UI endpoint as an ASGI application, to be mounted in another: FastAPI, Starlette, or any other."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec

from runstream.logs import LOG
from runstream.model.validation import check_counts, check_seconds
from runstream.sinks.ag_ui.run_input import AgUiInputError, read_input
from runstream.sinks.ag_ui.threads import AgUiHandler, AgUiThreads
from runstream.sinks.asgi import (
    BodyTooLarge,
    ClientLeft,
    OnDisconnect,
    Receive,
    Scope,
    Send,
    check_on_disconnect,
    read_body,
    respond,
    serve_http,
    stream_response,
)

if TYPE_CHECKING:
    from runstream.clients.base import BaseClient

__all__ = ["AgUiApp"]

_HEADERS: Final = (
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-store"),
    ("X-Accel-Buffering", "no"),  # else nginx delays the events
)


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
        max_body_bytes: Size of the body of a request (bytes). A longer one is refused.
        max_threads: How many threads may wait; of more the oldest is forgotten.
        heartbeat: Seconds of silence after which a comment is sent.
        send_timeout: Seconds after which a front end that reads nothing is dropped, where the server reports it.
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
        send_timeout: float = 10.0,
        settle_time: float = 1.0,
    ) -> None:
        check_counts(max_body_bytes=max_body_bytes, max_threads=max_threads)
        check_seconds(heartbeat=heartbeat, send_timeout=send_timeout, settle_time=settle_time)
        check_on_disconnect(on_disconnect)
        self._max_body_bytes = max_body_bytes
        self._send_timeout = send_timeout
        self._closing = asyncio.Event()
        self._threads = AgUiThreads(
            handler,
            client=client,
            on_disconnect=on_disconnect,
            finish_at_action=finish_at_action,
            settle_time=settle_time,
            heartbeat=heartbeat,
            max_threads=max_threads,
            encoder_options={"show_errors": show_errors, "show_raw": show_raw},
        )

    async def aclose(self) -> None:
        """End the runs that go on without a front end."""
        await self._threads.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        await serve_http(scope, receive, send, self._http, self._closing.set)
        if scope["type"] == "lifespan":
            await self.aclose()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] != "POST":
                raise AgUiInputError("the endpoint takes POST alone", status=405, code="method_not_allowed")
            chunks = await self._threads.open(read_input(await read_body(receive, self._max_body_bytes)))
        except ClientLeft:
            return
        except BodyTooLarge:
            message = f"the body is longer than {self._max_body_bytes} bytes"
            await _refuse(send, AgUiInputError(message, status=413, code="body_too_large"))
        except AgUiInputError as error:
            await _refuse(send, error)
        except Exception as error:
            LOG.error("ag_ui_handler_failed", error=type(error).__name__)
            await _refuse(send, AgUiInputError("the request failed", status=500, code="internal_error"))
        else:
            end = await stream_response(
                receive, send, chunks, headers=_HEADERS, send_timeout=self._send_timeout, closing=self._closing
            )
            if end == "slow":
                LOG.warning("ag_ui_client_dropped", reason=f"it read nothing for {self._send_timeout:g} s")


async def _refuse(send: Send, error: AgUiInputError) -> None:
    """Send the reason of a refusal as JSON."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    body = msgspec.json.encode({"error": {"type": kind, "code": error.code, "message": str(error)}})
    headers = [("Allow", "POST")] if error.status == HTTPStatus.METHOD_NOT_ALLOWED else []
    await respond(send, HTTPStatus(error.status), body, "application/json", headers=headers)
