"""The endpoint for `useChat` as an ASGI application, to be mounted in another: FastAPI, Starlette, or any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, MutableMapping
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import msgspec

from runstream.clients.base import BaseClient
from runstream.logs import LOG
from runstream.model.validation import check_counts, check_seconds
from runstream.sinks.ui_message_stream.chat import UiChatError, read_chat
from runstream.sinks.ui_message_stream.chats import OnDisconnect, UiChatHandler, UiChats
from runstream.sinks.ui_message_stream.chunks import HEADERS
from runstream.sinks.ui_message_stream.data_parts import MAX_DATA
from runstream.sinks.ui_message_stream.encoder import UiMessageEncoder
from runstream.sinks.ui_message_stream.outcome import ErrorText, error_text
from runstream.sinks.ui_message_stream.sources import FileUrl, no_url
from runstream.sinks.ui_message_stream.tool_parts import SdkVersion

__all__ = ["UiMessageApp"]

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]

_DISCONNECTED: Final = "http.disconnect"
_HEARTBEAT: Final = b": keep-alive\n\n"


class UiMessageApp:
    """An ASGI application (ASGI 3) for ``useChat`` of the npm package `ai`: it takes the chat by POST, and answers with
    the UI message stream of the run that the handler starts::

        async def handle(chat: UiChat) -> RunStream:
            return client.run(model="small", input=chat.text)

        app.mount("/api/chat", UiMessageApp(handle, client=client))      # FastAPI, Starlette

    A run of any protocol is shown as one assistant message. Calls that wait for the user, approvals and interrupts, end
    the response; the next request of the chat brings the answers, and its response continues the message. The answers
    are submitted by ``client``, or the handler finds them in the request.

    ``GET …/{id}/stream`` sends the response that a chat is receiving to one more browser, or to the same one after a
    reload (``resume``); its status is 204 if there is none.

    What a chat waits for is kept in this process. The application in which it is mounted decides who may use it.

    Args:
        handler: Starts or continues a run. It may raise :class:`UiChatError` to refuse a request.
        client: The client that the handler uses: it submits the answers, and cancels the run of a browser that leaves.
        sdk: See :class:`UiMessageEncoder`, as the next four.
        typed_tools: The names of the tools for which the front end has types.
        file_url: Returns the URL of a file of the server.
        error_text: Returns the text of an error.
        max_data: The size (bytes of JSON) up to which documents, activities and custom values are sent.
        on_disconnect: ``"cancel"``: the run of a browser that leaves is cancelled, if the client's protocol can, and
            its stream is closed; ``stop()`` of ``useChat`` does it. ``"continue"``: it goes on, and may be resumed.
        finish_at_action: True to end the response as soon as the run waits. By default it ends with the stream of the
            run, so that tools on the server can answer before.
        max_body_bytes: A longer request is refused.
        max_messages: A chat with more messages is refused.
        max_parts: A chat whose messages have more parts is refused.
        max_chats: How many runs may be sent at a time; and how many chats may wait: of more the oldest is forgotten.
        heartbeat: Seconds of silence after which a comment is sent.
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
        settle_time: float = 1.0,
    ) -> None:
        check_counts(max_body_bytes=max_body_bytes, max_messages=max_messages, max_parts=max_parts, max_chats=max_chats)
        check_seconds(heartbeat=heartbeat, settle_time=settle_time)
        if on_disconnect not in ("cancel", "continue"):
            raise ValueError("on_disconnect is 'cancel' or 'continue'")
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
        """End the runs that the handler has started, also those that go on without a browser."""
        await self._chats.close()

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
            events = await self._open(scope, receive)
        except UiChatError as error:
            await _refuse(send, error)
            return
        except Exception as error:
            LOG.error("ui_chat_handler_failed", error=type(error).__name__)
            await _refuse(send, UiChatError("the request failed", status=500, code="internal_error"))
            return
        if events is not None:
            await _send_events(events, receive, send, self._heartbeat)
        elif scope["method"] == "GET":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    async def _open(self, scope: MutableMapping[str, Any], receive: _Receive) -> AsyncGenerator[bytes, None] | None:
        """The events of a response; ``None`` if there are none, or if the browser has left.

        Raises:
            UiChatError: The request is refused.
        """
        path = _path(scope).strip("/")
        if path.endswith("/stream"):
            if scope["method"] != "GET":
                raise UiChatError("a response is resumed by GET", status=405, code="method_not_allowed")
            return await self._chats.resume(path.removesuffix("/stream"))
        if path:
            raise UiChatError("there is nothing here", status=404, code="not_found")
        if scope["method"] != "POST":
            raise UiChatError("a chat is sent by POST", status=405, code="method_not_allowed")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            # Another site can send a form or plain text without the permission of this one; JSON it can't.
            raise UiChatError("the content type is application/json", status=415, code="unsupported_media_type")
        body = await _read_body(receive, self._max_body_bytes)
        if body is None:
            return None
        chat = read_chat(body, max_messages=self._max_messages, max_parts=self._max_parts, headers=headers)
        return await self._chats.open(chat)

    async def _lifespan(self, receive: _Receive, send: _Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.shutdown":
                await self.aclose()
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return


def _path(scope: MutableMapping[str, Any]) -> str:
    """The path below the mount point of the application."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    # Servers and frameworks differ in whether the path contains the root.
    return path[len(root) :] if root and (path == root or path.startswith(f"{root}/")) else path


async def _read_body(receive: _Receive, limit: int) -> bytes | None:
    """The body of a request; ``None`` if the client leaves before its end.

    Raises:
        UiChatError: It is longer than the limit (bytes).
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
            raise UiChatError(f"the body is longer than {limit} bytes", status=413, code="body_too_large")
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def _refuse(send: _Send, error: UiChatError) -> None:
    """Send the reason of a refusal as JSON."""
    body = msgspec.json.encode({"error": {"type": "invalid_request_error", "code": error.code, "message": str(error)}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_events(events: AsyncGenerator[bytes, None], receive: _Receive, send: _Send, heartbeat: float) -> None:
    """Send an event stream, until it ends or the client leaves."""
    left = asyncio.ensure_future(_wait_until_left(receive))
    sending = asyncio.ensure_future(_send_all(events, send, heartbeat))
    try:
        await asyncio.wait({left, sending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        left.cancel()
        sending.cancel()
        _, result = await asyncio.gather(left, sending, return_exceptions=True)
    if isinstance(result, Exception) and not isinstance(result, OSError):  # ASGI 2.4: the client has left
        raise result


async def _send_all(events: AsyncGenerator[bytes, None], send: _Send, heartbeat: float) -> None:
    headers = [(name.encode(), value.encode()) for name, value in HEADERS]
    async with aclosing(events):
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        following: asyncio.Task[bytes] | None = None
        try:
            while True:
                if following is None:
                    following = asyncio.ensure_future(anext(events))
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
