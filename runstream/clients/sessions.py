"""The sessions of one client, found by the runs of their streams."""

from __future__ import annotations

from typing import Final

from runstream.clients.answers import CallAnswer
from runstream.clients.claims import Claims
from runstream.clients.session import Session
from runstream.core.state import RunState
from runstream.store.base import StateStore, StoredSource

__all__ = ["Sessions"]

_MAX_ENDED: Final = 1_000  # streams that have ended while a run waited, for a later answer


class Sessions:
    """The sessions of a client: of open streams, and of those that have ended while a run waited.

    Args:
        store: The store of the client's streams, if there is one.

    Attributes:
        claims: Which of them has submitted which answers.
    """

    def __init__(self, store: StateStore | None) -> None:
        self._store = store
        self._sessions: dict[Session, None] = {}
        self.claims: Claims[Session] = Claims()

    def add(self, session: Session) -> None:
        """Add a session; ended ones are dropped, but for the latest with a run that waits."""
        ended = [one for one in self._sessions if one.ended]
        waiting = [one for one in ended if one.is_waiting]
        for one in {*ended} - {*waiting[-_MAX_ENDED:]}:
            del self._sessions[one]
            self.claims.release(one, one.submitted)
        self._sessions[session] = None

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
        found: dict[str, CallAnswer] = {}
        for session in self._sessions:
            if run_id in session.stream.latest:
                found |= session.submitted
        return found

    def state(self, run_id: str) -> RunState | None:
        """The state of a run: of a stream, or of the store; ``None`` if it is not known."""
        for session in reversed(self._sessions):
            if (state := session.stream.latest.get(run_id)) is not None:
                return state
        stored = self._store.get("", run_id) if self._store is not None else None
        return None if stored is None else stored.state
