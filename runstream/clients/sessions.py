"""The sessions of one client, found by the runs of their streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from runstream.clients.answers import CallAnswer
from runstream.clients.claims import Claims
from runstream.clients.session import Session
from runstream.core.activities import NO_ACTIVITIES
from runstream.core.calls import NO_CALLS
from runstream.core.documents import NO_DOCUMENTS
from runstream.core.state import RunState
from runstream.store.base import StateStore, StoredSource

__all__ = ["MAX_REMEMBERED", "Sessions"]

_MAX_ENDED: Final = 1_000  # streams that have ended while a run waited, for a later answer
MAX_REMEMBERED: Final = 1_000
"""How many runs of streams that have ended are remembered: where they are on the server, and the submitted answers."""


class Sessions:
    """The sessions of a client: of open streams, and of those that have ended while a run waited; and the places and
    answers of further runs.

    Args:
        store: The store of the client's streams, if there is one.

    Attributes:
        claims: Which of them has submitted which answers.
    """

    def __init__(self, store: StateStore | None) -> None:
        self._store = store
        self._sessions: dict[Session, None] = {}
        self._remembered: dict[str, tuple[RunState, Mapping[str, CallAnswer]]] = {}  # by run id, the oldest first
        self.claims: Claims[Session] = Claims()

    def add(self, session: Session) -> None:
        """Add a session; ended ones are dropped, but for the latest with a run that waits."""
        ended = [one for one in self._sessions if one.ended]
        waiting = [one for one in ended if one.is_waiting]
        for one in {*ended} - {*waiting[-_MAX_ENDED:]}:
            del self._sessions[one]
            self.claims.release(one, one.submitted)
            self._remember(one)
        self._sessions[session] = None

    def _remember(self, ended: Session) -> None:
        """Note where the runs of an ended session are, and their answers. The oldest of many runs are dropped."""
        for state in ended.stream.latest.values():
            answers = {**self._answers(state.run_id), **ended.submitted}
            self._remembered.pop(state.run_id, None)
            # A run that has not ended may be followed again: the next stream begins with its state.
            self._remembered[state.run_id] = (_without_content(state) if state.is_terminal else state, answers)
        while len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    def _answers(self, run_id: str) -> Mapping[str, CallAnswer]:
        found = self._remembered.get(run_id)
        return {} if found is None else found[1]

    def find(self, run_id: str) -> Session | None:
        """The session whose stream has a run and is open: of several, one whose run waits."""
        found = [one for one in self._sessions if not one.ended and run_id in one.stream.latest]
        return next((one for one in found if one.waits(("", run_id))), found[0] if found else None)

    def find_all(self, run_id: str) -> list[Session]:
        """All sessions whose streams have a run and are open."""
        return [one for one in self._sessions if not one.ended and run_id in one.stream.latest]

    def source_of(self, run_id: str) -> StoredSource | None:
        """The place of the source that has sent the last event of a run, as the store has it. The source may have gone
        on with another run since.
        """
        stored = self._store.get("", run_id) if self._store is not None else None
        return None if stored is None or self._store is None else self._store.get_source("", stored.source)

    def find_waiting(self, run_id: str) -> Session:
        """The session of a run that waits, also if its stream has ended.

        Raises:
            LookupError: There is none.
        """
        for session in reversed(self._sessions):  # an earlier one may have known an earlier request of the run
            if session.waits(("", run_id)):
                return session
        raise LookupError(f"run {run_id} does not wait for an answer here; rejoin() follows a run of another process")

    def submitted(self, run_id: str) -> dict[str, CallAnswer]:
        """The answers that were submitted for a run, by the keys of their calls."""
        found = {**self._answers(run_id)}
        for session in self._sessions:
            if run_id in session.stream.latest:
                found |= session.submitted
        return found

    def state(self, run_id: str) -> RunState | None:
        """The state of a run: of a stream, or of the store; ``None`` if it is not known.

        That of a run which has ended, and is in neither any more, has no messages and steps.
        """
        for session in reversed(self._sessions):
            if (state := session.stream.latest.get(run_id)) is not None:
                return state
        stored = self._store.get("", run_id) if self._store is not None else None
        if stored is not None and stored.state is not None:
            return stored.state
        found = self._remembered.get(run_id)
        return None if found is None else found[0]


def _without_content(state: RunState) -> RunState:
    """The state of a run without what fills memory: its messages and steps, documents and activities."""
    head = replace(state._head, calls=NO_CALLS, documents=NO_DOCUMENTS, activities=NO_ACTIVITIES)
    return RunState(head)
