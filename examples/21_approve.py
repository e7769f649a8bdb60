"""Calls that need a decision: a function decides, a person does, and a run without an answer is left waiting."""

from __future__ import annotations

import asyncio

from runstream import (
    ActionRequired,
    Approve,
    AwaitedCall,
    Decline,
    IncompleteStream,
    ResponsesClient,
    Run,
)
from runstream.testing import Turn, serve_script

TURNS = [Turn(approvals={"read_file": {"path": "notes.txt"}}), Turn(text="Done.")]


async def decide(call: AwaitedCall, run: Run) -> Approve | Decline:
    """Reading is allowed, anything else is not."""
    print(f"{run.id} wants {call.name} {call.parsed}")
    return Approve() if call.name == "read_file" else Decline("only reading is allowed")


async def by_function(url: str) -> None:
    async with ResponsesClient(url, approve=decide) as client, client.run(model="m", input="Read.") as stream:
        print(f"by a function: {(await stream.result()).status}")


async def by_a_person(url: str) -> None:
    """The answer comes later, when the stream has ended."""
    async with ResponsesClient(url) as client:
        async with client.run(model="m", input="Read.") as stream:
            asked = await stream.when(ActionRequired)
            try:
                await stream.result()
            except IncompleteStream as error:
                print(f"by a person: {error}")
        async with client.decline(asked.run_id, reason="not today") as answered:
            print(f"by a person: {(await answered.result(asked.run_id)).status}")


async def main() -> None:
    async with serve_script(TURNS) as server:
        await by_function(server.url)
        await by_a_person(server.url)
        print(f"the server received {[answers[0] for answers in server.outputs.values()]}")


if __name__ == "__main__":
    asyncio.run(main())
