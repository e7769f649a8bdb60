"""Runs as OpenTelemetry spans: a run, its steps and its calls; the spans of a tool are children of its call."""

from __future__ import annotations

import asyncio

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runstream import ResponsesClient, RunTracer, ToolContext
from runstream.testing import ScriptedCall, Turn, serve_script


async def main() -> None:
    exporter = InMemorySpanExporter()  # an application exports its spans to a collector
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = RunTracer(tracer_provider=provider, provider="openai")

    async def get_weather(city: str, context: ToolContext) -> str:
        """The weather in a city."""
        in_call = tracer.in_run(context.run_id, context.call_key)
        with in_call, provider.get_tracer("weather").start_as_current_span("query the weather"):
            return f"sunny in {city}"

    turns = [Turn(calls=[ScriptedCall("get_weather", {"city": "Oslo"})]), Turn(text="It is sunny.")]
    async with (
        serve_script(turns) as server,
        ResponsesClient(server.url, tools=[get_weather]) as client,
        client.run(model="small", input="How is the weather in Oslo?") as stream,
    ):
        tracer.observe(stream)
        await stream.result()

    names = {span.context.span_id: span.name for span in exporter.get_finished_spans() if span.context}
    for span in sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0):
        parent = names.get(span.parent.span_id, "") if span.parent else ""
        print(f"{span.name}{f', a child of {parent}' if parent else ''}")


if __name__ == "__main__":
    asyncio.run(main())
