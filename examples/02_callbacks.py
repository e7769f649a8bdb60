"""React with callbacks. A tool call is answered, and the run goes on in a second stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import runstream
from runstream import ActionRequired, MessageCompleted, RawEvent, RunCompleted, demo, read_recording, serve_recording


async def get_forecast(city: str, day: str) -> str:
    return f"{day} in {city}: dry, with rain from two o'clock"


async def find_trains(**_: str) -> str:
    return "9:12, 9:42"


TOOLS: dict[str | None, Callable[..., Awaitable[str]]] = {"get_forecast": get_forecast, "find_trains": find_trains}


async def submit(run_id: str, outputs: dict[str, str]) -> AsyncIterator[RawEvent]:
    """Submit tool outputs; the server answers with the stream in which the run goes on. Here: a recording."""
    print(f"submitting {len(outputs)} outputs for {run_id}")
    for item in read_recording(demo.load("function_call_2.sse")):
        await asyncio.sleep(0)
        if isinstance(item, RawEvent):
            yield item


async def answer(signal: ActionRequired) -> AsyncIterator[RawEvent]:
    """A coroutine: it has a queue of its own and blocks no other. What it returns is read on."""
    outputs = {}
    for call in signal.calls:
        print(f"calling {call.name}({call.parsed})")
        tool = TOOLS[call.name]
        outputs[call.id] = await tool(**call.parsed)
    return submit(signal.run_id, outputs)


def show(signal: MessageCompleted) -> None:
    """A plain function: called at once, in order."""
    print(f"assistant: {signal.message.text}")


def bill(signal: RunCompleted) -> None:
    """Called once per run, whatever is repeated on the wire; `key` is the same in every replay."""
    tokens = signal.run.usage.total_tokens if signal.run.usage else 0
    print(f"billing {tokens} tokens under {signal.key}")


async def react(url: str) -> None:
    async with runstream.connect(url) as stream:
        stream.on(ActionRequired, answer)
        stream.on(MessageCompleted, show)
        stream.on(RunCompleted, bill)
        run = await stream.result()  # reading starts here: nothing was missed
        print(f"{run.id} {run.status}")


async def main() -> None:
    # Offline: a server on this machine plays the stream that ends when the run asks.
    async with serve_recording(read_recording(demo.load("function_call_1.sse"))) as server:
        await react(server.url)


if __name__ == "__main__":
    asyncio.run(main())
