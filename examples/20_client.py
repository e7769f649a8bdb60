"""A run is started, its two calls are executed, and it ends: with the Responses API, and with the Assistants API.

Both are served by a scripted server on this machine; with a vendor, the URL and the key are all that differs.
"""

from __future__ import annotations

import asyncio

from runstream import AssistantsClient, ResponsesClient, TextDelta
from runstream.testing import ScriptedCall, Turn, serve_script


async def get_weather(city: str, days: int = 1) -> dict[str, object]:
    """The forecast for a city."""
    print(f"  the tool is called for {city}")
    return {"city": city, "days": days, "sky": "sunny"}


def show(signal: TextDelta) -> None:
    print(signal.delta, end="", flush=True)


async def ask_responses(url: str) -> None:
    client = ResponsesClient(url, api_key="key", tools=[get_weather])
    async with client, client.run(model="small", input="How is the weather in Oslo and Rome?") as stream:
        stream.on(TextDelta, show)
        run = await stream.result()
    print(f"\n  {run.id} {run.status}, {run.usage.total_tokens if run.usage else 0} tokens")


async def ask_assistants(url: str) -> None:
    client = AssistantsClient(url, api_key="key", tools=[get_weather])
    async with client, client.run(assistant_id="asst_1", thread_id="thread_1") as stream:
        stream.on(TextDelta, show)
        run = await stream.result()
    print(f"\n  {run.id} {run.status}, {run.usage.total_tokens if run.usage else 0} tokens")


async def main() -> None:
    calls = [ScriptedCall("get_weather", {"city": city}) for city in ("Oslo", "Rome")]
    turns = [Turn(text="Let me see. ", calls=calls), Turn(text="It is sunny in both.")]
    async with serve_script(turns) as server:
        print("the Responses API:")
        await ask_responses(server.url)
        print("the Assistants API:")
        await ask_assistants(server.url)


if __name__ == "__main__":
    asyncio.run(main())
