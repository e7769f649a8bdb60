"""The contract of a state store, which keeps the latest state of each run and the place of each source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from runstream.core.request_places import NO_PLACES, RequestPlaces
from runstream.core.state import RunState

__all__ = ["StateStore", "StoredRun", "StoredSource", "check_store"]

_METHODS: Final = ("get", "runs", "get_source", "put", "deliver")


class StoredRun(Struct, frozen=True, kw_only=True):
    """One run in a store.

    Attributes:
        scope: The scope of the run.
        run_id: Its id.
        state: Its state; ``None`` if nothing but signals of its first event was delivered.
        delivered: The keys of the signals that were delivered since that state.
        source: The name of the source that sent its last event.
        replaying: True if that source was sending it from its beginning again.
        places: The places of its sources in its requests for action, by their names.
        paused: The number of the round for which ``run.paused`` was emitted; -1 for none.
        interrupted: The number of ``run.interrupted`` signals.
        stalled: The number of ``run.stalled`` signals.
        unidentified: True if the ids of its source prove nothing about it, because some of its fragments had no id.
            True is also the value where this was not stored: at worst a complete text is then marked as partial.
    """

    scope: str
    run_id: str
    state: RunState | None
    delivered: tuple[str, ...] = ()
    source: str = ""
    replaying: bool = False
    places: RequestPlaces = NO_PLACES
    paused: int = -1
    interrupted: int = 0
    stalled: int = 0
    unidentified: bool = True

    @property
    def ended(self) -> bool:
        """True if the run has ended."""
        return self.state is not None and self.state.is_terminal


class StoredSource(Struct, frozen=True, kw_only=True):
    """The place of a source in its stream.

    Attributes:
        scope: Its scope.
        name: Its name.
        last_id: The last event id that the stored states contain; ``None`` if the source sends no ids.
        counts: The number of signals of each type of this source, from which their keys continue.
        memory: The :meth:`~runstream.Dialect.dump` of the source's dialect at this place; ``None`` if it has none.
    """

    scope: str
    name: str
    last_id: str | None = None
    counts: dict[str, int] = {}
    memory: bytes | None = None


class StateStore(Protocol):
    """The storage for the data that a stream needs after a restart.

    :class:`MemoryStore` and :class:`SqliteStore` are two; a store of your own needs these methods. All of them are
    called in the loop's thread, between two events, and should be short. An exception of a method ends the stream.
    One store serves one stream at a time.
    """

    def get(self, scope: str, run_id: str) -> StoredRun | None:
        """The run with this id, ended or not; ``None`` if it is not stored."""

    def runs(
        self, scope: str | None = None, source: str | None = None, *, ended_since: float | None = None
    ) -> Iterable[StoredRun]:
        """The runs that have not ended, in order of first appearance.

        Args:
            scope: Only runs of this scope.
            source: Only runs whose last event was sent by the source with this name.
            ended_since: Also runs that ended at this Unix time (seconds) or later.
        """

    def get_source(self, scope: str, name: str) -> StoredSource | None:
        """The place of a source; ``None`` if it is not stored."""

    def put(self, runs: Sequence[StoredRun], source: StoredSource | None = None) -> None:
        """Store runs and the place of the source of their last events: all of it or nothing, also if the process ends.

        Args:
            runs: The runs. Each replaces the stored run with its id, its delivered keys too.
            source: The place of the source; ``None`` to store the runs alone.
        """

    def deliver(self, scope: str, run_id: str, key: str) -> None:
        """Add a key to the delivered keys of a run. A run that is not stored yet gets ``None`` as its state."""


def check_store(store: object) -> None:
    """Check the option of a stream.

    Raises:
        TypeError: It has not all methods of a :class:`StateStore`.
    """
    if not all(callable(getattr(store, name, None)) for name in _METHODS):
        kind = type(store).__name__
        raise TypeError(f"store must be a state store, such as SqliteStore(path) or MemoryStore(), not a {kind}")
