"""What is shown of a stream right now: the latest states, bounded. No loop, no I/O."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from runstream.core.state import RunState
from runstream.model.limits import Stats
from runstream.model.signals import RunInterrupted, RunPaused, RunStalled, SourceSignal
from runstream.sinks.page.views import Fact, RunView, view_of

__all__ = ["MAX_BLOCKS", "Board"]

MAX_BLOCKS: Final = 50
"""Messages and tool calls of one run that are shown: the last ones."""

MAX_SOURCES: Final = 20
"""Sources that are named; there may be more."""


class _Entry:
    """A run that is shown."""

    __slots__ = ("_view", "began", "left", "max_text", "note", "number", "state", "version")

    def __init__(self, number: int, state: RunState, began: float, max_text: int) -> None:
        self.number = number
        self.state = state
        self.began = began
        self.max_text = max_text
        self.note: str | None = None
        self.left: str | None = None  # what became of it though its status does not say so
        self.version = 0
        self._view: RunView | None = None

    def changed(self) -> None:
        """Make the view anew when somebody asks for it."""
        self._view = None

    def view(self) -> RunView:
        """What is shown of it now; made once for all clients."""
        if self._view is None:
            ended = self.state.is_terminal
            # That matters more than the status that was heard last, which need not be so any more.
            left: dict[str, Fact] = {} if ended or self.left is None else {"status": self.left, "tone": "warn"}
            self._view = view_of(
                self.state,
                max_text=self.max_text,
                max_blocks=MAX_BLOCKS,
                began=self.began,
                took=self.state.timings.total,
                note=None if ended else self.note,
                **left,
            )
        return self._view


class Board:
    """The runs that are shown, their order of change, and the facts of the page.

    Args:
        max_runs: Runs that are shown.
        max_text: Characters that are shown of one text.
        clock: Gives the time in Unix seconds.
        stats: Gives the counts.
        changed: Called after each change.

    Attributes:
        feed: Tells this board from any other.
        removals: How many runs have been taken away so far.
        version: Grows with every change.
    """

    def __init__(
        self,
        *,
        max_runs: int,
        max_text: int,
        clock: Callable[[], float],
        stats: Callable[[], Stats],
        changed: Callable[[], None],
    ) -> None:
        self.feed = secrets.token_hex(4)
        self.removals = 0
        self.version = 0
        self._max_runs = max_runs
        self._max_text = max_text
        self._clock = clock
        self._stats = stats
        self._changed = changed
        self._numbers = 0
        self._ended: float | None = None
        # In the order of their last change, so that what is new for a client stands at the end.
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._finished: dict[tuple[str, str], None] = {}
        self._hidden: dict[tuple[str, str], None] = {}
        self._sources: dict[str, str] = {}

    # What a cursor asks for

    def page(self) -> Mapping[str, Fact]:
        """Facts of the whole page."""
        stats = self._stats()
        return {
            "ended": self._ended,  # when (Unix seconds); the time that runs have taken stands still then
            "open": stats.open_runs,
            "finished": stats.finished_runs + stats.evicted_runs,
            "hidden": len(self._hidden),
            "events": stats.events,
            "rejected": stats.rejected,
            "duplicates": stats.duplicates,
            "sources": "\n".join(f"{name}: {state}" for name, state in self._sources.items()),
        }

    def since(self, version: int) -> Iterable[_Entry]:
        """The runs that changed after this version, the earliest change first."""
        return reversed(list(self._newer(version)))

    def numbers(self) -> Iterable[int]:
        """The numbers of all runs that are shown."""
        return [entry.number for entry in self._entries.values()]

    def _newer(self, version: int) -> Iterator[_Entry]:
        for entry in reversed(self._entries.values()):
            if entry.version <= version:
                return
            yield entry

    # What the stream tells

    def state(self, state: RunState, *, held: bool = False) -> None:
        """A run has a new state, or had it before anybody looked (``held``)."""
        key = (state.scope, state.run_id)
        entry = self._entries.pop(key, None)
        if entry is None:
            if not self._room():
                if not state.is_terminal and len(self._hidden) < self._max_runs * 100:
                    self._hidden[key] = None
                else:
                    self._hidden.pop(key, None)
                self.touch()
                return
            self._hidden.pop(key, None)
            self._numbers += 1
            entry = _Entry(self._numbers, state, self._began(state, held), self._max_text)
        else:
            entry.state = state
        # What was said of its source holds until it goes on.
        entry.note = entry.left = None
        self._put(key, entry)
        if state.is_terminal:
            self._finished[key] = None
        else:
            self._finished.pop(key, None)

    def _began(self, state: RunState, held: bool) -> float:
        """When it began, for what is known: a page may be opened on a stream that was read for long."""
        if held:
            return state.first_seen
        # Of a recording that is played, the times may be of another day.
        timings = state.timings
        return self._clock() - sum(part or 0.0 for part in (timings.queued, timings.running, timings.waiting))

    def _room(self) -> bool:
        if len(self._entries) < self._max_runs:
            return True
        oldest = next(iter(self._finished), None)
        if oldest is None:
            return False
        del self._finished[oldest]
        del self._entries[oldest]
        self.removals += 1
        return True

    def _put(self, key: tuple[str, str], entry: _Entry) -> None:
        entry.changed()
        self.touch()
        entry.version = self.version
        self._entries[key] = entry

    def note(self, signal: RunPaused | RunInterrupted | RunStalled) -> None:
        """Something happened to a run that its state does not say."""
        key = (signal.scope, signal.run_id)
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        match signal:
            case RunPaused():
                entry.note = "Its stream ended; it waits for action."
            case RunInterrupted(reason=reason):
                entry.left, entry.note = "interrupted", f"Interrupted: {reason}"
            case RunStalled(idle=idle):
                entry.left, entry.note = "stalled", f"Nothing heard for {idle:.0f} s."
        self._put(key, entry)

    def source(self, signal: SourceSignal) -> None:
        """Something happened to a source."""
        told = signal.type.removeprefix("source.")
        if signal.source in self._sources or len(self._sources) < MAX_SOURCES:
            self._sources[signal.source] = f"{told} ({signal.reason})" if signal.reason else told
        self.touch()

    def end(self) -> None:
        """The stream has ended."""
        if self._ended is None:
            self._ended = self._clock()
        self.touch()

    def touch(self) -> None:
        """Something changed that is no run."""
        self.version += 1
        self._changed()
