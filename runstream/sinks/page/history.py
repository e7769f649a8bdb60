"""What happened: signals and rejects in, the last lines of a log and totals of ended runs out. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Struct

from runstream.model.events import Reject
from runstream.model.run import Run, RunStatus
from runstream.model.signals import RunSignal, SourceSignal
from runstream.sinks.page.views import MAX_FACT

__all__ = ["MAX_ENTRIES", "Entry", "History", "Totals"]

MAX_ENTRIES: Final = 300
"""Lines of the log that are shown: the last ones."""

MAX_MODELS: Final = 20
"""Models whose runs are counted apart; those of further models are counted together."""


class Entry(Struct, frozen=True):
    """A line of the log.

    Attributes:
        n: Its number, from 1.
        at: When it happened (Unix seconds).
        kind: The type of the signal, or ``rejected``.
        run: The id of its run; "" for none.
        text: The fact: the rest of the key, or the reason.
    """

    n: int
    at: float
    kind: str
    run: str
    text: str


class History:
    """The last lines of the log."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._last = 0

    def add_signal(self, signal: RunSignal | SourceSignal) -> None:
        """Add a signal that is a fact."""
        if isinstance(signal, RunSignal):
            self._add(signal.at, signal.type, signal.run_id, signal.key.removeprefix(f"{signal.run_key}/"))
        else:
            reason = ": ".join(filter(None, dict.fromkeys((signal.reason, signal.server_message))))
            self._add(signal.at, signal.type, "", f"{signal.source}: {reason}" if reason else signal.source)

    def add_reject(self, reject: Reject, at: float) -> None:
        """Add input that could not be used.

        Args:
            reject: The input and the reason.
            at: When it was received (Unix seconds).
        """
        self._add(at, "rejected", "", f"{reject.where}: {reject.reason}")

    def since(self, number: int) -> list[Entry]:
        """The lines with a larger number, in order."""
        missing = self._last - number
        if missing <= 0:
            return []
        entries = list(self._entries)
        return entries[-missing:] if missing < len(entries) else entries

    def _add(self, at: float, kind: str, run: str, text: str) -> None:
        self._last += 1
        self._entries.append(Entry(self._last, at, kind, run[:MAX_FACT], text[:MAX_FACT]))


class Totals:
    """Counts of the runs that have ended."""

    def __init__(self) -> None:
        self.failed = 0
        self.tokens = 0
        self._models: dict[str, list[int]] = {}  # runs, failures, tokens

    def add(self, run: Run) -> None:
        """Count a run that has ended."""
        failed = run.status is not RunStatus.COMPLETED
        tokens = run.usage.total_tokens if run.usage is not None else None
        count = tokens if isinstance(tokens, int) else 0
        self.failed += failed
        self.tokens += count
        model = run.model[:MAX_FACT] if isinstance(run.model, str) and run.model else "unknown"
        if model not in self._models and len(self._models) >= MAX_MODELS:
            model = "others"
        row = self._models.setdefault(model, [0, 0, 0])
        for place, value in enumerate((1, int(failed), count)):
            row[place] += value

    def by_model(self) -> str:
        """A line for each model: its name, runs, failures and tokens, separated by tabs."""
        return "\n".join("\t".join((model, *map(str, row))) for model, row in self._models.items())
