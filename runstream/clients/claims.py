"""Which stream of a client has submitted the answers to calls, so that no other stream submits them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Generic, Protocol, TypeVar

__all__ = ["Claim", "Claimant", "Claims"]

_MAX_CLAIMS: Final = 10_000  # calls


class Claimant(Protocol):
    """What submits answers.

    Attributes:
        ended: True if its stream has ended.
    """

    ended: bool

    def awaits(self, keys: Iterable[str]) -> bool:
        """True if a run waits for answers to these calls, as far as its stream has seen it."""


S = TypeVar("S", bound=Claimant)


class Claim(Generic[S]):
    """Says which session has submitted the answers to calls.

    Attributes:
        session: The session; ``None`` once it has ended, and the run has gone on.
    """

    __slots__ = ("session",)

    def __init__(self, session: S) -> None:
        self.session: S | None = session


class Claims(Generic[S]):
    """The claims of the sessions of a client. The oldest of many are dropped."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim[S]] = {}  # by the keys of calls

    def claim(self, session: S, keys: Sequence[str]) -> Claim[S] | None:
        """Let a session submit the answers to calls, unless another one has submitted them.

        Args:
            session: The session.
            keys: The keys of the calls of one run that are answered together.

        Returns:
            The claim of the other session; ``None`` if the answers are submitted by this one now.
        """
        if (other := self.find(session, keys)) is not None:
            return other
        made = Claim(session)
        for key in keys:
            self._claims.pop(key, None)
            self._claims[key] = made
        while len(self._claims) > _MAX_CLAIMS:
            del self._claims[next(iter(self._claims))]
        return None

    def move(self, ended: S, session: S, keys: Iterable[str]) -> None:
        """Let a session submit the answers to calls again, which one that has ended has submitted."""
        for key in keys:
            if (claim := self._claims.get(key)) is not None and claim.session is ended:
                claim.session = session

    def find(self, session: S, keys: Iterable[str]) -> Claim[S] | None:
        """The claim of another session to all of these calls, if there is one.

        The claim of an ended session is valid if the run has gone on: else the server may not have the answers.
        """
        found: Claim[S] | None = None
        for key in keys:
            found = self._claims.get(key)
            if found is None or found.session is session:
                return None
        if found is None:
            return None
        other = found.session
        return None if other is not None and other.ended and other.awaits(keys) else found

    def release(self, session: S, keys: Iterable[str]) -> None:
        """Note that a session is not needed any more: its answers count as submitted."""
        for key in keys:
            if (claim := self._claims.get(key)) is not None and claim.session is session:
                claim.session = None
