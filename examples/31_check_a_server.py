"""Check a server in a test: which rules of its protocol its streams break, and where.

The server sends a run of AG-UI. Its first version ends a message that it never opened, and never ends its run.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from runstream import CheckReport, check_url

BROKEN = [
    {"type": "RUN_STARTED", "threadId": "thread_1", "runId": "run_1"},
    {"type": "TEXT_MESSAGE_START", "messageId": "msg_1", "role": "assistant"},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "msg_1", "delta": "The lamp is on."},
    {"type": "TEXT_MESSAGE_END", "messageId": "msg_2"},
]
MENDED = [
    *BROKEN[:3],
    {"type": "TEXT_MESSAGE_END", "messageId": "msg_1"},
    {"type": "RUN_FINISHED", "threadId": "thread_1", "runId": "run_1"},
]


async def check_server(events: Sequence[dict[str, Any]]) -> CheckReport:
    """Serve the events on this machine, and check them as a client would get them."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        writer.writelines(f"data: {json.dumps(event)}\n\n".encode() for event in events)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await check_url(f"http://127.0.0.1:{port}/", method="POST", content=b"{}", timeout=10)


def show(report: CheckReport) -> None:
    """Print the findings, and what a tolerant reader made of the stream."""
    print(f"{report.dialect}, {report.events} events: {'no rule is broken' if report.ok else 'broken rules'}")
    for finding in report.findings:
        place = finding.places[0]
        where = f"event {place.event}" if place.event else "end of the stream"
        print(f"  {finding.rule.name} ({where}, {place.object_id}): {finding.rule.text}")
    for run in report.runs:
        print(f"  read as {run.status}{', interrupted' if run.interrupted else ''}, {run.characters} characters")


async def main() -> None:
    """Check both versions of the server."""
    show(await check_server(BROKEN))
    report = await check_server(MENDED)
    show(report)
    assert report.ok


asyncio.run(main())
