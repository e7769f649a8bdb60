"""Relay runs from an ASGI application to browsers: one stream in, any number of sockets out, none of which slows it.

The application is plain ASGI, so this runs without a framework and without a server: two clients stand in for browsers
at the end. In FastAPI the same is `app.mount("/runs", PageApp(stream))`, and for a page of your own:

    @app.websocket("/mine")
    async def mine(websocket: WebSocket) -> None:
        await websocket.accept()
        with suppress(WebSocketDisconnect):
            async for frame in feed.frames():
                await websocket.send_text(frame)
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from runstream import PageApp, PageFeed, RunStream, demo, read_recording


class App:
    """An application with the page below /runs/, and a relay for pages of its own at /mine."""

    def __init__(self, stream: RunStream) -> None:
        self.feed = PageFeed(stream)
        self.page = PageApp(self.feed)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # Here an application would see who it is, and who may look.
        if scope["path"].startswith("/runs"):
            await self.page({**scope, "root_path": "/runs"}, receive, send)
        elif scope["type"] == "websocket" and scope["path"] == "/mine":
            await self.mine(receive, send)

    async def mine(self, receive: Any, send: Any) -> None:
        """Relay by hand: the next frame is made when the last one was sent, so a slow browser has one at most."""
        await receive()
        await send({"type": "websocket.accept"})
        async for frame in self.feed.frames():
            await send({"type": "websocket.send", "text": frame})


async def main() -> None:
    async with RunStream(read_recording(demo.load("text.sse"))) as stream:
        app = App(stream)
        status = await get(app, "/runs/")
        print(f"GET /runs/ {status}")

        quick, slow = Client("quick"), Client("slow", pause=0.3)
        sockets = [asyncio.create_task(quick.run(app, "/runs/socket")), asyncio.create_task(slow.run(app, "/mine"))]
        run = await stream.result()
        print(f"{run.id} {run.status.value}")
        await asyncio.gather(*sockets)
        assert quick.text == slow.text
        print(f"both have it: {quick.text[:38]}...")


# What follows stands in for browsers: it does what page.js does, in a few lines.


class Client:
    """Reads a socket until its run has ended, and puts the text together from its pieces."""

    def __init__(self, name: str, pause: float = 0.0) -> None:
        self.name, self.pause, self.text, self.connected = name, pause, "", False
        self.ended = asyncio.Event()

    async def run(self, app: App, path: str) -> None:
        scope = {"type": "websocket", "path": path, "headers": [(b"host", b"localhost")]}
        serving = asyncio.ensure_future(app(scope, self.receive, self.send))
        await self.ended.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    async def receive(self) -> dict[str, str]:
        if not self.connected:
            self.connected = True
            return {"type": "websocket.connect"}
        await self.ended.wait()
        return {"type": "websocket.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] != "websocket.send":
            return
        await asyncio.sleep(self.pause)
        for run in json.loads(message["text"]).get("runs", []):
            for block in run.get("blocks", []):
                if "add" in block:
                    self.text = self.text[: block["at"]] + block["add"]
            if run.get("set", {}).get("ended"):
                self.ended.set()


async def get(app: App, path: str) -> int:
    statuses = []

    async def send(message: dict[str, Any]) -> None:
        statuses.append(message.get("status", 0))

    async def receive() -> dict[str, str]:
        return {"type": "http.request"}

    await app({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
    return int(statuses[0])


if __name__ == "__main__":
    asyncio.run(main())
