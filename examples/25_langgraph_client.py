"""The client of LangGraph: a graph calls its own tools and asks; the connection breaks off, and nothing is lost."""

from __future__ import annotations

import asyncio

from runstream import Approve, AwaitedCall, LangGraphClient, Run, RunStream, SourceDisconnected, ToolCallResult
from runstream.testing import ScriptedCall, Turn, serve_script

TURNS = [
    Turn(text="Let me look. ", calls=[ScriptedCall("tide", {"port": port}) for port in ("Elm", "Oak")], cut_after=6),
    Turn(approvals={"book": {"boat": "Heron"}}),
    Turn(text="See you on Sunday."),
]


async def tide(port: str) -> str:
    """A tool of the graph: it is executed by the server."""
    return f"high water at {port} at nine"


def book(boat: str) -> str:
    """Another one, which the graph asks about."""
    return f"{boat} is booked"


def decide(call: AwaitedCall, run: Run) -> Approve:
    print(f"  the graph asks about {call.name}: yes")
    return Approve()


def show(stream: RunStream) -> None:
    """Print what happens in between."""
    stream.on(ToolCallResult, lambda signal: print(f"  {signal.output}"))
    stream.on(SourceDisconnected, lambda signal: print(f"  ({signal.reason})"))


async def main() -> None:
    async with serve_script(TURNS, tools=[tide, book]) as server:
        client = LangGraphClient(server.langgraph_url, approve=decide)
        message = {"role": "user", "content": "Which boats are free?"}
        async with client:
            async with client.run(assistant_id="agent", input={"messages": [message]}) as stream:
                show(stream)
                run = await stream.result()
            print(f"{run.status}: {stream.latest[run.id].text}")
            print(f"on the server: {(await client.fetch(run.id)).status}")


if __name__ == "__main__":
    asyncio.run(main())
