"""Filters states and signals by their run: by id, scope, thread, assistant and metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from runstream.model.run import Run

__all__ = ["Filters", "RunMatcher"]


class Filters(TypedDict, total=False):
    """Conditions that a run must meet. A condition that is absent or ``None`` is always met.

    Attributes:
        run_id: The run's id.
        scope: The scope of its source.
        thread_id: The id of its thread.
        assistant_id: The id of its assistant.
        metadata: Entries that its metadata must contain; it may contain others too.
        path: The path of a signal; ``()`` selects what is about the run itself, and nothing of its subagents and
            subgraphs. States have no path, and meet it.
    """

    run_id: str | None
    scope: str | None
    thread_id: str | None
    assistant_id: str | None
    metadata: Mapping[str, str] | None
    path: Sequence[str] | None


class RunMatcher:
    """A predicate for states and signals: True if their run meets the filters.

    Args:
        filters: The conditions.
        run: Returns a run by id and scope, ``None`` if it is unknown. Most signals do not contain all that filters
            need.

    Attributes:
        run_id: The only run, if the filters select one.
        scope: The only scope, if the filters select one.
        needs_run: True if the filters need the run itself. The id and the scope are in each state and signal of a run.
        path: The only path, if the filters select one.

    Raises:
        TypeError: A filter is unknown.
    """

    def __init__(self, filters: Filters, run: Callable[[str, str], Run | None]) -> None:
        unknown = filters.keys() - Filters.__annotations__.keys()
        if unknown:
            raise TypeError(f"unknown filters {sorted(unknown)}; there are {', '.join(Filters.__annotations__)}")
        self._run = run
        self.run_id = filters.get("run_id")
        self.scope = filters.get("scope")
        self._thread_id = filters.get("thread_id")
        self._assistant_id = filters.get("assistant_id")
        path = filters.get("path")
        self.path = None if path is None else tuple(path)
        self._metadata = tuple((filters.get("metadata") or {}).items())
        self.needs_run = bool(self._metadata) or self._thread_id is not None or self._assistant_id is not None

    def matches_run(self, run: Run) -> bool:
        """True if the fields of a run meet the filters for thread, assistant and metadata."""
        if self._thread_id is not None and run.thread_id != self._thread_id:
            return False
        if self._assistant_id is not None and run.assistant_id != self._assistant_id:
            return False
        return all(run.metadata.get(key) == value for key, value in self._metadata)

    def matches_path(self, item: Any) -> bool:
        """True if the path of a signal meets the filter for it; always True for a state."""
        return self.path is None or getattr(item, "path", self.path) == self.path

    def __call__(self, item: Any) -> bool:
        """True if a state or signal meets the filters; of a source's signals only an error that names its run can."""
        return self.matches_path(item) and self.matches_run_of(item)

    def matches_run_of(self, item: Any) -> bool:
        """True if the run of a state or signal meets the filters; False for a source's signal that names no run."""
        run_id = getattr(item, "run_id", None)
        if run_id is None or (self.run_id is not None and run_id != self.run_id):
            return False
        if self.scope is not None and item.scope != self.scope:
            return False
        if not self.needs_run:
            return True
        run = getattr(item, "run", None)
        if run is None:
            run = self._run(run_id, item.scope)
        return run is not None and self.matches_run(run)
