"""The runs of a live view: states and signals in; the open runs, the runs that ended last, and counts out."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Final

from runstream.core.derive import run_duration
from runstream.core.state import RunState
from runstream.model.run import RunKey
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
from runstream.sinks.run_table import Row, RunTable

__all__ = ["OpenRun", "OpenRuns", "total_duration"]

_MAX_KNOWN: Final = 10_000  # ended runs that are remembered, so that a late state does not show a run twice
_STEADY: Final = 3.0  # seconds without a change after which a shown run makes room for an active one


class OpenRun(Row):
    """A run that has not ended.

    Attributes:
        active: Time of its last change (seconds of the table's clock).
    """

    __slots__ = ("active",)

    def __init__(self, number: int, state: RunState, now: float) -> None:
        super().__init__(number, state, now)
        self.active = now


class OpenRuns(RunTable[OpenRun]):
    """Keeps the latest state of every open run, and counts the ended ones.

    Attributes:
        rows: The open runs, in order of appearance.
        sources: The sources with errors, by name: what happened to them.
        counts: How many runs ended, by status.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self._ended: dict[RunKey, RunState] = {}  # not yet taken by `take_ended`
        self._known: OrderedDict[RunKey, None] = OrderedDict()
        self._tokens = 0
        self._shown: set[RunKey] = set()

    @property
    def total(self) -> int:
        """The number of all runs, ended ones included."""
        return self.counts.total() + len(self.rows)

    @property
    def tokens(self) -> int:
        """The tokens of all runs, as far as the server has sent them."""
        return self._tokens + sum(_tokens(row.state) for row in self.rows.values())

    def update(self, state: RunState, now: float) -> None:
        """Store a new state of a run.

        Args:
            state: The state.
            now: The time (seconds of any clock that grows).
        """
        key = (state.scope, state.run_id)
        row = self.rows.get(key)
        if row is not None:
            if not state.is_terminal:
                row.state, row.active = state, now
                if row.notice is not None:
                    row.notice, row.source_status = None, ""
                return
            del self.rows[key]
        if key in self._known:
            if key in self._ended:  # a state after the end, before the end was shown
                self._tokens += _tokens(state) - _tokens(self._ended[key])
                self._ended[key] = state
        elif state.is_terminal:
            self._end(key, state)
            self._ended[key] = state
        else:
            self.rows[key] = OpenRun(self._number(), state, now)

    def add_earlier(self, state: RunState, now: float, age: float) -> None:
        """Store a run that was there before the view. It is counted; if it has ended, `take_ended` skips it.

        Args:
            state: The state.
            now: The time (seconds of the same clock as for `update`).
            age: Seconds since the run was first seen.
        """
        key = (state.scope, state.run_id)
        self.update(state, now)
        self._ended.pop(key, None)
        if key in self.rows:
            self.rows[key].since = now - age

    def _end(self, key: RunKey, state: RunState) -> None:
        self.counts[state.status.value] += 1
        self._tokens += _tokens(state)
        self._known[key] = None
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)

    def add_signal(self, signal: Signal) -> None:
        """Store the facts of a signal that no state contains: of a run that was left, or of a source."""
        match signal:
            case SourceConnected() | SourceResumed() | SourceEnded():
                self.sources.pop(signal.source, None)
            case SourceDisconnected():
                attempt = f", attempt {signal.attempt}" if signal.attempt else ""
                said = f": {signal.server_message}" if signal.server_message else ""
                self.sources[signal.source] = f"disconnected{attempt}: {signal.reason}{said}"
            case SourceError():
                code = signal.error.code if signal.error is not None else None
                said = signal.server_message or (code if isinstance(code, str) else "")
                self.sources[signal.source] = said or signal.reason
            case RunPaused() | RunInterrupted() | RunStalled():
                row = self.add_notice(signal)
                if row is not None and isinstance(signal, RunPaused):
                    row.source_status = ""  # a run that waits for action still waits when its stream has ended

    def take_ended(self) -> list[RunState]:
        """The runs that ended since the last call, in the order in which they ended."""
        ended = list(self._ended.values())
        self._ended.clear()
        return ended

    def pick(self, room: int, now: float, among: Iterable[OpenRun] | None = None) -> list[OpenRun]:
        """The runs to show, in order of appearance: those with the latest changes, if there is no room for all.

        A shown run stays while it is active: a screen whose lines change places ten times a second can not be read.

        Args:
            room: The number of runs that can be shown.
            now: The time (seconds of the same clock as for `update`).
            among: The runs to choose from; all of them by default.
        """
        rows = self.rows if among is None else {(row.state.scope, row.state.run_id): row for row in among}
        if len(rows) <= room:
            self._shown = set(rows)
            return list(rows.values())
        steady = [key for key in self._shown if key in rows and now - rows[key].active <= _STEADY]
        steady = _latest(rows, steady)[:room]
        rest = rows.keys() - set(steady)
        self._shown = {*steady, *_latest(rows, rest)[: room - len(steady)]}
        return sorted((rows[key] for key in self._shown), key=lambda row: row.number)


def _latest(rows: dict[RunKey, OpenRun], keys: Iterable[RunKey]) -> list[RunKey]:
    return sorted(keys, key=lambda key: (rows[key].active, rows[key].number), reverse=True)


def _tokens(state: RunState) -> int:
    total = getattr(state.usage, "total_tokens", None)
    return total if isinstance(total, int) else 0


def total_duration(state: RunState) -> float | None:
    """Seconds that an ended run took, as observed here; by the server's clock for a run that was read from a file."""
    total = state.timings.total
    # A shorter duration, as observed, is the time in which a file was read.
    return total if total is not None and total >= 0.05 else run_duration(state)
