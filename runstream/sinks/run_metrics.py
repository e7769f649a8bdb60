"""The metrics of runs: ends, times, tokens and counts of streams in, instruments of OpenTelemetry out."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from runstream.model.run import Run

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

    from runstream.stream.run_stream import RunStream

__all__ = ["RunMetrics"]

_TIMES: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 600.0, 3600.0)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)


_COUNTS: Final = {
    "rejected": ("runstream.rejects", "{event}", "Raw events that could not be used."),
    "duplicates": ("runstream.duplicates", "{event}", "Events that were received before."),
    "failures": ("runstream.subscriber.failures", "{exception}", "Exceptions of subscribers."),
}
_GAUGES: Final = {
    "backlog": ("runstream.subscriber.backlog", "{value}", "Values that wait for the slowest subscriber of a stream."),
    "open_runs": ("runstream.runs.open", "{run}", "Runs that are open."),
}
"""The instruments that read the counts of streams, by the name of the count."""


class RunMetrics:
    """The instruments. Names and buckets are those of the semantic conventions where these have them.

    Args:
        meter_provider: Where metrics go; ``None``: the global provider.
        common: Attributes that all measurements of runs have.
        schema_url: The schema of the names.
    """

    def __init__(self, meter_provider: MeterProvider | None, common: Mapping[str, str], schema_url: str) -> None:
        from opentelemetry import metrics

        self._observation = metrics.Observation
        self._common = {**common, "gen_ai.operation.name": "invoke_agent"}
        self._streams: weakref.WeakSet[RunStream] = weakref.WeakSet()
        self._past = dict.fromkeys(_COUNTS, 0)
        meter = metrics.get_meter("runstream", meter_provider=meter_provider, schema_url=schema_url)
        self._ends = meter.create_counter("runstream.runs", unit="{run}", description="Runs that ended, by status.")
        self._reconnects = meter.create_counter(
            "runstream.source.reconnects", unit="{connection}", description="Connections made again after a loss."
        )
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="The time from the creation of a run to its end.",
            explicit_bucket_boundaries_advisory=_TIMES,
        )
        self._first_text = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            unit="s",
            description="The time from the first event of a run to its first text.",
            explicit_bucket_boundaries_advisory=_TIMES,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="The tokens of a run.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        for name, field, unit, text in (
            ("runstream.rejects", "rejected", "{event}", "Raw events that could not be used."),
            ("runstream.duplicates", "duplicates", "{event}", "Events that were received before."),
            ("runstream.subscriber.failures", "failures", "{exception}", "Exceptions of subscribers."),
        ):
            meter.create_observable_counter(name, [self._reader(field)], unit, text)
        meter.create_observable_gauge(
            "runstream.subscriber.backlog",
            [self._reader("backlog")],
            "{value}",
            "Values that the slowest subscriber has to take.",
        )
        meter.create_observable_gauge(
            "runstream.runs.open", [self._reader("open_runs")], "{run}", "Runs that are open."
        )

    def observe(self, stream: RunStream) -> Callable[[], None]:
        """Read the counts of a stream at each collection of metrics.

        Returns:
            A function that ends it.
        """

        def stop() -> None:
            if stream in self._streams:
                self._streams.discard(stream)
                for field in _COUNTS:
                    self._past[field] += getattr(stream.stats, field)

        self._streams.add(stream)
        return stop

    def _reader(self, field: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_: CallbackOptions) -> list[Observation]:
            past = self._past.get(field, 0)
            return [self._observation(past + sum(getattr(stream.stats, field) for stream in self._streams))]

        return read

    def add_reconnect(self, source: str) -> None:
        """Count a connection that was made again.

        Args:
            source: The name of the source.
        """
        self._reconnects.add(1, {"runstream.source": source})

    def add_first_text(self, seconds: float) -> None:
        """Measure the time to the first text of a run (seconds)."""
        self._first_text.record(max(seconds, 0.0), self._common)

    def add_end(self, run: Run, seconds: float, error: str | None) -> None:
        """Count a run that ended.

        Args:
            run: The run.
            seconds: The time since its creation (seconds).
            error: The kind of the error; ``None`` for none.
        """
        attributes: dict[str, Any] = dict(self._common)
        if run.model:
            attributes["gen_ai.request.model"] = run.model
        self._ends.add(1, {**attributes, "runstream.run.status": run.status.value})
        self._duration.record(max(seconds, 0.0), attributes | ({"error.type": error} if error else {}))
        if run.usage is not None:
            for kind, count in (("input", run.usage.prompt_tokens), ("output", run.usage.completion_tokens)):
                if count is not None:
                    self._tokens.record(count, {**attributes, "gen_ai.token.type": kind})
