"""Runs as spans and metrics, read back from the in-memory exporters of OpenTelemetry's own SDK."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runstream import RunStream, RunTracer, fold
from runstream.testing import Conversation, Script, script


class Recorded:
    """A tracer whose spans and metrics stay in memory."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = RunTracer(
            tracer_provider=self.provider, meter_provider=MeterProvider([self.reader]), provider="openai", **options
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def run_span(self) -> ReadableSpan:
        (found,) = [span for span in self.spans if span.name.startswith("invoke_agent")]
        return found

    def metrics(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def called() -> Script:
    return script("run_1").call(get_weather={"city": "Oslo"}).answer("sunny").say("It is sunny.")


async def observe(recorded: Recorded, *scripts: Script) -> None:
    async with RunStream(Conversation(scripts).raw_events()) as stream:
        recorded.tracer.observe(stream)
        await _read(stream)


async def _read(stream: RunStream) -> None:
    async for _ in stream:
        pass


async def test_a_run_is_a_span_with_steps_and_calls_as_children() -> None:
    """The names are those of the conventions; children have the run's span as their parent."""
    recorded = Recorded()
    await observe(recorded, called().end(usage=USAGE))
    span = recorded.run_span()
    assert span.name == f"invoke_agent {attributes(span)['gen_ai.agent.id']}"
    assert span.kind is trace.SpanKind.CLIENT
    assert attributes(span) | {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": "thread_1",
        "gen_ai.request.model": "gpt-4o",
        "runstream.run.id": "run_1",
        "runstream.run.status": "completed",
    } == attributes(span)
    assert attributes(span)["gen_ai.usage.input_tokens"] == 5
    assert attributes(span)["gen_ai.usage.output_tokens"] == 7
    children = {child.name: child for child in recorded.spans if child is not span}
    assert set(children) == {"step tool_calls", "step message_creation", "execute_tool get_weather"}
    assert span.context is not None
    for child in children.values():
        assert child.parent is not None
        assert child.parent.span_id == span.context.span_id
        assert span.start_time <= child.start_time <= child.end_time <= span.end_time  # type: ignore[operator]
    call = attributes(children["execute_tool get_weather"])
    assert call["gen_ai.operation.name"] == "execute_tool"
    assert call["gen_ai.tool.name"] == "get_weather"
    assert call["runstream.call.key"].startswith("run_1/call/")


async def test_no_text_is_recorded_by_default() -> None:
    """Arguments, outputs and messages reach no span, event or metric; with `content` calls have theirs."""
    recorded, full = Recorded(), Recorded(content=True)
    for each in (recorded, full):
        await observe(each, called().end())
    everything = "".join(span.to_json() for span in recorded.spans) + repr(recorded.metrics())
    assert "Oslo" not in everything
    assert "sunny" not in everything
    (call,) = [attributes(span) for span in full.spans if span.name.startswith("execute_tool")]
    assert "Oslo" in call["gen_ai.tool.call.arguments"]
    assert call["gen_ai.tool.call.result"] == "sunny"


async def test_a_code_that_is_a_sentence_is_not_recorded() -> None:
    recorded = Recorded()
    await observe(recorded, script("run_1").say("a").end("failed", last_error={"code": "a secret", "message": "m"}))
    assert attributes(recorded.run_span())["error.type"] == "failed"


@pytest.mark.parametrize(
    ("status", "code"), [("failed", "rate_limit"), ("expired", "expired"), ("incomplete", "incomplete")]
)
async def test_a_failure_is_an_error(status: str, code: str) -> None:
    """The span has the status of an error, and the server's code or the run's status as its kind."""
    recorded = Recorded()
    error = {"last_error": {"code": "rate_limit", "message": "a secret"}} if status == "failed" else {}
    await observe(recorded, script("run_1").say("a").end(status, **error))
    span = recorded.run_span()
    assert span.status.status_code is trace.StatusCode.ERROR
    assert attributes(span)["error.type"] == code
    assert "secret" not in span.to_json()


async def test_a_run_that_is_cut_off_ends_with_its_stream_and_is_linked() -> None:
    """The next span of the run, in another process that shares the contexts, has a link to the first."""
    contexts: dict[str, str] = {}
    events = Conversation([called().end()]).raw_events()
    first, second = Recorded(contexts=contexts), Recorded(contexts=contexts)
    for recorded, raw_events in ((first, events[:9]), (second, events)):
        async with RunStream(raw_events) as stream:
            recorded.tracer.observe(stream)
            await _read(stream)
    cut, whole = first.run_span(), second.run_span()
    assert attributes(cut)["runstream.run.open"] is True
    assert "runstream.run.open" not in attributes(whole)
    assert [link.context.span_id for link in whole.links] == [cut.context.span_id]  # type: ignore[union-attr]


async def test_a_context_that_is_not_valid_is_no_link() -> None:
    """The mapping is the application's: anything may stand in it."""
    recorded = Recorded(contexts={"run_1": "nonsense"})
    await observe(recorded, called().end())
    assert recorded.run_span().links == ()


async def test_spans_of_tools_are_children_of_the_call() -> None:
    """`in_run` makes the span of a call the current one; `headers` is the context for requests."""
    recorded = Recorded()
    events = Conversation([called().end()]).raw_events()
    key = next(signal.call_key for signal in fold(events).signals if signal.type == "tool_call.completed")
    assert recorded.tracer.headers("run_1") == {}
    with recorded.tracer.in_run("run_1", key):
        assert not trace.get_current_span().get_span_context().is_valid
    for signal in fold(events).signals:
        recorded.tracer.add(signal)
        if signal.type == "tool_call.completed":
            with (
                recorded.tracer.in_run("run_1", key),
                recorded.provider.get_tracer("tool").start_as_current_span("query"),
            ):
                pass
    spans = {span.name: span for span in recorded.spans}
    assert spans["query"].parent.span_id == spans["execute_tool get_weather"].context.span_id  # type: ignore[union-attr]
    context = recorded.run_span().context
    assert context is not None
    assert recorded.tracer.headers("run_1") == {
        "traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    }


async def test_the_metrics() -> None:
    """Ends by status, duration, tokens, time to the first text, and the counts of the stream."""
    recorded = Recorded()
    await observe(recorded, called().end(usage=USAGE), script("run_2").say("b").end("failed"))
    found = recorded.metrics()
    ends = {point.attributes["runstream.run.status"]: point.value for point in found["runstream.runs"]}
    assert ends == {"completed": 1, "failed": 1}
    assert sum(point.count for point in found["gen_ai.client.operation.duration"]) == 2
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in found["gen_ai.client.token.usage"]}
    assert tokens == {"input": 5, "output": 7}
    assert sum(point.count for point in found["gen_ai.client.operation.time_to_first_chunk"]) == 2
    assert found["runstream.runs.open"][0].value == 0
    assert found["runstream.rejects"][0].value == 0


async def test_the_counts_of_a_stream_that_ended_stay() -> None:
    """A counter never falls."""
    recorded = Recorded()
    async with RunStream([b"{", *Conversation([called().end()]).raw_events()]) as stream:
        recorded.tracer.observe(stream)
        await _read(stream)
        assert recorded.metrics()["runstream.rejects"][0].value == 1
    assert recorded.metrics()["runstream.rejects"][0].value == 1


def test_open_spans_are_bounded() -> None:
    """The oldest span is ended when there are too many."""
    recorded = Recorded(max_runs=2)
    for number in range(4):
        for signal in fold(script(f"run_{number}").say("a").raw_events()[:3]).signals:
            recorded.tracer.add(signal)
    assert [attributes(span)["runstream.run.id"] for span in recorded.spans] == ["run_0", "run_1"]


def test_a_late_signal_opens_no_span() -> None:
    """A message that is completed after its run belongs to no new span."""
    recorded = Recorded()
    signals = fold(Conversation([called().end()]).raw_events()).signals
    for signal in [*signals, *[signal for signal in signals if signal.type == "message.completed"]]:
        recorded.tracer.add(signal)
    recorded.run_span()
    assert recorded.tracer._runs == {}


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenTelemetry the message says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"runstream\[otel\]"):
        RunTracer()
