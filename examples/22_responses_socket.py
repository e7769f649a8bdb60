"""The WebSocket mode of the Responses API: one socket, a call that is answered over it, and two responses at once.

The server is a small one in this program, so that it runs offline.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from runstream import ActionRequired, ResponsesWebSocket, RunStream

CALL = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "tide", "arguments": '{"place": "Ghent"}'}


def response(id: str, item: dict[str, Any], *deltas: str) -> Iterator[dict[str, Any]]:
    """The events of one response with one item."""
    body = {"id": id, "object": "response", "output": []}
    yield {"type": "response.created", "response": {**body, "status": "in_progress"}}
    yield {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress"}}
    for delta in deltas:
        yield {"type": "response.output_text.delta", "item_id": item["id"], "content_index": 0, "delta": delta}
    yield {"type": "response.output_item.done", "output_index": 0, "item": {**item, "status": "completed"}}
    yield {"type": "response.completed", "response": {**body, "status": "completed"}}


async def server(socket: ServerConnection) -> None:
    """A server that asks for the tide before it mentions it, and answers all else at once."""
    async for text in socket:
        request = json.loads(text)
        print(f"> {request['input'] if isinstance(request['input'], str) else request['input'][0]['output']}")
        message = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
        if request["input"] == "When is high tide?":
            events = response("resp_1", CALL)
        elif "previous_response_id" in request:
            events = response("resp_2", message, "High tide ", "is at nine.")
        else:
            events = response("resp_3", message, "Hello", " too.")
        for number, event in enumerate(events):
            lane = {"stream_id": request["stream_id"]} if "stream_id" in request else {}
            await socket.send(json.dumps({**event, **lane, "sequence_number": number}))


async def main() -> None:
    async with serve(server, "127.0.0.1", 0) as serving:
        port = next(iter(serving.sockets)).getsockname()[1]
        async with ResponsesWebSocket(f"http://127.0.0.1:{port}/v1", lanes=2, proxy=None) as socket:

            def answer(signal: ActionRequired) -> Any:
                """Called when the run waits: the outputs go over the same socket, and the run goes on."""
                outputs = [
                    {"type": "function_call_output", "call_id": call.id, "output": "09:00"} for call in signal.calls
                ]
                return socket.response({"model": "m", "input": outputs, "previous_response_id": signal.run_id})

            async with RunStream(
                socket.response({"model": "m", "input": "When is high tide?"}),
                socket.response({"model": "m", "input": "Hello."}),
            ) as stream:
                stream.on(ActionRequired, answer)
                for run in await stream.results():
                    state = stream.latest[run.id]
                    print(f"{run.id} {run.status}: {state.text} ({' and '.join(state.pieces)})")


if __name__ == "__main__":
    asyncio.run(main())
