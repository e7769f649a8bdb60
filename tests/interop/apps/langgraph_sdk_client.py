"""LangGraph's own SDK against a server: a run that calls two tools and waits, its answer, a join, a cancel.

It prints one JSON object a line. Usage: ``python langgraph_sdk_client.py BASE_URL``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from langgraph_sdk import get_client


async def main(url: str) -> None:
    client = get_client(url=url)
    thread = await client.threads.create()
    modes: Any = ["messages-tuple", "updates", "values"]

    async def read(**options: Any) -> list[tuple[str, Any]]:
        parts = client.runs.stream(thread["thread_id"], "agent", stream_mode=modes, **options)
        return [(part.event, part.data) async for part in parts]

    asked = await read(input={"messages": [{"role": "user", "content": "Hello"}]})
    state: Any = await client.threads.get_state(thread["thread_id"])
    waiting = [interrupt for task in state["tasks"] for interrupt in task["interrupts"]]
    print(
        json.dumps(
            {
                "events": sorted({name for name, _ in asked}),
                "tools": [message["content"] for message in state["values"]["messages"] if message["type"] == "tool"],
                "next": state["next"],
                "waiting": [interrupt["value"]["question"] for interrupt in waiting],
                "thread": (await client.threads.get(thread["thread_id"]))["status"],
            }
        )
    )
    resume = {interrupt["id"]: True for interrupt in waiting}
    done = await read(command={"resume": resume}, stream_resumable=True)
    (latest, *_) = await client.runs.list(thread["thread_id"], limit=1)
    joined = [part.event async for part in client.runs.join_stream(thread["thread_id"], latest["run_id"])]
    print(
        json.dumps(
            {
                "text": next(data for name, data in reversed(done) if name == "values")["messages"][-1]["content"],
                "run": (await client.runs.get(thread["thread_id"], latest["run_id"]))["status"],
                "joined": len(joined) == len(done),
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
