"""What a client defines for its protocol: the requests that start, answer, follow, fetch and cancel a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from runstream.clients.answers import Approve, CallAnswer, Decline
from runstream.clients.session import Session
from runstream.clients.tools import LocalTool
from runstream.core.state import RunState
from runstream.model.signal_base import AwaitedCall
from runstream.sources.base import Source

__all__ = ["ProtocolRequests"]


class ProtocolRequests(ABC):
    """The requests of one protocol."""

    dialect: ClassVar[str]
    """The name of the protocol's dialect."""
    protocol_headers: ClassVar[Mapping[str, str]] = {}
    """Headers that the protocol demands in each request."""

    @abstractmethod
    def _start(self, body: dict[str, Any], tools: Sequence[LocalTool], session: Session) -> Source:
        """The source that starts a run.

        Args:
            body: The body of the request.
            tools: The tools that were passed with the request.
            session: The session of the run; its ``request`` may be set for later requests.

        Raises:
            ValueError: A field is missing.
        """

    @abstractmethod
    def _submit(self, state: RunState, answers: Sequence[tuple[AwaitedCall, CallAnswer]], session: Session) -> Source:
        """The source that submits the answers to all calls of a run, and reads what follows.

        Args:
            state: The state of the run.
            answers: The calls with their answers, in the order of the request.
            session: The session of the run.
        """

    @abstractmethod
    def _follow(self, run_id: str, state: RunState | None, place: Mapping[str, Any]) -> Source:
        """The source that reads the further course of a run, until it has ended or waits.

        Args:
            run_id: The id of the run.
            state: Its state, if it is known here.
            place: Where it is, as the application said.

        Raises:
            LookupError: The place of the run is not known.
            UnsupportedRequest: The protocol has no way to do it.
        """

    @abstractmethod
    async def _fetch(
        self, run_id: str, state: RunState | None, place: Mapping[str, Any], *, retry: bool = True
    ) -> list[bytes]:
        """The objects of a run as they are on the server: JSON of the run, then of its parts.

        Args:
            run_id: The id of the run.
            state: Its state, if it is known here.
            place: Where it is, as the application said.
            retry: False if each request is sent once, since the caller retries.

        Raises:
            RequestFailed: The server refused the request, or has no such run.
            LookupError: The place of the run is not known.
            UnsupportedRequest: The protocol has no way to do it.
        """

    def _further_request(self, fields: Mapping[str, Any], session: Session) -> dict[str, Any]:
        """The body of the first request, as far as a further one needs it, where the first was sent elsewhere."""
        return dict(fields)

    def _interrupt_value(self, answer: CallAnswer) -> Any:
        """The value that answers an interrupt, as it is sent: by default true for "yes", and false for "no"."""
        if isinstance(answer, Approve):
            return True if answer.value is None else answer.value
        return False if isinstance(answer, Decline) else answer.value

    async def _cancel(self, run_id: str, state: RunState | None, place: Mapping[str, Any]) -> list[bytes] | None:
        """Ask the server to cancel a run; ``None`` if the protocol has no such request.

        Raises:
            RequestFailed: The server refused it.
            LookupError: The place of the run is not known.
        """
        return None

    def _repair(self) -> Any:
        """``fetch_run`` of the streams; ``None`` if the protocol has no way to fetch a run."""

        async def fetch_run(state: RunState) -> list[bytes]:
            return await self._fetch(state.run_id, state, {}, retry=False)  # the stream retries

        return fetch_run
