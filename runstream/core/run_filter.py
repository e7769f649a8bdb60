"""Which runs somebody wants: by id, scope, thread, assistant and metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from runstream.model.run import Run

__all__ = ["Filters", "RunMatcher"]


class Filters(TypedDict, total=False):
    """What a run has to be like; what is not given does not matter, nor does ``None``.

    Attributes:
        run_id: The run's id.
        scope: The scope of its source.
        thread_id: Its thread.
        assistant_id: Its assistant.
        metadata: Entries that its metadata must have, others do not matter.
    """

    run_id: str | None
    scope: str | None
    thread_id: str | None
    assistant_id: str | None
    metadata: Mapping[str, str] | None


class RunMatcher:
    """Filters, asked of states and signals.

    Args:
        filters: What the run has to be like.
        run: Gives a run by id and scope, ``None`` where it is not known: most signals do not say all that filters
            ask for.

    Attributes:
        run_id: The only run, if it is one.
        scope: The only scope, if it is one.
        by_run: Whether it has to look at the run itself; id and scope stand in every state and signal of a run.

    Raises:
        TypeError: An unknown filter.
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
        self._metadata = tuple((filters.get("metadata") or {}).items())
        self.needs_run = bool(self._metadata) or self._thread_id is not None or self._assistant_id is not None

    def matches_run(self, run: Run) -> bool:
        """Whether a run's own fields are as asked for."""
        if self._thread_id is not None and run.thread_id != self._thread_id:
            return False
        if self._assistant_id is not None and run.assistant_id != self._assistant_id:
            return False
        return all(run.metadata.get(key) == value for key, value in self._metadata)

    def __call__(self, item: Any) -> bool:
        """Whether a state or signal is of such a run; what is of no run (a source's signal) never is."""
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
