"""The shortest program that starts a run, answers a call and gets a result; as the README has it."""

import asyncio

from runstream import ResponsesClient
from runstream.testing import Turn, serve_script


async def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


async def main() -> None:
    turns = [Turn(calls={"get_weather": {"city": "Oslo"}}), Turn(text="It is sunny in Oslo.")]
    async with serve_script(turns) as server:  # a scripted model; with a vendor, its URL and your key
        client = ResponsesClient(server.url, api_key="key", tools=[get_weather])
        async with client, client.run(model="small", input="How is the weather in Oslo?") as stream:
            run = await stream.result()
            print(run.status, stream.latest[run.id].text)


asyncio.run(main())
