"""One run of the OpenAI Agents SDK with a scripted model, whose events are a source of runstream in the same process.

Prints one JSON object: the run, its tool results, and the keys of its signals.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from typing import Any

import openai
from agents import Agent, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled

from runstream import RunStream
from runstream.model.signals import ToolCallResult

Json = dict[str, Any]


def body(id: str, item: Json, deltas: list[Json]) -> bytes:
    """The event stream of one response with one item."""
    response = {
        "id": id,
        "object": "response",
        "created_at": 1,
        "model": "scripted",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "status": "in_progress",
    }
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 15,
    }
    done = {**response, "status": "completed", "output": [item], "usage": usage}
    empty = {**item, "status": "in_progress", **({"content": []} if "content" in item else {"arguments": ""})}
    events: list[Json] = [
        {"type": "response.created", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": empty},
        *[{"item_id": item["id"], "output_index": 0, **delta} for delta in deltas],
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": done},
    ]
    blocks = [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n"
        for number, event in enumerate(events)
    ]
    return "".join(blocks).encode()


CALL = {
    "id": "fc_1",
    "type": "function_call",
    "call_id": "call_1",
    "name": "get_weather",
    "arguments": '{"city":"Oslo"}',
    "status": "completed",
}
TEXT = {"type": "output_text", "text": "Sunny in Oslo.", "annotations": []}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [TEXT]}
BODIES = [
    body("resp_1", CALL, [{"type": "response.function_call_arguments.delta", "delta": '{"city":"Oslo"}'}]),
    body(
        "resp_2",
        MESSAGE,
        [
            {"type": "response.output_text.delta", "content_index": 0, "delta": part, "logprobs": []}
            for part in ("Sunny ", "in ", "Oslo.")
        ],
    ),
]


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


async def main() -> None:
    """Run the agent, and print what runstream has made of its events."""
    set_tracing_disabled(True)
    kinds = [kind.__module__.split(".")[0] for kind in openai.DefaultAsyncHttpxClient.__mro__]
    http = importlib.import_module(next(name for name in kinds if "httpx" in name))
    bodies = iter(BODIES)

    async def answer(request: object) -> Any:
        return http.Response(200, headers={"content-type": "text/event-stream"}, content=next(bodies))

    client = openai.DefaultAsyncHttpxClient(transport=http.MockTransport(answer))
    api = openai.AsyncOpenAI(api_key="none", base_url="http://offline.invalid/v1", http_client=client)
    agent = Agent(name="Desk", model=OpenAIResponsesModel("scripted", api), tools=[get_weather])
    result = Runner.run_streamed(agent, "How is the weather in Oslo?")
    async with RunStream(result.stream_events(), dialect="responses") as stream:
        signals = [signal async for signal in stream]
        states = list(stream.latest.values())
    shown = {
        "runs": [[state.run_id, state.status.value, state.text, list(state.pieces)] for state in states],
        "tokens": [state.usage.total_tokens for state in states if state.usage is not None],
        "results": [[each.call_id, each.output] for each in signals if isinstance(each, ToolCallResult)],
        "keys": [signal.key for signal in signals],
        "final": result.final_output,
    }
    print(json.dumps(shown))


if __name__ == "__main__":
    asyncio.run(main())
