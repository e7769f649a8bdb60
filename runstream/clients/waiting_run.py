"""A run that waits: its calls, the answers that are known so far, and the work on the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from runstream.clients.answers import CallAnswer
from runstream.model.signal_base import AwaitedCall
from runstream.model.signals import ActionRequired

__all__ = ["WaitingRun"]


class WaitingRun:
    """The calls of a run that waits, and the answers that are known so far. Partial answers are never submitted.

    Attributes:
        signal: The last request of the run.
    """

    def __init__(self, signal: ActionRequired) -> None:
        self.signal = signal
        self._answers: dict[str, CallAnswer] = {}
        self._submitted: set[str] = set()
        self._work: dict[str | None, asyncio.Future[Any]] = {}

    def update(self, signal: ActionRequired) -> None:
        """Note a further request of the run; answers to its calls that are known stay."""
        self.signal = signal
        keys = {call.key for call in signal.calls}
        self._answers = {key: answer for key, answer in self._answers.items() if key in keys}

    def work(self, call: AwaitedCall | None, make: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Future[Any]:
        """Begin to answer a call; a call that is being answered already is not begun again.

        Args:
            call: The call; ``None`` for the report of unanswered calls.
            make: Makes the coroutine.

        Returns:
            The task, which :meth:`cancel` cancels.
        """
        key = None if call is None else call.key
        task = self._work.get(key)
        if task is None or task.done() or call is None:
            task = self._work[key] = asyncio.ensure_future(make())
        return task

    def close(self) -> None:
        """Note that all answers were submitted, by another stream."""
        self._submitted |= {call.key for call in self.signal.calls}

    def cancel(self) -> None:
        """Cancel what is being answered."""
        for task in self._work.values():
            task.cancel()

    def add(self, call: AwaitedCall, answer: CallAnswer) -> None:
        """Note the answer to a call."""
        self._answers[call.key] = answer

    @property
    def open(self) -> tuple[AwaitedCall, ...]:
        """The calls without an answer."""
        return tuple(call for call in self.signal.calls if call.key not in self._answers)

    def take(self) -> list[tuple[AwaitedCall, CallAnswer]] | None:
        """All answers, to be submitted now; ``None`` if one is missing, or all were taken before."""
        keys = {call.key for call in self.signal.calls}
        if self.open or self.is_submitted:
            return None
        self._submitted |= keys
        return [(call, self._answers[call.key]) for call in self.signal.calls]

    @property
    def is_submitted(self) -> bool:
        """True if the answers to all its calls were taken."""
        return {call.key for call in self.signal.calls} <= self._submitted

    def reopen(self) -> bool:
        """Let the answers be taken again; True if they were taken before."""
        was_submitted = self.is_submitted
        self._submitted -= {call.key for call in self.signal.calls}
        return was_submitted

    def find(self, call_id: str) -> AwaitedCall:
        """The call with an id or key.

        Raises:
            LookupError: There is none, or several calls have the id.
        """
        exact = [call for call in self.signal.calls if call.key == call_id]
        found = exact or [call for call in self.signal.calls if call.id == call_id]
        if len(found) != 1:
            known = ", ".join(repr(call.id) for call in self.signal.calls) or "none"
            what = "no call" if not found else "several calls"
            raise LookupError(
                f"run {self.signal.run_id} waits for {what} with the id {call_id!r}; it waits for {known}"
            )
        return found[0]
