"""What a state store is: something that keeps the latest state of each run and the place of each source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from runstream.core.state import RunState

__all__ = ["StateStore", "StoredRun", "StoredSource"]


class StoredRun(Struct, frozen=True, kw_only=True):
    """One run as it is kept.

    Attributes:
        scope: The scope of the run.
        run_id: Its id.
        state: Its state; ``None`` if a signal of its first event was delivered and nothing more.
        delivered: Keys of the signals that were delivered since that state.
        source: Name of the source that spoke of it last.
        replaying: Whether that source was telling it from its start again.
        paused: The round for which ``run.paused`` was given, -1 for none.
        interrupted: How many ``run.interrupted`` were given.
        stalled: How many ``run.stalled`` were given.
        unidentified: Whether the ids of its source say nothing of it, because fragments of it came without one. Where
            this was not kept, nobody knows, and that is taken for yes: at worst a text is marked though it is whole.
    """

    scope: str
    run_id: str
    state: RunState | None
    delivered: tuple[str, ...] = ()
    source: str = ""
    replaying: bool = False
    paused: int = -1
    interrupted: int = 0
    stalled: int = 0
    unidentified: bool = True

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.state is not None and self.state.is_terminal


class StoredSource(Struct, frozen=True, kw_only=True):
    """How far a source has come.

    Attributes:
        scope: Its scope.
        name: Its name.
        last_id: The last event id that came in as of the states put, ``None`` where it gives none.
        counts: How many signals of each type it has given, so that their keys go on.
    """

    scope: str
    name: str
    last_id: str | None = None
    counts: dict[str, int] = {}


class StateStore(Protocol):
    """Where a stream keeps what it must know after a restart. :class:`MemoryStore` and :class:`SqliteStore` are
    such; one of your own needs these methods.

    All of them are called in the loop's thread, between two events, and should be short. What they raise ends the
    stream. One store serves one stream at a time.
    """

    def get(self, scope: str, run_id: str) -> StoredRun | None:
        """The run with this id, ended or not; ``None`` if it is not kept."""

    def runs(
        self, scope: str | None = None, source: str | None = None, *, ended_since: float | None = None
    ) -> Iterable[StoredRun]:
        """The runs that have not ended, in order of appearance.

        Args:
            scope: Only those of this scope.
            source: Only those that this source spoke of last.
            ended_since: Also those that ended at this Unix time or later.
        """

    def get_source(self, scope: str, name: str) -> StoredSource | None:
        """The place of a source, ``None`` if it is not kept."""

    def put(self, runs: Sequence[StoredRun], source: StoredSource | None = None) -> None:
        """Keep these runs, in place of what was kept of them (their delivered keys too), and the place of the
        source that spoke of them: all of it or nothing, whatever happens to the process.
        """

    def deliver(self, scope: str, run_id: str, key: str) -> None:
        """Add a key to the delivered ones of a run, which may not be kept yet: then with ``None`` as its state."""
