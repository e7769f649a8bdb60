"""Tools run inside the spans of their calls, and requests carry the trace context of their runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runstream import RunTracer
from runstream.clients.answers import Approve
from runstream.clients.base import BaseClient
from runstream.model.run import RunStatus
from runstream.testing.server import serve_script
from runstream.testing.turns import Question, Turn
from tests.clients.test_cancel import BODIES, client_of

TOOL_TURN = Turn(calls={"find": {"text": "x"}, "look": {"text": "y"}})


class Traced:
    """A tracer whose spans stay in memory, and the headers of all requests of a client."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = RunTracer(tracer_provider=self.provider)
        self.own = self.provider.get_tracer("the application")
        self.parents: list[str | None] = []

    def span(self, name: str) -> ReadableSpan:
        """The only span whose name begins so."""
        (found,) = [span for span in self.exporter.get_finished_spans() if span.name.startswith(name)]
        return found

    async def note(self, request: httpx2.Request) -> None:
        """Note the header of a request."""
        self.parents.append(request.headers.get("traceparent"))

    @asynccontextmanager
    async def client(self, kind: str, server: Any, **options: Any) -> AsyncIterator[BaseClient]:
        """A client whose requests are noted."""
        async with (
            httpx2.AsyncClient(event_hooks={"request": [self.note]}, trust_env=False) as http,
            client_of(kind, server, client=http, **options) as client,
        ):
            yield client


def parent_of(span: ReadableSpan) -> int | None:
    """The id of the span's parent."""
    return None if span.parent is None else span.parent.span_id


def header_of(span: ReadableSpan) -> str:
    """The header that carries a span."""
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


@pytest.mark.parametrize("kind", ["assistants", "responses", "ag-ui"])
async def test_tools_and_requests_belong_to_their_run(kind: str) -> None:
    """The start carries the application's span, the answers that of the run; spans of tools are children of calls."""
    traced = Traced()

    async def find(text: str) -> str:
        with traced.own.start_as_current_span(f"found {text}"):
            return text

    def look(text: str) -> str:  # in a thread
        with traced.own.start_as_current_span(f"looked {text}"):
            return text

    async with (
        serve_script([TOOL_TURN, "Done."]) as server,
        traced.client(kind, server, tools=[find, look], tracer=traced.tracer) as client,
    ):
        with traced.own.start_as_current_span("question"):
            async with client.run(BODIES[kind]) as stream:
                assert (await stream.result()).status == RunStatus.COMPLETED
    run = traced.span("invoke_agent")
    assert parent_of(run) == traced.span("question").context.span_id
    assert parent_of(traced.span("found x")) == traced.span("execute_tool find").context.span_id
    assert parent_of(traced.span("looked y")) == traced.span("execute_tool look").context.span_id
    assert traced.parents == [header_of(traced.span("question")), header_of(run)]


async def test_a_decision_belongs_to_its_run() -> None:
    """An interrupt is no call: its decision is made inside the span of the run. Requests about a run carry it too."""
    traced = Traced()

    async def approve(*args: Any) -> Approve:
        with traced.own.start_as_current_span("decided"):
            return Approve()

    async with (
        serve_script([Turn(questions=[Question("Go on?")]), "Done."]) as server,
        traced.client("langgraph", server, approve=approve, tracer=traced.tracer) as client,
        client.run(BODIES["langgraph"]) as stream,
    ):
        run_id = (await stream.result()).id
        await client.fetch(run_id)
    run = traced.span("invoke_agent")
    assert parent_of(traced.span("decided")) == run.context.span_id
    assert None in traced.parents  # the thread is created before there is a run, and the application has no span
    assert header_of(run) in traced.parents


async def test_without_a_tracer_nothing_is_sent() -> None:
    """A span of the application is no reason to tell a server about it."""
    traced = Traced()

    async def work(text: str = "") -> str:
        assert trace.get_current_span().get_span_context() == span.get_span_context()
        return text

    async with (
        serve_script([Turn(calls={"work": {}}), "Done."]) as server,
        traced.client("responses", server, tools=[work], api_key="key") as client,
    ):
        with traced.own.start_as_current_span("question") as span:
            async with client.run(BODIES["responses"]) as stream:
                await stream.result()
        assert len(server.outputs) == 1
    assert traced.parents == [None, None]


async def test_credentials_are_sent_beside_the_trace_context() -> None:
    """A function that returns headers is called for each request, as without a tracer."""
    traced, calls = Traced(), []

    async def credentials() -> dict[str, str]:
        calls.append("called")
        return {"Authorization": "Bearer mine", "traceparent": "mine"}

    async with (
        serve_script(["Done."]) as server,
        traced.client("responses", server, api_key=credentials, tracer=traced.tracer) as client,
    ):
        with traced.own.start_as_current_span("question"):
            async with client.run(BODIES["responses"]) as stream:
                await stream.result()
    assert (calls, traced.parents) == (["called"], ["mine"])
