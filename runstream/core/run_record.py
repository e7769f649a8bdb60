"""The record of one run in the engine: its latest state, and data that is no part of the state."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from runstream.core.request_places import NO_PLACES, RequestPlaces
from runstream.core.state import GrowingText, RunState
from runstream.model.run import Run

__all__ = ["RunRecord"]

_NO_SIZES: Final[dict[str, int]] = {}  # of all runs without messages and steps; never changed


class RunRecord:
    """The latest state of one run, and data that is no part of the state.

    Attributes:
        growing: The text of the state that grows now; ``None`` if no text grows.
        length: Its length in characters. An append changes this number alone; ``state`` follows when it is read.
        source: The state of the source that sent the run's last event; ``None`` for a run that was restored from a
            store or expired.
        order: The place of the run in the order of first appearance.
        touched: True if a snapshot, message or step of the run arrived since the watchdog's last check.
        unidentified: True if a fragment of the run had no id, or if ids of its fragments were forgotten when
            an object was reset. The known ids then prove nothing about the events between them.
        unnumbered: True if a snapshot of the run, or of a message or step of it, had no id. Consecutive ids then prove
            nothing about events without one between them; a repeated id proves as much as before.
        replaying: True while its source sends the run from its beginning again.
        replayed_by: The name of the source that began the run again last, and the number of its connection.
        places: The places of its sources in its requests for action.
        paused: The round for which ``run.paused`` was emitted; -1 for none.
        interrupted: The number of ``run.interrupted`` signals so far.
        stalled: The number of ``run.stalled`` signals so far.
        watch: The watchdogs' own data.
        expired_reason: Why a watchdog expired the run; ``None`` if none did, or if the run was seen since.
        saved: The state that a store has, or is about to get.
        on_event: Called with the record before its first event after it was read from a store.
        former_sources: The states of the sources that sent the run before, and have not ended.
        bound: The largest size of the run (``max_run_size``).
        size: The size of its messages and steps, without what the text that grows has gained since ``base``.
        sizes: The size of each, by id.
        base: The length of the text that grows at the last change of the state.
        room: The length at which that text reaches the bound.
        is_bounded: True if an event of the run was rejected because of a bound.
        waits_under: The ids under which the run waits for action (:mod:`runstream.core.waiting_runs`).
    """

    # Attributes with a default on the class cost nothing in the many records where they are never set.
    __slots__ = (
        "__dict__",
        "_objects",
        "_state",
        "base",
        "bound",
        "growing",
        "length",
        "order",
        "room",
        "size",
        "sizes",
        "source",
        "touched",
        "unidentified",
        "unnumbered",
    )

    replaying = False
    replayed_by: tuple[str, int] | None = None
    places: RequestPlaces = NO_PLACES
    paused = -1
    interrupted = 0
    stalled = 0
    watch: Any = None
    expired_reason: str | None = None
    saved: RunState | None = None
    on_event: Callable[[RunRecord], None] | None = None
    former_sources: tuple[Any, ...] = ()
    waits_under: tuple[str, ...] = ()
    is_bounded = False

    def __init__(self, state: RunState, source: Any, order: int, bound: int = sys.maxsize) -> None:
        self._state = state
        self.growing: GrowingText | None = state._growing
        self.length: int = state._length
        self.source = source
        self.order = order
        self.bound = bound
        self.size = 0
        self.sizes: dict[str, int] = _NO_SIZES
        self.base = self.length
        self.room = bound + self.length if self.length else bound  # most begin without a text: they share this number
        self.touched = False
        self.unidentified = False
        self.unnumbered = False
        self._objects: list[str] | None = None

    @property
    def last_source(self) -> Any:
        """The state of the source that sends the run, else of the one that sent it last; ``None`` if unknown."""
        return self.source or next(reversed(self.former_sources), None)

    @property
    def objects(self) -> Sequence[str]:
        """The ids of messages and steps that the scope maps to this run."""
        return self._objects or ()

    def add_object(self, id: str) -> None:
        """Note that the scope maps this id of a message or step to the run."""
        if self._objects is None:
            self._objects = [id]
        else:
            self._objects.append(id)

    def is_open(self, id: str) -> bool:
        """True if the run has a message or step of this id that has not ended."""
        item = self.state._find(id)
        return item is not None and not item.is_terminal

    @property
    def run(self) -> Run:
        """The latest run. Reading it builds no state: growing text is no part of a run."""
        return self._state._head.run

    @property
    def last_piece(self) -> str | None:
        """The id of the run's last piece; ``None`` if its wire names none."""
        return self._state._head.pieces.ids.last

    @property
    def state(self) -> RunState:
        """The latest state; the same object until something changes."""
        return self._state if self.length == self._state._length else self.build_state()

    @state.setter
    def state(self, state: RunState) -> None:
        if self.length != self.base:
            self.note_growth()
        self._state = state
        self.growing = state._growing
        self.length = self.base = state._length
        self.room = self.bound - self.size + state._length

    def add_size(self, id: str, added: int) -> None:
        """Count a change of the size of a message or step.

        Args:
            id: Its id.
            added: The characters that it gained; less than 0 if it lost some.
        """
        self.room -= added
        self._count_size(id, added)

    def note_growth(self) -> None:
        """Count the text that was appended since the last change of the state."""
        grown = self.length - self.base
        if grown > 0 and self.growing is not None:
            self._count_size(self.growing.object_id, grown)
            self.base = self.length

    def _count_size(self, id: str, added: int) -> None:
        self.size += added
        if self.sizes is _NO_SIZES:
            self.sizes = {}
        self.sizes[id] = self.sizes.get(id, 0) + added

    def build_state(self) -> RunState:
        """The state with the text at its present length; it is the latest state from now on."""
        old = self._state
        state = self._state = RunState(old._head, old._objects, old._growing, self.length)
        return state
