"""A LangGraph server: text, a question to a human, the answer, and one run that completes. Offline, over loopback.

The stream of a run that waits ends as that of a run that is done. The source asks the server, so that the program does
not have to: ``ActionRequired`` has the question, and the source that its handler returns continues the run.

The server here is a script. With a real one, only ``URL`` and the body differ.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from runstream import ActionRequired, DocumentChanged, LangGraphSource, RunCompleted, RunStream, TextDelta


async def main(url: str) -> None:
    """Run one conversation."""
    body = {"assistant_id": "approval", "input": {"messages": [{"role": "user", "content": "Book the Heron"}]}}
    first = LangGraphSource(url, thread_id="thread-1", json=body)
    async with RunStream(first) as stream:

        def ask(signal: ActionRequired) -> LangGraphSource:
            answers = {}
            for call in signal.calls:
                print(f"\n? {call.name}: {call.data['question']} yes")
                answers[call.id] = "yes"
            return first.answer(answers)

        stream.on(ActionRequired, ask)
        stream.on(TextDelta, lambda signal: print(signal.delta, end="", flush=True))
        stream.on(DocumentChanged, lambda signal: print(f" [{len(signal.value['messages'])} messages]"))
        stream.on(RunCompleted, lambda signal: print(f"{signal.run_id} completed"))
        async for _ in stream:
            pass
        (state,) = stream.latest.values()
        print(
            f"runs of the server: {', '.join(state.pieces)}; tokens: {state.usage.total_tokens if state.usage else 0}"
        )


# The scripted server: two runs of one thread.

HUMAN = {"type": "human", "id": "h1", "content": "Book the Heron"}
CALL = {"id": "call_1", "name": "book", "args": {"boat": "Heron"}}
PROPOSAL = {"type": "ai", "id": "a1", "content": "I can book it.", "tool_calls": [CALL]}
RESULT = {"type": "tool", "id": "t1", "tool_call_id": "call_1", "name": "book", "content": "Heron is booked"}
DONE = {"type": "ai", "id": "a2", "content": "See you on Sunday."}
QUESTION = {"id": "ask-1", "value": {"question": "Book this boat?", "tool_call_id": "call_1"}}


def chunks(run: str, id: str, text: str) -> list[tuple[str, Any]]:
    """The chunks of one message; the last one has the tokens."""
    words = [f"{word} " for word in text.split()]
    words[-1] = words[-1].rstrip()
    usage = {"input_tokens": 20, "output_tokens": len(words), "total_tokens": 20 + len(words)}
    parts: list[dict[str, Any]] = [{"content": word} for word in words]
    parts.append({"content": "", "usage_metadata": usage, "chunk_position": "last"})
    facts = {"run_id": run, "thread_id": "thread-1", "langgraph_node": "agent"}
    return [("messages", [{"type": "AIMessageChunk", "id": id, **part}, facts]) for part in parts]


STREAMS = {
    "run-1": [
        ("metadata", {"run_id": "run-1", "attempt": 1}),
        *chunks("run-1", "a1", "I can book it."),
        ("updates", {"agent": {"messages": [PROPOSAL]}}),
        ("values", {"messages": [HUMAN, PROPOSAL]}),
    ],
    "run-2": [
        ("metadata", {"run_id": "run-2", "attempt": 1}),
        ("updates", {"tools": {"messages": [RESULT]}}),
        *chunks("run-2", "a2", "See you on Sunday."),
        ("values", {"messages": [HUMAN, PROPOSAL, RESULT, DONE]}),
    ],
}


started: list[str] = []
"""The runs that were started."""


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, path, _ = head.split(" ", 2)
    length = next((int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-le")), 0)
    body = json.loads(await reader.readexactly(length)) if length else {}
    if method == "POST":
        run = "run-2" if "command" in body else "run-1"
        started.append(run)
        lines = [f"event: {name}\r\ndata: {json.dumps(data)}\r\n\r\n" for name, data in STREAMS[run]]
        kind, place, payload = "text/event-stream", f"/threads/thread-1/runs/{run}", "".join(lines)
    else:
        waits = started[-1] == "run-1"
        found: dict[str, Any] = {"run_id": started[-1], "thread_id": "thread-1", "status": "success"}
        if path.endswith("/state"):
            tasks = [{"name": "ask", "interrupts": [QUESTION]}] if waits else []
            found = {"tasks": tasks, "next": ["ask"] if waits else [], "metadata": {"run_id": started[-1]}}
        elif path == "/threads/thread-1":
            found = {"thread_id": "thread-1", "status": "interrupted" if waits else "idle"}
        kind, place, payload = "application/json", path, json.dumps(found)
    data = payload.encode()
    lines = [f"Content-Type: {kind}", f"Content-Location: {place}", f"Content-Length: {len(data)}", "Connection: close"]
    writer.write("\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode() + data)
    await writer.drain()
    writer.close()


async def demo() -> None:
    """Run the program against the script."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        await main(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


if __name__ == "__main__":
    asyncio.run(demo())
