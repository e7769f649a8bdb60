"""Writes docs/traces.svg: the spans of a scripted run, as OpenTelemetry's own exporter has them. Run from anywhere."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runstream import RunTracer, demo, fold, read_recording

HERE: Final = Path(__file__).parent
LEFT, WIDTH, ROW = 300, 560, 30


def spans() -> list[ReadableSpan]:
    """The spans of the two streams of a bundled run: the calls, and their answers."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = RunTracer(tracer_provider=provider)
    events = [event for part in (1, 2) for event in read_recording(demo.load(f"function_call_{part}.sse"))]
    ticks = iter(range(len(events) * 1000))
    for signal in fold(events, clock=lambda: 1_790_000_000 + next(ticks) / 20).signals:
        tracer.add(signal)
    return sorted(exporter.get_finished_spans(), key=lambda span: (span.parent is not None, span.start_time or 0))


def picture() -> str:
    """The spans as bars on one axis of time."""
    found = spans()
    first = min(span.start_time or 0 for span in found)
    last = max(span.end_time or 0 for span in found)
    height = ROW * len(found) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {height}" width="900" height="{height}" role="img">'
        f"<title>The spans of a run</title><style>text {{ font: 13px system-ui, sans-serif; fill: #22252b }} "
        f".time {{ font-size: 11px; fill: #5c6370 }}</style>"
        f'<rect width="900" height="{height}" rx="8" fill="#ffffff"/>'
    ]
    for number, span in enumerate(found):
        start, end = (span.start_time or 0) - first, (span.end_time or 0) - first
        left = LEFT + WIDTH * start / (last - first)
        width = max(WIDTH * (end - start) / (last - first), 3.0)
        top = 18 + ROW * number
        colour = "#3f51b5" if span.parent is None else "#2e7d32" if span.name.startswith("execute") else "#8c9eff"
        indent = 16 if span.parent is None else 34
        parts.append(
            f'<text x="{indent}" y="{top + 14}">{escape(span.name)}</text>'
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="18" rx="3" fill="{colour}"/>'
        )
    parts.append(f'<text class="time" x="{LEFT}" y="{height - 8}">0 s</text>')
    parts.append(
        f'<text class="time" x="{LEFT + WIDTH - 30}" y="{height - 8}">{(last - first) / 1e9:.1f} s</text></svg>\n'
    )
    return "\n".join(parts)


if __name__ == "__main__":
    (HERE / "traces.svg").write_text(picture(), encoding="utf-8")
