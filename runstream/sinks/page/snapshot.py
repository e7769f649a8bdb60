"""The content of a page right now: the latest states of a stream, bounded. No event loop, no I/O."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from runstream.core.state import RunState
from runstream.model.limits import Stats
from runstream.model.run import RunKey
from runstream.model.signals import RunInterrupted, RunPaused, RunStalled, SourceSignal
from runstream.sinks.page.history import Entry, History, Totals
from runstream.sinks.page.views import Fact, RunContent, content_of
from runstream.sinks.run_table import Notice, Row, RunTable

__all__ = ["MAX_BLOCKS", "PageSnapshot", "ShownRun"]

MAX_BLOCKS: Final = 50
"""Messages and tool calls of one run that are shown: the last ones."""

MAX_SOURCES: Final = 20
"""Sources that are named; there may be more."""

_MAX_HIDDEN: Final = 100  # open runs that are counted and not shown, for each run that is shown


class ShownRun(Row):
    """A run that is shown.

    Attributes:
        version: The snapshot's version after the last change of this run.
    """

    __slots__ = ("_content", "_max_text", "version")

    def __init__(self, number: int, state: RunState, since: float, max_text: int) -> None:
        super().__init__(number, state, since)
        self.version = 0
        self._max_text = max_text
        self._content: RunContent | None = None

    def change(self, version: int) -> None:
        """Set the version; the content is built again when it is read."""
        self.version = version
        self._content = None

    def content(self) -> RunContent:
        """The content that the page shows of this run; built once for all clients."""
        if self._content is None:
            ended = self.state.is_terminal
            newer: dict[str, Fact] = {}  # than the last status, which may be out of date
            if self.source_status and not ended:
                newer = {"status": self.source_status, "tone": "warn"}
            self._content = content_of(
                self.state,
                max_text=self._max_text,
                max_blocks=MAX_BLOCKS,
                began=self.since,
                took=self.state.timings.total,
                note=_sentence(self.notice) if self.notice is not None and not ended else None,
                **newer,
            )
        return self._content


def _sentence(notice: Notice) -> str:
    match notice:
        case RunPaused():
            return "Its stream ended; it waits for action."
        case RunInterrupted(reason=reason):
            return f"Interrupted: {reason}"
        case RunStalled(idle=idle):
            return f"Nothing received for {idle:.0f} s."


class PageSnapshot(RunTable[ShownRun]):
    """The runs that are shown, ended ones included, and the facts of the page.

    When there are more than `max_runs`, the runs that ended first are removed first. While all are open, further ones
    are only counted.

    Args:
        max_runs: Runs that are shown.
        max_text: Characters that are shown of one text.
        clock: Returns the time in Unix seconds.
        stats: Returns the counts.
        on_change: Called after each change.

    Attributes:
        rows: The runs, in order of their last change, so that a client reads its changes from the end.
        sources: The last signal of each source, in words, by name.
        feed: An identifier that differs from that of any other snapshot.
        removals: How many runs have been removed so far.
        version: A number that grows with every change.
        history: The log.
    """

    def __init__(
        self,
        *,
        max_runs: int,
        max_text: int,
        clock: Callable[[], float],
        stats: Callable[[], Stats],
        on_change: Callable[[], None],
    ) -> None:
        super().__init__()
        self.feed = secrets.token_hex(4)
        self.removals = 0
        self.version = 0
        self._max_runs = max_runs
        self._max_text = max_text
        self._clock = clock
        self._stats = stats
        self._on_change = on_change
        self._ended_at: float | None = None
        self._ended: dict[RunKey, None] = {}  # of the rows, in order of their end
        self._hidden: dict[RunKey, None] = {}  # open runs for which there was no room
        self.history = History()
        self._totals = Totals()

    # Read by clients

    def page(self) -> Mapping[str, Fact]:
        """Facts of the whole page."""
        stats = self._stats()
        return {
            "ended": self._ended_at,  # Unix seconds; the durations of runs stop growing then
            "open": stats.open_runs,
            "finished": stats.finished_runs + stats.evicted_runs,
            "hidden": len(self._hidden),
            "events": stats.events,
            "rejected": stats.rejected,
            "duplicates": stats.duplicates,
            "failed": self._totals.failed,
            "tokens": self._totals.tokens,
            "models": self._totals.by_model(),
            "sources": "\n".join(f"{name}: {condition}" for name, condition in self.sources.items()),
        }

    def since(self, version: int) -> Iterable[ShownRun]:
        """The runs that changed after this version, the earliest change first."""
        return reversed(list(self._newer(version)))

    def entries(self, number: int) -> list[Entry]:
        """The lines of the log with a larger number."""
        return self.history.since(number)

    def numbers(self) -> Iterable[int]:
        """The numbers of all runs that are shown."""
        return [row.number for row in self.rows.values()]

    def _newer(self, version: int) -> Iterator[ShownRun]:
        for row in reversed(self.rows.values()):
            if row.version <= version:
                return
            yield row

    # Written by the feed

    def update(self, state: RunState, *, earlier: bool = False) -> None:
        """Store a new state of a run.

        Args:
            state: The state.
            earlier: True if the run had this state before the snapshot was made.
        """
        key = (state.scope, state.run_id)
        row = self.rows.pop(key, None)
        if state.is_terminal and key not in self._ended and (row is not None or key in self._hidden or earlier):
            self._totals.add(state.run)
        if row is None:
            if not self._make_room():
                if not state.is_terminal and len(self._hidden) < self._max_runs * _MAX_HIDDEN:
                    self._hidden[key] = None
                else:
                    self._hidden.pop(key, None)
                self.touch()
                return
            self._hidden.pop(key, None)
            row = ShownRun(self._number(), state, self._start_time(state, earlier), self._max_text)
        else:
            row.state = state
        # A notice is valid until the run's next state.
        row.notice, row.source_status = None, ""
        self._append(key, row)
        if state.is_terminal:
            self._ended[key] = None
        else:
            self._ended.pop(key, None)

    def _start_time(self, state: RunState, earlier: bool) -> float:
        """When the run began (Unix seconds), as far as known: the stream may have been read long before this page."""
        if earlier:
            return state.first_seen
        # The times in a recording may be those of another day.
        timings = state.timings
        return self._clock() - sum(part or 0.0 for part in (timings.queued, timings.running, timings.waiting))

    def _make_room(self) -> bool:
        """Remove the run that ended first if there are `max_runs`; False if all of them are open."""
        if len(self.rows) < self._max_runs:
            return True
        oldest = next(iter(self._ended), None)
        if oldest is None:
            return False
        del self._ended[oldest]
        del self.rows[oldest]
        self.removals += 1
        return True

    def _append(self, key: RunKey, row: ShownRun) -> None:
        """Store a row as the one that changed last."""
        self.touch()
        row.change(self.version)
        self.rows[key] = row

    def add_notice(self, signal: Notice) -> ShownRun | None:
        """Store a fact of a run that its state does not contain."""
        row = super().add_notice(signal)
        if row is not None:
            key = (signal.scope, signal.run_id)
            del self.rows[key]
            self._append(key, row)
        return row

    def add_source(self, signal: SourceSignal) -> None:
        """Store the last signal of a source."""
        if signal.source in self.sources or len(self.sources) < MAX_SOURCES:
            condition = signal.type.removeprefix("source.")
            reason = ": ".join(filter(None, dict.fromkeys((signal.reason, signal.server_message))))
            self.sources[signal.source] = f"{condition} ({reason})" if reason else condition
        self.touch()

    def end(self) -> None:
        """Store that the stream has ended."""
        if self._ended_at is None:
            self._ended_at = self._clock()
        self.touch()

    def touch(self) -> None:
        """Count a change that concerns no run."""
        self.version += 1
        self._on_change()
