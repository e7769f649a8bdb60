"""The age of a snapshot by its piece: the part of a run that its wire names (a response, say).

A wire whose runs have several parts says by the part's id, not by times, which of two snapshots is older.
"""

from __future__ import annotations

import enum
from typing import Final

from msgspec import Struct

from runstream.core.tally import NO_TALLY, Tally
from runstream.model.run import RunStatus

__all__ = ["NO_PIECES", "REPEATED", "PieceAge", "Pieces"]


REPEATED: Final = (RunStatus.QUEUED, RunStatus.IN_PROGRESS)


class PieceAge(enum.Enum):
    """The age of a snapshot's piece, relative to the pieces of its run.

    Attributes:
        UNKNOWN: The snapshot names no piece.
        NEW: The piece is new to the run.
        LAST: It is the last one.
        EARLIER: A later piece has begun.
    """

    UNKNOWN = "unknown"
    NEW = "new"
    LAST = "last"
    EARLIER = "earlier"


class Pieces(Struct, frozen=True, gc=False, eq=False):
    """The pieces of a run.

    Attributes:
        ids: Their ids, in order of first appearance.
        rounds: The number of rounds of the run before the last piece.
        statuses: The statuses of the last piece that a replay may repeat: queued, in progress.
    """

    ids: Tally = NO_TALLY
    rounds: int = 0
    statuses: tuple[RunStatus, ...] = ()

    def classify(self, piece: str | None) -> PieceAge:
        """The age of a piece.

        Args:
            piece: Its id; ``None`` if the snapshot names none.
        """
        if piece is None:
            return PieceAge.UNKNOWN
        if self.ids.last == piece:
            return PieceAge.LAST
        return PieceAge.EARLIER if piece in self.ids else PieceAge.NEW

    def add(self, piece: str, rounds: int) -> Pieces:
        """The pieces with a new one.

        Args:
            piece: Its id.
            rounds: The number of rounds of the run before it.
        """
        return Pieces(self.ids.add(piece), rounds)

    def add_status(self, status: RunStatus) -> Pieces:
        """The pieces after a snapshot of the last one; the same object if its status is known."""
        if status not in REPEATED or status in self.statuses:
            return self
        return Pieces(self.ids, self.rounds, (*self.statuses, status))


NO_PIECES: Final = Pieces()
