"""Pydantic AI behind AG-UI, with a scripted model. The user's words choose the scenario; the argument is the port."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from ag_ui.core import EventType, StateDeltaEvent, StateSnapshotEvent
from pydantic import BaseModel
from pydantic_ai import Agent, DeferredToolRequests, RunContext, ToolReturn
from pydantic_ai.messages import ModelMessage, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.ui import StateDeps
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route


class Plan(BaseModel):
    """The state that the agent shares."""

    steps: list[str] = []


def parts_of(messages: list[ModelMessage], kind: type) -> list[Any]:
    return [part for message in messages for part in message.parts if isinstance(part, kind)]


def call(name: str, arguments: str, id: str) -> list[dict[int, DeltaToolCall]]:
    half = len(arguments) // 2
    return [
        {1: DeltaToolCall(name=name, json_args=arguments[:half], tool_call_id=id)},
        {1: DeltaToolCall(json_args=arguments[half:])},
    ]


async def model(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
    said = str(parts_of(messages, UserPromptPart)[-1].content)
    results = parts_of(messages, ToolReturnPart)
    if results and not ("plan" in said and len(results) == 1):
        pieces: list[Any] = ["Result: ", "; ".join(str(part.content) for part in results)]
    elif "two gates" in said:
        pieces = [
            {0: DeltaToolCall(name="gate_status", json_args='{"gate": "ea', tool_call_id="call_e")},
            {1: DeltaToolCall(name="gate_status", json_args='{"gate": "we', tool_call_id="call_w")},
            {0: DeltaToolCall(json_args='st"}')},
            {1: DeltaToolCall(json_args='st"}')},
        ]
    elif "gate" in said:
        pieces = ["Let me ", "check.", *call("gate_status", '{"gate": "east"}', "call_g")]
    elif "two maps" in said:
        pieces = [
            {number: DeltaToolCall(name="show_map", json_args=f'{{"zoom": {zoom}}}', tool_call_id=f"call_m{zoom}")}
            for number, zoom in enumerate((3, 5))
        ]
    elif "map" in said:
        pieces = ["Here.", *call("show_map", '{"zoom": 3}', "call_m")]
    elif "ticket" in said:
        pieces = call("buy_ticket", '{"seats": 2}', "call_t")
    elif "plan" in said:
        pieces = call("tick" if results else "draw", "{}", f"call_p{len(results)}")
    elif "think" in said:
        pieces = [{0: DeltaThinkingPart(content=word)} for word in ("First ", "this.")] + ["Then ", "that."]
    elif "cancel" in said:
        pieces = ["I begin", *call("call_off", "{}", "call_c")]
    else:
        pieces = ["Good ", "morning."]
    for piece in pieces:
        yield piece
    if "break" in said:
        raise RuntimeError("the model is gone")


agent = Agent(FunctionModel(stream_function=model), deps_type=StateDeps[Plan], output_type=[str, DeferredToolRequests])


@agent.tool_plain
def gate_status(gate: str) -> str:
    return f"{gate} is open"


@agent.tool_plain(requires_approval=True)
def buy_ticket(seats: int) -> str:
    return f"{seats} seats"


@agent.tool
def draw(ctx: RunContext[StateDeps[Plan]]) -> ToolReturn:
    snapshot = {"steps": ["walk"]}
    return ToolReturn(
        return_value="drawn", metadata=[StateSnapshotEvent(type=EventType.STATE_SNAPSHOT, snapshot=snapshot)]
    )


@agent.tool
def tick(ctx: RunContext[StateDeps[Plan]]) -> ToolReturn:
    delta = [{"op": "add", "path": "/steps/-", "value": "board"}, {"op": "replace", "path": "/steps/0", "value": "run"}]
    return ToolReturn(return_value="ticked", metadata=[StateDeltaEvent(type=EventType.STATE_DELTA, delta=delta)])


@agent.tool
async def call_off(ctx: RunContext[StateDeps[Plan]]) -> str:
    cancelled = ctx.cancel()
    if inspect.isawaitable(cancelled):
        await cancelled
    return "off"


async def run(request: Request) -> Any:
    return await AGUIAdapter.dispatch_request(request, agent=agent, deps=StateDeps(Plan()))


if __name__ == "__main__":
    app = Starlette(routes=[Route("/", run, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
