"""A browser with `useChat`, as an endpoint sees it: it posts chats, reads responses, and keeps the message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.asgi import AsgiApp, Message
from tests.support.ui_messages import read_chunks

__all__ = ["Answer", "Chat", "body_of", "requesting"]

_PATIENCE = 20.0  # seconds
JSON = {"content-type": "application/json"}


class Answer:
    """A response that is being received.

    Attributes:
        status: Its status; 0 before it has begun.
        headers: Its headers.
        body: The bytes so far.
        ended: True at its end.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.ended = False
        self.left = asyncio.Event()
        self.changed = asyncio.Condition()

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """The chunks so far."""
        lines = [line.removeprefix("data: ") for line in self.body.decode().split("\n\n") if line.startswith("data: ")]
        return [json.loads(line) for line in lines if line != "[DONE]"]

    @property
    def error(self) -> dict[str, Any]:
        """The reason of a refusal."""
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found

    async def send(self, message: Message) -> None:
        """Receive a message of the application."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")
            self.ended = not message.get("more_body", False)
        async with self.changed:
            self.changed.notify_all()

    async def until(self, text: str) -> None:
        """Wait for a text in the body.

        Raises:
            TimeoutError: It does not come.
        """
        async with asyncio.timeout(_PATIENCE), self.changed:
            await self.changed.wait_for(lambda: text.encode() in self.body)

    async def until_end(self) -> None:
        """Wait for the end of the body.

        Raises:
            TimeoutError: It does not come.
        """
        async with asyncio.timeout(_PATIENCE), self.changed:
            await self.changed.wait_for(lambda: self.ended)


@asynccontextmanager
async def requesting(
    app: AsgiApp,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    headers: dict[str, str] | None = None,
    root: str = "",
    raw_path: bytes | None = None,
) -> AsyncIterator[Answer]:
    """A request while its response comes in; the browser leaves at the end."""
    answer = Answer()
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        await answer.left.wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": root,
        "raw_path": raw_path,
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
    }
    task = asyncio.ensure_future(app(scope, receive, answer.send))
    try:
        yield answer
    finally:
        answer.left.set()
        async with asyncio.timeout(_PATIENCE):
            await task


def body_of(**fields: Any) -> bytes:
    """The body of a chat with one message of the user, and other fields."""
    user = {"id": "user-1", "role": "user", "parts": [{"type": "text", "text": "Hello."}]}
    return json.dumps({"id": "chat-1", "messages": [user], "trigger": "submit-message", **fields}).encode()


class Chat:
    """A chat in a browser.

    Attributes:
        messages: Its messages.
    """

    def __init__(self, app: AsgiApp, id: str = "chat-1") -> None:
        self.app = app
        self.id = id
        self.messages: list[dict[str, Any]] = []

    @property
    def message(self) -> dict[str, Any]:
        """The last message."""
        return self.messages[-1]

    def tool(self, id: str) -> dict[str, Any]:
        """The part of a call in the last message."""
        found: dict[str, Any] = next(part for part in self.message["parts"] if part.get("toolCallId") == id)
        return found

    def say(self, text: str) -> None:
        """Add a message of the user."""
        id = f"user-{len(self.messages)}"
        self.messages.append({"id": id, "role": "user", "parts": [{"type": "text", "text": text}]})

    def decide(self, id: str, *, approved: bool, reason: str | None = None) -> None:
        """Answer a request for an approval, as `addToolApprovalResponse` does."""
        part = self.tool(id)
        assert part["state"] == "approval-requested"
        approval = {**part["approval"], "approved": approved, **({"reason": reason} if reason else {})}
        part |= {"state": "approval-responded", "approval": approval}

    def put_out(self, id: str, output: Any) -> None:
        """Add the output of a call, as `addToolOutput` does."""
        self.tool(id).update(state="output-available", output=output)

    async def send(self, **fields: Any) -> Answer:
        """Post the chat, and read the whole response into the message."""
        body = {"id": self.id, "messages": self.messages, "trigger": "submit-message", **fields}
        async with requesting(self.app, "POST", "/", json.dumps(body).encode(), headers=JSON) as answer:
            await answer.until_end()
        self.read(answer)
        return answer

    def read(self, answer: Answer) -> None:
        """Take a response over."""
        last = self.messages[-1] if self.messages and self.message["role"] == "assistant" else None
        message = read_chunks(answer.chunks, message=last)
        self.messages = [*(self.messages[:-1] if last is not None else self.messages), message]
