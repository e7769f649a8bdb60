"""The OpenTelemetry sink: signals in, spans and metrics out. Needs the extra ``otel``.

A run is a span ``invoke_agent``; its steps and tool calls are children of it. Names are those of the semantic
conventions for generative AI in the schema 1.44.0; a name that they do not have begins with ``runstream.``. Texts,
arguments and outputs are recorded only if the application asks for them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from runstream.core.selection import RUN_ENDS
from runstream.model.common import Usage, is_code
from runstream.model.progress_signals import ProgressSignal, TextDelta
from runstream.model.run import Run, RunKey
from runstream.model.signals import (
    ActionRequired,
    RunExpired,
    RunFailed,
    RunIncomplete,
    RunInterrupted,
    RunPaused,
    RunSignal,
    RunStalled,
    RunStatusChanged,
    Signal,
    SourceResumed,
    StepCancelled,
    StepCompleted,
    StepCreated,
    StepExpired,
    StepFailed,
    ToolCallCompleted,
    ToolCallResult,
)
from runstream.model.step import RunStep
from runstream.model.tool_calls import ToolCall
from runstream.model.validation import check_counts
from runstream.sinks.run_metrics import RunMetrics

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider
    from reactivex import abc as rx_abc

    from runstream.stream.run_stream import RunStream

__all__ = ["RunTracer"]

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

_STEP_ENDED: Final = (StepCompleted, StepFailed, StepCancelled, StepExpired)
_ERRORS: Final = (RunFailed, RunExpired, RunIncomplete, StepFailed, StepExpired)
_NOTED: Final = (RunStatusChanged, ActionRequired, RunPaused, RunInterrupted, RunStalled)


class _Traced:
    """A run whose span is open.

    Attributes:
        span: Its span.
        children: The open spans of its steps and calls, by the id of the step or the key of the call.
        has_text: True once its first text was received.
        start: When it was first observed (Unix seconds).
    """

    __slots__ = ("children", "has_text", "span", "start")

    def __init__(self, span: Span, start: float) -> None:
        self.span = span
        self.start = start
        self.children: dict[str, Span] = {}
        self.has_text = False


class RunTracer:
    """Records the runs of streams as OpenTelemetry spans, and counts them as metrics.

    ::

        tracer = RunTracer(provider="openai")
        async with client.run(model="m", input="Hello") as stream:
            tracer.observe(stream)
            await stream.result()

    A span begins when a run is first observed and ends with the run. If its stream ends before the run does, the span
    ends with it; the next span of the run, in whichever process, has a link to the one before, if ``contexts`` has it.

    Args:
        tracer_provider: Where spans go; by default the global provider.
        meter_provider: Where metrics go; by default the global provider.
        provider: The value of the attribute for the provider, such as ``"openai"``; "" leaves it out.
        contexts: The trace contexts of runs: values of the header ``traceparent``, by the beginning of the keys of the
            run. It may be a mapping that several processes share. By default the latest ``max_runs`` of this process.
        parent: The context that the spans of runs have as their parent; by default the one that is current when a run
            is first observed.
        content: True to record the arguments and outputs of calls.
        max_runs: The largest number of open spans of runs; beyond it the oldest one is ended.

    Raises:
        ImportError: The extra ``otel`` is not installed.
        ValueError: ``max_runs`` is not positive.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        provider: str = "",
        contexts: MutableMapping[str, str] | None = None,
        parent: Context | None = None,
        content: bool = False,
        max_runs: int = 10_000,
    ) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise ImportError("RunTracer needs OpenTelemetry: pip install 'runstream[otel]'") from error
        check_counts(max_runs=max_runs)
        self._trace = trace
        self._tracer = trace.get_tracer("runstream", tracer_provider=tracer_provider, schema_url=SCHEMA_URL)
        self._common = {"gen_ai.provider.name": provider} if provider else {}
        self._metrics = RunMetrics(meter_provider, self._common, SCHEMA_URL)
        self._contexts: MutableMapping[str, str] = _Recent(max_runs) if contexts is None else contexts
        self._parent = parent
        self._content = content
        self._max_runs = max_runs
        self._runs: OrderedDict[RunKey, _Traced] = OrderedDict()
        self._ended = _Recent(max_runs)

    def observe(self, stream: RunStream) -> rx_abc.DisposableBase:
        """Record the runs of a stream, from its next signal on.

        Args:
            stream: The stream. Its counts are observed too (rejects, the backlog of the slowest subscriber).

        Returns:
            A disposable that ends the recording, and the spans of the stream's open runs.
        """
        from reactivex.disposable import CompositeDisposable, Disposable

        seen: set[RunKey] = set()

        def on_next(signal: Signal) -> None:
            if isinstance(signal, RunSignal):
                seen.add((signal.scope, signal.run_id))
            self.add(signal)

        def end() -> None:
            for key in seen & self._runs.keys():
                self._end_open(key)
            stop()

        stop = self._metrics.observe(stream)
        return CompositeDisposable(stream.signals.subscribe(on_next, on_completed=end), Disposable(end))

    def add(self, signal: Signal) -> None:
        """Record one signal, for programs that have signals of another origin than a stream."""
        if isinstance(signal, RunSignal):
            traced = self._traced(signal)
            if isinstance(signal, ProgressSignal):
                if type(signal) is TextDelta and traced is not None and not traced.has_text:
                    self._add_first_text(traced, signal)
            elif traced is not None:
                self._add_fact(traced, signal)
        elif isinstance(signal, SourceResumed):
            self._metrics.add_reconnect(signal.source)

    def headers(self, run_id: str, *, scope: str = "") -> dict[str, str]:
        """The trace context of a run as HTTP headers (``traceparent``), for requests about it; empty if it is unknown.

        Args:
            run_id: The id of the run.
            scope: The scope of its source.
        """
        parent = self._contexts.get(f"{scope}:{run_id}" if scope else run_id)
        return {} if parent is None else {"traceparent": parent}

    def request_headers(self, run_id: str = "", *, scope: str = "") -> dict[str, str]:
        """The headers for a request, made by the propagator of the application: ``traceparent`` by default.

        They carry the span of the run while it is open, else the current span; none if there is no span. The
        clients of runstream send them by themselves if the tracer is their option ``tracer``.

        Args:
            run_id: The id of the run that the request is about, "" for none.
            scope: The scope of its source.
        """
        from opentelemetry import propagate

        found: dict[str, str] = {}
        with self.in_run(run_id, scope=scope):
            propagate.inject(found)
        return found

    @contextmanager
    def in_run(self, run_id: str, call_key: str = "", *, scope: str = "") -> Iterator[None]:
        """Make the span of a run, or of one of its calls, the current one: spans of tools become its children.

        Args:
            run_id: The id of the run.
            call_key: The key of a call; "" for the run itself.
            scope: The scope of the run's source.
        """
        traced = self._runs.get((scope, run_id))
        span = None if traced is None else traced.children.get(call_key, traced.span)
        if span is None:
            yield
        else:
            with self._trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
                yield

    def _traced(self, signal: RunSignal) -> _Traced | None:
        """The run of a signal; ``None`` if its span has ended."""
        key = (signal.scope, signal.run_id)
        traced = self._runs.get(key)
        if traced is None and not isinstance(signal, ProgressSignal):
            if isinstance(signal, RunPaused | RunInterrupted) or signal.run_key in self._ended:
                return None  # late signals of a run open no span
            traced = self._start(key, signal)
        return traced

    def _start(self, key: RunKey, signal: RunSignal) -> _Traced:
        run = getattr(signal, "run", None)
        name = run.assistant_id if isinstance(run, Run) and run.assistant_id else ""
        before = self._contexts.get(signal.run_key)
        span = self._tracer.start_span(
            f"invoke_agent {name}".rstrip(),
            context=self._parent,
            kind=self._trace.SpanKind.CLIENT,
            start_time=_nanoseconds(signal.at),
            links=[self._trace.Link(context)] if before and (context := self._context(before)) else None,
            attributes={
                **self._common,
                "gen_ai.operation.name": "invoke_agent",
                "runstream.run.id": signal.run_id,
                **_present({"gen_ai.conversation.id": signal.thread_id, "runstream.scope": signal.scope or None}),
                **_run_attributes(run),
            },
        )
        traced = self._runs[key] = _Traced(span, signal.at)
        self._contexts[signal.run_key] = _traceparent(span)
        if len(self._runs) > self._max_runs:
            self._end_open(next(iter(self._runs)))
        return traced

    def _context(self, traceparent: str) -> Any:
        """The span context of a header; ``None`` if the header is not valid."""
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        found = self._trace.get_current_span(context).get_span_context()
        return found if found.is_valid else None

    def _add_first_text(self, traced: _Traced, signal: TextDelta) -> None:
        traced.has_text = True
        traced.span.add_event("runstream.first_text", timestamp=_nanoseconds(signal.at))
        self._metrics.add_first_text(signal.at - traced.start)

    def _add_fact(self, traced: _Traced, signal: RunSignal) -> None:
        at = _nanoseconds(signal.at)
        if isinstance(signal, _NOTED):
            traced.span.add_event(f"runstream.{signal.type}", _noted(signal), timestamp=at)
        elif isinstance(signal, StepCreated):
            attributes = {"runstream.step.id": signal.step.id, "runstream.step.type": _step_type(signal.step)}
            self._child(traced, signal.step.id, f"step {_step_type(signal.step)}", at, attributes)
        elif isinstance(signal, _STEP_ENDED):
            self._end_child(traced, signal.step.id, at, signal, getattr(signal.step, "usage", None))
        elif isinstance(signal, ToolCallCompleted):
            self._start_call(traced, signal, at)
        elif isinstance(signal, ToolCallResult):
            span = traced.children.get(signal.call_key)
            if span is not None and self._content:
                span.set_attribute("gen_ai.tool.call.result", signal.output)
            self._end_child(traced, signal.call_key, at)
        elif isinstance(signal, RUN_ENDS):
            self._end(traced, signal)

    def _child(self, traced: _Traced, key: str, name: str, at: int, attributes: dict[str, Any]) -> None:
        if key not in traced.children:
            context = self._trace.set_span_in_context(traced.span)
            traced.children[key] = self._tracer.start_span(name, context, start_time=at, attributes=attributes)

    def _start_call(self, traced: _Traced, signal: ToolCallCompleted, at: int) -> None:
        name = _tool_name(signal.call)
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": signal.call_id,
            "gen_ai.tool.type": "function" if signal.call.type == "function" else "extension",
            "runstream.call.key": signal.call_key,
        }
        arguments = getattr(getattr(signal.call, "function", signal.call), "arguments", None)
        if self._content and isinstance(arguments, str):
            attributes["gen_ai.tool.call.arguments"] = arguments
        self._child(traced, signal.call_key, f"execute_tool {name}", at, attributes)

    def _end_child(
        self, traced: _Traced, key: str, at: int, signal: RunSignal | None = None, usage: Usage | None = None
    ) -> None:
        span = traced.children.pop(key, None)
        if span is not None:
            span.set_attributes(_usage_attributes(usage))
            if isinstance(signal, _ERRORS):
                self._fail(span, signal, getattr(signal, "step", None))
            span.end(at)

    def _fail(self, span: Span, signal: RunSignal, subject: Any) -> str:
        """Mark a span as failed.

        Returns:
            The kind of the error: the code of the server if it is a short name, else the status.
        """
        code = getattr(getattr(subject, "last_error", None), "code", None)
        kind = str(code) if is_code(code) else signal.type.rpartition(".")[2]
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.StatusCode.ERROR)
        return kind

    def _end(self, traced: _Traced, signal: Any) -> None:
        run: Run = signal.run
        self._runs.pop((signal.scope, signal.run_id), None)
        self._ended[signal.run_key] = ""
        error = self._fail(traced.span, signal, run) if isinstance(signal, _ERRORS) else None
        traced.span.set_attributes(_run_attributes(run) | _usage_attributes(run.usage))
        for span in traced.children.values():
            span.end(_nanoseconds(signal.at))
        traced.span.end(_nanoseconds(signal.at))
        self._metrics.add_end(run, signal.at - traced.start if signal.duration is None else signal.duration, error)

    def _end_open(self, key: RunKey) -> None:
        """End the span of a run that has not ended."""
        traced = self._runs.pop(key)
        for span in traced.children.values():
            span.end()
        traced.span.set_attribute("runstream.run.open", True)
        traced.span.end()


