"""Relay runs from an ASGI application to browsers: one stream in, server-sent events for any number of clients out.

The application is plain ASGI, so this runs without a framework and without a server: two clients stand in for browsers
at the end. One of them loses its connection, and comes back as `EventSource` does. In FastAPI or Starlette the same is
`app.mount("/api", SseApp(stream))`; docs/browser.md has recipes with routes of your own, and the script of a page.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

from runstream import RunStream, SseApp, demo, read_recording


async def main() -> None:
    async with RunStream(read_recording(demo.load("text.sse"))) as stream:
        app = SseApp(stream)
        early = Client(app, "/runs/run_demo_text_0001/events", cut_after=40)
        reading = asyncio.create_task(early.read())
        run = await stream.result()
        await reading
        print(f"{run.id} {run.status.value}, cut after {early.cut_after} events, {early.connections} connections")

        late = Client(app, "/runs/run_demo_text_0001/events")
        await late.read()
        assert early.text == late.text == stream.latest[run.id].text
        print(f"both have it: {late.text[:38]}...")
        print(f"one more request: {await late.connect()}")


# What follows stands in for browsers: what the script of a page does with an EventSource, in a few lines.


class Client:
    """Reads the events of a run until its end, and puts the text together."""

    def __init__(self, app: SseApp, path: str, cut_after: int = 0) -> None:
        self.app, self.path, self.cut_after = app, path, cut_after
        self.text, self.last_id, self.ended = "", "", False
        self.events = self.connections = 0

    async def read(self) -> None:
        while not self.ended:
            await self.connect()

    async def connect(self) -> int:
        """One connection, which may be lost; gives the status."""
        self.connections += 1
        self.status, self.cut = 0, asyncio.Event()
        headers = [(b"last-event-id", self.last_id.encode())] if self.last_id else []
        await self.app(
            {"type": "http", "method": "GET", "path": self.path, "headers": headers}, self.receive, self.send
        )
        return self.status

    async def receive(self) -> dict[str, Any]:
        await self.cut.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.status = message.get("status", self.status)
        for block in message.get("body", b"").decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "data" in fields and not self.cut.is_set():
                self.last_id = fields.get("id", self.last_id)
                self.take(fields.get("event", "message"), json.loads(fields["data"]))
                self.events += 1
                if self.events == self.cut_after:
                    self.cut.set()

    def take(self, event: str, data: Any) -> None:
        """The signals of a snapshot build the run from nothing; each later one continues it."""
        if event == "snapshot":
            self.text = ""
            for run in data["runs"]:
                for signal in run["signals"]:
                    self.take("message", signal)
        elif event == "end":
            self.ended = True
        elif data["type"] == "message.text":
            self.text += data["delta"]


if __name__ == "__main__":
    asyncio.run(main())
