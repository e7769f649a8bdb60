"""The age of a snapshot by its piece: the part of a run that its wire names (a response, say).

A wire whose runs have several parts says by the part's id, not by times, which of two snapshots is older.
"""

from __future__ import annotations

import enum
from typing import Any, Final, TypeVar

from msgspec import Struct, structs

from runstream.core.tally import NO_TALLY, Tally
from runstream.model.base import WireStruct
from runstream.model.common import CompletionTokensDetails, PromptTokensDetails, Usage
from runstream.model.run import RunStatus

__all__ = ["NO_PIECES", "REPEATED", "PieceAge", "Pieces", "add_usage"]


W = TypeVar("W", bound=WireStruct)

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
        usage: The tokens of the pieces before the last one, as far as they are known.
        counted: True if the tokens of the last piece are known.
        uncounted: The pieces before the last one whose tokens are unknown.
    """

    ids: Tally = NO_TALLY
    rounds: int = 0
    statuses: tuple[RunStatus, ...] = ()
    usage: Usage | None = None
    counted: bool = False
    uncounted: tuple[str, ...] = ()

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

    def add(self, piece: str, rounds: int, usage: Usage | None = None) -> Pieces:
        """The pieces with a new one.

        Args:
            piece: Its id.
            rounds: The number of rounds of the run before it.
            usage: The tokens of the run before it.
        """
        last = self.ids.last
        uncounted = self.uncounted if self.counted or last is None else (*self.uncounted, str(last))
        return Pieces(self.ids.add(piece), rounds, usage=usage, uncounted=uncounted)

    def add_status(self, status: RunStatus) -> Pieces:
        """The pieces after a snapshot of the last one; the same object if its status is known."""
        if status not in REPEATED or status in self.statuses:
            return self
        return structs.replace(self, statuses=(*self.statuses, status))

    def add_counted(self) -> Pieces:
        """The pieces once the tokens of the last one are known; the same object if they were."""
        return self if self.counted else structs.replace(self, counted=True)

    def add_late_usage(self, piece: str, usage: Usage) -> Pieces:
        """The pieces with the tokens of an earlier one, which arrive late; the same object if they are known.

        Args:
            piece: The id of the earlier piece.
            usage: Its tokens.
        """
        if piece not in self.uncounted:
            return self
        uncounted = tuple([each for each in self.uncounted if each != piece])
        return structs.replace(self, usage=add_usage(self.usage, usage), uncounted=uncounted)


NO_PIECES: Final = Pieces()


def add_usage(one: Usage | None, other: Usage | None) -> Usage | None:
    """The tokens of two parts of a run: each piece counts its own. A count that only one of them has is this one."""
    if one is None or other is None:
        return one if other is None else other
    return Usage(
        prompt_tokens=_add(one.prompt_tokens, other.prompt_tokens),
        completion_tokens=_add(one.completion_tokens, other.completion_tokens),
        total_tokens=_add(one.total_tokens, other.total_tokens),
        prompt_tokens_details=_add_details(PromptTokensDetails, one.prompt_tokens_details, other.prompt_tokens_details),
        completion_tokens_details=_add_details(
            CompletionTokensDetails, one.completion_tokens_details, other.completion_tokens_details
        ),
    )


def _add(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else one + other


def _add_details(kind: type[W], one: W | None, other: W | None) -> W | None:
    if one is None or other is None:
        return one if other is None else other
    names = [name for name in kind.__struct_fields__ if not name.startswith("_")]
    counts: dict[str, Any] = {name: _add(getattr(one, name), getattr(other, name)) for name in names}
    return kind(**counts)
