"""The endpoint for `useChat` as an ASGI application, to be mounted in another: FastAPI, Starlette, or any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from runstream.clients.base import BaseClient
from runstream.logs import LOG
from runstream.model.validation import check_counts, check_seconds
from runstream.sinks.asgi import (
    BodyTooLarge,
    ClientLeft,
    OnDisconnect,
    Receive,
    Scope,
    Send,
    check_on_disconnect,
    get_path,
    read_body,
    respond,
    serve_http,
    stream_response,
)
from runstream.sinks.ui_message_stream.chat import UiChatError, read_chat
from runstream.sinks.ui_message_stream.chats import UiChatHandler, UiChats
from runstream.sinks.ui_message_stream.chunks import HEADERS
from runstream.sinks.ui_message_stream.data_parts import MAX_DATA
from runstream.sinks.ui_message_stream.encoder import UiMessageEncoder
from runstream.sinks.ui_message_stream.outcome import ErrorText, error_text
from runstream.sinks.ui_message_stream.sources import FileUrl, no_url
from runstream.sinks.ui_message_stream.tool_parts import SdkVersion

__all__ = ["UiMessageApp"]

_HEARTBEAT: Final = b": keep-alive\n\n"


class UiMessageApp:
    """An ASGI application (ASGI 3) for ``useChat`` of the npm package `ai`: it takes the chat by POST, and answers with
    the UI message stream of the run that the handler starts::

        async def handle(chat: UiChat) -> RunStream:
            return client.run(model="small", input=chat.text)

        chat = UiMessageApp(handle, client=client)
        app.add_route("/api/chat", chat)      # FastAPI, Starlette
        app.mount("/api/chat", chat)

    A run of any protocol is shown as one assistant message. Calls that wait for the user, approvals and interrupts, end
    the response; the next request of the chat brings the answers, and its response continues the message. The answers
    are submitted by ``client``, or the handler finds them in the request.

    ``GET …/{id}/stream`` sends the response that a chat is receiving to one more browser, or to the same one after a
    reload (``resume``); its status is 204 if there is none.

    A server that stops must not wait for responses: give it a time-out (uvicorn: ``timeout_graceful_shutdown``), or
    call :meth:`aclose` before.

    What a chat waits for is kept in this process. The application in which it is mounted decides who may use it.

    Args:
        handler: Starts or continues a run. It may raise :class:`UiChatError` to refuse a request.
        client: The client that the handler uses: it submits the answers, and cancels the run of a browser that leaves.
        sdk: The oldest version of the package `ai` that reads the stream; this option and the next four are those of
            :class:`UiMessageEncoder`.
        typed_tools: The names of the tools for which the front end has types.
        file_url: Returns the URL of a file of the server.
        error_text: Returns the text of an error.
        max_data: The size (bytes of JSON) up to which documents, activities and custom values are sent.
        on_disconnect: ``"cancel"``: the run of a browser that leaves is cancelled, if the client's protocol can, and
            its stream is closed; ``stop()`` of ``useChat`` does it. ``"continue"``: it goes on, and may be resumed.
        finish_at_action: True to end the response as soon as the run waits. By default it ends with the stream of the
            run, so that tools on the server can answer before.
        max_body_bytes: Size of the body of a request (bytes). A longer one is refused.
        max_messages: Number of messages of a chat. A chat with more is refused.
        max_parts: Number of parts of all messages of a chat. A chat with more is refused.
        max_chats: How many runs may be sent at a time; and how many chats may wait: of more the oldest is forgotten.
        heartbeat: Seconds of silence after which a comment is sent.
        send_timeout: Seconds after which a browser that reads nothing is dropped, where the server reports it.
        settle_time: How long signals may follow the end of a run (seconds), if its stream goes on.

    Raises:
        ValueError: A bound or a version is out of its range.
    """

    def __init__(
        self,
        handler: UiChatHandler,
        *,
        client: BaseClient | None = None,
        sdk: SdkVersion = 6,
        typed_tools: Collection[str] | None = None,
        file_url: FileUrl = no_url,
        error_text: ErrorText = error_text,
        max_data: int = MAX_DATA,
        on_disconnect: OnDisconnect = "cancel",
        finish_at_action: bool = False,
        max_body_bytes: int = 4 * 2**20,
        max_messages: int = 1_000,
        max_parts: int = 20_000,
        max_chats: int = 10_000,
        heartbeat: float = 15.0,
        send_timeout: float = 10.0,
        settle_time: float = 1.0,
    ) -> None:
        check_counts(max_body_bytes=max_body_bytes, max_messages=max_messages, max_parts=max_parts, max_chats=max_chats)
        check_seconds(heartbeat=heartbeat, send_timeout=send_timeout, settle_time=settle_time)
        check_on_disconnect(on_disconnect)
        options: dict[str, Any] = {
            "sdk": sdk,
            "typed_tools": typed_tools,
            "file_url": file_url,
            "error_text": error_text,
            "max_data": max_data,
        }
        UiMessageEncoder(**options)  # a wrong value is reported now, not at the first request
        self._max_body_bytes = max_body_bytes
        self._max_messages = max_messages
        self._max_parts = max_parts
        self._heartbeat = heartbeat
        self._send_timeout = send_timeout
        self._closing = asyncio.Event()
        self._chats = UiChats(
            handler,
            client=client,
            on_disconnect=on_disconnect,
            finish_at_action=finish_at_action,
            settle_time=settle_time,
            max_chats=max_chats,
            encoder_options=options,
        )

    async def aclose(self) -> None:
        """End all responses, and the runs that the handler has started, also those that go on without a browser."""
        self._shut_down()
        await self._chats.wait_closed()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        await serve_http(scope, receive, send, self._http, self._shut_down)

    def _shut_down(self) -> None:
        self._closing.set()
        self._chats.cancel()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            events = await self._open(scope, receive)
        except ClientLeft:
            return
        except UiChatError as error:
            await _refuse(send, error)
            return
        except Exception as error:
            LOG.error("ui_chat_handler_failed", error=type(error).__name__)
            await _refuse(send, UiChatError("the request failed", status=500, code="internal_error"))
            return
        if events is None:
            await respond(send, HTTPStatus.NO_CONTENT)
            return
        end = await stream_response(
            receive,
            send,
            _with_heartbeats(events, self._heartbeat),
            headers=HEADERS,
            send_timeout=self._send_timeout,
            closing=self._closing,
        )
        if end == "slow":
            LOG.warning("ui_message_client_dropped", reason=f"it read nothing for {self._send_timeout:g} s")

    async def _open(self, scope: Scope, receive: Receive) -> AsyncGenerator[bytes, None] | None:
        """The events of a response; ``None`` if there is none to resume.

        Raises:
            ClientLeft: The browser has left before the end of its request.
            UiChatError: The request is refused.
        """
        if (chat_id := _resumed(scope)) is not None:
            if scope["method"] != "GET":
                raise UiChatError("a response is resumed by GET", status=405, code="method_not_allowed")
            return await self._chats.resume(chat_id)
        if scope["method"] != "POST":
            raise UiChatError("a chat is sent by POST", status=405, code="method_not_allowed")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            # Another site can send a form or plain text without the permission of this one; JSON it can't.
            raise UiChatError("the content type is application/json", status=415, code="unsupported_media_type")
        try:
            body = await read_body(receive, self._max_body_bytes)
        except BodyTooLarge:
            message = f"the body is longer than {self._max_body_bytes} bytes"
            raise UiChatError(message, status=413, code="body_too_large") from None
        chat = read_chat(body, max_messages=self._max_messages, max_parts=self._max_parts, headers=headers)
        return await self._chats.open(chat)


def _resumed(scope: Scope) -> str | None:
    """The id of the chat whose response is to be resumed, by the end of the path; ``None`` for another request."""
    raw: bytes | None = scope.get("raw_path")  # where an id may contain an encoded slash
    path = raw.decode("latin-1").partition("?")[0] if raw else get_path(scope)
    chat_id, _, last = path.rpartition("/")
    if last != "stream":
        return None
    chat_id = chat_id.rpartition("/")[2]
    return unquote(chat_id) if raw else chat_id


async def _refuse(send: Send, error: UiChatError) -> None:
    """Send the reason of a refusal as JSON."""
    body = msgspec.json.encode({"error": {"type": "invalid_request_error", "code": error.code, "message": str(error)}})
    await respond(send, HTTPStatus(error.status), body, "application/json")


async def _with_heartbeats(events: AsyncGenerator[bytes, None], seconds: float) -> AsyncGenerator[bytes, None]:
    """Events, and a comment after each silence."""
    async with aclosing(events):
        following: asyncio.Task[bytes] | None = None
        try:
            while True:
                if following is None:
                    following = asyncio.ensure_future(anext(events))
                done, _ = await asyncio.wait({following}, timeout=seconds)
                if not done:
                    yield _HEARTBEAT
                    continue
                try:
                    event = following.result()
                except StopAsyncIteration:
                    return
                following = None
                yield event
        finally:
            if following is not None and not following.done():
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
