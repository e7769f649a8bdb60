"""The store in memory. It lasts as long as the process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from msgspec import structs

from runstream.model.validation import check_counts, check_durations
from runstream.store.base import StoredRun, StoredSource

__all__ = ["MemoryStore"]


class MemoryStore:
    """Keeps states in memory, for the next stream of the same process.

    ::

        store = MemoryStore()
        async with RunStream(first, store=store) as stream:
            await stream.when(RunPaused)
        async with RunStream(second, store=store) as stream:  # resumes where the first stopped
            run = await stream.result()

    Args:
        max_finished_runs: The number of ended runs that are kept; the run that ended first is removed first.
        max_finished_age: The seconds that an ended run, and the place of a silent source, is kept.
        clock: Returns the time in Unix seconds.

    Raises:
        ValueError: A bound is less than 0.
    """

    def __init__(
        self,
        *,
        max_finished_runs: int = 10_000,
        max_finished_age: float = 7 * 86_400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_counts(0, max_finished_runs=max_finished_runs)
        check_durations(max_finished_age=max_finished_age)
        self._max_runs = max_finished_runs
        self._max_age = max_finished_age
        self._clock = clock
        self._runs: dict[tuple[str, str], StoredRun] = {}
        self._ended: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._sources: OrderedDict[tuple[str, str], tuple[StoredSource, float]] = OrderedDict()
        self._outputs: dict[tuple[str, str], dict[str, str]] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, scope: str, run_id: str) -> StoredRun | None:
        """The run with this id; ``None`` if it is not stored."""
        return self._runs.get((scope, run_id))

    def runs(
        self, scope: str | None = None, source: str | None = None, *, ended_since: float | None = None
    ) -> Iterable[StoredRun]:
        """The runs that have not ended, in order of first appearance.

        Args:
            scope: Only runs of this scope.
            source: Only runs whose last event was sent by the source with this name.
            ended_since: Also runs that ended at this Unix time (seconds) or later.
        """
        return [
            run
            for key, run in self._runs.items()
            if run.state is not None
            and (not run.ended or (ended_since is not None and self._ended[key] >= ended_since))
            and scope in (None, run.scope)
            and source in (None, run.source)
        ]

    def get_source(self, scope: str, name: str) -> StoredSource | None:
        """The place of a source; ``None`` if it is not stored."""
        found = self._sources.get((scope, name))
        return found[0] if found is not None else None

    def put(self, runs: Sequence[StoredRun], source: StoredSource | None = None) -> None:
        """Store runs and the place of their source."""
        now = self._clock()
        for run in runs:
            key = (run.scope, run.run_id)
            self._runs[key] = run
            if run.ended:
                self._ended.setdefault(key, now)
        if source is not None:
            self._sources.pop((source.scope, source.name), None)
            self._sources[source.scope, source.name] = (source, now)
        self._evict(now)

    def deliver(self, scope: str, run_id: str, key: str) -> None:
        """Add a key to the delivered keys of a run."""
        stored = self._runs.get((scope, run_id)) or StoredRun(scope=scope, run_id=run_id, state=None)
        if key not in stored.delivered:
            self._runs[scope, run_id] = structs.replace(stored, delivered=(*stored.delivered, key))

    def get_output(self, scope: str, run_id: str, call_key: str) -> str | None:
        """The output of a call; ``None`` if it is not stored."""
        return self._outputs.get((scope, run_id), {}).get(call_key)

    def put_output(self, scope: str, run_id: str, call_key: str, output: str) -> None:
        """Store the output of a call."""
        self._outputs.setdefault((scope, run_id), {})[call_key] = output

    def forget_outputs(self, scope: str, run_id: str) -> None:
        """Remove the outputs of a run."""
        self._outputs.pop((scope, run_id), None)

    def _evict(self, now: float) -> None:
        while self._ended:
            key, since = next(iter(self._ended.items()))
            if len(self._ended) <= self._max_runs and now - since <= self._max_age:
                break
            del self._ended[key], self._runs[key]
            self._outputs.pop(key, None)
        while self._sources:
            key, (_, since) = next(iter(self._sources.items()))
            if now - since <= self._max_age:
                break
            del self._sources[key]