class _Recent(OrderedDict[str, str]):
    """The latest entries that were set."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __setitem__(self, key: str, value: str) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._size:
            self.popitem(last=False)


def _nanoseconds(at: float) -> int:
    return int(at * 1e9)


def _present(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _run_attributes(run: object) -> dict[str, Any]:
    if not isinstance(run, Run):
        return {}
    return _present(
        {
            "gen_ai.agent.id": run.assistant_id or None,
            "gen_ai.request.model": run.model or None,
            "gen_ai.response.model": run.model if run.is_terminal and run.model else None,
            "runstream.run.status": run.status.value,
        }
    )


def _usage_attributes(usage: object) -> dict[str, Any]:
    if not isinstance(usage, Usage):
        return {}
    return _present(
        {"gen_ai.usage.input_tokens": usage.prompt_tokens, "gen_ai.usage.output_tokens": usage.completion_tokens}
    )


def _noted(signal: Any) -> dict[str, Any]:
    """The facts of an event of a span: names, numbers and words of this library."""
    if isinstance(signal, ActionRequired):
        return {
            "runstream.calls": len(signal.calls),
            "runstream.tools": [call.name or "" for call in signal.calls],
            "runstream.kinds": [call.kind for call in signal.calls],
        }
    names: dict[Any, str] = {
        RunStatusChanged: "after",
        RunPaused: "round",
        RunInterrupted: "reason",
        RunStalled: "limit",
    }
    name = names[type(signal)]
    return {f"runstream.{name}": str(getattr(signal, name))}


def _step_type(step: RunStep) -> str:
    """The type of a step, or the label that a server gave it."""
    label = getattr(step.step_details, "label", None)
    return label if isinstance(label, str) and label else step.type or "unknown"


def _tool_name(call: ToolCall) -> str:
    name = getattr(getattr(call, "function", None), "name", None) or getattr(call, "name", None)
    return name if isinstance(name, str) and name else call.type
