"""Serve `useChat`, the chat of React, Vue, Svelte and Angular front ends with the npm package `ai`, from any run.

The application is plain ASGI; in FastAPI or Starlette the same is `app.mount("/api/chat", make_app(url))`. The model is
scripted, and a few lines at the end stand in for the browser: it asks, approves, and reads the answer.
docs/use-chat.md has a page for it.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from runstream import ResponsesClient, RunStream, UiChat, UiMessageApp
from runstream.testing import Turn, serve_script


def list_notes(folder: str) -> list[str]:
    """The notes in a folder."""
    return ["boat.txt", "plan.txt"]


def make_app(url: str) -> UiMessageApp:
    """The endpoint: each message of the user starts a run; answers of the user go to the client."""
    client = ResponsesClient(url, tools=[list_notes])

    async def handle(chat: UiChat) -> RunStream:
        # Here an application would see who it is. `chat.messages` is the whole conversation.
        return client.run(model="small", input=chat.text)

    return UiMessageApp(handle, client=client)


async def main() -> None:
    turns: list[Turn | str] = [
        Turn(text="Let me look.", calls={"list_notes": {"folder": "inbox"}}),
        Turn(text="Shall I delete both?", approvals={"delete_notes": {"names": ["boat.txt", "plan.txt"]}}),
        "Both notes are deleted.",
    ]
    async with serve_script(turns) as server:
        browser = Browser(make_app(server.url))
        await browser.send({"id": "user-1", "role": "user", "parts": [{"type": "text", "text": "Tidy up my notes."}]})
        asked = next(part for part in browser.parts.values() if part.get("state") == "approval-requested")
        print(f"? {asked['toolName']} {json.dumps(asked['input'])}: yes")
        asked |= {"state": "approval-responded", "approval": {"id": asked["toolCallId"], "approved": True}}
        await browser.send(browser.message())


# What follows stands in for a browser: it does what `useChat` does, in a few lines.


class Browser:
    """Posts messages and reads the parts of the answer."""

    def __init__(self, app: UiMessageApp) -> None:
        self.app = app
        self.parts: dict[str, dict[str, Any]] = {}  # by id
        self.messages: list[dict[str, Any]] = []
        self.id = ""

    def message(self) -> dict[str, Any]:
        """The message of the assistant so far."""
        return {"id": self.id, "role": "assistant", "parts": list(self.parts.values())}

    async def send(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        body = json.dumps({"id": "chat-1", "messages": self.messages, "trigger": "submit-message"}).encode()
        waiting = [{"type": "http.request", "body": body}]

        async def receive() -> dict[str, Any]:
            return waiting.pop() if waiting else await asyncio.Event().wait()  # type: ignore[return-value]

        async def send(message: Any) -> None:
            for line in message.get("body", b"").decode().splitlines():
                if line.startswith("data: {"):
                    self.read(json.loads(line.removeprefix("data: ")))

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        await self.app(scope, receive, send)

    def read(self, chunk: dict[str, Any]) -> None:
        match chunk:
            case {"type": "start", "messageId": id}:
                self.id = id
            case {"type": "text-start", "id": id}:
                self.parts[id] = {**chunk, "type": "text", "text": ""}
            case {"type": "text-delta", "id": id, "delta": text}:
                self.parts[id]["text"] += text
            case {"type": "text-end", "id": id}:
                print(self.parts[id]["text"])
            case {"type": "tool-input-available", "toolCallId": id}:
                self.parts[id] = {**chunk, "type": "dynamic-tool", "state": "input-available"}
            case {"type": "tool-output-available", "toolCallId": id, "output": output}:
                self.parts[id] |= {**chunk, "type": "dynamic-tool", "state": "output-available"}
                if output is not None:  # an approved call that another machine executes has none
                    print(f"< {self.parts[id]['toolName']}: {json.dumps(output)}")
            case {"type": "tool-approval-request", "toolCallId": id}:
                self.parts[id]["state"] = "approval-requested"
            case {"type": "finish", "finishReason": reason}:
                print(f"[{reason}]")


if __name__ == "__main__":
    asyncio.run(main())
