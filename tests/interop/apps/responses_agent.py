"""An agent with a scripted model, for ``fastresponses serve``: the words of the user choose what it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel


async def script(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
    """Speak, ask for the tools of the client, report their outputs, or break."""
    words = " ".join(
        str(part.content) for message in messages for part in message.parts if isinstance(part, UserPromptPart)
    )
    outputs = [str(part.content) for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    tools = [tool.name for tool in info.function_tools]
    if "storm" in words:
        yield "It "
        raise RuntimeError("The storm broke it.")
    if outputs:
        yield "Seen: "
        yield ", ".join(sorted(outputs))
    elif tools and "piers" in words:
        for number, place in enumerate(("north", "south")):
            yield {number: DeltaToolCall(name=tools[0], json_args='{"pier":', tool_call_id=f"call_{place}")}
            yield {number: DeltaToolCall(json_args=f'"{place}"}}', tool_call_id=f"call_{place}")}
    else:
        pause = 0.2 if "slow" in words else 0.0
        for word in ("The ", "ferry ", "leaves ", "at ", "nine."):
            await asyncio.sleep(pause)
            yield word


agent = Agent(FunctionModel(stream_function=script))
