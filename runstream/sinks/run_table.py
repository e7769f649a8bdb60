"""What a live screen knows: states and signals in as they come, the runs to show out when it is drawn.

Nothing is drawn here, and nothing is built per token: of a run that grows, the latest state is kept.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Final

from runstream.core.derive import run_duration
from runstream.core.state import RunState
from runstream.model.signals import (
    RunInterrupted,
    RunPaused,
    RunStalled,
    Signal,
    SourceConnected,
    SourceDisconnected,
    SourceEnded,
    SourceError,
    SourceResumed,
)

__all__ = ["NOTES", "Board", "Row", "taken"]

NOTES: Final = (RunPaused, RunInterrupted, RunStalled)
"""The signals that say of a run what its state does not."""

_REMEMBERED: Final = 10_000  # ended runs, so that what is told of them late shows nothing twice
_STEADY: Final = 3.0  # seconds that a shown run may be silent before one that is active takes its place

Key = tuple[str, str]


class Row:
    """One open run: its latest state, since when it is known and changed last, and what a signal said of it."""

    __slots__ = ("active", "note", "order", "since", "state")

    def __init__(self, state: RunState, order: int, now: float) -> None:
        self.state = state
        self.order = order
        self.since = self.active = now
        self.note = ""

    @property
    def label(self) -> str:
        """Its status, unless its source has gone or fallen silent: that matters more."""
        return self.note or self.state.status.value


class Board:
    """Keeps the latest state of every open run, and counts the others."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.counts: Counter[str] = Counter()
        self.sources: dict[str, str] = {}
        """What is wrong with a source, by its name."""
        self._ended: dict[Key, RunState] = {}
        self._known: OrderedDict[Key, None] = OrderedDict()
        self._tokens = 0
        self._order = 0
        self._shown: set[Key] = set()

    @property
    def seen(self) -> int:
        """How many runs there were."""
        return self.counts.total() + len(self.rows)

    @property
    def tokens(self) -> int:
        """The tokens of all runs, as far as the server has told them."""
        return self._tokens + sum(_tokens(row.state) for row in self.rows.values())

    def state(self, state: RunState, now: float) -> None:
        """A run has changed (at ``now``, in seconds of any clock that grows)."""
        key = (state.scope, state.run_id)
        row = self.rows.get(key)
        if row is not None:
            if not state.is_terminal:
                row.state, row.active, row.note = state, now, ""
                return
            del self.rows[key]
        if key in self._known:
            if key in self._ended:  # what came after the end, and before the end was shown
                self._tokens += _tokens(state) - _tokens(self._ended[key])
                self._ended[key] = state
        elif state.is_terminal:
            self._end(key, state)
            self._ended[key] = state
        else:
            self._order += 1
            self.rows[key] = Row(state, self._order, now)

    def held(self, state: RunState, now: float, age: float) -> None:
        """A run that was there before the screen, for ``age`` seconds: it counts, but its end is not told."""
        key = (state.scope, state.run_id)
        self.state(state, now)
        self._ended.pop(key, None)
        if key in self.rows:
            self.rows[key].since = now - age

    def _end(self, key: Key, state: RunState) -> None:
        self.counts[state.status.value] += 1
        self._tokens += _tokens(state)
        self._known[key] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def signal(self, signal: Signal) -> None:
        """Something was told that no state says: of a run that its stream has left, or of a source."""
        match signal:
            case RunPaused() | RunInterrupted() | RunStalled():
                row = self.rows.get((signal.scope, signal.run_id))
                if row is not None:
                    # A run that waits still waits when its stream has ended.
                    row.note = "" if isinstance(signal, RunPaused) else signal.type.removeprefix("run.")
            case SourceConnected() | SourceResumed() | SourceEnded():
                self.sources.pop(signal.source, None)
            case SourceDisconnected():
                tried = f", attempt {signal.attempt}" if signal.attempt else ""
                self.sources[signal.source] = f"disconnected{tried}: {signal.reason}"
            case SourceError():
                said = signal.error
                self.sources[signal.source] = (said.message or said.code if said is not None else None) or signal.reason

    def take_ended(self) -> list[RunState]:
        """The runs that have ended since the last call, in the order in which they did."""
        ended = list(self._ended.values())
        self._ended.clear()
        return ended

    def pick(self, room: int, now: float) -> list[Row]:
        """The runs to show if there is room for so many: those that were active last, in order of appearance.

        A run that is shown stays as long as it does not fall silent: a screen of which every line changes ten times
        a second can't be read.
        """
        rows = self.rows
        if len(rows) <= room:
            self._shown = set(rows)
            return list(rows.values())
        stay = [key for key in self._shown if key in rows and now - rows[key].active <= _STEADY]
        stay = _latest(rows, stay)[:room]
        rest = rows.keys() - set(stay)
        self._shown = {*stay, *_latest(rows, rest)[: room - len(stay)]}
        return sorted((rows[key] for key in self._shown), key=lambda row: row.order)


def _latest(rows: dict[Key, Row], keys: Iterable[Key]) -> list[Key]:
    return sorted(keys, key=lambda key: (rows[key].active, rows[key].order), reverse=True)


def _tokens(state: RunState) -> int:
    total = getattr(state.usage, "total_tokens", None)
    return total if isinstance(total, int) else 0


def taken(state: RunState) -> float | None:
    """Seconds that an ended run took, as observed here; by the server's clock where it was only read from a file."""
    total = state.timings.total
    # A moment, as observed, is how fast a file was read.
    return total if total is not None and total >= 0.05 else run_duration(state)
