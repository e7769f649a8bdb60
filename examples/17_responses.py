"""OpenAI's Responses wire: text as it grows, a call that is answered over a second response, and one run at the end.

The two streams are built here, so that the program runs offline. In an application they are the answers to two POSTs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from runstream import ActionRequired, RunStream, TextDelta

USAGE = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}


def response(id: str, *events: dict[str, Any], item: dict[str, Any], **fields: Any) -> Iterator[bytes]:
    """The events of one response with one item, as a server sends them."""
    body = {"id": id, "object": "response", "model": "gpt-5-mini", "output": [], **fields}
    done = {**body, "status": "completed", "output": [item], "usage": USAGE}
    yield from map(
        json.dumps,
        [
            {"type": "response.created", "response": {**body, "status": "in_progress"}},
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress"}},
            *[{"item_id": item["id"], "output_index": 0, **event} for event in events],
            {"type": "response.output_item.done", "output_index": 0, "item": {**item, "status": "completed"}},
            {"type": "response.completed", "response": done},
        ],
    )


CALL = {
    "id": "fc_1",
    "type": "function_call",
    "call_id": "call_1",
    "name": "get_weather",
    "arguments": '{"city": "Ghent"}',
}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}


def ask() -> Iterator[bytes]:
    """The first response: it has a function call, so the run waits."""
    delta = {"type": "response.function_call_arguments.delta", "delta": CALL["arguments"]}
    return response("resp_1", delta, item=CALL)


def answer(signal: ActionRequired) -> Iterator[bytes]:
    """Called when the run waits. It returns the stream of the next request, which continues the run."""
    for call in signal.calls:
        print(f"{call.kind} {call.name}({call.arguments}), executed once as {call.key}")
    # In an application: POST /v1/responses with previous_response_id and a function_call_output for each call.
    delta = {"type": "response.output_text.delta", "content_index": 0}
    words = [{**delta, "delta": word} for word in ("It ", "rains ", "in Ghent.")]
    return response("resp_2", *words, item=MESSAGE, previous_response_id="resp_1")


async def main() -> None:
    async with RunStream(ask()) as stream:  # the wire is found by the first event
        stream.on(ActionRequired, answer)
        stream.on(TextDelta, lambda signal: print(signal.delta, end="", flush=True))
        run = await stream.result()
        state = stream.latest[run.id]
    print(f"\n{run.id} {run.status}: {' and '.join(state.pieces)}, {run.usage.total_tokens if run.usage else 0} tokens")


if __name__ == "__main__":
    asyncio.run(main())
