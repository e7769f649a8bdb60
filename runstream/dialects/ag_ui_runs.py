"""The runs of one AG-UI source: which run a run of the wire continues, and what is remembered of earlier ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from runstream.dialects.ag_ui_state import Input, Memory, Piece, dump_memory, load_memory
from runstream.dialects.base import KnownIds

__all__ = ["Runs"]

_MAX_RUNS: Final = 256
_MAX_OPEN: Final = 64
_MAX_MESSAGES: Final = 4096


class Runs:
    """The runs of one source.

    Args:
        continues: The id of the run that the first run of the source continues, as the application said.
        find_run: Returns the run that waits for an answer to an id.
        known: What the runs have, also from other sources.

    Attributes:
        message_ids: The piece of each message of a run that has ended, by the ids.
    """

    def __init__(
        self, continues: str | None, find_run: Callable[[str], str | None] | None, known: KnownIds | None = None
    ) -> None:
        self._continues = continues
        self._known = known
        self._find_run = find_run
        self._open: dict[str, Piece] = {}  # the pieces that have not ended, by their ids
        self._runs: dict[str, str] = {}  # the run of each piece
        self._replayed: set[str] = set()  # the pieces that a later connection may send again
        self.message_ids: dict[str, str] = {}

    def load(self, memory: bytes) -> Piece | None:
        """Load a memory; returns the piece of the latest event."""
        found = load_memory(memory)
        if found is None:
            return None
        self._open = {piece.id: piece for piece in found.pieces}
        for piece in found.pieces:
            piece.__dict__["known_ids"] = self._known
        self._runs = found.runs
        self.reconnect(is_restart=True)
        return self._open.get(found.current or "")

    def dump(self, current: Piece | None) -> bytes:
        """The memory of a decoder.

        Args:
            current: The piece of the latest event.
        """
        return dump_memory(Memory(list(self._open.values()), current.id if current is not None else None, self._runs))

    def forget(self, run_id: str) -> None:
        """Forget a run."""
        self._open = {id: piece for id, piece in self._open.items() if piece.run_id != run_id}
        self._runs = {id: run for id, run in self._runs.items() if run != run_id}

    def reconnect(self, *, is_restart: bool = False) -> None:
        """Note another connection, which may send all again.

        Args:
            is_restart: True if it is that of a later decoder: others know whether something is lost.
        """
        self._replayed = set(self._runs)
        for piece in self._open.values():
            if piece.phase == "running":
                piece.phase = "resumed"
            piece.is_behind_gap = not is_restart

    def is_replayed(self, wire_id: str | None) -> bool:
        """True if a start of this id is that of a run which an earlier connection has sent."""
        return wire_id in self._replayed

    def open(self) -> list[Piece]:
        """The pieces that have not ended."""
        return list(self._open.values())

    def find_open(self, wire_id: str | None) -> Piece | None:
        """The piece with this id, if it has not ended."""
        return self._open.get(wire_id) if wire_id is not None else None

    def find_ended(self, wire_id: str | None, piece: Piece) -> str | None:
        """The run of an ended piece with this id; ``None`` if it is no other piece than the given one.

        Args:
            wire_id: The id on the wire.
            piece: The piece that sends now; the server may use an id again, which has a number then.
        """
        if wire_id is None or wire_id in self._open or piece.id == wire_id or piece.id.startswith(f"{wire_id}~"):
            return None
        return self._runs.get(wire_id)

    def find_sender(self, id: str) -> tuple[str, Piece | None] | None:
        """The piece that has sent a message, a reasoning or a call: its id, and the piece itself if it is open.

        Args:
            id: The id of the message, the reasoning or the call.
        """
        for piece in reversed(self._open.values()):
            for table in (piece.messages, piece.reasoning, piece.calls):
                if (found := table.get(id)) is not None and found.piece in ("", piece.id):
                    return piece.id, piece
        ended = self.message_ids.get(id)
        return (ended, None) if ended is not None else None

    def may_continue(self, wire_id: str | None, thread_id: str | None) -> bool:
        """True if a run of this thread waits in this source, and only the next events show whether it goes on."""
        if self._continues is not None or self.is_replayed(wire_id):
            return False
        return self._waiting_on(thread_id) is not None

    def _waiting_on(self, thread_id: str | None) -> Piece | None:
        """The latest piece of a thread that waits."""
        if thread_id is None:
            return None
        waiting = (piece for piece in reversed(self._open.values()) if piece.phase == "waiting")
        return next((piece for piece in waiting if piece.thread_id == thread_id), None)

    def _find(self, id: str) -> str | None:
        """The run that waits for an answer to a call or interrupt, or that has this call without a result."""
        if self._find_run is not None and (found := self._find_run(id)) is not None:
            return found
        for piece in reversed(self._open.values()):
            if piece.phase == "waiting" and (
                id in piece.awaited or ((call := piece.calls.get(id)) is not None and not call.answered)
            ):
                return piece.run_id
        return None

    def continued(self, request: Input | None) -> str | None:
        """The run that a request continues; ``None`` if it begins one."""
        if self._continues is not None:
            return self._continues
        if request is None:
            return None
        if request.continues is not None:
            return request.continues
        for id in request.answers:
            if (found := self._find(id)) is not None:
                return found
        waiting = self._waiting_on(request.thread_id) if request.resumes else None
        return waiting.run_id if waiting is not None else None

    def is_used(self, wire_id: str | None, request: Input | None) -> bool:
        """True if a request begins a run under the id of one of another source; of this one, its end shows it.

        Without a request, another source may send the same run.
        """
        if self._known is None or wire_id is None or wire_id in self._runs or request is None:
            return False
        return self.continued(request) is None and self._known.has_piece(wire_id, wire_id)

    def begin(self, wire_id: str | None, thread_id: str | None, request: Input | None, call_ids: list[str]) -> Piece:
        """Begin a piece.

        Args:
            wire_id: Its id; ``None`` if it has none.
            thread_id: Its thread.
            request: What the application sent to begin it.
            call_ids: Ids of calls that its first events name.
        """
        id = wire_id or f"{thread_id or 'thread'}/run/{len(self._runs) + 1}"
        if id in self._replayed:
            self._replayed.discard(id)
            known, before = self._runs[id], self._open.pop(id, None)
            again = Piece(id, known, thread_id, request=request, is_first=known == id)
            # A run that has ended takes no further value.
            again.known = None
            if before is not None and before.known is not None:
                again.known = [*before.values, *before.known]
                again.is_new = before.is_new
                again.own = {each.id for table in (before.messages, before.reasoning) for each in table.values()}
            return self._add(again)
        if id in self._runs:  # the server uses an id again
            number = 2
            while f"{id}~{number}" in self._runs:
                number += 1
            id = f"{id}~{number}"
        found = self.continued(request)
        self._continues = None
        if found is None:
            found = next((each for call_id in call_ids if (each := self._find(call_id)) is not None), None)
        run_id = id if found is None else found
        ids = self._known
        if ids is not None and found is not None and ids.has_piece(run_id, id) and self._waits(run_id):
            # Another source has sent the piece of this id, and the run waits: the server uses the id again.
            number = 2
            while ids.has_piece(run_id, f"{id}~{number}"):
                number += 1
            id = f"{id}~{number}"
        piece = Piece(id, run_id, thread_id, request=request, is_first=run_id == id)
        piece.is_new = ids is not None and found is not None and not ids.has_piece(run_id, id)
        for earlier in [each for each in self._open.values() if each.run_id == run_id]:
            # What a later piece repeats of it is known.
            piece.calls.update(earlier.calls)
            piece.messages.update(earlier.messages)
            piece.reasoning.update(earlier.reasoning)
            piece.subagents.update(earlier.subagents)
            piece.closed_subagents.update(earlier.closed_subagents)
            if earlier.phase == "waiting":
                del self._open[earlier.id]
        return self._add(piece)

    def _waits(self, run_id: str) -> bool:
        """True if a run waits for the application."""
        return self._find_run is not None and self._find_run(run_id) == run_id

    def _add(self, piece: Piece) -> Piece:
        piece.__dict__["known_ids"] = self._known
        self._open[piece.id] = piece
        self._runs[piece.id] = piece.run_id
        if len(self._runs) > _MAX_RUNS:
            del self._runs[next(iter(self._runs))]
        if len(self._open) > _MAX_OPEN:
            del self._open[next(iter(self._open))]
        return piece

    def end(self, piece: Piece) -> None:
        """Note that a piece has ended, and its run with it."""
        piece.phase = "ended"
        self._open.pop(piece.id, None)
        for id in (*piece.messages, *piece.reasoning):
            self.message_ids[id] = piece.id
        while len(self.message_ids) > _MAX_MESSAGES:
            del self.message_ids[next(iter(self.message_ids))]
