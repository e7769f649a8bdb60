"""Several runs of the Responses API over one WebSocket: each with its calls, one of them cancelled."""

from __future__ import annotations

import asyncio

from runstream import ResponsesClient, RunInterrupted, TextDelta
from runstream.testing import ScriptedRequest, Turn, serve_script


def model(request: ScriptedRequest) -> Turn:
    """A scripted model: it asks for the tide of a port, or talks for a long time."""
    if request.turn:
        return Turn(text=f"High water is {next(iter(request.outputs.values()))}.")
    if request.body["input"] == "Talk.":
        return Turn(text="And another thing. " * 200, pause=0.01)
    return Turn(calls={"tide": {"port": request.body["input"]}})


async def tide(port: str) -> str:
    """The time of high water."""
    await asyncio.sleep(0.05)
    return {"Elm": "at nine", "Oak": "at ten"}[port]


async def main() -> None:
    async with (
        serve_script(model) as server,
        ResponsesClient(server.url, tools=[tide], websocket=True, lanes=4) as client,
    ):

        async def ask(port: str) -> str:
            async with client.run(model="small", input=port) as stream:
                run = await stream.result()
            return f"{port}: {stream.latest[run.id].text}"

        async def stop() -> str:
            async with client.run(model="small", input="Talk.") as stream:
                text = await stream.when(TextDelta)
                await client.cancel(text.run_id)
                return (await stream.when(RunInterrupted)).reason

        for line in await asyncio.gather(ask("Elm"), ask("Oak"), stop()):
            print(line)
        print(f"requests over HTTP: {[request.method for request in server.requests if request.method == 'POST']}")


if __name__ == "__main__":
    asyncio.run(main())
