"""An AG-UI endpoint: front ends such as CopilotKit show a run of the Responses API, execute a tool, and approve a call.

A scripted model stands in for the Responses API, and a client for the front end, which is a browser elsewhere. With a
server of yours: `uvicorn module:app`, or `app.mount("/agent", AgUiApp(...))` in FastAPI and Starlette.
"""

from __future__ import annotations

import asyncio

import httpx2

from runstream import (
    AgUiApp,
    AgUiClient,
    AgUiRequest,
    Approve,
    AwaitedCall,
    ResponsesClient,
    Run,
    RunStream,
    TextDelta,
    ToolCallResult,
)
from runstream.testing import Turn, serve_script

TURNS = [
    Turn(text="I look at the timetable. ", calls={"find_ferries": {"harbour": "Oslo"}}),
    Turn(text="Here is her way. ", calls={"show_on_map": {"harbours": ["Oslo", "Kiel"]}}),
    Turn(text="May I book it? ", approvals={"book_seats": {"ferry": "Heron", "seats": 2}}),
    Turn(text="Two seats are booked."),
]


def find_ferries(harbour: str) -> str:
    """The ferries of today: a tool of the server."""
    return f"Heron, {harbour} to Kiel, 14:30"


def make_app(client: ResponsesClient) -> AgUiApp:
    """The endpoint. What a front end answers is submitted by the client."""

    def handle(request: AgUiRequest) -> RunStream:
        tools = [
            {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters}
            for tool in request.input.tools or ()
        ]
        return client.run({"tools": tools}, model="small", input=request.input.text)

    return AgUiApp(handle, client=client)


# What follows stands in for a front end.


def show_on_map(harbours: list[str]) -> str:
    """A tool of the front end."""
    print(f"\n[map: {', '.join(harbours)}]")
    return "shown"


async def ask(call: AwaitedCall, run: Run) -> Approve:
    """The user says yes to everything."""
    print(f"\n{call.call.to_dict()['data']['message']} yes")
    return Approve()


async def front_end(app: AgUiApp) -> None:
    transport = httpx2.AsyncClient(transport=httpx2.ASGITransport(app))
    message = {"id": "u1", "role": "user", "content": "Two seats to Kiel, please."}
    async with (
        transport,
        AgUiClient("http://app.example/agent", tools=[show_on_map], approve=ask, client=transport) as client,
        client.run(threadId="thread-1", messages=[message]) as stream,
    ):
        async for signal in stream:
            match signal:
                case TextDelta():
                    print(signal.delta, end="")
                case ToolCallResult() if signal.call.name == "find_ferries":
                    print(f"\n[{signal.output}]")
        print(f"\n{(await stream.result()).status}")


async def main() -> None:
    async with serve_script(TURNS) as model, ResponsesClient(model.url, tools=[find_ferries], proxy=None) as client:
        await front_end(make_app(client))


if __name__ == "__main__":
    asyncio.run(main())
